"""Pyramids: which nodes of a hierarchy are levels of the same data. Pure.

A pyramid is recognised by its metadata; the order of its levels is the one that is stored, never
that of sizes.

Sources: ``.levels`` datasets of xcube; OME-Zarr 0.4 and 0.5, "multiscales" metadata; the convention
"multiscales" of zarr-conventions (``layout``), which GeoZarr uses; ndpyramid; GeoZarr's older
``tile_matrix_set``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from zapz.errors import MetadataError
from zapz.format import jsontext
from zapz.format.level_names import LEVELS, STORED, number_of
from zapz.format.metadata import Array, Dataset, check_path, folders_above, join
from zapz.format.pyramid import Pyramid

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ROOT = ("",)
_BASE = "base_dataset_path"
"""Member of ``.zlevels``: where a linked level 0 is stored."""


def levels_document(dataset: Dataset) -> dict[str, bytes]:
    """Return the ``.zlevels`` of a new dataset with the levels of another one; nothing if none.

    Its own level 0 is not linked.
    """
    if LEVELS not in dataset.documents:
        if dataset.roots == _ROOT:
            return {}
        meta = {"version": "1.0", "num_levels": len(dataset.roots), "use_saved_levels": False}
        return {LEVELS: jsontext.dumps(meta, indent=2).encode()}
    text = jsontext.text_of(dataset.documents[LEVELS], LEVELS)
    if _BASE not in jsontext.parse_object(text, LEVELS):
        return {LEVELS: text.encode()}
    parts = {m.key: text[m.start : m.end] for m in jsontext.members(text) if m.key != _BASE}
    return {LEVELS: jsontext.joined(parts, indent=2).encode()}


def with_pyramids(dataset: Dataset) -> Dataset:
    """Return a dataset with its pyramids; arrays without dimension names get those of their axes.

    Raises:
        MetadataError: The path of a level leaves the dataset, or the levels are not those that
            ``.zlevels`` names.
    """
    roots = _roots(dataset)
    described = [
        path for path, attributes in dataset.groups.items() if "multiscales" in attributes or "ome" in attributes
    ]
    if roots == _ROOT and not described:
        return dataset
    pyramids: list[Pyramid] = []
    groups = dataset.groups
    if roots != _ROOT:
        groups = {path: attributes for path, attributes in groups.items() if path}
        pyramids.append(_of_levels(dataset.documents, roots))
    for path in described:
        pyramids += _described(path, dataset.groups[path])
    nodes = {""} | {folder for path in dataset.arrays for folder in folders_above(path)}
    found = tuple(
        replace(
            each,
            levels=tuple(level for level in each.levels if level in nodes),
            missing=tuple(level for level in each.levels if level not in nodes),
        )
        for each in pyramids
    )
    found = tuple(each for each in found if each.levels)
    arrays = _with_axes(dataset.arrays, found)
    levels: dict[str, tuple[Pyramid, int]] = {}
    for each in found:
        for number, level in enumerate(each.levels):
            levels.setdefault(level, (each, number))
    return replace(dataset, arrays=arrays, groups=groups, roots=roots, pyramids=found, levels=levels)


def _roots(dataset: Dataset) -> tuple[str, ...]:
    """Return the roots of separate datasets in a hierarchy: the levels of ``.levels``, else one."""
    documents = dataset.documents
    tops = {key.partition("/")[0] for key in documents}
    if LEVELS not in documents and any("/" not in key for key in documents):
        return _ROOT
    numbers = {number: top for top in tops if (number := number_of(top, STORED)) is not None}
    if any(top in dataset.arrays for top in numbers.values()):  # levels are groups
        return _ROOT
    if LEVELS not in documents and sorted(numbers) != list(range(len(numbers))):  # a part of a hierarchy
        return _ROOT
    return tuple(numbers[number] for number in sorted(numbers)) or _ROOT


def _of_levels(documents: Mapping[str, bytes], roots: tuple[str, ...]) -> Pyramid:
    meta = jsontext.parse_object(jsontext.text_of(documents[LEVELS], LEVELS), LEVELS) if LEVELS in documents else {}
    number = meta.get("num_levels", len(roots))
    if number != len(roots) or [number_of(root) for root in roots] != list(range(len(roots))):
        raise MetadataError(
            "the levels are not those that .zlevels names",
            where=LEVELS,
            expected=f"0.zarr to {number - 1}.zarr" if isinstance(number, int) and number > 1 else "0.zarr",
            found=", ".join(roots),
            hint="The dataset is damaged or still being written, or a setting excludes a level.",
        )
    methods = meta.get("agg_methods")
    named = {str(k): str(v) for k, v in methods.items()} if isinstance(methods, dict) else {}
    return Pyramid(path="", kind="xcube", levels=roots, methods=named)


def _described(path: str, attributes: Mapping[str, Any]) -> Iterable[Pyramid]:
    """Yield the pyramids that the attributes of a group describe."""
    ome = attributes.get("ome")
    entries = ome.get("multiscales") if isinstance(ome, dict) else attributes.get("multiscales")
    if isinstance(entries, dict):
        yield from _of_layout(path, entries)
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("datasets"), list):
            continue
        places = [each.get("path") for each in entry["datasets"] if isinstance(each, dict)]
        levels = tuple(_inside(path, place) for place in places if isinstance(place, str))
        axes = entry.get("axes")
        if isinstance(axes, list):
            names = [axis.get("name") if isinstance(axis, dict) else axis for axis in axes]
            named = tuple(str(name) for name in names) if all(isinstance(name, str) for name in names) else ()
            yield Pyramid(path=path, kind="ome", levels=levels, axes=named, methods=_method(entry.get("type")))
        else:
            yield Pyramid(path=path, kind="ndpyramid", levels=levels, methods=_method(_ndpyramid(entry)))


def _ndpyramid(entry: Mapping[str, Any]) -> Any:
    meta = entry.get("metadata")
    return "mean" if isinstance(meta, dict) and meta.get("method") == "pyramid_coarsen" else None


def _method(name: Any) -> Mapping[str, str]:
    return {"": name} if isinstance(name, str) and name else {}


def _of_layout(path: str, meta: Mapping[str, Any]) -> Iterable[Pyramid]:
    """Yield the pyramid of a layout (zarr-conventions), or of a tile matrix set (older GeoZarr)."""
    method = _method(meta.get("resampling_method"))
    layout, tiles = meta.get("layout"), meta.get("tile_matrix_set")
    if isinstance(layout, list):
        places = [each.get("asset") for each in layout if isinstance(each, dict)]
        levels = tuple(dict.fromkeys(_inside(path, place) for place in places if isinstance(place, str)))
    elif isinstance(tiles, dict) and isinstance(tiles.get("tileMatrices"), list):
        ids = [each.get("id") for each in tiles["tileMatrices"] if isinstance(each, dict)]
        levels = tuple(dict.fromkeys(join(path, each) for each in ids if isinstance(each, str) and each.isalnum()))
    else:
        return
    yield Pyramid(path=path, kind="geozarr", levels=levels, methods=method)


def _inside(group: str, place: str) -> str:
    """Return the path of a level that a group's attributes name.

    Raises:
        MetadataError: It is not inside the group.
    """
    inner = place.strip("/") if not place.startswith("/") else place
    if inner in {".", ""}:
        return group
    inner = inner.removeprefix("./")
    try:
        check_path(inner)
        is_outside = _SCHEME.match(inner) is not None
    except MetadataError:
        is_outside = True
    if is_outside:
        raise MetadataError(
            "a level is outside of the dataset",
            where=group or "/",
            expected="a path inside the group",
            found=repr(place),
        )
    return join(group, inner)


def _with_axes(arrays: Mapping[str, Array], pyramids: Iterable[Pyramid]) -> Mapping[str, Array]:
    """Return arrays; those without dimension names have the axes of their pyramid (OME-Zarr)."""
    named = dict(arrays)
    for pyramid in pyramids:
        for level in pyramid.levels:
            array = named.get(level)
            if array is not None and len(pyramid.axes) == array.ndim and not any(array.dims):
                named[level] = replace(array, dims=pyramid.axes)
    return named
