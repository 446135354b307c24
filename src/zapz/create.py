"""The documents of a target: of a new one, after the first slice; of one that grows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zapz.additions import check_units, described, least_of, missing_variables
from zapz.compat import SMALL_STEP
from zapz.config import Config
from zapz.errors import UnsupportedError
from zapz.format import documents as doors
from zapz.format import jsontext, v2, v3
from zapz.format.attributes import retext
from zapz.format.dtypes import has_attribute, write_marker
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, ChunkKeys, Dataset, FillValue, implicit_groups, join, name, parent

_NCZARR = ("_nczarr_group", "_NCZARR_GROUP")


Wish = Mapping[str, Any]
"""An encoding as it is configured: the keys that were given."""
_IMPLIED = ("NaN", int(np.iinfo(np.int64).min))
"""Markers that come with a data type, where nobody chose one: of floating-point numbers, and of times as integers."""


def new_target(slice_: Dataset, config: Config, encodings: Mapping[str, Wish] | None = None) -> Dataset:
    """Return the form of a new target: the first slice's, with length 0 along the append dimension.

    Format, codecs, chunks, attributes, groups and unknown metadata keys are the slice's; small variables get long chunks; the
    configuration overrides: a variable's own entry, then ``"*"``, then what the slice itself wishes.

    Args:
        slice_: The first slice.
        config: Settings.
        encodings: What the slice wishes for its variables, if it was never stored: as a configuration would say it.

    Raises:
        ConfigError: A configured encoding makes no sense for its variable.
        UnsupportedError: The wished format cannot say what the slice says.
        VariableError: A configured variable is missing.
    """
    wanted = config.zarr_format or slice_.zarr_format
    source, target = doors.of(slice_.zarr_format), doors.of(wanted)
    documents: dict[str, bytes] = {}
    for path, array in slice_.arrays.items():
        if wanted == slice_.zarr_format:
            mine = {
                key: data for key, data in slice_.documents.items() if parent(key) == path and name(key) in target.NODES
            }
        else:
            text = source.attributes_text(slice_.documents, path)
            mine = _translated(array, text, wanted)
        documents |= _formed(path, mine, wanted, config, (encodings or {}).get(path, {}))
    for array in missing_variables(slice_, config):
        mine = target.write_array(array, jsontext.dumps(dict(array.attributes)))
        documents |= _formed(array.path, mine, wanted, config, {"fill_value": least_of(array.dtype)}, misses=True)
    keep = config.attrs_update_mode != "ignore"
    for path in implicit_groups(_arrays_in(documents), slice_.groups):
        documents |= target.write_group(path, "{}")
    for path in slice_.groups:
        documents |= target.write_group(path, source.attributes_text(slice_.documents, path) if keep else "{}")
        if wanted == slice_.zarr_format and keep:
            documents |= {k: d for k, d in slice_.documents.items() if parent(k) == path and name(k) in target.NODES}
    if wanted == v3.FORMAT:
        documents = {key: _without_consolidated(data, key) for key, data in documents.items()}
    return doors.read(documents)


def _arrays_in(documents: Mapping[str, bytes]) -> set[str]:
    return {parent(key) for key in documents if name(key) in {v2.ARRAY, v3.NODE}}


def _formed(
    path: str, mine: dict[str, bytes], wanted: int, config: Config, hints: Wish, *, misses: bool = False
) -> dict[str, bytes]:
    """Return an array's documents with the encoding and attributes that are configured, and length 0."""
    door, settings = doors.of(wanted), config.variable(path)
    array: Array = doors.read(mine).arrays[path]
    axis = array.axis(config.append_dim)
    wish = {**hints, **settings.encoding} if misses else _merged(hints, settings.encoding)
    made = array
    marks = bool(wish.pop("marks", False)) and "fill_value" not in settings.encoding
    if wish:
        from zapz.tailoring import Place, names_own, tailored  # imported where used: most targets do without

        steps = array.shape[axis] if axis is not None else None
        own = names_own(config.variables, path)
        made = tailored(
            array,
            wish,
            Place(
                zarr_format=wanted,
                dim=config.append_dim,
                steps=steps,
                where=_where(path),
                marks=misses or marks,
                own=own,
            ),
        )
    if settings.attrs:
        check_units(array, settings.attrs, path)
        made = replace(made, attributes={**made.attributes, **described(settings.attrs, path)})
    chunks = None if "chunks" in settings.encoding else _label_chunks(made, axis, config)
    if axis is not None:
        shape = tuple(0 if i == axis else n for i, n in enumerate(made.shape))
        made = replace(made, grid=RegularGrid(shape=shape, chunks=chunks or made.grid.chunks))
    if wish or settings.attrs:
        text = retext(door.attributes_text(mine, path), made.attributes)
        mine = _renewed(mine, door.write_array(made, text))
    elif axis is not None:
        mine = {**mine, **door.regrid(mine, path, made.shape, chunks)}
    return mine


