"""The documents of a target: of a new one, after the first slice; of one that grows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zapz.compat import SMALL_STEP
from zapz.config import Config
from zapz.errors import UnsupportedError
from zapz.format import documents as doors
from zapz.format import jsontext, v2, v3
from zapz.format.dtypes import write_marker
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, ChunkKeys, Dataset, FillValue, implicit_groups, join, name, parent

_NCZARR = ("_nczarr_group", "_NCZARR_GROUP")


def new_target(slice_: Dataset, config: Config) -> Dataset:
    """Return the form of a new target: the first slice's, with length 0 along the append dimension.

    Format, codecs, chunks, attributes, groups and unknown metadata keys are the slice's; small variables get long chunks; the
    configuration overrides.

    Raises:
        UnsupportedError: The wished format cannot say what the slice says.
    """
    wanted = config.zarr_format or slice_.zarr_format
    source, target = doors.of(slice_.zarr_format), doors.of(wanted)
    documents: dict[str, bytes] = {}
    for path, array in slice_.arrays.items():
        if path in config.excluded_variables:
            continue
        if wanted == slice_.zarr_format:
            mine = {
                key: data for key, data in slice_.documents.items() if parent(key) == path and name(key) in target.NODES
            }
        else:
            text = source.attributes_text(slice_.documents, path)
            mine = _translated(array, text, wanted)
        documents |= mine
        if (axis := array.axis(config.append_dim)) is not None:
            shape = tuple(0 if i == axis else n for i, n in enumerate(array.shape))
            documents |= target.regrid(documents, path, shape, _label_chunks(array, axis, config))
    keep = config.attrs_update_mode != "ignore"
    for path in implicit_groups(slice_.arrays, slice_.groups):
        documents |= target.write_group(path, "{}")
    for path in slice_.groups:
        documents |= target.write_group(path, source.attributes_text(slice_.documents, path) if keep else "{}")
        if wanted == slice_.zarr_format and keep:
            documents |= {k: d for k, d in slice_.documents.items() if parent(k) == path and name(k) in target.NODES}
    if wanted == v3.FORMAT:
        documents = {key: _without_consolidated(data, key) for key, data in documents.items()}
    return doors.read(documents)


def _without_consolidated(data: bytes, key: str) -> bytes:
    """Empty what a slice says about all its nodes: a new target's is written from its own documents."""
    text = jsontext.text_of(data, key)
    if "consolidated_metadata" not in jsontext.parse_object(text, key):
        return data
    return jsontext.replaced(text, {("consolidated_metadata",): "null"}).encode()


def _label_chunks(array: Array, axis: int, config: Config) -> tuple[int, ...] | None:
    """Return longer chunks for a small variable, so that a long series is not one file per label; None to keep the slice's."""
    least = config.label_chunk
    chunks = array.grid.chunks
    if isinstance(least, str) or array.codecs.shards is not None or array.codecs.foreign is not None:
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
        if array.marker is not None:
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
    target: Dataset, slice_: Dataset, config: Config, stop: int, *, creates: bool
) -> dict[str, bytes]:
    """Return the documents that an append to length ``stop`` writes, in the order in which they may become visible.

    Arrays first, then groups, and what readers open first, the root's consolidated metadata, last.
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
