"""Regular steps of labels, and gaps where steps are missing. Pure.

::

    1  2  3  4     8  9              step 1, the most common difference; 3 steps missing after 4
    01-01  02-01  03-01     05-01    step 1 month: same day and time in other months; 1 step missing

Labels without a common step have no gaps. A step is common if at least half of all differences are
equal to it and nearly all are whole multiples of it. Differences of floating-point labels are equal
if they differ only by rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from zapz.cf.calendars import DAY, UNITS, date_of, month_end_after
from zapz.cf.conversion import Encoding, format_instant, to_instants
from zapz.cf.markers import mask, nans
from zapz.planning.labels import Labels, day_of, grain_of

FEWEST = 3
"""Minimum number of labels for a step."""
_MOST_IRREGULAR = 10
"""There is no step if more than one difference in this many is not a whole number of steps."""
_SHORTEST_MONTH = 28 * DAY
"""Minimum usual difference of labels that count months, in seconds."""
_YEAR = 12
"""Months of a year."""
_INDEFINITE = {"Y": "year", "M": "month", "W": "week"}
"""Units of NumPy's times that CF does not have as units of one length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A place where steps are missing."""

    start: int
    """Index of the label before the gap."""
    missing: int
    """Number of missing steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """The regular step of labels, and the exceptions to it."""

    step: str
    """The step, as text for display."""
    gaps: tuple[Gap, ...]
    """Where steps are missing, in order."""
    irregular: int
    """Number of differences that are not a whole number of steps."""
    months: int = 0
    """Months of a step; 0 if steps are not months."""

    @property
    def missing(self) -> int:
        """Total number of missing steps."""
        return sum(gap.missing for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A step, and each difference as a number of steps; 0 if it is not a whole number."""

    step: Any
    steps: np.ndarray[Any, Any]

    @property
    def is_kept(self) -> bool:
        """Whether the labels have this regular step."""
        size = self.steps.size
        return bool(2 * np.sum(self.steps == 1) >= size and _MOST_IRREGULAR * np.sum(self.steps == 0) <= size)


