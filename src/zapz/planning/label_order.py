"""Labels of the append dimension: do a slice's continue the target's? Pure: the values have been read already.

Labels are compared in the target's terms, after conversion: what two readers of the target would see as equal is equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from zapz.cf.calendars import format_seconds, month_end_after, months_after
from zapz.cf.conversion import Encoding, format_instant, to_instants
from zapz.cf.durations import Duration, Step, parse_step
from zapz.config.settings import Config
from zapz.errors import ConfigError, EncodingError, LabelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Label values that were read for one label variable."""

    path: str
    """The label variable."""
    old: Line
    """The target's last labels, at most two."""
    new: Line
    """All labels of the slice, converted to the target's terms."""
    distinct: int
    """Number of different labels of the slice before the conversion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Labels in a form that can be compared."""

    kind: Literal["times", "numbers", "texts", "others"]
    """Exact instants in seconds, numbers, text, or something without an order."""
    values: list[Any]
    """One per label; None where it is missing."""
    unit: Fraction
    """Seconds that a step of 1 in the labels' own units means; 1 if they are not times."""
    grain: Fraction
    """By how much a difference of two labels may be off because they are stored as floating-point numbers."""
    encoding: Encoding
    """What the stored labels mean."""
    stored: np.ndarray[Any, Any]
    """The labels as stored."""

    @classmethod
    def of(cls, encoding: Encoding, stored: np.ndarray[Any, Any]) -> Line:
        """Read stored labels of a variable."""
        flat = np.asarray(stored).reshape(-1)
        scale, offset = (Fraction(part) for part in encoding.packing)
        unit = Fraction(1)
        kind: Literal["times", "numbers", "texts", "others"]
        try:
            kind, values = "times", list(to_instants(encoding, flat))
            unit = encoding.axis.step if encoding.axis is not None else unit
        except EncodingError:
            values = [None if v != v else v for v in flat.tolist()]  # noqa: PLR0124 - only NaN is unequal to itself
            kind = "numbers" if flat.dtype.kind in "iufbmM" else "texts" if flat.dtype.kind in "USO" else "others"
            if kind == "numbers" and (scale != 1 or offset != 0):
                values = [v if v is None or math.isinf(v) else Fraction(v) * scale + offset for v in values]
        return cls(
            kind=kind, values=values, unit=unit, grain=_grain(flat) * abs(scale) * unit, encoding=encoding, stored=flat
        )

    @property
    def known(self) -> list[Any]:
        """The values that are not missing."""
        return [v for v in self.values if v is not None]

    @property
    def falls(self) -> bool:
        """Whether the last two labels fall."""
        known = self.known
        return len(known) > 1 and self.kind != "others" and known[-1] < known[-2]

    def text(self, index: int) -> str:
        """Return label ``index`` for people."""
        return format_instant(self.encoding, self.stored[index])


def _grain(stored: np.ndarray[Any, Any]) -> Fraction:
    if stored.dtype.kind != "f" or not stored.size:
        return Fraction(0)
    finite = np.abs(stored[np.isfinite(stored)])
    return Fraction(2 * float(np.spacing(finite.max()))) if finite.size else Fraction(0)


def check_labels(labels: Labels, config: Config, where: str) -> None:
    """Check that the slice's labels continue the target's.

    Raises:
        LabelError: They do not rise (or fall) from the target's last label on, are not a step apart, or one is missing.
        ConfigError: ``append_step`` is not a step, or the labels have none.
    """
    place = f"{where}, {labels.path}"
    new, old = labels.new, labels.old
    if None in new.values:
        found = f"no value at index {new.values.index(None)}"
        raise LabelError("a label is missing", where=place, found=found, hint="Give every step of the slice a label.")
    step = _step(config.append_step, new)
    order = config.label_order or _order(old, step)
    line = [*old.known[-1:], *new.values]
    if order != "any":
        if new.kind == "others":
            hint = 'Set label_order = "any" to append without looking at them.'
            raise LabelError("labels have no order", where=place, found=str(new.stored.dtype), hint=hint)
        _check_order(line, order, old, new, place)
    if isinstance(step, Duration) and step.months:
        _check_months(line, step, old, new, place)
    elif step is not None and not isinstance(step, str):
        length = step.seconds if isinstance(step, Duration) else step * new.unit
        _check_step(line, length, _allowance(old, new, config.append_step, length), new, place)
    if len(set(new.values)) != labels.distinct:
        hint = "Create the target with finer units of its labels."
        raise LabelError("two labels become equal in the target's units", where=place, hint=hint)


def _order(old: Line, step: Step | None) -> str:
    if step is None:
        return "decreasing" if old.falls else "increasing"
    if isinstance(step, str):
        return "increasing" if step == "+" else "decreasing"
    rises = step.months + step.seconds > 0 if isinstance(step, Duration) else step > 0
    return "increasing" if rises else "decreasing"


