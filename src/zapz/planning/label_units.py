"""Units that hold labels which are still to come. Pure.

Software that writes a time series one step at a time stores a single label as 0 in the coarsest
    unit there is: "days since" the label
itself. As the units of a series they would refuse everything that is not whole days later.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from zapz.cf.calendars import UNITS, parse_axis, reference_of, unit_of

_SECOND = UNITS["seconds"]


def units_to_come(units: str, calendar: str, values: Sequence[Fraction]) -> str | None:
    """Return finer units for the only times of a slice, if theirs say no more than what these times are.

    Args:
        units: Their units: "<unit> since <date>", or the unit of lengths of time.
        calendar: Their calendar; "duration" for lengths of time.
        values: The times, in seconds since 1970-01-01 of the calendar, or lengths in seconds; not
            empty.

    Returns:
        Seconds since the same date (finer ones if the times have fractions of seconds), or
        "seconds"; None if the units were chosen: they have an epoch of their own, are finer than
        these times need, or zapz does not compute with them (months, years).

    Raises:
        EncodingError: The date or the calendar means nothing.
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
