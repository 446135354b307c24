"""Anything like an array, as regions of cells in a data type that Zarr has.

The data may be in memory or not, and of any library: NumPy (also masked), lists and scalars, h5py,
tensorstore, zarr, xarray's variables. Objects are read once to find their type. All other data are
read region by region, when the engine requests them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from zapz.cf import calendars
from zapz.cf.calendars import NUMPY_UNITS, UNITS
from zapz.errors import DTypeError, SliceError
from zapz.format.buffers import Cells
from zapz.format.grid import Box, slices

_MICRO = 10**6


class Region(Protocol):
    """An array that returns regions of itself."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, in cells."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the cells, in native byte order."""

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of blocks that are cheap to read whole, in cells; None if any region is."""

    def read(self, box: Box) -> Cells:
        """Return the cells of a box: an array of its shape and of ``dtype``."""


class Held:
    """An array in memory."""

    chunks = None

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self.shape = cells.shape
        self.dtype = cells.dtype

    def read(self, box: Box) -> Cells:
        """Return the cells of a box, without copying them."""
        cells: Cells = self.cells[slices(box)]
        return cells


class LazyRegion:
    """An array that is read on request: an object with ``shape``, ``dtype``, ``__getitem__``."""

    def __init__(self, data: Any, dtype: np.dtype[Any], chunks: tuple[int, ...] | None) -> None:
        self._data = data
        self.shape = tuple(int(n) for n in data.shape)
        self.dtype = dtype
        self.chunks = chunks

    def read(self, box: Box) -> Cells:
        """Return the cells of a box: an array of its shape and of ``dtype``.

        Raises:
            SliceError: The array returned other cells than it declared.
        """
        part = self._data[tuple(slice(a, b) for a, b in box)]
        return as_declared(part, tuple(b - a for a, b in box), self.dtype)


