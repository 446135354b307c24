"""The label of a slice that is one step without a coordinate, as an array like the target's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from zapz.cf import calendars
from zapz.cf.attributes import PACKING, SAY_WHAT_IS_STORED
from zapz.cf.attributes import UNITS as UNITS_ALONE
from zapz.cf.calendars import UNITS, Axis
from zapz.cf.encoding import encoding_or_bare
from zapz.cf.written_times import instant_of
from zapz.config.append_label import AppendLabelDict
from zapz.config.label_origin import ISO
from zapz.errors import EncodingError, LabelError
from zapz.format import codecs
from zapz.format import documents as doors
from zapz.format.buffers import Cells, octets
from zapz.format.codecs import Codec, CodecChain, endian_of
from zapz.format.grid import RegularGrid
from zapz.format.jsontext import dumps
from zapz.format.metadata import Array, Dataset, FillValue, join, parent
from zapz.sources.label_value import LabelValue, label_value
from zapz.sources.open_slice import OpenSlice

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_SINCE = "seconds since 1970-01-01"
_CALENDAR = "proleptic_gregorian"
"""Calendar of times in a new target."""


class MadeLabel(NamedTuple):
    """A label as an array of one step."""

    array: Array
    """The array."""
    documents: dict[str, bytes]
    """Its documents."""
    chunks: dict[str, bytes]
    """Its chunk, by key."""


def labels_at(
    paths: Iterable[str], source: OpenSlice, target: Dataset | None, setting: AppendLabelDict, dim: str
) -> dict[str, MadeLabel]:
    """Return the label of a slice for each path at which it is needed.

    Args:
        paths: Paths of label variables.
        source: The slice.
        target: The target, with its labels; None for a new one.
        setting: The setting ``append_label``.
        dim: The append dimension.

    Raises:
        LabelError: The slice lacks the label, or the label is neither a time nor a number, or
            cannot be stored exactly.
    """
    found = label_value(source, setting)
    return {
        path: _made(found, path, target.arrays[path] if target is not None else None, setting, source, dim)
        for path in paths
    }


def _made(
    found: LabelValue, path: str, like: Array | None, setting: AppendLabelDict, source: OpenSlice, dim: str
) -> MadeLabel:
    """Return the label of a slice as an array; ``like`` is the target's label variable."""
    where = f"{source.uri}, {found.where}"
    if found.attributes is not None:
        cells, attributes = found.value, dict(found.attributes)
    elif like is not None and like.dtype.kind in "USO":
        text = found.value.encode() if like.dtype.kind == "S" else found.value
        cells, attributes = np.asarray(text), _described(like)
    elif setting.get("format") is None and _NUMBER.fullmatch(found.value):
        cells, attributes = _number(found.value.strip(), like, setting, where)
    else:
        cells, attributes = _time(found.value, like, setting, where)
    door = doors.of(source.dataset.zarr_format)
    compressor = dict(door.COMPRESSOR)
    array = Array(
        path=path,
        dims=(dim,),
        dtype=cells.dtype,
        grid=RegularGrid(shape=(1,), chunks=(1,)),
        keys=door.KEYS,
        codecs=CodecChain(
            endian=endian_of(cells.dtype, "little"), stages=(Codec(id=compressor.pop("id"), config=compressor),)
        ),
        fill=FillValue.of(None),
        marker=None,
        attributes=attributes,
    )
    data = bytes(octets(codecs.encode(array.codecs, array.dtype, cells.reshape(1))))
    return MadeLabel(array, door.write_array(array, dumps(attributes)), {array.key((0,)): data})


def _described(like: Array | None) -> dict[str, Any]:
    """Return the attributes of the target's labels that do not define stored numbers."""
    given = like.attributes if like is not None else {}
    return {key: value for key, value in given.items() if key not in SAY_WHAT_IS_STORED}


def _axis_of(like: Array | None) -> Axis | None:
    return encoding_or_bare(like.dtype, like.attributes, like.marker).axis if like is not None else None


