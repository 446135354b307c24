"""What stored cells mean: a decoder of CF and Zarr in integers and Fractions, which shares nothing with the one that is tested.

A decoded cell is None (missing), a bool, a text, a complex number, or an exact number: an int or a Fraction for numbers, nanoseconds
since day 0 of its calendar for instants, nanoseconds for durations. Infinities stay floats.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

import numpy as np

Cells = np.ndarray[Any, Any]

NS = {
    "nanoseconds": 1, "microseconds": 10**3, "milliseconds": 10**6, "seconds": 10**9, "minutes": 60 * 10**9,
    "hours": 3600 * 10**9, "days": 86400 * 10**9,
}  # fmt: skip
"""Nanoseconds of a unit of CF."""
DAY = NS["days"]
NUMPY_UNITS = {"D": DAY, "h": NS["hours"], "m": NS["minutes"], "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SAME_LINE = {
    "standard": "real",
    "gregorian": "real",
    "proleptic_gregorian": "real",
    "noleap": "365",
    "365_day": "365",
    "360_day": "360",
}
"""Which calendars count their days on one line; the julian half of ``standard`` lies on the real one."""


class WrongError(AssertionError):
    """What a target holds cannot mean what it should."""


@dataclass(frozen=True)
class Either:
    """A cell that equals the fill value of a Zarr v2 array without ``_FillValue``: missing to xarray, a value to zarr-python."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class Doc:
    """What the metadata of an array say."""

    zarr_format: int
    dtype: Any
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    fill: Any
    attrs: Mapping[str, Any] = field(default_factory=dict)
    bounded: Mapping[str, Any] | None = None
    """Attributes of the variable whose bounds these are: what they lack themselves is inherited."""

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute, perhaps inherited."""
        return self.attrs.get(name, (self.bounded or {}).get(name, default))

    @property
    def packed(self) -> bool:
        """Return whether stored numbers stand for others."""
        return "scale_factor" in self.attrs or "add_offset" in self.attrs


# -- calendars -----------------------------------------------------------------------------------------------------------


def day_number(calendar: str, year: int, month: int, day: int) -> int:
    """Return the number of a day on its calendar's line."""
    if calendar in ("noleap", "365_day"):
        return 365 * year + sum(MONTHS[: month - 1]) + day - 1
    if calendar == "360_day":
        return 360 * year + 30 * (month - 1) + day - 1
    if calendar in ("standard", "gregorian") and (year, month, day) < (1582, 10, 15):
        leap = year % 4 == 0 and month > 2
        return 365 * (year - 1) + (year - 1) // 4 + sum(MONTHS[: month - 1]) + leap + day - 2
    return date(year, month, day).toordinal()


UNIX = day_number("standard", 1970, 1, 1) * DAY
SINCE = re.compile(r"(\w+) since (\d+)-(\d+)-(\d+)(?:[T ](\d+)(?::(\d+))?(?::(\d+)(?:\.\d+)?)?)?")


def epoch(units: str, calendar: str) -> tuple[int, int]:
    """Return a unit in nanoseconds, and where its zero lies."""
    found = SINCE.fullmatch(units)
    if not found:
        raise WrongError(f"units {units!r} are none of a time")
    year, month, day, hour, minute, second = (int(n or 0) for n in found.groups()[1:])
    name = found[1] if found[1].endswith("s") else f"{found[1]}s"
    zero = day_number(calendar, year, month, day) * DAY + ((hour * 60 + minute) * 60 + second) * 10**9
    return NS[name], zero


# -- single cells --------------------------------------------------------------------------------------------------------


def exact(cell: Any) -> Any:
    """Return a stored number as an exact one; NaN is missing."""
    if isinstance(cell, np.bool_ | bool):
        return bool(cell)
    if isinstance(cell, np.integer):
        return int(cell)
    if isinstance(cell, np.complexfloating):
        return None if cell != cell else complex(cell)  # noqa: PLR0124
    number = float(cell)
    if number != number:  # noqa: PLR0124
        return None
    return number if number in (float("inf"), -float("inf")) else Fraction(number)


def marker_of(value: Any, dtype: Any) -> Any:
    """Return a marker as an attribute of Zarr says it, as a number of the array's type."""
    if dtype.kind == "c" and isinstance(value, list):
        return dtype.newbyteorder("=").type(complex(*(marker_of(part, np.dtype("f8")) for part in value)))
    if isinstance(value, str) and dtype.kind in "fc" and value not in ("NaN", "Infinity", "-Infinity"):
        packed = base64.b64decode(value)
        numbers = struct.unpack(f"<{len(packed) // 8}d", packed)
        value = complex(*numbers) if dtype.kind == "c" else numbers[0]
    if dtype.kind in "iu" and isinstance(value, float):
        value = int(value)
    return np.asarray(value).astype(dtype.newbyteorder("="))[()]


def same_number(cell: Any, other: Any) -> bool:
    return bool(cell == other) or bool(cell != cell and other != other)  # noqa: PLR0124


def explicit(doc: Doc) -> list[Any]:
    """Return the markers that attributes name, as stored."""
    return [marker_of(doc.attrs[name], doc.dtype) for name in ("_FillValue", "missing_value") if name in doc.attrs]


def implicit(doc: Doc) -> list[Any]:
    """Return the marker that only the fill value of a Zarr v2 array is."""
    return [] if doc.zarr_format != 2 or doc.fill is None else [doc.fill]


def unmasked(cell: Any, doc: Doc, *, label: bool) -> Any:
    """Return a stored number, or None where it is missing, or either."""
    if not label:
        if any(same_number(cell, marker) for marker in explicit(doc)):
            return None
        if any(same_number(cell, marker) for marker in implicit(doc)):
            return Either(cell)
    return cell


