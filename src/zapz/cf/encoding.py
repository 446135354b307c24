"""What the stored numbers of one array mean: missing marker, packing, units of time, read from its attributes.

An `Encoding` is a value: it compares (NaN equals NaN), hashes, and goes through JSON exactly.
    Sections 2.5.1 (missing
data), 3.1 (units), 4.4 (time) and 8.1 (packing) of the CF conventions; _Unsigned is a custom of
NetCDF-Java.
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
    is_flipped,
    is_nan,
    missing_values,
    other_signedness,
    scalar_of,
    senseless,
    stored_values,
)
from zapz.errors import EncodingError

_DURATION: Final = "duration"
NOT_A_TIME: Final = np.int64(np.iinfo(np.int64).min)
"""What xarray writes for a missing time as an integer."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """How the stored numbers of one array mean values (CF sections 2.5.1, 3.1, 4.4 and 8.1)."""

    dtype: np.dtype[Any]
    """Data type of stored values, native byte order; object for strings of variable length."""
    marker: Scalar | None = None
    """Stored value that readers mask (_FillValue; the fill_value of Zarr v2), of `dtype`; None:
    there is none."""
    missing: tuple[Scalar, ...] = ()
    """Further stored values that readers mask (missing_value), of `dtype`."""
    scale: float | None = None
    """scale_factor: value per stored step; None: absent, the same as 1."""
    offset: float | None = None
    """add_offset: value of stored 0; None: absent, the same as 0."""
    units: str | None = None
    """Text "<unit> since <date>" of a time, or a unit if these are durations; None if the array
    holds neither."""
    calendar: str | None = None
    """Calendar of `units`, by the one name zapz uses for it; "duration" for durations; None without
    `units`."""
    other_units: str | None = None
    """Units of anything but a time "since"; None: absent."""
    reinterpreted: bool = False
    """True if _Unsigned says that stored integers have the other signedness than `dtype`."""
    unclear: tuple[Scalar, ...] = ()
    """Markers about which readers disagree: a fill_value of Zarr v2 that no attribute confirms, and
    an attribute that contradicts it."""
    boolean: bool = False
    """True if stored integers 0 and 1 are false and true, as xarray before 2023.12 wrote booleans
    (attribute dtype)."""

    @property
    def packing(self) -> tuple[float, float]:
        """Scale and offset as numbers: value = stored * scale + offset (CF section 8.1)."""
        return 1.0 if self.scale is None else self.scale, self.offset or 0.0

    @property
    def markers(self) -> tuple[Scalar, ...]:
        """All stored values that readers mask (CF section 2.5.1), the one to write first."""
        return self.missing if self.marker is None else (self.marker, *self.missing)

    @property
    def fill(self) -> Scalar | None:
        """What a missing cell is stored as: the marker, else NaN or NaT; None if there is no way (CF section 2.5.1)."""
        if self.markers:
            return self.markers[0]
        return (
            scalar_of(np.asarray("NaT" if self.dtype.kind in "mM" else np.nan, self.dtype))
            if has_nan(self.dtype)
            else None
        )

    @property
    def axis(self) -> Axis | None:
        """The time axis of the stored numbers (CF section 4.4); None if they are no times."""
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
        """The same encoding without _Unsigned: over integers of the signedness that it says."""
        if not self.reinterpreted:
            return self
        dtype = other_signedness(self.dtype)
        marker = None if self.marker is None else scalar_of(np.asarray(self.marker).view(dtype))
        missing = tuple(scalar_of(np.asarray(value).view(dtype)) for value in self.missing)
        return replace(self, dtype=dtype, marker=marker, missing=missing, reinterpreted=False)

    def to_json(self) -> dict[str, object]:
        """Return the encoding as values that JSON can hold exactly."""
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
        """Undo `to_json`."""
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
    """Read what stored numbers mean (CF sections 2.5.1, 3.1, 4.4 and 8.1).

    A marker that no stored value can equal (NaN for integers) is no marker. Bounds and
    climatologies without units of their own have those of their parent (CF sections 7.1 and 7.4):
    the caller puts them into ``attributes``.

    Args:
        dtype: Data type of the stored values.
        attributes: Attributes of the array.
        marker: The missing marker: the attribute _FillValue, or for Zarr v2 the fill value.
        unclear: Markers about which readers disagree.

    Raises:
        EncodingError: The attributes make no sense.
    """
    dtype = dtype.newbyteorder("=")
    if dtype.kind == "b":  # there is no missing boolean
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
        found.append(NOT_A_TIME)  # xarray writes not-a-time so, and says no more about it
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
    """Read what stored numbers mean; where the attributes make no sense, that they are just these numbers."""
    try:
        return encoding_of(dtype, attributes, marker)
    except EncodingError:
        return Encoding(dtype=dtype.newbyteorder("="), marker=marker, other_units=_units(attributes))


def is_boolean(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> bool:
    """Whether stored integers are booleans, as xarray before 2023.12 wrote them."""
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
        raise senseless(name=name, expected="a finite number, no scale of 0", found=value)
    if dtype.kind not in "iuf":
        raise senseless(name=name, expected=f"none for type {dtype}", found=value)
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
    """The dtype without padding, whose bytes would be random."""
    dense: np.dtype[Any] = repack_fields(dtype, recurse=True)
    return dense
