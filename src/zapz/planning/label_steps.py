"""Check that labels are ``append_step`` apart. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from zapz.cf.calendars import format_seconds, month_end_after, months_after
from zapz.cf.durations import Duration, Step, parse_step
from zapz.errors import ConfigError, LabelError
from zapz.planning.labels import Labels, Line


def rises(value: float | str, line: Line) -> bool:
    """Return whether labels that are ``value`` apart increase.

    Raises:
        ConfigError: ``value`` is not a valid step for these labels.
    """
    step = _step(value, line)
    if isinstance(step, str):
        return step == "+"
    return _rises(step)


def check_steps(labels: Labels, value: float | str, where: str) -> None:
    """Check that labels are ``value`` apart.

    Args:
        labels: The target's last label, if any, and the slice's labels.
        value: The setting ``append_step``.
        where: The slice and its label variable, for messages.

    Raises:
        LabelError: They are not ``value`` apart.
        ConfigError: ``value`` is not a valid step for these labels.
    """
    new, old, line = labels.new, labels.old, labels.line
    step = _step(value, new)
    if isinstance(step, Duration) and step.months:
        _check_months(line, step, old, new, where)
    elif not isinstance(step, str):
        length = step.seconds if isinstance(step, Duration) else step * new.unit
        _check_step(line, length, _allowance(old, new, value, length), new, where)


def _step(value: float | str, line: Line) -> Step:
    """Parse ``append_step``, and check that labels of this kind can have such a step."""
    step = parse_step(value)
    if isinstance(step, str):
        return step
    what, axis = "", line.encoding.axis
    if line.kind not in {"times", "numbers"} or not all(isinstance(v, int | float | Fraction) for v in line.known):
        what = "append_step is set, but the labels are neither numbers nor times"
    elif isinstance(step, Duration) and line.kind != "times":
        what = "append_step is a duration, but the labels are not times"
    elif isinstance(step, Duration) and step.months and (axis is None or axis.calendar == "duration"):
        what = "append_step counts calendar months, but the labels are durations"
    if what:
        hint = 'Use a number, "+" or "-", or remove the setting.'
        raise ConfigError(what, where="append_step", found=repr(value), hint=hint)
    return step


def _allowance(old: Line, new: Line, value: object, step: Fraction) -> Fraction:
    """Return the tolerance of a difference, from the rounding of labels and of a float step."""
    rounding = abs(step) * Fraction(float(np.finfo(np.float64).eps)) if isinstance(value, float) else Fraction(0)
    return max(old.grain, new.grain, rounding)


def _check_step(line: Sequence[Any], step: Fraction, allowance: Fraction, new: Line, where: str) -> None:
    follows = len(line) > len(new.values)
    for i, (a, b) in enumerate(pairwise(line)):
        gap = Fraction(b) - Fraction(a) if _finite(a) and _finite(b) else None
        if gap is None or abs(gap - step) > allowance:
            found = "an infinite difference" if gap is None else _amount(gap, new)
            expected = f"a difference of {_amount(step, new)}"
            raise _apart(expected, f"{found} at {new.text(i + 1 - follows)}", where, step)


def _check_months(line: Sequence[Fraction], step: Duration, old: Line, new: Line, where: str) -> None:
    """Check that labels keep day and time from month to month, or are the last days of months."""
    axis = new.encoding.axis
    calendar, allowance = axis.calendar if axis is not None else "", max(old.grain, new.grain)
    ways = {"day", "end"}
    if len(old.known) > 1:  # one label alone does not show whether labels are last days
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
                hint="Change the labels of the slices, or use {append_step} to check only their order.",
                remedies=_order_alone(step),
            )
        if not ways:
            expected = " or ".join(dict.fromkeys(format_seconds(calendar, c) for c in possible.values()))
            raise _apart(expected, new.text(i + 1 - follows), where, step)


def _later(calendar: str, label: Fraction, months: int, allowance: Fraction) -> dict[str, Fraction]:
    """Return the possible labels some months later: the same day, or the last day of the month."""
    second = Fraction(round(label))
    exact = second if abs(second - label) <= allowance else label  # rounding must not move a label to the day before
    found = {"day": months_after(calendar, exact, months), "end": month_end_after(calendar, exact, months)}
    return {way: label for way, label in found.items() if label is not None}


def _fitting(possible: Mapping[str, Fraction], label: Fraction, allowance: Fraction) -> set[str]:
    return {way for way, expected in possible.items() if abs(label - expected) <= allowance}


def _apart(expected: str, found: str, where: str, step: Duration | Fraction) -> LabelError:
    return LabelError(
        "labels are not append_step apart",
        where=where,
        expected=expected,
        found=found,
        hint="Append the missing slice first, or use {append_step} to check only the order of labels.",
        remedies=_order_alone(step),
    )


def _order_alone(step: Duration | Fraction) -> dict[str, str]:
    """Return the setting that only requires labels to increase or decrease, as the step does."""
    return {"append_step": "+" if _rises(step) else "-"}


def _rises(step: Duration | Fraction) -> bool:
    return step.months + step.seconds > 0 if isinstance(step, Duration) else step > 0


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _amount(step: Fraction, line: Line) -> str:
    try:
        text = f"{float(step):.12g}"
    except OverflowError:
        text = "more than 1e308"
    return f"{text} s" if line.kind == "times" else text