def as_declared(part: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Cells:
    """Return what an array-like returned, as cells without a mask.

    Args:
        part: What it returned: an array of NumPy or xarray, or anything that becomes one.
        shape: The requested shape.
        dtype: The declared data type, in native byte order.

    Raises:
        SliceError: The array returned other cells than it declared.
    """
    cells = part.values if hasattr(part, "values") and hasattr(part, "dims") else part
    cells = unmasked(cells) if isinstance(cells, np.ma.MaskedArray) else np.asarray(cells)
    if cells.shape != shape or settled(cells.dtype) != dtype:
        raise SliceError(
            "array returned other cells than declared",
            expected=f"{shape} of {dtype}",
            found=f"{cells.shape} of {cells.dtype}",
        )
    found: Cells = cells.astype(dtype, copy=False)
    return found


def region_of(data: Any, where: str) -> tuple[Region, dict[str, Any]]:
    """Return an array-like as a region, and attributes that define its cells if it was converted.

    Args:
        data: NumPy array, list or scalar, or anything with ``shape``, ``dtype`` and
            ``__getitem__``.
        where: The variable, for messages.

    Raises:
        DTypeError: Zarr has no data type for its cells.
    """
    array_like = hasattr(data, "shape") and hasattr(data, "dtype") and hasattr(data, "__getitem__")
    if array_like and not isinstance(data, np.ndarray | np.generic):
        dtype = data.dtype if isinstance(data.dtype, np.dtype) else getattr(data.dtype, "numpy_dtype", None)
        dtype = np.dtype(dtype if dtype is not None else data.dtype)
        if dtype.kind not in "OT":
            return LazyRegion(data, settled(dtype), _chunks_of(data)), {}
        data = np.asarray(data[(slice(None),) * len(data.shape)])  # objects are read to find their type
    cells, meaning = _plain(np.ma.asarray(data) if isinstance(data, np.ma.MaskedArray) else np.asarray(data), where)
    return Held(cells), meaning


def _chunks_of(data: Any) -> tuple[int, ...] | None:
    """Return the block shape that an array-like declares, if it is a tuple of integers."""
    chunks = getattr(data, "chunks", None)
    shards = getattr(data, "shards", None)
    chunks = shards if shards is not None else chunks
    good = (
        isinstance(chunks, tuple) and len(chunks) == len(data.shape) and all(isinstance(n, int) and n for n in chunks)
    )
    return chunks if good else None


def settled(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the data type of returned cells: native byte order, times in seconds or shorter."""
    if dtype.kind == "T":  # has no byte order
        return dtype
    dtype = dtype.newbyteorder("=")
    if dtype.kind in "mM":
        unit, _ = np.datetime_data(dtype)
        if unit in {"W", "D", "h", "m"}:
            return np.dtype(f"{dtype.kind}8[s]")
    return dtype


def filled(cells: Any) -> Cells:
    """Return cells without a mask: masked cells are NaN or NaT, in a type that has these."""
    return _filled(cells) if isinstance(cells, np.ma.MaskedArray) else np.asarray(cells)


def _plain(cells: Cells, where: str) -> tuple[Cells, dict[str, Any]]:
    if isinstance(cells, np.ma.MaskedArray):
        cells = _filled(cells)
    if cells.dtype.kind == "T":  # NumPy's variable-length strings
        cells = cells.astype(object)
    meaning: dict[str, Any] = {}
    if cells.dtype.kind == "O":
        cells, meaning = _objects(cells, where)
    dtype = settled(cells.dtype)
    if dtype.kind not in "biufcUSmMOV" or dtype.name in {"float128", "longdouble", "complex256", "clongdouble"}:
        raise DTypeError("data type not available in Zarr", where=where, found=str(cells.dtype))
    if dtype.kind in "US" and not dtype.itemsize:
        dtype = np.dtype(f"{dtype.kind}1")
    return cells.astype(dtype, copy=False), meaning


def unmasked(cells: np.ma.MaskedArray[Any, Any]) -> Cells:
    """Return masked cells as NaN or NaT, in their own data type.

    Raises:
        SliceError: The data type has neither.
    """
    if cells.dtype.kind in "fcmM" or not np.ma.is_masked(cells):
        return _filled(cells) if cells.dtype.kind in "fcmM" else np.asarray(cells.data)
    raise SliceError(
        "masked cells in a data type without a missing value",
        found=str(cells.dtype),
        expected="floating point, or no masked cells",
        hint="Fill them with a marker, and set the variable's attribute _FillValue to it.",
    )


def _filled(cells: np.ma.MaskedArray[Any, Any]) -> Cells:
    """Replace masked cells by NaN or NaT, in the smallest float type possible (as in xarray)."""
    kind, size = cells.dtype.kind, cells.dtype.itemsize
    if kind in "mM":
        not_a_time: Any = np.array("NaT", cells.dtype)[()]
        return np.asarray(cells.filled(not_a_time))
    if kind in "iu":
        cells = np.ma.asarray(cells.astype(np.float32 if size <= 2 else np.float64))  # noqa: PLR2004 - 24 bits
    elif kind == "b":
        cells = np.ma.asarray(cells.astype(np.float64))
    elif kind not in "fc":
        plain: Any = cells.astype(object)
        return np.asarray(plain.filled(None))
    return np.asarray(cells.filled(np.nan))


def _objects(cells: Cells, where: str) -> tuple[Cells, dict[str, Any]]:
    """Return objects as text, bytes, numbers or times, also of cftime; None is missing."""
    known = [item for item in cells.reshape(-1).tolist() if item is not None and item == item]  # noqa: PLR0124 - NaN
    complete = len(known) == cells.size

    def all_of(*kinds: type) -> bool:
        others = () if bool in kinds else (bool, np.bool_)
        return all(isinstance(item, kinds) and not isinstance(item, others) for item in known)

    if all_of(str):
        return _each(cells, lambda item: item if isinstance(item, str) else ""), {}
    if known and all(hasattr(item, "calendar") and hasattr(item, "microsecond") for item in known):
        named = sorted({str(item.calendar) for item in known})
        if len(named) > 1:
            raise DTypeError("times of several calendars", where=where, expected="one", found=", ".join(named))
        return _ticks(cells, known)
    kinds: list[tuple[bool, Any]] = [
        (all_of(bytes), bytes),
        (all_of(dt.datetime, np.datetime64), "M8[us]"),
        (all_of(dt.timedelta, np.timedelta64), "m8[us]"),
        (all_of(bool, np.bool_) and complete, bool),
        (all_of(int, np.integer) and complete, np.int64),
        (all_of(int, float, np.number), np.float64),
    ]
    for is_one, dtype in kinds:
        if is_one:
            return (_each(cells, lambda item: item or b"") if dtype is bytes else cells).astype(dtype), {}
    raise DTypeError(
        "unsupported object dtype",
        where=where,
        expected="text, numbers, booleans, bytes or times, all of one kind",
        found=", ".join(sorted({type(item).__name__ for item in known})[:5]),
    )


def _each(cells: Cells, function: Any) -> Cells:
    out = np.empty(cells.shape, dtype=object)
    flat = out.reshape(-1)
    for i, item in enumerate(cells.reshape(-1).tolist()):
        flat[i] = function(item)
    return flat.reshape(cells.shape)


def _ticks(cells: Cells, known: Sequence[Any]) -> tuple[Cells, dict[str, Any]]:
    """Return times of any calendar as exact microseconds since 1970, with their attributes."""
    calendar = calendars.calendar_name(str(known[0].calendar) or "standard")
    zero = calendars.days_of(calendar, 1970, 1, 1)

    def count(item: Any) -> int:
        if item is None or item != item:  # noqa: PLR0124 - NaN
            return int(np.iinfo(np.int64).min)
        days = calendars.days_of(calendar, item.year, item.month, item.day) - zero
        seconds = ((days * 24 + item.hour) * 60 + item.minute) * 60 + item.second
        return int(seconds) * _MICRO + int(item.microsecond)

    ticks = np.asarray([count(item) for item in cells.reshape(-1).tolist()], dtype=np.int64).reshape(cells.shape)
    meaning: dict[str, Any] = {"units": "microseconds since 1970-01-01", "calendar": calendar}
    if len(known) < cells.size:
        meaning["_FillValue"] = int(np.iinfo(np.int64).min)
    return ticks, meaning


def seconds_of(dtype: np.dtype[Any]) -> Fraction:
    """Return the length of one tick of datetime64 or timedelta64, in seconds."""
    unit, number = np.datetime_data(dtype)
    return UNITS[NUMPY_UNITS[unit]] * number if unit in NUMPY_UNITS else Fraction(0)


def cells_in(shape: tuple[int, ...]) -> int:
    """Return the number of cells in a shape."""
    return math.prod(shape)
