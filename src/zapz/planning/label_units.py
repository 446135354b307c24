"""Units of a new target's times that also suit later labels. Pure.

Software that writes a time series step by step often stores a single label as 0 in the longest
possible unit: "days since" the label itself. As the units of a series, they would refuse every
label that is not a whole number of days later.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from zapz.cf.calendars import UNITS, parse_axis, reference_of, unit_of

_SECOND = UNITS["seconds"]


def units_to_come(units: str, calendar: str, values: Sequence[Fraction]) -> str | None:
    """Return finer units for the times of a first slice, or None to keep its units.

    Args:
        units: Units of the times: "<unit> since <date>", or the unit of durations.
        calendar: Calendar of the times; "duration" for durations.
        values: The times, in seconds since 1970-01-01 of the calendar, or durations in seconds; not
            empty.

    Returns:
        Seconds since the same date (finer units if the times have fractions of seconds), or
        "seconds". None if the units seem chosen: they do not count from the first time, are finer
        than the times need, or are units with which zapz does not compute (months, years).

    Raises:
        EncodingError: The date or the calendar is invalid.
    """
    if calendar == "duration":
        natural = next(
            unit for unit, length in UNITS.items() if all((value / length).denominator == 1 for value in values)
        )
        return "seconds" if unit_of(units) == natural and UNITS[natural] > _SECOND else None
    axis = parse_axis(units, calendar)
    if axis is None or axis.opaque or axis.step <= _SECOND or axis.origin != values[0]:
        return None
    finer = (unit for unit, length in UNITS.items() if length <= _SECOND and (axis.origin / length).denominator == 1)
    return f"{next(finer, 'nanoseconds')} since {reference_of(units)}"
