"""Exact conversion from one meaning of stored numbers to another, or refusal.

The CF conventions allow many ways to store the same value: packed (section 8.1), with a marker for
missing cells (section 2.5.1), as a count of time units since a date (section 4.4)::

    stored 215  --scale_factor 0.1, add_offset 250-->    271.5
    stored 0    --"days since 2024-01-02"-->             2024-01-02

`encoding_of` reads such a meaning from attributes. `conversion` finds the way from the slice's
meaning to the target's, and `Conversion.apply` converts stored values. A value that cannot be
converted exactly (packed: to half a quantum) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np

from zapz.cf import calendars
from zapz.cf.encoding import NOT_A_TIME, Encoding, encoding_of, encoding_or_bare
from zapz.cf.kernels import NO_TIME, Kernel, cast, check_units, choose_kernel, masked, relabelled
from zapz.cf.markers import Scalar, Stored, among, is_nan, mask, nans, stored_scalar
from zapz.cf.time_conversion import CellError
from zapz.errors import DTypeError, EncodingError

__all__ = [
    "Conversion",
    "Encoding",
    "Scalar",
    "conversion",
    "encoding_of",
    "encoding_or_bare",
    "format_instant",
    "shown",
    "to_instants",
]

BLOCK: Final = 1 << 20
"""Number of cells converted at a time, so that temporary arrays are small compared to a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """From one meaning of stored numbers to another; created by `conversion`, which checks it."""

    source: Encoding
    """Meaning of the values passed to `apply`."""
    target: Encoding
    """Meaning of the values that `apply` returns."""
    identity: bool
    """True if stored values already have the same meaning, so that bytes can be copied."""
    guards_marker: bool
    """True if a valid value could equal the target's marker. Then `apply` must see every chunk,
    even if ``identity``."""
    narrow: bool = False
    """True if the user chose the target's data type, so that numbers may be rounded to it."""
    name: str = ""
    """The variable, for the hints of errors."""

    def apply(self, values: Stored) -> Stored:
        """Convert stored source values to stored target values (CF sections 2.5.1, 4.4 and 8.1).

        Args:
            values: Stored values of the source's dtype, in any byte order and of any shape. They
                may be returned if nothing changes.

        Returns:
            Stored values of the target's dtype, of the same shape.

        Raises:
            EncodingError: A value cannot be converted; the error names the first one and its index.
        """
        stored = np.asarray(values).astype(self.source.dtype, casting="equiv", copy=False)
        if self.identity and not self.guards_marker:
            return stored
        source, target = self.source.plain, self.target.plain
        way = choose_kernel(source, target, narrow=self.narrow)
        flat = stored.reshape(-1).view(source.dtype) if self.source.reinterpreted else stored.reshape(-1)
        out = np.empty(0 if self.identity else flat.shape, target.dtype)
        size = flat.size if way is relabelled else BLOCK  # all labels at once, to find two that become equal
        for start in range(0, flat.size, size or 1):
            cells = flat[start : start + size]
            try:
                converted = masked(way, cells, source, target)
            except CellError as error:
                index = tuple(int(i) for i in np.unravel_index(start + error.index, stored.shape))
                found = f"{_described(source, cells[error.index])} at index {index}"
                raise error.at(self.name, found) from None
            if not self.identity:
                out[start : start + size] = converted
        if self.identity:
            return stored
        return (out.view(self.target.dtype) if self.target.reinterpreted else out).reshape(stored.shape)

    def to_json(self) -> dict[str, object]:
        """Return the conversion as values that JSON stores exactly."""
        sides = {"source": self.source.to_json(), "target": self.target.to_json()}
        return {**sides, "narrow": self.narrow, "name": self.name}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Conversion:
        """Return the conversion that `to_json` returned as JSON values."""
        source, target = Encoding.from_json(data["source"]), Encoding.from_json(data["target"])
        return conversion(source, target, narrow=data.get("narrow", False), name=data.get("name", ""))