def _merged(hints: Wish, configured: Wish) -> dict[str, Any]:
    """Lay what is configured over what the slice wishes.

    Of two ways to name codecs the configured one counts, and a configured data type comes without the marker of another.
    """
    dropped = {"fill_value"} if "dtype" in configured and hints.get("fill_value") in _IMPLIED else set()
    if str(configured.get("dtype", "")).startswith(("datetime64", "timedelta64")):
        dropped |= {"units", "calendar"}
    hints = {key: value for key, value in hints.items() if key not in dropped}
    if {"codecs", "compressor", "filters"} & configured.keys():
        either = {"compressor", "filters"} if "codecs" in configured else {"codecs"}
        hints = {key: value for key, value in hints.items() if key not in either}
    return {**hints, **configured}


def _renewed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return new documents that keep the members of the old ones that zapz knows nothing about."""
    result = dict(new)
    for key in old.keys() & new.keys():
        if name(key) != v2.ATTRIBUTES:
            text = jsontext.text_of(new[key], key)
            members: dict[jsontext.Path, str] = {(m.key,): text[m.start : m.end] for m in jsontext.members(text)}
            result[key] = jsontext.replaced(jsontext.text_of(old[key], key), members).encode()
    return result


def _where(path: str) -> str:
    return f"variables.{path}.encoding"


def _without_consolidated(data: bytes, key: str) -> bytes:
    """Empty what a slice says about all its nodes: a new target's is written from its own documents."""
    text = jsontext.text_of(data, key)
    if "consolidated_metadata" not in jsontext.parse_object(text, key):
        return data
    return jsontext.replaced(text, {("consolidated_metadata",): "null"}).encode()


def _label_chunks(array: Array, axis: int | None, config: Config) -> tuple[int, ...] | None:
    """Return longer chunks for a small variable, so that a long series is not one file per label; None to keep the slice's."""
    least = config.label_chunk
    chunks = array.grid.chunks
    if axis is None or isinstance(least, str) or array.codecs.shards is not None or array.codecs.foreign is not None:
        return None
    if array.step_bytes(axis) > SMALL_STEP or chunks[axis] >= least:
        return None
    return tuple(least if i == axis else c for i, c in enumerate(chunks))


def _translated(array: Array, attributes: str, wanted: int) -> dict[str, bytes]:
    """Return an array's documents in the other format.

    For readers a v2 fill value is also the missing marker and a v3 one is not, so the marker moves between the two places.
    """
    members = {m.key: attributes[m.start : m.end] for m in jsontext.members(attributes)}
    if wanted == v3.FORMAT:
        if has_attribute(array.marker, array.dtype):
            members["_FillValue"] = jsontext.dumps(write_marker(array.marker, array.dtype))
        array = replace(array, keys=ChunkKeys(style="default", separator="/"))
        return v3.write_array(array, jsontext.joined(members, indent=2))
    members.pop("_FillValue", None)
    if array.codecs.shards is not None:
        inner = array.codecs.shards
        array = replace(array, codecs=inner.inner, grid=RegularGrid(shape=array.shape, chunks=inner.inner_shape))
    if array.codecs.foreign is not None:
        raise UnsupportedError(
            "Zarr v2 cannot store this array's codecs", where=array.path, found=array.codecs.foreign[:120]
        )
    array = replace(array, keys=ChunkKeys(style="v2", separator="."), fill=FillValue.of(array.marker))
    return v2.write_array(array, jsontext.joined(members, indent=2))


