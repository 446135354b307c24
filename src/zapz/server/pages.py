"""Pages of datasets, groups, arrays and chunks: HTML, or JSON by ``Accept``. Pure.

The only links of a folder's page are its children, with relative addresses: fsspec lists by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from zapz.format.codec_words import codec_words
from zapz.format.metadata import Array, is_named, join
from zapz.pictures.page import Markup, document, element, escaped, html_table, listed
from zapz.pictures.page import join as joined
from zapz.pictures.style import CSS
from zapz.server.content import Headers
from zapz.server.datasets import Route
from zapz.server.failures import json_reply
from zapz.server.generation import Generation
from zapz.server.listing import PAGE, Listing
from zapz.server.messages import HttpReply, HttpRequest
from zapz.server.views import View

_HEAD = ("variable", "dimensions", "shape", "chunks", "data type", "codecs", "labels")
_BY = " \u00d7 "
_VARIABLES = 500
"""Maximum number of variables in the table of a page."""
_POLICY = (
    "Content-Security-Policy",
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
)


def wants_json(request: HttpRequest) -> bool:
    """Return whether a client asks for JSON rather than for a page."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


def html_reply(request: HttpRequest, title: str, body: Markup, fields: Headers) -> HttpReply:
    """Return a page."""
    page = document(title, Markup(f'<style>{CSS}</style><div class="zapz">{body}</div>')).encode("utf-8", "replace")
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(page))),
        ("Vary", "Accept"),
        _POLICY,
        ("X-Content-Type-Options", "nosniff"),
        *fields,
    ]
    return HttpReply(status=200, headers=headers, body=b"" if request.method == "HEAD" else page)


def address_of(request: HttpRequest) -> str:
    """Return the address of the server as the client knows it, with a slash at its end."""
    return f"{request.scheme}://{request.headers.get('host', 'localhost')}{request.mount}/"


def link(name: str) -> Markup:
    """Return a link to a child."""
    return Markup(f'<a href="{escaped(quote(name))}">{escaped(name)}</a>')


def opening_lines(address: str) -> list[str]:
    """Return the lines of Python that open a dataset."""
    return ["import xarray", f'ds = xarray.open_zarr("{address}")']


def code(lines: Sequence[str]) -> Markup:
    """Return lines of code. Their addresses are no links for fsspec, which looks for ``http://``."""
    return element("pre", Markup(escaped("\n".join(lines)).replace("://", ":<wbr>//")))


def index_page(request: HttpRequest, cards: Sequence[Mapping[str, Any]], fields: Headers) -> HttpReply:
    """Return the page of all datasets.

    Args:
        request: The request.
        cards: Facts of each dataset: ``name``, ``title``, ``dims``, ``labels``, ``error``.
        fields: Further header fields.
    """
    if wants_json(request):
        return json_reply(request, 200, {"datasets": [*cards]}, [("Vary", "Accept"), *fields])
    rows = [
        (
            link(f"{card['name']}/"),
            card.get("title", ""),
            ", ".join(f"{dim} {length:,}" for dim, length in card.get("dims", {}).items()),
            _spans(card.get("labels", {})),
            card.get("error", ""),
        )
        for card in cards
    ]
    table = html_table(("dataset", "title", "dimensions", "labels", "error"), rows)
    lines = code(opening_lines(f"{address_of(request)}NAME/"))
    body = joined([element("header", element("span", "datasets", "zapz-name")), table, lines])
    return html_reply(request, "Datasets", body, fields)