def numbers_of(encoding: Encoding, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Return stored labels as numbers with the same differences; None if not possible.

    Args:
        encoding: Meaning of the labels.
        stored: The labels as stored, of any shape.

    Returns:
        One-dimensional array of int64, float64 or Python integers (object). None if the labels are
        not numbers or times, one is missing, or a difference is too large for float64.
    """
    plain = encoding.plain
    if plain.dtype.kind not in "iufmM" or plain.boolean:
        return None
    cells = np.asarray(stored).astype(encoding.dtype, casting="equiv").reshape(-1).view(plain.dtype)
    if (mask(cells, plain.markers) | nans(cells)).any():
        return None
    if plain.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            numbers = cells.astype(np.float64)
            return numbers if np.isfinite(numbers).all() and np.isfinite(2 * np.diff(numbers)).all() else None
    numbers = cells.view(np.int64) if plain.dtype.kind in "mM" else cells
    if numbers.size and int(numbers.max()) - int(numbers.min()) >= 1 << 62:
        return numbers.astype(object)
    return (numbers - numbers[:1]).view(np.int64) if numbers.dtype == np.uint64 else numbers.astype(np.int64)


def rhythm_of(encoding: Encoding, stored: np.ndarray[Any, Any]) -> Rhythm | None:
    """Return the regular step of labels, and their gaps; None if there is no regular step.

    There is none if labels are too few, or neither times nor numbers.

    Args:
        encoding: Meaning of the labels.
        stored: All labels as stored.
    """
    numbers = numbers_of(encoding, stored)
    if numbers is None or numbers.size < FEWEST:
        return None
    axis, scale = encoding.axis, Fraction(encoding.packing[0])
    is_time = axis is not None and not axis.opaque
    unit = axis.step * scale if axis is not None and is_time else scale
    rounding = grain_of(np.asarray(stored).reshape(-1))
    found = _fit(numbers, float(rounding))
    if found is None:
        return None
    step_months = 0
    text = _length(Fraction(found.step) * unit, rounding * abs(unit), is_time=is_time)
    if not is_time and encoding.dtype.kind in "mM" and (noun := _INDEFINITE.get(np.datetime_data(encoding.dtype)[0])):
        text = _counted(abs(int(found.step)) * np.datetime_data(encoding.dtype)[1], noun)
    usual = abs(Fraction(float(np.median(np.diff(numbers).astype(np.float64)))) * unit)
    if axis is not None and is_time and axis.calendar != "duration" and usual >= _SHORTEST_MONTH:
        instants = [instant for instant in to_instants(encoding, stored) if instant is not None]
        months = _months(axis.calendar, instants, rounding * abs(unit))
        fit = None if months is None else _fit(np.array(months, np.int64), 0.0)
        if fit is not None and fit.is_kept:
            found, step_months = fit, int(fit.step)
            text = _months_text(step_months)
    if not found.is_kept:
        return None
    places = np.flatnonzero(found.steps > 1).tolist()
    gaps = tuple(Gap(start=i, missing=int(found.steps[i]) - 1) for i in places)
    return Rhythm(step=text, gaps=gaps, irregular=int(np.sum(found.steps == 0)), months=step_months)


def _fit(numbers: np.ndarray[Any, Any], rounding: float) -> _Fit | None:
    """Return the most common difference, and all differences as multiples; None if all are 0."""
    differences = np.diff(numbers)
    if numbers.dtype.kind != "f":
        values, counts = np.unique(differences[differences != 0], return_counts=True)
        if not values.size:
            return None
        step = min(zip((-counts).tolist(), abs(values).tolist(), values.tolist(), strict=True))[2]
        whole = (differences % step == 0) & (differences // step > 0)
        return _Fit(step, np.where(whole, differences // step, 0))
    way = -1.0 if np.median(differences) < 0 else 1.0
    ordered = np.sort(way * differences[np.abs(differences) > rounding])
    if not ordered.size:
        return None
    ends = np.searchsorted(ordered, ordered + 2 * rounding, side="right")
    best = int(np.argmax(ends - np.arange(ordered.size)))
    middle = way * float(ordered[(best + int(ends[best]) - 1) // 2])
    steps = np.rint(differences / middle)
    near = np.abs(differences - steps * middle) <= rounding * (1 + np.abs(steps))
    return _Fit(middle, np.where(near & (steps > 0), steps, 0))


def _months(calendar: str, instants: list[Fraction], rounding: Fraction) -> list[int] | None:
    """Return labels as numbers of calendar months; None if they do not count months.

    All labels must have the same time of day. They must also have the same day of the month, or all
    be on the last days of their months.
    """
    exact = [Fraction(round(i)) if abs(round(i) - i) <= rounding else i for i in instants]
    dates = [(*date_of(calendar, int(instant // DAY)), instant % DAY) for instant in exact]
    if len({clock for *_, clock in dates}) > 1:
        return None
    if len({day for _, _, day, _ in dates}) > 1 and not all(month_end_after(calendar, i, 1) is not None for i in exact):
        return None
    return [_YEAR * year + month for year, month, _, _ in dates]


def gap_note(labels: Labels) -> str:
    """Return a note about steps missing between the target's labels and the slice's, or ""."""
    found = gap_before(labels)
    if found is None:
        return ""
    many = found.missing > 1
    return f"{found.missing} step{'s are' if many else ' is'} missing between {found.after} and {found.before} (step so far {found.step})"


@dataclass(frozen=True, slots=True, kw_only=True)
class GapBefore:
    """Steps that are missing between a target's labels and a slice's."""

    missing: int
    """Number of missing steps."""
    after: str
    """The target's last label."""
    before: str
    """The slice's first label."""
    step: str
    """The step so far, as text."""


def gap_before(labels: Labels) -> GapBefore | None:
    """Return the steps missing between the target's labels and the slice's; None if none are known.

    The step is the difference between the target's last two labels. None is returned if the labels
    of the slice have another step.
    """
    old, new = labels.old, labels.new
    line = [*old.values[-2:], *new.values]
    if not labels.jumps or not all(isinstance(v, int | float | Fraction) and abs(v) != float("inf") for v in line):
        return None
    line = [Fraction(value) for value in line]
    rounding = 2 * max(old.grain, new.grain)
    axis = new.encoding.axis
    months = None
    if new.kind == "times" and axis is not None and axis.calendar != "duration":
        months = _months(axis.calendar, line, rounding) if abs(line[1] - line[0]) >= _SHORTEST_MONTH else None
    points = line if months is None else [Fraction(month) for month in months]
    rounding = rounding if months is None else Fraction(0)
    step, jump, *inner = [b - a for a, b in pairwise(points)]
    steps = round(jump / step) if step else 0
    if steps <= 1 or abs(jump - steps * step) > rounding * steps:
        return None
    if any(abs(difference - step) > rounding for difference in inner):
        return None
    text = _length(step, rounding, is_time=new.kind == "times") if months is None else _months_text(int(step))
    after, before = between(new.encoding, old.stored[-1], new.stored[0])
    return GapBefore(missing=steps - 1, after=after, before=before, step=text)


def between(encoding: Encoding, before: Any, after: Any) -> tuple[str, str]:
    """Return two stored labels as text for display; only the days if both are at midnight."""
    a, b = format_instant(encoding, before), format_instant(encoding, after)
    days = day_of(a), day_of(b)
    return days if a != days[0] and b != days[1] else (a, b)


def _months_text(months: int) -> str:
    years, rest = divmod(abs(months), _YEAR)
    return _counted(abs(months), "month") if rest else _counted(years, "year")


def _length(step: Fraction, rounding: Fraction, *, is_time: bool) -> str:
    """Return a step as text for display, in the largest unit of which it is a whole number."""
    size = abs(step)
    if not is_time:
        return str(size.numerator) if size.denominator == 1 else f"{float(size):.9g}"
    for unit, seconds in UNITS.items():
        number = round(size / seconds)
        if number and abs(number * seconds - size) <= rounding:
            return _counted(number, unit.removesuffix("s"))
    return f"{float(size):.9g} seconds"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
