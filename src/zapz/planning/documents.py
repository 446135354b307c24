"""The documents that an append writes, in the order in which they may become visible. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from zapz.config.settings import Config
from zapz.errors import MetadataError
from zapz.format import documents as doors
from zapz.format import jsontext
from zapz.format.grid import resized
from zapz.format.level_names import LEVELS
from zapz.format.metadata import Dataset, join, parent

_NCZARR = ("_nczarr_group", "_NCZARR_GROUP")
"""Attributes in which netCDF-C stores the sizes of dimensions, depending on its version."""


def changed_documents(
    target: Dataset,
    slice_: Dataset,
    config: Config,
    stop: int,
    *,
    creates: bool,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    unfilled: Collection[str] = (),
) -> dict[str, bytes]:
    """Return the documents that an append writes, in the order in which they may become visible.

    Of a pyramid, the last level comes first and level 0 last: a reader that takes its labels from
    level 0 finds them in all levels. Within a root, arrays come first, then groups. Its
    consolidated metadata, which readers open first, come last.

    Args:
        target: The target before the append.
        slice_: The slice.
        config: Settings.
        stop: Length of the target after the append, in steps.
        creates: Whether the target is created.
        attributes: Configured attributes by path of the node ("" is the root), with evaluated
            expressions.
        unfilled: Label variables that lose their fill value, because a label of the slice equals
            it.

    Raises:
        MetadataError: Consolidated metadata of the target are invalid.
    """
    door = doors.of(target.zarr_format)
    changed: dict[str, bytes] = {}
    documents = dict(target.documents)
    for path, array in target.arrays.items():
        axis = array.axis(config.append_dim)
        if axis is not None:
            changed |= door.regrid(documents, path, resized(array.shape, axis, stop))
        if path in unfilled:
            changed |= door.without_fill({**documents, **changed}, path)
    if not creates and config.attrs_update_mode in {"replace", "update"}:
        changed |= _attributes(target, slice_, config)
    documents |= changed
    for path, values in (attributes or {}).items():
        for node in target.roots if not path else (path,):
            updated = door.set_attributes(documents, node, values)
            changed |= updated
            documents |= updated
    for path in target.groups:
        for key, data in _netcdf(door, documents, path, config.append_dim, stop).items():
            changed[key] = documents[key] = data
    if creates:
        changed = documents
    refreshed = _consolidated(target, documents, config)
    final = {**changed, **refreshed}
    return {key: final[key] for key in sorted(final, key=lambda key: _turn(target, key, refreshed))}


def _consolidated(target: Dataset, documents: Mapping[str, bytes], config: Config) -> dict[str, bytes]:
    """Return the consolidated metadata, refreshed; roots get some if they have none.

    Raises:
        MetadataError: Existing ones are invalid.
    """
    nodes = {key: data for key, data in documents.items() if key != LEVELS}
    added = [root for root in target.roots if config.consolidated and root not in target.arrays]
    added = [root for root in added if any(join(root, key) in nodes for key in doors.NODE_NAMES)]
    try:
        return doors.of(target.zarr_format).consolidate(nodes, create=added)
    except MetadataError as error:
        raise error.at("target") from None


def grown(target: Dataset, documents: Mapping[str, bytes], dim: str, stop: int) -> Dataset:
    """Return a target after its arrays have grown to ``stop`` steps along ``dim``.

    Args:
        target: The target before.
        documents: Its changed documents.
        dim: The append dimension.
        stop: Its new length, in steps.
    """
    arrays = {}
    for path, array in target.arrays.items():
        axis = array.axis(dim)
        arrays[path] = array if axis is None else array.resized(axis, stop)
    return replace(target, arrays=arrays, documents={**target.documents, **documents})


def _turn(target: Dataset, key: str, consolidated: Mapping[str, bytes]) -> tuple[int, int, int, int, str]:
    """Return a sort key: levels in reverse order, deeper nodes first, attributes before arrays.

    Consolidated metadata are the last of their root.
    """
    if key == LEVELS:
        return (1, 0, 0, 0, key)
    is_last, level, depth = int(key in consolidated), _level(target, key), -key.count("/")
    text = f"{parent(key)} {doors.visibility(key)}"
    return (0, level, is_last, depth, text) if len(target.roots) > 1 else (0, is_last, level, depth, text)


def _level(target: Dataset, key: str) -> int:
    """Return the turn of the level to which a document belongs; what is in no level comes last."""
    found = target.level_of(parent(key))
    return 0 if found is None else -found[1]


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


def _netcdf(door: doors.Format, documents: Mapping[str, bytes], path: str, dim: str, stop: int) -> dict[str, bytes]:
    """Return the document with netCDF-C's dimension sizes of a group, updated; nothing if none."""
    document, prefix = door.HOLDS_ATTRIBUTES
    key = join(path, document)
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