def _number(text: str, like: Array | None, setting: AppendLabelDict, where: str) -> tuple[Cells, dict[str, Any]]:
    """Return a number as a label, in the target's data type if possible."""
    units, exact = setting.get("units"), Fraction(text)
    if _axis_of(like) is not None and units is None:
        raise LabelError(
            "the label is a number, but the target's labels are times",
            where=where,
            expected="a time",
            found=text,
            hint="Set the format of the label, such as {append_label.format}, or its units, such as {append_label.units}.",
            remedies={"append_label.format": "%Y%m%d", "append_label.units": _units_of(like)},
        )
    dtype = np.dtype(np.int64 if exact.denominator == 1 else np.float64)
    attributes = _described(like)
    if like is not None and units is None:
        attributes |= {key: like.attributes[key] for key in UNITS_ALONE if key in like.attributes}
        if like.dtype.kind in "iuf" and PACKING.isdisjoint(like.attributes):
            dtype = like.dtype
    cells = _held(exact, dtype)
    if cells is None:
        hint = "Create the target with a data type of its labels that can store this one."
        raise LabelError(
            "the label cannot be stored exactly in its data type",
            where=where,
            expected=str(dtype),
            found=text,
            hint=hint,
        )
    return cells, attributes | ({} if units is None else {"units": units})


def _units_of(like: Array | None) -> str:
    """Return sample units for a label: those of the target, if it has any."""
    given = like.attributes.get("units") if like is not None else None
    return given if isinstance(given, str) else _SINCE


def _held(exact: Fraction, dtype: np.dtype[Any]) -> Cells | None:
    """Return a number in a data type; None if it cannot be stored exactly.

    A floating-point number stands for the decimals with which it is written.
    """
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        whole = exact.denominator == 1 and limits.min <= exact <= limits.max
        return np.asarray(int(exact), dtype) if whole else None
    with np.errstate(over="ignore"):
        held = dtype.type(float(exact))
    alike = bool(np.isfinite(held)) and exact in {Fraction(str(held)), Fraction(float(held))}
    return np.asarray(held) if alike else None


def _time(text: str, like: Array | None, setting: AppendLabelDict, where: str) -> tuple[Cells, dict[str, Any]]:
    """Return a time as a label, in the units of a new target, or in units in which it is exact.

    The conversion to the target's units follows later.
    """
    axis, style = _axis_of(like), setting.get("format")
    if like is not None and (axis is None or axis.calendar == "duration"):
        raise LabelError(
            "the label is not a number, and the target's labels are not times",
            where=where,
            expected=f"a number ({like.dtype})",
            found=repr(text),
            hint="Correct append_label (in the shell: --label and --label-format).",
        )
    calendar = axis.calendar if axis is not None else _CALENDAR
    instant = instant_of(text, None if style == ISO else style, calendar)
    if instant is None:
        iso = "a time such as 2025-01-06 or 2025-01-06T12:00:00Z" + (", or a number" if style is None else "")
        raise LabelError(
            "the label is not a valid time",
            where=where,
            expected=iso if style in {None, ISO} else f"{style} (append_label.format)",
            found=repr(text),
            hint="Set its format for Python's strptime, such as {append_label.format}.",
            remedies={"append_label.format": "%Y%m%d"},
        )
    given = setting.get("units") if like is None else None
    units = given or (_SINCE if like is None else _finer(instant, _SINCE))
    goal = _goal(units, calendar, where)
    count = (instant - goal.origin) / goal.step
    if count.denominator != 1 or not -(1 << 63) < count < 1 << 63:
        raise LabelError(
            "the label is not a whole number of its units",
            where=where,
            expected=f"a whole number of {units}",
            found=repr(text),
            hint="Set {append_label.units}." if like is None else "",
            remedies={"append_label.units": _finer(instant - goal.origin, units)} if like is None else {},
        )
    attributes = _described(like) if like is not None else {"standard_name": "time"}
    return np.asarray(int(count), np.int64), {**attributes, "units": units, "calendar": calendar}


def _finer(seconds: Fraction, units: str) -> str:
    """Return units since the same date in which a time is a whole number, seconds if possible."""
    finer = ("seconds", "milliseconds", "microseconds", "nanoseconds")
    unit = next((unit for unit in finer if (seconds / UNITS[unit]).denominator == 1), finer[-1])
    return f"{unit} since {calendars.reference_of(units)}"


def _goal(units: str, calendar: str, where: str) -> Axis:
    try:
        axis = calendars.parse_axis(units, calendar)
    except EncodingError as error:
        raise error.at(f"{where}, append_label.units") from None
    if axis is None or axis.opaque:
        raise LabelError(
            "the label's units are not units of time",
            where=f"{where}, append_label.units",
            expected='units such as "hours since 2000-01-01"',
            found=repr(units),
        )
    return axis


def label_paths_of(grown: Mapping[str, Any], dim: str) -> list[str]:
    """Return the paths of a new target's labels: in its groups, unless a parent group has them."""
    folders = {parent(path) for path in grown}
    above = {
        folder
        for folder in folders
        if any(folder != other and f"{folder}/".startswith(f"{other}/" if other else "") for other in folders)
    }
    return [join(folder, dim) for folder in sorted(folders - above)] or [dim]
