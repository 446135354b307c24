"""From a path below a dataset to a reply: documents, chunks, and pages of folders.

No framework, no clock, no storage: a dataset's states and chunks come from a ``Served``.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import parse_qs, quote

from zapz.format import documents as doors
from zapz.format.grid import Index
from zapz.format.metadata import name
from zapz.server import pages
from zapz.server.content import Headers, MemoryContent, reply_with, whole_reply
from zapz.server.datasets import Route
from zapz.server.failures import refusal
from zapz.server.generation import Generation
from zapz.server.listing import Listing, listing_of
from zapz.server.messages import HttpReply, HttpRequest
from zapz.server.views import LONGEST_KEY, ServedArray, View

_REVALIDATE = ("Cache-Control", "no-cache")
_FOREVER = ("Cache-Control", "public, max-age=31536000, immutable")
_FOREVER_HERE = ("Cache-Control", "private, max-age=31536000, immutable")
"""For a client with a token: no cache may send its reply to others."""


def kind_of(key: str) -> str:
    """Return what a key asks for: ``metadata``, ``page`` or ``chunk``."""
    if doors.is_document(key):
        return "metadata"
    return "page" if not key or key.endswith("/") else "chunk"


def resolve(request: HttpRequest, route: Route, *, inline: bool = False) -> HttpReply:
    """Return the reply to a GET or HEAD request below a dataset.

    Args:
        request: The request.
        route: What its path names.
        inline: Whether the caller must not be kept waiting.

    Raises:
        NeedsThreadError: The answer may take a while (only if ``inline``).
        ZapzError: What should be there cannot be read.
    """
    if not route.has_slash:
        return moved(request, f"{request.path}/")
    if len(route.key) > LONGEST_KEY:  # the work for a key grows with the square of its length
        return refusal(request, 404, "not_found", "no document, chunk or folder has this name")
    served, key = route.served, route.key
    pinned = bool(route.generation)
    if pinned:
        found = served.pinned(route.generation, inline=inline)
        if found is None:
            return _gone(request, route)
        reply = _in(request, route, found, inline=inline) or _absent(request, route, found.view(route.zarr_format))
        return reply if _is_valid(route, reply, inline=inline) else _gone(request, route)
    generation = served.known() if kind_of(key) == "chunk" else None
    if generation is not None:
        chunk = _chunk(request, route, generation, inline=inline, as_stored=True)
        if chunk is not None:
            return chunk
    newest = served.current(inline=inline)
    there = _in(request, route, newest, inline=inline)
    reply = there or _absent(request, route, newest.view(route.zarr_format))
    if (there is None or kind_of(key) == "metadata") and not served.trouble:
        reply.lasts = partial(served.is_newest, newest)
    return reply


def has_node(view: View, path: str) -> bool:
    """Return whether a path is that of an array or a group."""
    return path in view.arrays or path in view.dataset.groups


def _is_valid(route: Route, reply: HttpReply, *, inline: bool) -> bool:
    """Return whether a pinned state is still valid after a chunk was opened; close it if it is not.

    The dataset may have been replaced between the first look and the opening of the chunk.
    """
    if kind_of(route.key) != "chunk":
        return True
    valid = False
    try:
        valid = route.served.pinned(route.generation, inline=inline) is not None
        return valid
    finally:
        if not valid and not isinstance(reply.body, bytes):
            reply.body.close()


def _in(request: HttpRequest, route: Route, generation: Generation, *, inline: bool) -> HttpReply | None:
    """Return the reply in one state of the dataset; None if the key names nothing there."""
    kind = kind_of(route.key)
    if kind == "metadata":
        return _document(request, route, generation)
    if kind == "page":
        return _page(request, route, generation, inline=inline)
    return _chunk(request, route, generation, inline=inline)


def state_headers(route: Route, generation: Generation) -> Headers:
    """Return the header fields that name a state, and warn of what it does not promise."""
    fields: Headers = [("Zapz-Generation", generation.id)]
    warning = generation.warning or route.served.trouble
    if warning:
        safe = "".join(c if " " <= c < "\x7f" and c not in '"\\' else "'" for c in warning)
        fields.append(("Warning", f'199 zapz "{safe}"'))
    return fields


def _document(request: HttpRequest, route: Route, generation: Generation) -> HttpReply | None:
    view = generation.view(route.zarr_format)
    data = view.documents.get(route.key)
    if data is None:
        why = view.refusal(route.key) if name(route.key) in doors.of(view.zarr_format).NODES else ""
        return None if not why else refusal(request, 501, "unsupported", why, dataset=route.name)
    forever = _FOREVER_HERE if "authorization" in request.headers else _FOREVER
    fields = [forever if route.generation else _REVALIDATE, *state_headers(route, generation)]
    if route.key in doors.DOCUMENT_NAMES:
        fields.append(("Link", f'<{request.mount}/{route.url_name}@{generation.id}/>; rel="canonical"'))
    etag = f'"{generation.id}-{view.zarr_format}"'
    return reply_with(request, MemoryContent(data), etag, fields, kind="application/json")


def _chunk(
    request: HttpRequest, route: Route, generation: Generation, *, inline: bool, as_stored: bool = False
) -> HttpReply | None:
    """Return the reply with a chunk; None if there is none, or none that is sent as it is stored.

    To cut or to decode a chunk by documents that are not the newest could give other values.
    """
    found = generation.view(route.zarr_format).chunk(route.key)
    if found is None or (as_stored and found[0].form != "stored"):
        return None
    return _stored(request, route, generation, *found, inline=inline)


def _stored(
    request: HttpRequest, route: Route, generation: Generation, array: ServedArray, index: Index, *, inline: bool
) -> HttpReply:
    """Return the reply with a chunk, or 404 if it is truly absent."""
    served = route.served
    chunk = served.chunk(generation, array, index, inline=inline)
    if chunk is None:
        return refusal(request, 404, "missing_chunk", "all cells of this chunk have the fill value")
    reply = reply_with(request, chunk.content, chunk.etag, [_REVALIDATE])

    if route.generation or request.method != "GET" or (read := served.reader(array, index)) is None:
        return reply

    def again() -> HttpReply | None:
        found = read() if served.known() is generation else None
        return None if found is None else whole_reply(*found, [_REVALIDATE])

    reply.repeat = again
    return reply


def _page(request: HttpRequest, route: Route, generation: Generation, *, inline: bool) -> HttpReply | None:
    view = generation.view(route.zarr_format)
    listing = _listing(request, view, route.key)
    if listing is None:
        return None
    labels = route.served.labels(generation, inline=inline)
    fields = [_REVALIDATE, *state_headers(route, generation)]
    return pages.folder_page(request, route, generation, view, listing, labels, fields)


def _listing(request: HttpRequest, view: View, key: str) -> Listing | None:
    text = parse_qs(request.query).get("page", ["1"])[-1]
    if not (text.isascii() and text.isdecimal() and len(text) < 20):  # noqa: PLR2004 - digits
        return None
    folder = key[:-1]
    if folder.endswith("/") or key == "/":
        return None
    return listing_of(view, folder, int(text))


def _absent(request: HttpRequest, route: Route, view: View) -> HttpReply:
    """Return 404, or the way to a folder whose slash is missing, or why an array is not served."""
    key = route.key
    if kind_of(key) == "chunk":
        if has_node(view, key):
            return moved(request, f"{request.path}/")
        if why := view.refusal(key):
            return refusal(request, 501, "unsupported", why, dataset=route.name)
    return refusal(request, 404, "not_found", "no document, chunk or folder has this name")


def moved(request: HttpRequest, path: str) -> HttpReply:
    """Return the way to the path with a slash at its end."""
    where = f"{request.mount}{quote(path)}{'?' + request.query if request.query else ''}"
    return HttpReply(status=308, headers=[("Location", where), ("Content-Length", "0")])


def _gone(request: HttpRequest, route: Route) -> HttpReply:
    """Return 410: clients raise an error. They would read 404 as fill values."""
    return refusal(
        request,
        410,
        "gone",
        "this state of the dataset is not kept, or is not valid any more",
        hint=f"Open {request.mount}/{route.url_name}/ again.",
    )