def _spans(labels: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{path}: {_span(ends)}" for path, ends in labels.items())


def _span(ends: Sequence[str]) -> str:
    """Return the first and the last label; of days, without the time."""
    days = all(each.endswith("T00:00:00") for each in ends)
    return " to ".join(each.removesuffix("T00:00:00") if days else each for each in ends)


def folder_page(
    request: HttpRequest,
    route: Route,
    generation: Generation,
    view: View,
    listing: Listing,
    labels: Mapping[str, tuple[str, str]],
    fields: Headers,
) -> HttpReply:
    """Return the page of a dataset, or of a folder in it.

    Args:
        request: The request.
        route: What its path names.
        generation: The state of the dataset.
        view: What clients see of it.
        listing: The children of the folder.
        labels: First and last label of coordinates, by path.
        fields: Further header fields.
    """
    paths = _shown(view, listing)
    variables = [_facts(view, path, labels) for path in paths[:_VARIABLES]]
    address = f"{address_of(request)}{route.url_name}/"
    array = view.arrays.get(listing.path)
    attributes = array.array.attributes if array is not None else view.dataset.groups.get(listing.path, {})
    if wants_json(request):
        value = {
            "dataset": route.name,
            "path": listing.path,
            "kind": listing.kind,
            "zarr_format": view.zarr_format,
            "generation": generation.id,
            "warning": generation.warning,
            "attributes": attributes,
            "variables": variables,
            "children": [*(f"{name}/" for name in listing.folders), *listing.files],
            "page": listing.page,
            "pages": listing.pages,
            "count": listing.count,
            "open": opening_lines(address),
        }
        return json_reply(request, 200, value, [("Vary", "Accept"), *fields])
    title = join(route.url_name, listing.path)
    parts = [
        element("header", joined([element("span", listing.kind, "zapz-what"), element("span", title, "zapz-name")])),
        element("p", _state(generation, view)),
        _table(variables),
        _attributes(attributes),
        code(_lines(address, listing.path, view)),
        _children(listing),
    ]
    return html_reply(request, title, joined(parts), fields)


def _state(generation: Generation, view: View) -> str:
    words = [f"Zarr v{view.zarr_format}", f"generation {generation.id}"]
    words += [f"warning: {generation.warning}"] if generation.warning else []
    refused = [f"not in this format: {path or '/'} ({why})" for path, why in view.refused.items()]
    return " · ".join([*words, *refused])


def _lines(address: str, path: str, view: View) -> list[str]:
    if path in view.arrays:
        return ["import zarr", f'array = zarr.open_array("{address}{quote(path)}", mode="r")']
    if path:
        return ["import zarr", f'group = zarr.open_group("{address}{quote(path)}", mode="r")']
    return opening_lines(address)


def _shown(view: View, listing: Listing) -> list[str]:
    if listing.kind == "chunks":
        found = view.array_above(listing.path)
        return [] if found is None else [found.array.path]
    if listing.path in view.arrays:
        return [listing.path]
    return sorted(path for path in view.arrays if not listing.path or is_named(path, [listing.path]))


def _facts(view: View, path: str, labels: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    array: Array = view.arrays[path].array
    shards = array.codecs.shards
    return {
        "path": path,
        "dims": list(array.dims),
        "shape": list(array.shape),
        "chunks": list(array.units.chunks),
        **({"shards": list(array.grid.chunks)} if shards is not None else {}),
        "dtype": str(array.dtype) if array.dtype.kind != "O" else array.unit_codecs.serializer,
        "codecs": codec_words(array),
        **({"labels": list(labels[path])} if path in labels else {}),
    }


def _table(variables: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            each["path"] or "/",
            ", ".join(dim or "-" for dim in each["dims"]),
            _BY.join(f"{n:,}" for n in each["shape"]) or "scalar",
            _BY.join(f"{n:,}" for n in each["chunks"]),
            each["dtype"],
            each["codecs"],
            _span(each.get("labels", ())),
        )
        for each in variables
    ]
    return html_table(_HEAD, rows)


def _attributes(attributes: Mapping[str, Any]) -> Markup:
    return listed(f"{name}: {_short(value)}" for name, value in attributes.items())


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"  # noqa: PLR2004 - a few lines


def _children(listing: Listing) -> Markup:
    names = listed([*(link(f"{name}/") for name in listing.folders), *(link(name) for name in listing.files)])
    if listing.pages == 1:
        return names
    buttons = joined(
        Markup(f'<button name="page" value="{number}">page {number:,}</button> ')
        for number in sorted({1, listing.page - 1, listing.page + 1, listing.pages})
        if 1 <= number <= listing.pages and number != listing.page
    )
    first = (listing.page - 1) * PAGE
    said = f"{first + 1:,} to {min(first + PAGE, listing.count):,} of {listing.count:,}"
    return joined([element("p", said), names, Markup(f'<form method="get">{buttons}</form>')])
