"""The ways to convert stored values without changing their meaning, and the choice between them.

Values are cast, repacked or relabelled. A kernel receives cells, the mask of missing ones, and both
encodings; missing cells may become any value. A value that cannot be converted exactly (packed: to
half a quantum) raises a `CellError`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from zapz.cf import calendars
from zapz.cf.encoding import Encoding
from zapz.cf.markers import Scalar, Stored, is_nan, mask, nans
from zapz.cf.time_conversion import CellError, Words, relabel
from zapz.errors import DTypeError, EncodingError

if TYPE_CHECKING:
    from collections.abc import Callable

Kernel: TypeAlias = "Callable[[Stored, Stored, Encoding, Encoding], Stored]"
"""Function of cells, the mask of missing ones, and both encodings; it returns converted cells."""
NO_TIME: Final = "not a time"
UNCLEAR: Final = (
    "To treat such cells as values, as zarr-python does, use {v2_fill_value}. "
    'To treat them as missing, as xarray does, set it to "missing".'
)
"""Remedy for a fill value of Zarr v2 that no attribute defines as missing."""
_AS_VALUE: Final = {"v2_fill_value": "value"}
_EPSILON: Final = 8 * float(np.finfo(np.float64).eps)  # relative tolerance for a few roundings in float64
_EITHER_GREGORIAN: Final = {"standard", "proleptic_gregorian"}


def masked(way: Kernel, cells: Stored, source: Encoding, target: Encoding) -> Stored:
    """Convert cells; exactly the missing ones become the target's marker (CF section 2.5.1).

    Args:
        way: The kernel.
        cells: Stored values of the source, one-dimensional.
        source: Meaning of the cells.
        target: Meaning of the result.

    Raises:
        CellError: A cell cannot be converted.
    """
    missing = mask(cells, source.markers)
    if way is relabelled or target.dtype.kind not in "fcmM":
        missing |= nans(cells)
    out = way(cells, missing, source, target)
    marked = mask(out, [value for value in target.markers if not is_nan(value)])
    landed = marked & ~missing
    if landed.any():
        hint = "Give the slice the target's _FillValue." if not target.unclear else UNCLEAR
        raise CellError(
            what="valid value would be read as missing",
            bad=landed,
            expected=f"a value other than {_list(target.markers)}",
            hint=hint,
            remedies=_AS_VALUE if target.unclear else None,
        )
    if way is cast:
        missing &= ~marked  # cells that are missing in the target too stay unchanged
    if (unclear := missing & mask(cells, source.unclear)).any():
        raise CellError(
            what="cell value is missing for some readers and valid for others",
            bad=unclear,
            expected=f"a value other than {_list(source.unclear)}",
            hint=UNCLEAR,
            remedies=_AS_VALUE,
        )
    if missing.any():
        fill = target.fill
        if fill is None:
            raise CellError(
                what="missing cell",
                bad=missing,
                expected="no missing cells: the target has no missing marker",
                hint="Create the target with a _FillValue.",
                recreate=_marker_for(target.dtype),
            )
        out[missing] = fill
    return out


def _marker_for(dtype: np.dtype[Any]) -> tuple[str, object] | None:
    """Return the setting of a new target's marker: by convention the integer farthest from 0."""
    if dtype.kind not in "iu":
        return None
    limits = np.iinfo(dtype)
    return "_FillValue", int(limits.min if dtype.kind == "i" else limits.max)