def _check_order(line: Sequence[Any], order: str, old: Line, new: Line, where: str) -> None:
    follows = len(line) > len(new.values)
    for i, (a, b) in enumerate(pairwise(line)):
        if (b > a) if order == "increasing" else (b < a):
            continue
        at_seam = follows and i == 0
        before = _last_text(old) if at_seam else new.text(i - follows)
        raise LabelError(
            "the slice does not follow the target" if at_seam else f"labels of the slice are not {order}",
            where=where,
            expected=f"a label {'after' if order == 'increasing' else 'before'} {before}",
            found=new.text(i + 1 - follows),
            hint=f'{"Append slices in order" if at_seam else "Sort the slice"}, or set label_order = "any".',
        )


def _last_text(line: Line) -> str:
    last = max(i for i, v in enumerate(line.values) if v is not None)
    return line.text(last)


def _step(value: float | str | None, line: Line) -> Step | None:
    """Read ``append_step``, and see whether the labels can be that far apart."""
    step = None if value is None else parse_step(value)
    if step is None or isinstance(step, str):
        return step
    what, axis = "", line.encoding.axis
    if line.kind not in {"times", "numbers"} or not all(isinstance(v, int | float | Fraction) for v in line.known):
        what = "append_step is set, but the labels are neither numbers nor times"
    elif isinstance(step, Duration) and line.kind != "times":
        what = "append_step is a duration, but the labels are not times"
    elif isinstance(step, Duration) and step.months and (axis is None or axis.calendar == "duration"):
        what = "append_step counts calendar months, but the labels are lengths of time"
    if what:
        hint = 'Give a number, or "+" or "-", or leave it out.'
        raise ConfigError(what, where="append_step", found=repr(value), hint=hint)
    return step


def _allowance(old: Line, new: Line, value: object, step: Fraction) -> Fraction:
    """By how much a difference may be off: the rounding of the labels, and of a step given in floating point."""
    rounding = abs(step) * Fraction(float(np.finfo(np.float64).eps)) if isinstance(value, float) else Fraction(0)
    return max(old.grain, new.grain, rounding)


def _check_step(line: Sequence[Any], step: Fraction, allowance: Fraction, new: Line, where: str) -> None:
    follows = len(line) > len(new.values)
    for i, (a, b) in enumerate(pairwise(line)):
        gap = Fraction(b) - Fraction(a) if _finite(a) and _finite(b) else None
        if gap is None or abs(gap - step) > allowance:
            found = "an infinite one" if gap is None else _amount(gap, new)
            raise _apart(f"a difference of {_amount(step, new)}", f"{found} at {new.text(i + 1 - follows)}", where)


def _check_months(line: Sequence[Fraction], step: Duration, old: Line, new: Line, where: str) -> None:
    """Check that labels keep day and time from month to month, or all lie on the last days of their months."""
    axis = new.encoding.axis
    calendar, allowance = axis.calendar if axis is not None else "", max(old.grain, new.grain)
    ways = {"day", "end"}
    if len(old.known) > 1:  # whether the target's labels are last days shows only in two of them
        a, b = old.known[-2:]
        ways = _fitting(_later(calendar, a, step.months, allowance), b, allowance) or ways
    follows = len(line) > len(new.values)
    for i, (a, b) in enumerate(pairwise(line)):
        possible = {way: c for way, c in _later(calendar, a, step.months, allowance).items() if way in ways}
        ways = _fitting(possible, b, allowance)
        if not possible:
            raise LabelError(
                "append_step leads to a day that does not exist",
                where=where,
                expected="days that every month has, or last days of months",
                found=f"{step.text} after {format_seconds(calendar, a)}",
                hint="Relabel the slices, or unset append_step.",
            )
        if not ways:
            expected = " or ".join(dict.fromkeys(format_seconds(calendar, c) for c in possible.values()))
            raise _apart(expected, new.text(i + 1 - follows), where)


def _later(calendar: str, label: Fraction, months: int, allowance: Fraction) -> dict[str, Fraction]:
    """The labels that may follow after some months: on the same day, on the last day if this is one."""
    second = Fraction(round(label))
    exact = second if abs(second - label) <= allowance else label  # a day must not end early by rounding
    found = {"day": months_after(calendar, exact, months), "end": month_end_after(calendar, exact, months)}
    return {way: label for way, label in found.items() if label is not None}


def _fitting(possible: Mapping[str, Fraction], label: Fraction, allowance: Fraction) -> set[str]:
    return {way for way, expected in possible.items() if abs(label - expected) <= allowance}


def _apart(expected: str, found: str, where: str) -> LabelError:
    hint = "Append the slice that is missing first, or unset append_step."
    return LabelError("labels are not append_step apart", where=where, expected=expected, found=found, hint=hint)


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _amount(step: Fraction, line: Line) -> str:
    try:
        text = f"{float(step):.12g}"
    except OverflowError:
        text = "more than 1e308"
    return f"{text} s" if line.kind == "times" else text