def changed_documents(
    target: Dataset,
    slice_: Dataset,
    config: Config,
    stop: int,
    *,
    creates: bool,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, bytes]:
    """Return the documents that an append to length ``stop`` writes, in the order in which they may become visible.

    Arrays first, then groups, and what readers open first, the root's consolidated metadata, last.

    Args:
        target: The target as it is.
        slice_: The slice.
        config: Settings.
        stop: Length of the target afterwards.
        creates: Whether the target is made.
        attributes: Configured attributes by path of the node ("" is the root), expressions evaluated.
    """
    door = doors.of(target.zarr_format)
    changed: dict[str, bytes] = {}
    documents = dict(target.documents)
    for path, array in target.arrays.items():
        axis = array.axis(config.append_dim)
        if axis is not None:
            shape = tuple(stop if i == axis else n for i, n in enumerate(array.shape))
            changed |= door.regrid(documents, path, shape)
    if not creates and config.attrs_update_mode in {"replace", "update"}:
        changed |= _attributes(target, slice_, config)
    documents |= changed
    for path, values in (attributes or {}).items():
        mine = door.set_attributes(documents, path, values)
        changed |= mine
        documents |= mine
    for path in target.groups:
        for key, data in _netcdf(documents, path, config.append_dim, stop).items():
            changed[key] = documents[key] = data
    if creates:
        changed = documents
    has_root = (
        any(parent(key) == "" and name(key) in {v2.GROUP, v3.NODE} for key in documents) and "" not in target.arrays
    )
    refreshed = door.consolidate(documents, create=config.consolidated and has_root)
    final = {**changed, **refreshed}
    return {key: final[key] for key in sorted(final, key=lambda key: _turn(key, refreshed))}


def grown(target: Dataset, documents: Mapping[str, bytes], dim: str, stop: int) -> Dataset:
    """Return a target whose arrays have grown to ``stop`` along ``dim``, as its changed documents say."""
    arrays = {}
    for path, array in target.arrays.items():
        axis = array.axis(dim)
        if axis is not None:
            shape = tuple(stop if i == axis else n for i, n in enumerate(array.shape))
            array = replace(array, grid=replace(array.grid, shape=shape))  # noqa: PLW2901 - the grown one
        arrays[path] = array
    return replace(target, arrays=arrays, documents={**target.documents, **documents})


def _turn(key: str, consolidated: Mapping[str, bytes]) -> tuple[int, int, str]:
    """Order of visibility: deeper nodes first, within a node attributes before the array, consolidated last."""
    depth = -key.count("/")
    kind = (v2.ATTRIBUTES, v2.ARRAY, v2.GROUP, v3.NODE, v2.CONSOLIDATED).index(name(key))
    return (1 if key in consolidated else 0, depth, f"{parent(key)} {kind}")


def _attributes(target: Dataset, slice_: Dataset, config: Config) -> dict[str, bytes]:
    door, other = doors.of(target.zarr_format), doors.of(slice_.zarr_format)
    changed: dict[str, bytes] = {}
    for path in target.groups:
        if path not in slice_.groups:
            continue
        old, new = door.attributes_text(target.documents, path), other.attributes_text(slice_.documents, path)
        parts = {m.key: new[m.start : m.end] for m in jsontext.members(new)}
        if config.attrs_update_mode == "update":
            parts = {m.key: old[m.start : m.end] for m in jsontext.members(old)} | parts
        text = jsontext.joined(parts, indent=2)
        if jsontext.parse(text, path) != jsontext.parse(old, path):
            changed |= door.with_attributes(target.documents, path, text)
    return changed


def _netcdf(documents: Mapping[str, bytes], path: str, dim: str, stop: int) -> dict[str, bytes]:
    """Return the document in which netCDF-C keeps a group's dimension sizes, with the new one; nothing if there is none."""
    key, prefix = join(path, v2.ATTRIBUTES), jsontext.Path()
    if key not in documents:
        key, prefix = join(path, v3.NODE), ("attributes",)
    if key not in documents:
        return {}
    text = jsontext.text_of(documents[key], key)
    meta: Any = jsontext.parse_object(text, key)
    for member in prefix:
        meta = meta.get(member) if isinstance(meta.get(member), dict) else {}
    for attribute in _NCZARR:
        group = meta.get(attribute)
        if not isinstance(group, dict):
            continue
        for member in ("dimensions", "dims"):
            sizes = group.get(member)
            if isinstance(sizes, dict) and dim in sizes:
                place: jsontext.Path = (*prefix, attribute, member, dim)
                place = (*place, "size") if isinstance(sizes[dim], dict) else place
                return {key: jsontext.replaced(text, {place: str(stop)}).encode()}
    return {}