def cast(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Change only the dtype: numbers keep their meaning.

    Raises:
        CellError: An integer cannot be stored exactly.
    """
    if source.dtype.kind in "iu" and target.dtype in (np.float64, np.complex128):
        inexact = _floats(cells)[1] & ~missing
        if inexact.any():
            raise CellError(what="integer is not exact in float64", bad=inexact, expected="an integer below 2**53")
    return cells.astype(target.dtype)


def _narrow(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Convert floating-point numbers to the nearest of another width, or refuse."""
    del source
    with np.errstate(over="ignore"):
        out = cells.astype(target.dtype)
    outside = np.isinf(out) & ~np.isinf(cells) & ~missing
    if outside.any():
        expected = f"a finite {target.dtype}"
        raise CellError(what="value out of range", bad=outside, expected=expected, recreate=("dtype", str(cells.dtype)))
    return out


def _round(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Round numbers to the type that the user chose, like packing with a quantum of 1."""
    return _repack(cells, missing, source, target, rounded=source.dtype.kind == "f")


def _repack(cells: Stored, missing: Stored, source: Encoding, target: Encoding, *, rounded: bool = False) -> Stored:
    """Unpack to float64, and pack as the target does (CF section 8.1).

    The packed value is ``(value - add_offset) / scale_factor``.
    """
    (scale, offset), (quantum, base) = source.packing, target.packing
    numbers, inexact = _floats(cells)
    if (inexact & ~missing).any():
        raise CellError(
            what="integer is not exact in float64", bad=inexact & ~missing, expected="an integer below 2**53"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        value = np.where(missing, base, numbers * scale + offset)
        packed = (value - base) / quantum
        if target.dtype.kind == "f":
            out = packed.astype(target.dtype)
            outside = np.isinf(out) & ~np.isinf(numbers) & ~missing
        else:
            packed = np.rint(packed)
            limits = np.iinfo(target.dtype)
            inside = (packed >= float(limits.min)) & (packed < float(limits.max) + 1)
            outside = ~inside & ~missing
            out = np.where(inside, packed, 0).astype(target.dtype)
    if outside.any():
        hint = "Create the target with another scale_factor, add_offset or dtype."
        raise CellError(what="value outside the packed range", bad=outside, expected=_range(target), hint=hint)
    if target.dtype.kind == "f":
        moved = (
            (out.astype(np.float64) != packed)
            & ~missing
            & (source.dtype.kind in "iu")
            & (source.packing == target.packing)
        )
        if moved.any():
            raise CellError(what=f"integer is not exact in {target.dtype}", bad=moved, expected="a smaller integer")
        return out
    again = out.astype(np.float64) * quantum + base
    allowed = _EPSILON * np.maximum(np.abs(value), max(abs(offset), abs(base)))
    if rounded or (quantum, base) != (1, 0):  # integers that are not packed must be exact
        allowed += abs(quantum) / 2
    far = (np.abs(again - value) > allowed) & ~missing
    if far.any():
        raise CellError(
            what="value would change",
            bad=far,
            expected=f"{base} plus a multiple of {quantum}",
            hint="Create the target with a finer packing, or unpacked.",
        )
    return out


def _truth(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Convert between booleans and integers 0 and 1."""
    del source
    other = (cells != 0) & (cells != 1) & ~missing
    if other.any():
        hint = "Readers interpret other numbers differently. Write 1 for true in the slice."
        raise CellError(what="not a boolean", bad=other, expected="0 or 1", hint=hint)
    out: Stored = (cells == 1).astype(target.dtype)
    return out


def _retext(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Convert text to another length, or to variable length, unchanged, or refuse."""
    del source
    out = cells.astype(target.dtype)
    cut = (out.astype(cells.dtype) != cells) & ~missing
    if cut.any():
        raise CellError(what="text is too long", bad=cut, expected=f"{target.dtype}", recreate=("dtype", "string"))
    return out


def relabelled(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Convert to other time units, calendar or packing: the same instants (CF section 4.4).

    Raises:
        CellError: A label cannot be converted.
        TypeError: One of the encodings has no time axis.
    """
    old, new = source.axis, target.axis
    if old is None or new is None:
        raise TypeError(NO_TIME)
    (scale, offset), (quantum, base) = [[Fraction(part) for part in side.packing] for side in (source, target)]
    unit, zero = new.step * quantum, new.origin + new.step * base
    start = Fraction(calendars.days_of("standard", *calendars.GREGORIAN_START) * calendars.DAY)
    dtype = np.dtype(np.int64) if target.dtype.kind in "mM" else target.dtype
    out = relabel(
        cells.view(np.int64) if source.dtype.kind in "mM" else cells,
        missing,
        factor=old.step * scale / unit,
        shift=(old.origin + old.step * offset - zero) / unit,
        unit=unit,
        earliest=None if old.calendar == new.calendar else (start - zero) / unit,
        dtype=dtype,
        words=_words(target, new, unit, zero),
    )
    out = out.view(target.dtype)
    if (lost := nans(out) & ~missing).any():
        raise CellError(what="time would be read as missing", bad=lost, expected=f"a value other than {target.fill!r}")
    return out


def _words(target: Encoding, axis: calendars.Axis, unit: Fraction, zero: Fraction) -> Words:
    """Return the words for errors about labels that count ``unit`` seconds from ``zero``."""
    spans, units = axis.calendar == "duration", target.units or ""

    def meaning(label: int) -> str:
        instant = zero + label * unit
        return f"{float(instant):.12g} s" if spans else calendars.format_seconds(axis.calendar, instant)

    counted = target.packing == (1, 0) and units
    return Words(
        units=f"UNIT since {calendars.reference_of(units)}" if units and not spans else "UNIT",
        whole=f"a whole number of {units}" if counted else f"{meaning(0)} plus a multiple of {float(unit):.12g} s",
        meaning=meaning,
    )


def choose_kernel(source: Encoding, target: Encoding, *, narrow: bool = False) -> Kernel:  # noqa: PLR0911 - one per kind of types
    """Choose the kernel for two encodings.

    Whether a time label fits another type depends on its value, so ``relabelled`` checks it.

    Raises:
        DTypeError: The data type cannot be cast safely.
    """
    axis, kinds = source.axis, source.dtype.kind + target.dtype.kind
    alike = axis == target.axis and source.packing == target.packing
    related = set(kinds) <= set("biufc") or kinds in {"UU", "SS"}
    if alike and (source.dtype == target.dtype or (related and np.can_cast(source.dtype, target.dtype, "safe"))):
        return cast
    if source.boolean and target.dtype.kind == "b":
        return _truth
    if kinds in {"UU", "SS", "UO", "OU"}:
        return _retext
    if axis is not None and not axis.opaque:
        return relabelled
    small = max(source.dtype.itemsize, target.dtype.itemsize) <= 8  # noqa: PLR2004 - size of float64
    if set(kinds) <= set("iuf") and small:
        if narrow and alike:
            return _narrow if kinds == "ff" else _round
        packed = target.scale is not None or target.offset is not None
        floats = (
            kinds[0] == "f" and kinds[1] in "iu" and target.markers
        )  # integers that xarray read as floats, because some were missing
        if not alike or floats or packed:
            return _repack
    if narrow and kinds == "cc" and alike:
        return _narrow
    raise _wrong_dtype(source, target)


def check_units(source: Encoding, target: Encoding) -> None:
    """Check that units and calendars can be converted (CF sections 3.1 and 4.4).

    Raises:
        EncodingError: They cannot.
        DTypeError: Only one side is a time, or a duration.
    """
    old, new = source.axis, target.axis
    if source.other_units and target.other_units and source.other_units != target.other_units:
        raise differ(name="units", expected=target.other_units, found=source.other_units)
    if old is None or new is None:
        if old is new:
            return
        if {source.dtype.kind, target.dtype.kind} & set("mM"):
            raise _wrong_dtype(source, target)
        expected, found = (side.units or side.other_units or "none" for side in (target, source))
        raise differ(name="time units", expected=expected, found=found)
    if (old.calendar == "duration") != (new.calendar == "duration"):
        raise _wrong_dtype(source, target)
    if old.calendar != new.calendar and {old.calendar, new.calendar} != _EITHER_GREGORIAN:
        raise differ(name="calendar", expected=new.calendar, found=old.calendar)
    if (old.opaque or new.opaque) and (old != new or source.packing != target.packing):
        expected, found = (side.units or str(side.dtype) for side in (target, source))
        raise differ(name="time units", expected=expected, found=found)


def _floats(cells: Stored) -> tuple[Stored, Stored]:
    """Return the numbers as float64, and a mask of the integers that are not exact in it."""
    numbers = cells.astype(np.float64)
    if cells.dtype.kind not in "iu" or cells.dtype.itemsize < 8:  # noqa: PLR2004
        return numbers, np.zeros(cells.shape, dtype=bool)
    inside = numbers < float(np.iinfo(cells.dtype).max)  # float64 rounds this limit up to a power of two
    return numbers, np.where(inside, numbers, 0).astype(cells.dtype) != cells


def differ(*, name: str, expected: object, found: object) -> EncodingError:
    """Return the error for two meanings that differ in an attribute."""
    hint = f"Write the slice with the target's {name}."
    return EncodingError(f"{name} cannot be converted", expected=repr(expected), found=repr(found), hint=hint)


def _wrong_dtype(source: Encoding, target: Encoding) -> DTypeError:
    hint = "Write the slice with the target's data type."
    return DTypeError("data type cannot be cast safely", expected=str(target.dtype), found=str(source.dtype), hint=hint)


def _range(encoding: Encoding) -> str:
    if encoding.dtype.kind == "f":
        return f"a finite {encoding.dtype}"
    (scale, offset), limits = encoding.packing, np.iinfo(encoding.dtype)
    ends = sorted((int(limits.min) * scale + offset, int(limits.max) * scale + offset))
    return f"{ends[0]:g} to {ends[1]:g}"


def _list(markers: tuple[Scalar, ...]) -> str:
    return ", ".join(str(marker) if isinstance(marker, np.generic) else repr(marker) for marker in markers)
