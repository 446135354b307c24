"""What the stored numbers of an array mean, and exact conversion from one meaning to another, or refusal.

The CF conventions let the same value be stored in many ways: packed (section 8.1), with a marker for missing cells
(section 2.5.1), as a count of time units since a date (section 4.4)::

    stored 215  --scale_factor 0.1, add_offset 250-->  271.5       stored 0  --"days since 2024-01-02"-->  2024-01-02

`encoding_of` reads such a meaning from attributes, `conversion` says how to get from the slice's to the target's, and
`Conversion.apply` does it to stored values. What cannot be converted exactly (packed: to half a quantum) is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from zapz.errors import DTypeError, EncodingError
from zapz.format import calendars
from zapz.format.encodings import Encoding, Scalar, Stored, among, encoding_of, is_nan, mask, nans, stored_scalar
from zapz.format.relabel import CellError, relabel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Conversion", "Encoding", "Scalar", "conversion", "encoding_of", "format_instant", "to_instants"]

BLOCK: Final = 1 << 20
"""Cells converted at a time, so that temporaries stay small beside a chunk."""
_EPSILON: Final = 8 * float(np.finfo(np.float64).eps)  # relative allowance for a few roundings in float64
_EITHER_GREGORIAN: Final = {"standard", "proleptic_gregorian"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """From one meaning of stored numbers to another; made by `conversion`, which has checked that it can be."""

    source: Encoding
    """Meaning of the values given to `apply`."""
    target: Encoding
    """Meaning of the values it returns."""
    identity: bool
    """True if stored values already mean the same, so that copying bytes is right."""
    guards_marker: bool
    """True if a real value could be the target's marker: then `apply` must see every chunk, even if `identity`."""

    def apply(self, values: Stored) -> Stored:
        """Convert stored source values to stored target values (CF sections 2.5.1, 4.4 and 8.1).

        Args:
            values: Stored values of the source's dtype, of any byte order. May be returned if nothing changes.

        Returns:
            Stored target values: same shape, the target's dtype.

        Raises:
            EncodingError: A value cannot be converted; names the first such value and its index.
        """
        stored = np.asarray(values).astype(self.source.dtype, casting="equiv", copy=False)
        if self.identity and not self.guards_marker:
            return stored
        source, target = self.source.plain, self.target.plain
        way = _way(source, target)
        flat = stored.reshape(-1).view(source.dtype) if self.source.reinterpreted else stored.reshape(-1)
        out = np.empty(0 if self.identity else flat.shape, target.dtype)
        size = flat.size if way is _relabel else BLOCK  # only all labels together show whether two become equal
        for start in range(0, flat.size, size or 1):
            cells = flat[start : start + size]
            try:
                converted = _masked(way, cells, source, target)
            except CellError as error:
                index = tuple(int(i) for i in np.unravel_index(start + error.index, stored.shape))
                found = f"{_show(source, cells[error.index])} at index {index}"
                raise EncodingError(error.what, expected=error.expected, found=found, hint=error.hint) from None
            if not self.identity:
                out[start : start + size] = converted
        if self.identity:
            return stored
        return (out.view(self.target.dtype) if self.target.reinterpreted else out).reshape(stored.shape)

    def to_json(self) -> dict[str, Any]:
        """Return the conversion as values that JSON can hold exactly."""
        return {"source": self.source.to_json(), "target": self.target.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conversion:
        """Undo `to_json`."""
        return conversion(Encoding.from_json(data["source"]), Encoding.from_json(data["target"]))


def conversion(source: Encoding, target: Encoding) -> Conversion:
    """Find how stored values of ``source`` become stored values of ``target`` with the same meaning.

    Raises:
        EncodingError: The meanings differ in a way that cannot be converted.
        DTypeError: The data type cannot be cast safely.
    """
    if source.reinterpreted != target.reinterpreted:
        raise _differ(name="_Unsigned", expected=_signedness(target), found=_signedness(source))
    plain, goal = source.plain, target.plain
    _check_units(plain, goal)
    way = _way(plain, goal)
    markers, goals = plain.markers, goal.markers
    if way is _cast:
        fill = goal.fill
        # NaN is missing whatever the marker; but where the slice names it, it becomes the target's marker.
        kept = all(among(value, goals) or (is_nan(value) and (fill is None or is_nan(fill))) for value in markers)
        same = plain.dtype == goal.dtype and kept
        real = [stored_scalar(plain.dtype, value) for value in goals if not is_nan(value)]
        guards = any(value is not None and not among(value, markers) for value in real)
    else:
        same, guards = False, any(not is_nan(value) for value in goals)
    return Conversion(source=source, target=target, identity=same, guards_marker=guards)


def to_instants(encoding: Encoding, values: Stored) -> list[Fraction | None]:
    """Return the instants of stored labels (CF section 4.4), in order of storage.

    Returns:
        Exact seconds since 1970-01-01T00:00:00, counted in the calendar of the encoding; None where missing.
        For standard, proleptic_gregorian and julian the seconds are the same time; timedelta64 gives its length.

    Raises:
        EncodingError: The array holds no times, times of indefinite units (months, years), or an infinite one.
    """
    plain = encoding.plain
    axis = plain.axis
    if axis is None or axis.opaque:
        found = repr(encoding.units or encoding.other_units or "no units")
        raise EncodingError(_NO_TIME, expected='units such as "days since 2000-01-01"', found=found)
    scale, offset = plain.packing
    step, origin = axis.step * Fraction(scale), axis.origin + axis.step * Fraction(offset)
    cells = np.asarray(values).astype(encoding.dtype, casting="equiv").reshape(-1).view(plain.dtype)
    missing = mask(cells, plain.markers) | nans(cells)
    numbers = cells.view(np.int64) if plain.dtype.kind in "mM" else cells
    if (infinite := np.isinf(numbers.astype(np.float64)) & ~missing).any():
        raise EncodingError(_NO_TIME, expected="a finite number", found=f"inf at index ({int(np.argmax(infinite))},)")
    pairs = zip(numbers.tolist(), missing.tolist(), strict=True)
    return [None if gone else origin + Fraction(number) * step for number, gone in pairs]


def format_instant(encoding: Encoding, value: Any) -> str:
    """Write one stored label as ISO 8601 text, "missing", or plainly if it is no time (CF section 4.4).

    Floating-point labels are written to the microsecond, integers to the nanosecond.
    """
    axis = encoding.axis
    if axis is None or axis.opaque or axis.calendar == "duration":
        item = value.item() if isinstance(value, np.generic) and value.dtype.kind not in "mM" else value
        text = repr(item) if isinstance(item, str | bytes) else str(item)
        return f"{text} ({encoding.units})" if axis is not None and axis.opaque and encoding.units else text
    instant = to_instants(encoding, np.asarray(value, encoding.dtype))[0]
    digits = 6 if encoding.dtype.kind == "f" else 9
    return "missing" if instant is None else calendars.format_seconds(axis.calendar, instant, digits)


_NO_TIME: Final = "not a time"


# Ways to convert: each takes cells, the mask of missing ones, and both encodings; missing cells may become anything.


def _masked(way: _Way, cells: Stored, source: Encoding, target: Encoding) -> Stored:
    """Convert cells; the missing ones become the target's marker, and no other may (CF section 2.5.1)."""
    missing = mask(cells, source.markers)
    if way is _relabel or target.dtype.kind not in "fcmM":
        missing |= nans(cells)
    out = way(cells, missing, source, target)
    landed = mask(out, [value for value in target.markers if not is_nan(value)]) & ~missing
    if landed.any():
        hint = "Give the slice the target's _FillValue."
        raise CellError(
            what="real value would read as missing",
            bad=landed,
            expected=f"anything but {_list(target.markers)}",
            hint=hint,
        )
    if missing.any():
        fill = target.fill
        if fill is None:
            hint = "Create the target with a _FillValue."
            raise CellError(what="missing cell", bad=missing, expected="none: the target has no marker", hint=hint)
        out[missing] = fill
    return out


def _cast(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Same meaning of numbers: only the dtype changes."""
    if source.dtype.kind in "iu" and target.dtype in (np.float64, np.complex128):
        inexact = _floats(cells)[1] & ~missing
        if inexact.any():
            raise CellError(what="integer is not exact in float64", bad=inexact, expected="an integer below 2**53")
    return cells.astype(target.dtype)


def _repack(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Unpack to float64, pack as the target does: value = stored * scale_factor + add_offset (CF section 8.1)."""
    (scale, offset), (quantum, base) = source.packing, target.packing
    numbers, inexact = _floats(cells)
    if (inexact & ~missing).any():
        raise CellError(what="integer is not exact in float64", bad=inexact & ~missing, expected="one below 2**53")
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
        return out
    again = out.astype(np.float64) * quantum + base
    allowed = _EPSILON * np.maximum(np.abs(value), max(abs(offset), abs(base)))
    if (quantum, base) != (1, 0):  # integers that are not packed must be met exactly
        allowed += abs(quantum) / 2
    far = (np.abs(again - value) > allowed) & ~missing
    if far.any():
        raise CellError(
            what="value would change",
            bad=far,
            expected=f"a multiple of {quantum} beside {base}",
            hint="Create the target with a finer packing, or unpacked.",
        )
    return out


def _relabel(cells: Stored, missing: Stored, source: Encoding, target: Encoding) -> Stored:
    """Other time units, calendar or packing of time: the same instants (CF section 4.4)."""
    old, new = source.axis, target.axis
    if old is None or new is None:
        raise TypeError(_NO_TIME)
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
        hint=f'Units "UNIT since {calendars.reference_of(target.units)}" in the target would do, or floating point.'
        if target.units
        else "A target in UNIT would do.",
    )
    out = out.view(target.dtype)
    if (lost := nans(out) & ~missing).any():
        raise CellError(what="time would read as missing", bad=lost, expected=f"anything but {target.fill!r}")
    return out


_Way: TypeAlias = "Callable[[Stored, Stored, Encoding, Encoding], Stored]"


def _way(source: Encoding, target: Encoding) -> _Way:
    """Choose how to convert, or raise `DTypeError`. Time labels tell by their values whether they fit another type."""
    axis, kinds = source.axis, source.dtype.kind + target.dtype.kind
    alike = axis == target.axis and source.packing == target.packing
    related = set(kinds) <= set("biufc") or kinds in {"UU", "SS"}
    if alike and (source.dtype == target.dtype or (related and np.can_cast(source.dtype, target.dtype, "safe"))):
        return _cast
    if axis is not None and not axis.opaque:
        return _relabel
    if not alike and set(kinds) <= set("iuf") and max(source.dtype.itemsize, target.dtype.itemsize) <= 8:  # noqa: PLR2004
        return _repack
    raise _wrong_dtype(source, target)


def _check_units(source: Encoding, target: Encoding) -> None:
    """Refuse units and calendars between which nothing can be converted (CF sections 3.1 and 4.4)."""
    old, new = source.axis, target.axis
    if source.other_units and target.other_units and source.other_units != target.other_units:
        raise _differ(name="units", expected=target.other_units, found=source.other_units)
    if old is None or new is None:
        if old is new:
            return
        if {source.dtype.kind, target.dtype.kind} & set("mM"):
            raise _wrong_dtype(source, target)
        expected, found = (side.units or side.other_units or "none" for side in (target, source))
        raise _differ(name="time units", expected=expected, found=found)
    if (old.calendar == "duration") != (new.calendar == "duration"):
        raise _wrong_dtype(source, target)
    if old.calendar != new.calendar and {old.calendar, new.calendar} != _EITHER_GREGORIAN:
        raise _differ(name="calendar", expected=new.calendar, found=old.calendar)
    if (old.opaque or new.opaque) and (old != new or source.packing != target.packing):
        expected, found = (side.units or str(side.dtype) for side in (target, source))
        raise _differ(name="time units", expected=expected, found=found)


def _floats(cells: Stored) -> tuple[Stored, Stored]:
    """The numbers as float64, and a mask of the integers that are not exact in it."""
    numbers = cells.astype(np.float64)
    if cells.dtype.kind not in "iu" or cells.dtype.itemsize < 8:  # noqa: PLR2004
        return numbers, np.zeros(cells.shape, dtype=bool)
    inside = numbers < float(np.iinfo(cells.dtype).max)  # which float64 rounds up to a power of two
    return numbers, np.where(inside, numbers, 0).astype(cells.dtype) != cells


def _differ(*, name: str, expected: object, found: object) -> EncodingError:
    hint = f"Write the slice with the target's {name}."
    return EncodingError(f"{name} cannot be converted", expected=repr(expected), found=repr(found), hint=hint)


def _wrong_dtype(source: Encoding, target: Encoding) -> DTypeError:
    hint = "Write the slice with the target's type, or create the target with a wider one."
    return DTypeError("data type cannot be cast safely", expected=str(target.dtype), found=str(source.dtype), hint=hint)


def _signedness(encoding: Encoding) -> str:
    return f"{encoding.dtype} read as {encoding.plain.dtype}"


def _range(encoding: Encoding) -> str:
    if encoding.dtype.kind == "f":
        return f"a finite {encoding.dtype}"
    (scale, offset), limits = encoding.packing, np.iinfo(encoding.dtype)
    ends = sorted((int(limits.min) * scale + offset, int(limits.max) * scale + offset))
    return f"{ends[0]:g} to {ends[1]:g}"


def _list(markers: tuple[Scalar, ...]) -> str:
    return ", ".join(str(marker) if isinstance(marker, np.generic) else repr(marker) for marker in markers)


def _show(encoding: Encoding, value: Any) -> str:
    """A stored value, and what it means if that is a time or packed."""
    try:
        text = str(value.item()) if isinstance(value, np.generic) and value.dtype.kind not in "mMV" else str(value)
    except OverflowError:  # NumPy cannot write every time that it can hold
        text = f"{np.asarray(value).view(np.int64)} ticks of {encoding.dtype}"
    if encoding.units is not None and encoding.dtype.kind in "iuf" and np.isfinite(value):
        return f"{text} ({format_instant(encoding, value)})"
    scale, offset = encoding.packing
    return text if (scale, offset) == (1, 0) else f"{text} (value {float(value) * scale + offset:g})"