def _kernel(source: Encoding, target: Encoding, *, narrow: bool, name: str) -> Kernel:
    """Choose the kernel; if the user can allow rounding, name the setting in the error's hint.

    Raises:
        DTypeError: The data type cannot be cast safely.
    """
    try:
        return choose_kernel(source, target, narrow=narrow)
    except DTypeError as error:
        setting = f"variables.{name or 'NAME'}.encoding.dtype"
        try:
            choose_kernel(source, target, narrow=True)
        except DTypeError:
            if (wide := _wide_enough(source, target)) is None:
                raise error from None
            raise error.advised(
                f"Write the slice with the target's data type; or create the target again ({{force_new}}) with {{{setting}}}, "
                "and append all slices again, starting with the first.",
                {"force_new": True, setting: str(wide)},
            ) from None
        raise DTypeError(
            error.what,
            expected=error.expected,
            found=error.found,
            hint=f"Write the slice with the target's data type; or use {{{setting}}} to round its values to that type.",
            remedies={setting: str(target.dtype)},
        ) from None


def _wide_enough(source: Encoding, target: Encoding) -> np.dtype[Any] | None:
    """Return a data type that holds unpacked numbers of both sides; None if there is none."""
    if not {source.dtype.kind, target.dtype.kind} <= set("iufc") or source.axis or target.axis:
        return None
    wide: np.dtype[Any] = np.result_type(source.dtype, target.dtype)
    plain = source.packing == target.packing == (1, 0)
    return wide if plain and all(np.can_cast(side.dtype, wide, "safe") for side in (source, target)) else None


def conversion(source: Encoding, target: Encoding, *, narrow: bool = False, name: str = "") -> Conversion:
    """Return the conversion from stored values of ``source`` to the same values in ``target``.

    Args:
        source: Meaning of the slice's values.
        target: Meaning of the target's values.
        narrow: Whether the user chose the target's data type, so that numbers may be rounded to it,
            but never beyond its range.
        name: The variable, for the hints of errors.

    Raises:
        EncodingError: The meanings differ in a way that cannot be converted.
        DTypeError: The data type cannot be cast safely.
    """
    source, target = _alike_durations(source, target)
    plain, goal = source.plain, target.plain
    check_units(plain, goal)
    way = _kernel(plain, goal, narrow=narrow, name=name)
    markers, goals = plain.markers, goal.markers
    if way is cast:
        fill = goal.fill
        # NaN is always missing. If NaN is the slice's marker, it becomes the target's.
        lost = [v for v in markers if not (among(v, goals) or (is_nan(v) and (fill is None or is_nan(fill))))]
        # Cells that may equal an unclear marker are examined; copied cells equal none.
        unclear = any(among(value, lost) for value in source.unclear)
        kept = all(among(value, source.unclear) for value in lost)
        same = plain.dtype == goal.dtype and kept and source.reinterpreted == target.reinterpreted
        real = [stored_scalar(plain.dtype, value) for value in goals if not is_nan(value)]
        guards = unclear or any(value is not None and not among(value, markers) for value in real)
    else:
        same, guards = False, any(not is_nan(value) for value in goals)
    return Conversion(source=source, target=target, identity=same, guards_marker=guards, narrow=narrow, name=name)


def _alike_durations(source: Encoding, target: Encoding) -> tuple[Encoding, Encoding]:
    """Decide whether numbers with a unit of time are durations, where only one side states it.

    Writers choose such units file by file, and not all state that the values are durations. Both
    sides are durations if one of them states it, or if the units differ: durations can be
    converted.
    """
    pair = [source, target]
    names = [calendars.unit_of(side.units if side.calendar == "duration" else side.other_units) for side in pair]
    said = [side.calendar == "duration" for side in pair]
    if None in names or all(said) or not {side.dtype.kind for side in pair} <= set("iuf"):
        return source, target
    if not any(said) and names[0] == names[1]:
        return source, replace(target, other_units=source.other_units)
    durations = [
        replace(
            side,
            units=name,
            calendar="duration",
            other_units=None,
            missing=(NOT_A_TIME,) if side.dtype == np.int64 and not side.markers else side.missing,
        )
        for side, name in zip(pair, names, strict=True)
    ]
    return durations[0], durations[1]