# -- whole arrays --------------------------------------------------------------------------------------------------------


def number(cell: Any, doc: Doc) -> Any:
    if doc.attrs.get("_Unsigned") == "true" and doc.dtype.kind == "i":
        cell = np.asarray(cell).astype(doc.dtype.newbyteorder("=")).view(f"u{doc.dtype.itemsize}")[()]
    found = exact(cell)
    if doc.packed and isinstance(found, int | Fraction):
        scale, offset = doc.attrs.get("scale_factor", 1), doc.attrs.get("add_offset", 0)
        return Fraction(found) * Fraction(scale) + Fraction(offset)
    return found


def number_of_time(cell: Any) -> Any:
    """Return a stored number of times; the least int64 is NumPy's NaT, which xarray writes and reads without saying so."""
    return None if isinstance(cell, np.int64) and cell == np.iinfo("i8").min else exact(cell)


def instant(cell: Any, doc: Doc) -> Any:
    if doc.dtype.kind == "M":
        unit, count = np.datetime_data(doc.dtype)
        return None if np.isnat(cell) else UNIX + int(cell.astype("i8")) * count * NUMPY_UNITS[unit]
    units = doc.attr("units")
    if not isinstance(units, str):
        raise WrongError("a time without units")
    unit_ns, zero = epoch(units, doc.attr("calendar", "standard"))
    found = number_of_time(cell)
    return None if found is None else zero + Fraction(found) * unit_ns


def duration(cell: Any, doc: Doc) -> Any:
    if doc.dtype.kind == "m":
        unit, count = np.datetime_data(doc.dtype)
        return None if np.isnat(cell) else int(cell.astype("i8")) * count * NUMPY_UNITS[unit]
    found = number_of_time(cell)
    return None if found is None else Fraction(found) * NS[doc.attrs["units"]]


def flag(cell: Any, doc: Doc) -> bool:
    if doc.dtype.kind != "b" and doc.attrs.get("dtype") != "bool":
        raise WrongError(f"a bool stored as {doc.dtype} that no attribute explains")
    if doc.dtype.kind != "b" and cell not in (0, 1):
        raise WrongError(f"a bool stored as {cell}")
    return bool(cell)


def text(cell: Any) -> str:
    return cell.decode() if isinstance(cell, bytes) else str(cell)


MEANINGS = {"number": number, "time": instant, "duration": duration, "bool": flag}


def is_chars(doc: Doc) -> bool:
    """Return whether the last dimension is one of letters."""
    return doc.dtype == np.dtype("S1") and bool(doc.dims) and doc.dims[-1].startswith("string")


def decode(kind: str, raw: Cells, doc: Doc, *, label: bool = False) -> Cells:
    """Return what stored cells mean, as an array of objects."""
    if kind == "text":
        if is_chars(doc):
            raw = np.ascontiguousarray(raw).astype(f"S{1}")
            raw = np.array([b"".join(row.tolist()) for row in raw.reshape(-1, raw.shape[-1])], object).reshape(
                raw.shape[:-1]
            )
        found = np.empty(raw.shape, object)
        found[...] = np.array([text(cell).rstrip("\0") for cell in raw.ravel()], object).reshape(raw.shape)
        return found
    meaning, result = MEANINGS[kind], np.empty(raw.shape, object)
    known: dict[bytes, Any] = {}
    for index in np.ndindex(raw.shape):
        cell = raw[index]
        key = cell.tobytes()
        if key not in known:
            if kind == "bool" or doc.dtype.kind in "mM":
                known[key] = meaning(cell, doc)
            else:
                stored = unmasked(cell, doc, label=label)
                if stored is None:
                    known[key] = None
                elif isinstance(stored, Either):
                    value = meaning(stored.value, doc)
                    known[key] = None if value is None else Either(value)
                else:
                    known[key] = meaning(stored, doc)
        result[index] = known[key]
    return result


def agrees(wanted: Any, found: Any, tolerance: Fraction) -> bool:
    """Return whether a cell has the value that it should have."""
    if wanted is None:
        return found is None or isinstance(found, Either)
    if isinstance(wanted, Either):
        value = found.value if isinstance(found, Either) else found
        return agrees(wanted.value, value, tolerance)
    if found is None or isinstance(found, Either):
        return False
    if isinstance(wanted, int | Fraction) and isinstance(found, int | Fraction) and not isinstance(wanted, bool):
        return not isinstance(found, bool) and abs(Fraction(wanted) - Fraction(found)) <= tolerance
    return type(wanted) is type(found) and bool(wanted == found)


def first_difference(wanted: Cells, found: Cells, tolerance: Fraction, plain: Cells | None = None) -> str:
    """Say where two arrays of meanings differ first, or nothing.

    What may be read in two ways has to keep its value for those who take no fill value for missing (``plain``): the
    others find it missing before and after.
    """
    if plain is not None and plain.shape == wanted.shape:
        unclear = [index for index in np.ndindex(wanted.shape) if isinstance(wanted[index], Either)]
        found = found.copy()
        for index in unclear:
            found[index] = plain[index]
    if wanted.shape != found.shape:
        return f"shape {found.shape}, expected {wanted.shape}"
    wrong = [index for index in np.ndindex(wanted.shape) if not agrees(wanted[index], found[index], tolerance)]
    if not wrong:
        return ""
    index = wrong[0]
    return f"{len(wrong)} cells differ, first at {index}: expected {wanted[index]!r}, found {found[index]!r}"
