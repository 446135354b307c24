"""The meaning of the stored numbers of one array, read from its attributes.

An `Encoding` is a value: it can be compared (NaN equals NaN) and hashed, and JSON stores it
exactly. Sections 2.5.1 (missing data), 3.1 (units), 4.4 (time) and 8.1 (packing) of the CF
conventions; _Unsigned is a convention of NetCDF-Java.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, Self

import numpy as np
from numpy.lib.recfunctions import repack_fields

from zapz.cf import calendars
from zapz.cf.calendars import NUMPY_UNITS, Axis
from zapz.cf.markers import (
    Scalar,
    among,
    has_nan,
    invalid,
    is_flipped,
    is_nan,
    missing_values,
    other_signedness,
    scalar_of,
    stored_values,
)
from zapz.errors import EncodingError

_DURATION: Final = "duration"
NOT_A_TIME: Final = np.int64(np.iinfo(np.int64).min)
"""Value that xarray writes for a missing time as an integer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """The meaning of the stored numbers of one array (CF sections 2.5.1, 3.1, 4.4 and 8.1)."""

    dtype: np.dtype[Any]
    """Data type of stored values in native byte order; object for strings of variable length."""
    marker: Scalar | None = None
    """Stored value of type ``dtype`` that readers mask (_FillValue; the fill_value of Zarr v2).
    None if there is none."""
    missing: tuple[Scalar, ...] = ()
    """Further stored values of type ``dtype`` that readers mask (missing_value)."""
    scale: float | None = None
    """scale_factor: value per stored step. None if absent; the same as 1."""
    offset: float | None = None
    """add_offset: value of stored 0. None if absent; the same as 0."""
    units: str | None = None
    """Text "<unit> since <date>" of times, or the unit of durations; None for other values."""
    calendar: str | None = None
    """Calendar of ``units``, by the name that zapz uses; "duration" for durations; None without
    ``units``."""
    other_units: str | None = None
    """Units of other values than times; None if absent."""
    reinterpreted: bool = False
    """True if _Unsigned defines the signedness of stored integers opposite to ``dtype``."""
    unclear: tuple[Scalar, ...] = ()
    """Markers about which readers disagree: a fill_value of Zarr v2 that no attribute confirms, and
    an attribute that contradicts it."""
    boolean: bool = False
    """True if stored integers 0 and 1 are false and true, as xarray before 2023.12 stored booleans
    (attribute dtype)."""

    @property
    def packing(self) -> tuple[float, float]:
        """Scale and offset as numbers: value = stored * scale + offset (CF section 8.1)."""
        return 1.0 if self.scale is None else self.scale, self.offset or 0.0

    @property
    def markers(self) -> tuple[Scalar, ...]:
        """All stored values that readers mask (CF section 2.5.1). The first one is written."""
        return self.missing if self.marker is None else (self.marker, *self.missing)

    @property
    def fill(self) -> Scalar | None:
        """Stored value of a missing cell: the marker, NaN, NaT or None (CF section 2.5.1)."""
        if self.markers:
            return self.markers[0]
        return (
            scalar_of(np.asarray("NaT" if self.dtype.kind in "mM" else np.nan, self.dtype))
            if has_nan(self.dtype)
            else None
        )

    @property
    def axis(self) -> Axis | None:
        """The time axis of the stored numbers (CF section 4.4); None if they are not times."""
        if self.dtype.kind in "mM":
            unit, count = np.datetime_data(self.dtype)
            calendar = "proleptic_gregorian" if self.dtype.kind == "M" else _DURATION
            step = calendars.UNITS.get(NUMPY_UNITS.get(unit, ""))
            opaque = "" if step else str(self.dtype)
            return Axis(step=(step or Fraction(0)) * count, origin=Fraction(0), calendar=calendar, opaque=opaque)
        if self.calendar == _DURATION and self.units is not None:
            return Axis(step=calendars.UNITS[self.units], origin=Fraction(0), calendar=_DURATION)
        return None if self.units is None else calendars.parse_axis(self.units, self.calendar or "standard")

    @property
    def plain(self) -> Encoding:
        """The same encoding without _Unsigned, over integers of the signedness that it defines."""
        if not self.reinterpreted:
            return self
        dtype = other_signedness(self.dtype)
        marker = None if self.marker is None else scalar_of(np.asarray(self.marker).view(dtype))
        missing = tuple(scalar_of(np.asarray(value).view(dtype)) for value in self.missing)
        return replace(self, dtype=dtype, marker=marker, missing=missing, reinterpreted=False)

    def to_json(self) -> dict[str, object]:
        """Return the encoding as values that JSON stores exactly."""
        return {
            "dtype": _dtype_to_json(self.dtype),
            "marker": _scalar_to_json(self.dtype, self.marker),
            "missing": [_scalar_to_json(self.dtype, value) for value in self.missing],
            "scale": self.scale,
            "offset": self.offset,
            "units": self.units,
            "calendar": self.calendar,
            "other_units": self.other_units,
            "reinterpreted": self.reinterpreted,
            "unclear": [_scalar_to_json(self.dtype, value) for value in self.unclear],
            "boolean": self.boolean,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the encoding that `to_json` returned as JSON values."""
        dtype = _dtype_from_json(data["dtype"])
        several = {
            key: tuple(_scalar_from_json(dtype, value) for value in data.get(key, ())) for key in ("missing", "unclear")
        }
        parts = {"dtype": dtype, "marker": _scalar_from_json(dtype, data["marker"]), **several}
        return cls(**{**data, **parts})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Encoding) and repr(self.to_json()) == repr(other.to_json())

    def __hash__(self) -> int:
        return hash(repr(self.to_json()))


def encoding_of(
    dtype: np.dtype[Any], attributes: Mapping[str, Any], marker: Scalar | None, *, unclear: Iterable[Scalar] = ()
) -> Encoding:
    """Return the meaning of stored numbers (CF sections 2.5.1, 3.1, 4.4 and 8.1).

    A marker that no stored value can equal (NaN for integers) is ignored. Bounds and climatologies
    without their own units have those of their parent (CF sections 7.1 and 7.4); the caller adds
    these to ``attributes``.

    Args:
        dtype: Data type of the stored values.
        attributes: Attributes of the array.
        marker: The missing marker: the attribute _FillValue, or the fill value of Zarr v2.
        unclear: Markers about which readers disagree.

    Raises:
        EncodingError: An attribute is invalid.
    """
    dtype = dtype.newbyteorder("=")
    if dtype.kind == "b":  # booleans are never missing
        return Encoding(dtype=dtype, other_units=_units(attributes))
    first = next(iter(stored_values("_FillValue", [marker], dtype, attributes)), None)
    doubtful = [value for value in stored_values("_FillValue", unclear, dtype, attributes) if not is_nan(value)]
    found: list[Scalar] = []
    for value in (*([] if first is None else [first]), *missing_values(dtype, attributes), *doubtful):
        if not among(value, found):
            found.append(value)
    units = _units(attributes)
    calendar = str(attributes.get("calendar") or "standard")
    spans = dtype.kind in "iuf" and units in calendars.UNITS and str(attributes.get("dtype")).startswith("timedelta64")
    timed = units is not None and dtype.kind in "iuf" and (spans or calendars.parse_axis(units, calendar) is not None)
    if timed and dtype == np.int64 and not found:
        found.append(NOT_A_TIME)  # xarray writes NaT like this, without an attribute
    return Encoding(
        dtype=dtype,
        marker=first,
        missing=tuple(found if first is None else found[1:]),
        scale=_number(dtype, attributes, "scale_factor"),
        offset=_number(dtype, attributes, "add_offset"),
        units=units if timed else None,
        calendar=(_DURATION if spans else calendars.calendar_name(calendar)) if timed else None,
        other_units=None if timed else units,
        reinterpreted=is_flipped(dtype, attributes),
        unclear=tuple(doubtful),
        boolean=is_boolean(dtype, attributes),
    )


def encoding_or_bare(dtype: np.dtype[Any], attributes: Mapping[str, Any], marker: Scalar | None) -> Encoding:
    """Return the meaning of stored numbers; just the numbers if the attributes are invalid."""
    try:
        return encoding_of(dtype, attributes, marker)
    except EncodingError:
        return Encoding(dtype=dtype.newbyteorder("="), marker=marker, other_units=_units(attributes))


def is_boolean(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> bool:
    """Return whether stored integers are booleans, as written by xarray before 2023.12."""
    return dtype.kind in "iu" and dtype.itemsize == 1 and attributes.get("dtype") == "bool"


def _units(attributes: Mapping[str, Any]) -> str | None:
    return None if attributes.get("units") is None else str(attributes["units"]).strip() or None


def _number(dtype: np.dtype[Any], attributes: Mapping[str, Any], name: str) -> float | None:
    value = attributes.get(name)
    if value is None:
        return None
    item = np.asarray(value).reshape(-1).tolist() if isinstance(value, list | np.ndarray | np.generic) else [value]
    sound = len(item) == 1 and isinstance(item[0], int | float) and not isinstance(item[0], bool)
    try:
        number = float(item[0]) if sound else float("nan")
    except OverflowError:
        number = float("inf")
    if not np.isfinite(number) or number != item[0] or (number == 0 and name == "scale_factor"):
        raise invalid(name=name, expected="a finite number; for scale_factor not 0", found=value)
    if dtype.kind not in "iuf":
        raise invalid(name=name, expected=f"no {name} for type {dtype}", found=value)
    return number


def _dtype_to_json(dtype: np.dtype[Any]) -> Any:
    if dtype.subdtype is not None:
        return [_dtype_to_json(dtype.subdtype[0]), list(dtype.subdtype[1])]
    if dtype.fields is None or dtype.names is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    return {
        "names": list(dtype.names),
        "formats": [_dtype_to_json(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
    }


def _dtype_from_json(data: Any) -> np.dtype[Any]:
    parts: Any = data
    if isinstance(data, list):
        parts = (_dtype_from_json(data[0]), tuple(data[1]))
    elif isinstance(data, dict):
        parts = {**data, "formats": [_dtype_from_json(item) for item in data["formats"]]}
    dtype: np.dtype[Any] = np.dtype(parts)
    return dtype.newbyteorder("=")


def _scalar_to_json(dtype: np.dtype[Any], value: Scalar | None) -> Any:
    if dtype.kind == "O":
        return {"hex": value.hex()} if isinstance(value, bytes) else value
    return None if value is None else {"hex": np.asarray(value, dtype).astype(_dense(dtype)).tobytes().hex()}


def _scalar_from_json(dtype: np.dtype[Any], data: Any) -> Any:
    if not isinstance(data, dict):
        return data
    raw = bytes.fromhex(data["hex"])
    return raw if dtype.kind == "O" else scalar_of(np.ndarray((), _dense(dtype), raw or b"\0").astype(dtype))


def _dense(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype without padding, whose bytes would be random."""
    dense: np.dtype[Any] = repack_fields(dtype, recurse=True)
    return dense