def to_instants(encoding: Encoding, values: Stored) -> list[Fraction | None]:
    """Return the instants of stored labels (CF section 4.4).

    Args:
        encoding: Meaning of the labels.
        values: Stored labels, of any shape.

    Returns:
        Exact seconds since 1970-01-01T00:00:00 in the calendar of the encoding, in C order; None
        where missing. In standard, proleptic_gregorian and julian, equal seconds are the same
        instant. For timedelta64, the durations.

    Raises:
        EncodingError: The array does not hold times, its units are indefinite (months, years), or a
            label is infinite.
    """
    plain = encoding.plain
    axis = plain.axis
    if axis is None or axis.opaque:
        found = repr(encoding.units or encoding.other_units or "no units")
        raise EncodingError(NO_TIME, expected='units such as "days since 2000-01-01"', found=found)
    scale, offset = plain.packing
    step, origin = axis.step * Fraction(scale), axis.origin + axis.step * Fraction(offset)
    cells = np.asarray(values).astype(encoding.dtype, casting="equiv").reshape(-1).view(plain.dtype)
    missing = mask(cells, plain.markers) | nans(cells)
    numbers = cells.view(np.int64) if plain.dtype.kind in "mM" else cells
    if (infinite := np.isinf(numbers.astype(np.float64)) & ~missing).any():
        raise EncodingError(NO_TIME, expected="a finite number", found=f"inf at index ({int(np.argmax(infinite))},)")
    pairs = zip(numbers.tolist(), missing.tolist(), strict=True)
    return [None if gone else origin + Fraction(number) * step for number, gone in pairs]


def format_instant(encoding: Encoding, value: Any) -> str:
    """Return one stored label as text: ISO 8601 (CF section 4.4), "missing", or the value.

    If it is not a time, the number or text is shown that it stands for.

    Floating-point labels are rounded to microseconds, integers to nanoseconds.
    """
    axis = encoding.axis
    if axis is None or axis.opaque or axis.calendar == "duration":
        text = _plain_text(encoding, value)
        return f"{text} ({encoding.units})" if axis is not None and axis.opaque and encoding.units else text
    instant = to_instants(encoding, np.asarray(value, encoding.dtype))[0]
    digits = 6 if encoding.dtype.kind == "f" else 9
    return "missing" if instant is None else calendars.format_seconds(axis.calendar, instant, digits)


def _plain_text(encoding: Encoding, value: Any) -> str:
    """Return a stored label that is not a time as text: unsigned and unpacked."""
    if encoding.reinterpreted:
        value = np.asarray(value, encoding.dtype).view(encoding.plain.dtype)[()]
    item = value.item() if isinstance(value, np.generic) and value.dtype.kind not in "mM" else value
    scale, offset = encoding.packing
    if (scale, offset) != (1, 0) and isinstance(item, int | float):
        item = item * scale + offset
    return repr(item) if isinstance(item, str | bytes) else str(item)


def _described(encoding: Encoding, value: Any) -> str:
    """Return a stored value as text for display; a time without its stored number."""
    if encoding.units is None or encoding.dtype.kind not in "iuf" or not np.isfinite(value):
        return shown(encoding, value)
    if encoding.calendar != "duration":
        return format_instant(encoding, value)
    scale, offset = encoding.packing
    return f"{value if (scale, offset) == (1, 0) else float(value) * scale + offset} {encoding.units}"


def shown(encoding: Encoding, value: Any) -> str:
    """Return a stored value as text for display, with its meaning if it is a time or packed."""
    try:
        text = str(value.item()) if isinstance(value, np.generic) and value.dtype.kind not in "mMV" else str(value)
    except OverflowError:  # NumPy cannot format every time that it can hold
        text = f"{np.asarray(value).view(np.int64)} ticks of {encoding.dtype}"
    if encoding.units is not None and encoding.dtype.kind in "iuf" and np.isfinite(value):
        return f"{text} ({format_instant(encoding, value)})"
    scale, offset = encoding.packing
    return text if (scale, offset) == (1, 0) else f"{text} (value {float(value) * scale + offset:g})"
