"""Times as text, read exactly in any CF calendar; without a time zone they are UTC. Pure."""

from __future__ import annotations

import datetime as dt
import re
from fractions import Fraction

from zapz.cf import calendars
from zapz.errors import EncodingError

_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)(?:[T ]?(\d\d)(\d\d)(?:(\d\d)([.]\d+)?)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
"""ISO 8601 without hyphens and colons."""


def instant_of(text: str, style: str | None, calendar: str) -> Fraction | None:
    """Return the instant of a time given as text.

    Args:
        text: The time.
        style: Format of the text as in ``datetime.strptime``; None for ISO 8601, with or without
            hyphens and colons.
        calendar: Name of a calendar, a key of ``calendars.CALENDARS``.

    Returns:
        Seconds since 1970-01-01T00:00:00 of the calendar. None if the text does not have this
        format, or is not a time of the calendar.
    """
    try:
        if style is not None:
            return _styled(text.strip(), style, calendar)
        axis = calendars.parse_axis(f"seconds since {_extended(text.strip())}", calendar)
    except (EncodingError, ValueError, OverflowError):
        return None
    return None if axis is None or axis.opaque else axis.origin


def _styled(text: str, style: str, calendar: str) -> Fraction:
    read = dt.datetime.strptime(text, style)  # noqa: DTZ007 - a time zone is honoured below
    if read.tzinfo is not None:
        read = read.astimezone(dt.UTC)
    days = calendars.days_of(calendar, read.year, read.month, read.day)
    seconds = ((days * 24 + read.hour) * 60 + read.minute) * 60 + read.second
    return seconds + Fraction(read.microsecond, 10**6)


def _extended(text: str) -> str:
    """Return a time with hyphens and colons."""
    match = _BASIC.fullmatch(text)
    if match is None:
        return text
    year, month, day, hour, minute, second, fraction, zone = match.groups(default="")
    clock = f"T{hour}:{minute}" + (f":{second}{fraction}" if second else "") if hour else ""
    return f"{year}-{month}-{day}{clock}{zone if clock else ''}"
