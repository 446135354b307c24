"""Read the label of a slice from ``append_label``, an attribute, the slice's name, or a scalar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from zapz.config.label_origin import MOST, origin_of, pattern_of
from zapz.errors import LabelError
from zapz.format import documents as doors
from zapz.format.documents import foreign_document
from zapz.format.fill_cells import fill_cells
from zapz.format.metadata import Dataset, parent
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import ChunkReader, region
from zapz.storage.uris import redact

_CORRECT = "Correct append_label.from (in the shell: --label)"


class LabelValue(NamedTuple):
    """The value of a label before conversion."""

    value: Any
    """Text, or the stored value of a variable as a 0-dimensional array."""
    where: str
    """Its source, for messages."""
    attributes: Mapping[str, Any] | None = None
    """Attributes that define the meaning of a stored value; None for text."""


def label_value(source: OpenSlice, setting: Mapping[str, Any]) -> LabelValue:
    """Return the value of a slice's label.

    Args:
        source: The slice.
        setting: The setting ``append_label``.

    Raises:
        LabelError: The slice does not have the configured label.
    """
    kind, rest = origin_of(setting["from"])
    if kind == "value":
        return LabelValue(rest, "append_label.from")
    if kind == "name":
        return _in_name(source, rest)
    return _in_attribute(source, rest) if kind == "attr" else _in_variable(source, rest, setting)


def _in_name(source: OpenSlice, pattern: str) -> LabelValue:
    text = last_part_of(source)
    searched = text if len(text) <= MOST else ""
    match = pattern_of(pattern).search(searched)
    found = match[1 if match.re.groups else 0] if match is not None else None
    if not found:
        raise LabelError(
            "the slice's name does not match the pattern of its label",
            where=source.uri,
            expected=f"name:{pattern}" if searched else f"at most {MOST} characters",
            found=repr(text),
            hint=f"{_CORRECT}: the pattern is searched anywhere in the last part of the slice's path.",
        )
    return LabelValue(found, f"its name {text!r}")


def last_part_of(source: OpenSlice) -> str:
    """Return the last part of a slice's path, or of its item if a slice source created it."""
    chain = redact(source.called).split("::")
    for part in chain:
        _, mark, path = part.rpartition("://")
        text = path.rstrip("/").rpartition("/")[2]
        if text and (mark or part == chain[-1]):
            return text
    return source.called


def _in_attribute(source: OpenSlice, name: str) -> LabelValue:
    attributes, own, place = source.dataset.groups.get("", {}), name, source.uri
    path, _, last = name.rpartition("/")
    if name not in attributes and path:
        dataset, own, place = _with(source, path), last, f"{source.uri}, {path}"
        holder = dataset.arrays.get(path)
        attributes = holder.attributes if holder is not None else dataset.groups.get(path, {})
    value = attributes.get(own)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        known = ", ".join(sorted(map(str, attributes))) or "no attributes"
        raise LabelError(
            "the slice has no attribute that could be its label",
            where=place,
            expected=f"{own}, text or a number",
            found=known if value is None else f"{own} = {value!r}",
            hint=f"{_CORRECT}. An attribute of a variable is named attr:VARIABLE/NAME.",
        )
    return LabelValue(value if isinstance(value, str) else repr(value), f"attribute {own}")


def _in_variable(source: OpenSlice, path: str, setting: Mapping[str, Any]) -> LabelValue:
    dataset = _with(source, path)
    array = dataset.arrays.get(path)
    if array is None or math.prod(array.shape) != 1 or any(dim is not None for dim in array.dims):
        single = sorted(p for p, a in source.dataset.arrays.items() if not a.ndim)
        raise LabelError(
            "the slice has no such scalar variable",
            where=source.uri,
            expected=f"{path}, a single value without dimensions",
            found=f"{path} with dimensions {array.dims}" if array is not None else ", ".join(single) or "no scalars",
            hint=f'{_CORRECT}. Write text as "value:TEXT", an attribute as "attr:NAME".',
        )
    reader = ChunkReader(source.store, array, foreign_document(dataset.documents, path), source.uri)
    value: Any = region(reader, tuple((0, 1) for _ in array.shape), fill_cells(array)).reshape(())[()]
    where = f"variable {path}"
    if isinstance(value, str | bytes):
        return LabelValue(value if isinstance(value, str) else value.decode("utf-8", "replace"), where)
    if setting.get("format") is not None and array.dtype.kind in "iuf":
        return LabelValue(str(value).removesuffix(".0"), where)
    attributes = {k: v for k, v in dataset.attributes_of(path).items() if k not in {"coordinates", "bounds"}}
    return LabelValue(np.asarray(value, array.dtype), where, attributes)


def _with(source: OpenSlice, path: str) -> Dataset:
    """Return a slice's metadata together with those of a variable that is not selected."""
    if path in source.dataset.arrays or path in source.dataset.groups or not source.without:
        return source.dataset
    known = replace(source, without=frozenset()).documents({})
    return doors.read({key: data for key, data in known.items() if parent(key) in {"", path}})
