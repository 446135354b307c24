"""Time axes of the CF conventions: "<unit> since <date>" in any calendar, in exact seconds.

Sections 4.4 (time coordinate) and 4.4.1 (calendar) of the CF conventions. A calendar is a way to
count days. Every date becomes seconds on the day count of its calendar, and every stored label an
exact fraction of seconds::

    instant = origin + label * step        "hours since 1970-01-02"  ->  step 3600 s, origin 86400 s

The three calendars of real time (standard, proleptic_gregorian, julian) share one day count, so an
instant has the same number of seconds in each. Each model calendar (noleap, all_leap, 360_day) has
its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from zapz.errors import EncodingError

DAY: Final = 86400
"""Seconds per day."""

CALENDARS: Final = {
    "standard": "standard",
    "gregorian": "standard",
    "proleptic_gregorian": "proleptic_gregorian",
    "julian": "julian",
    "noleap": "noleap",
    "365_day": "noleap",
    "all_leap": "all_leap",
    "366_day": "all_leap",
    "360_day": "360_day",
}
"""Accepted calendar attributes (lower case), and the name that zapz uses for each (CF section
4.4.1)."""

UNITS: Final = {
    "days": Fraction(DAY),
    "hours": Fraction(3600),
    "minutes": Fraction(60),
    "seconds": Fraction(1),
    "milliseconds": Fraction(1, 10**3),
    "microseconds": Fraction(1, 10**6),
    "nanoseconds": Fraction(1, 10**9),
}
"""Units of fixed length, the longest first, in seconds."""
NUMPY_UNITS: Final = {
    "D": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
"""Units of NumPy's time types, by symbol."""

GREGORIAN_START: Final = (1582, 10, 15)
"""First Gregorian day of the mixed calendar. The day before it is 1582-10-04."""

_ALIASES: Final = {
    "days": "days day d",
    "hours": "hours hour hrs hr h",
    "minutes": "minutes minute mins min",
    "seconds": "seconds second secs sec s",
    "milliseconds": "milliseconds millisecond millisecs millisec msecs msec ms",
    "microseconds": "microseconds microsecond microsecs microsec usecs usec us \N{MICRO SIGN}s",
    "nanoseconds": "nanoseconds nanosecond nanosecs nanosec nsecs nsec ns",
}
_STEPS: Final = {alias: UNITS[unit] for unit, text in _ALIASES.items() for alias in text.split()} | {
    "week": Fraction(7 * DAY),
    "weeks": Fraction(7 * DAY),
}
_NAMES: Final = {alias: unit for unit, text in _ALIASES.items() for alias in text.split()}
_SYMBOL: Final = 4  # characters of the longest symbol, "msec"
_INDEFINITE: Final = frozenset("month months year years common_year common_years yr yrs".split())  # noqa: SIM905

_SINCE: Final = re.compile(r"\s*(\S+)\s+since\s+(.*?)\s*", re.IGNORECASE | re.DOTALL)
_DATE: Final = re.compile(
    r"(?P<year>[+-]?\d{1,6})-(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?"
    r"(?:(?:\s+|[Tt])(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2}(?:\.\d*)?))?)?)?"
    r"(?:\s*(?:[Zz]|UTC|utc|GMT|(?P<sign>[+-])(?P<zone_hour>[01]?\d)(?::?(?P<zone_minute>[0-5]\d))?))?",
    re.ASCII,
)
_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NO_YEAR_ZERO: Final = frozenset(("standard", "julian"))
_MAX_HOUR, _MAX_MINUTE, _MAX_SECOND = 23, 59, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One way to count time. In two equal axes, a label is the same instant (CF section 4.4)."""

    step: Fraction
    """Seconds per unit; 0 if ``opaque``."""
    origin: Fraction
    """Instant of label 0, in seconds since 1970-01-01T00:00:00 of ``calendar``; 0 for durations,
    and if ``opaque``."""
    calendar: str
    """Name of the calendar, a value of ``CALENDARS``; "duration" for durations."""
    opaque: str = ""
    """Text of units with which zapz does not compute (months, years, ambiguous dates); such an axis
    is equal only to itself."""


@lru_cache(maxsize=256)
def parse_axis(units: str, calendar: str) -> Axis | None:
    """Read time units and calendar (CF sections 4.4 and 4.4.1).

    Args:
        units: The attribute ``units``.
        calendar: The attribute ``calendar``, any accepted name.

    Returns:
        The axis, or None if the units are not of the form "<unit> since <date>".

    Raises:
        EncodingError: The units are time units, but the date or the calendar is invalid.
    """
    match = _SINCE.fullmatch(units)
    if match is None:
        return None
    unit, date = match[1].lower(), match[2]
    if unit not in _STEPS and unit not in _INDEFINITE:
        return None
    name = calendar_name(calendar)
    origin = _parse_date(date, name)
    if unit in _INDEFINITE or origin is None:
        return Axis(step=Fraction(0), origin=Fraction(0), calendar=name, opaque=units.strip())
    return Axis(step=_STEPS[unit], origin=origin, calendar=name)


def calendar_name(calendar: str) -> str:
    """Return the name that zapz uses for a calendar attribute (CF section 4.4.1).

    Raises:
        EncodingError: The calendar is unknown.
    """
    name = CALENDARS.get(calendar.strip().lower())
    if name is None:
        known = ", ".join(CALENDARS)
        raise _invalid(what="unknown calendar", expected=f"one of {known}", found=repr(calendar))
    return name


def unit_of(units: str | None) -> str | None:
    """Return the name in ``UNITS`` of a unit of time ("h" is hours); else None.

    Symbols are case-sensitive: "S" is siemens, not seconds.
    """
    text = "" if units is None else units.strip()
    return _NAMES.get(text.lower() if len(text) > _SYMBOL else text)


def reference_of(units: str) -> str:
    """Return the reference date in time units as written (CF section 4.4); "" if there is none."""
    match = _SINCE.fullmatch(units)
    return match[2] if match else ""


def days_of(calendar: str, year: int, month: int, day: int) -> int:
    """Return the number of days from 1970-01-01 to a date (CF section 4.4.1).

    Args:
        calendar: Name of a calendar, a value of ``CALENDARS``.
        year: Astronomical year: the year before 1 is 0.
        month: 1 to 12.
        day: 1 to the length of the month.

    Raises:
        EncodingError: The calendar has no such date.
    """
    rule = _rule(calendar, (year, month, day))
    gap = calendar == "standard" and (1582, 10, 5) <= (year, month, day) < GREGORIAN_START
    if not 1 <= month <= len(_MONTHS) or not 1 <= day <= _month_length(rule, year, month) or gap:
        expected = f"a date of the {calendar} calendar"
        raise _invalid(what="no such date", expected=expected, found=f"{year}-{month}-{day}")
    whole = sum(_month_length(rule, year, earlier) for earlier in range(1, month))
    return _days_before(rule, year) + whole + day - 1 - _epoch(rule)


def date_of(calendar: str, days: int) -> tuple[int, int, int]:
    """Return the astronomical year, month and day of a number of days since 1970-01-01.

    Inverse of ``days_of``.
    """
    rule = calendar
    if calendar == "standard":
        rule = "proleptic_gregorian" if days >= days_of("proleptic_gregorian", *GREGORIAN_START) else "julian"
    count = days + _epoch(rule)
    first = _days_before(rule, 1)
    year = (count - first) * 400 // (_days_before(rule, 401) - first) + 1  # exact to a year, however far away
    while _days_before(rule, year) > count:
        year -= 1
    while _days_before(rule, year + 1) <= count:
        year += 1
    rest, month = count - _days_before(rule, year), 1
    while rest >= _month_length(rule, year, month):
        rest -= _month_length(rule, year, month)
        month += 1
    return year, month, rest + 1


def months_after(calendar: str, seconds: Fraction, months: int) -> Fraction | None:
    """Return the same day and time in another month; None if that month has no such day.

    Args:
        calendar: Name of a calendar, a value of ``CALENDARS``.
        seconds: Seconds since 1970-01-01T00:00:00 of the calendar.
        months: Number of calendar months to add; negative to subtract.
    """
    days, clock = divmod(seconds, DAY)
    year, month, day = date_of(calendar, days)
    try:
        return days_of(calendar, *_month_after(year, month, months), day) * DAY + clock
    except EncodingError:
        return None


def month_end_after(calendar: str, seconds: Fraction, months: int) -> Fraction | None:
    """Return the same time on the last day of another month.

    Args:
        calendar: Name of a calendar, a value of ``CALENDARS``.
        seconds: Seconds since 1970-01-01T00:00:00 of the calendar.
        months: Number of calendar months to add; negative to subtract.

    Returns:
        Seconds in the same count; None if ``seconds`` is not on the last day of its month.
    """
    days, clock = divmod(seconds, DAY)
    year, month, _ = date_of(calendar, days)
    first, other = (days_of(calendar, *_month_after(year, month, step), 1) for step in (1, months + 1))
    return (other - 1) * DAY + clock if first == days + 1 else None


def format_seconds(calendar: str, seconds: Fraction, digits: int = 9) -> str:
    """Return an instant as ISO 8601 text, with its seconds rounded to ``digits`` decimals.

    Args:
        calendar: Name of a calendar, a value of ``CALENDARS``.
        seconds: Seconds since 1970-01-01T00:00:00 of the calendar.
        digits: Decimals of the seconds; trailing zeros are left out.
    """
    unit = 10**digits
    whole, fraction = divmod(round(seconds * unit), unit)
    days, rest = divmod(whole, DAY)
    year, month, day = date_of(calendar, days)
    if calendar in _NO_YEAR_ZERO and year <= 0:
        year -= 1
    sign = "-" if year < 0 else ""
    tail = f".{fraction:0{digits}d}".rstrip("0") if fraction else ""
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{tail}"
    return f"{sign}{abs(year):04d}-{month:02d}-{day:02d}T{clock}"


def _parse_date(text: str, calendar: str) -> Fraction | None:
    """Return the seconds of a reference date, or None if readers disagree about it.

    Readers disagree about a year 0 in a calendar without one, an hour without minutes, and a time
    zone without a time of day.
    """
    match = _DATE.fullmatch(text)
    clock = _clock(match) if match else None
    if match is None or clock is None:
        expected = 'a date such as "2000-01-01 00:00:00"'
        raise _invalid(what="invalid reference date", expected=expected, found=repr(text))
    year = int(match["year"])
    if calendar in _NO_YEAR_ZERO and year < 0:
        year += 1
    elif calendar in _NO_YEAR_ZERO and year == 0:
        return None
    days = days_of(calendar, year, int(match["month"]), int(match["day"] or 1))
    if match["minute"] is None and (match["hour"] or match["sign"]):
        return None
    zone = int(match["zone_hour"] or 0) * 3600 + int(match["zone_minute"] or 0) * 60
    return days * DAY + clock - (-zone if match["sign"] == "-" else zone)


def _clock(match: re.Match[str]) -> Fraction | None:
    """Return the seconds of the time of day; None if there is no such time."""
    hour, minute, second = int(match["hour"] or 0), int(match["minute"] or 0), Fraction(match["second"] or 0)
    glued = match["sign"] and not match["hour"] and not match.string[match.start("sign") - 1].isspace()  # 1-1-1990
    sound = hour <= _MAX_HOUR and minute <= _MAX_MINUTE and second < _MAX_SECOND and not glued
    return hour * 3600 + minute * 60 + second if sound else None


def _invalid(*, what: str, expected: str, found: str) -> EncodingError:
    return EncodingError(what, expected=expected, found=found, hint="Correct the attributes units and calendar.")


def _rule(calendar: str, date: tuple[int, int, int]) -> str:
    """Return the unmixed calendar that defines a date of ``calendar``."""
    if calendar != "standard":
        return calendar
    return "proleptic_gregorian" if date >= GREGORIAN_START else "julian"


def _leap(rule: str, year: int) -> bool:
    if rule == "julian":
        return year % 4 == 0
    if rule == "proleptic_gregorian":
        return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return rule == "all_leap"


def _month_length(rule: str, year: int, month: int) -> int:
    if rule == "360_day":
        return 30
    return 29 if month == 2 and _leap(rule, year) else _MONTHS[month - 1]  # noqa: PLR2004


def _month_after(year: int, month: int, months: int) -> tuple[int, int]:
    """Return year and month after adding months; every calendar has twelve months in a year."""
    years, rest = divmod(month - 1 + months, len(_MONTHS))
    return year + years, rest + 1


def _days_before(rule: str, year: int) -> int:
    """Return the days from 0001-01-01 (Gregorian, also for Julian) to the first day of ``year``."""
    past = year - 1
    if rule == "julian":
        return 365 * past + past // 4 - 2
    if rule == "proleptic_gregorian":
        return 365 * past + past // 4 - past // 100 + past // 400
    return past * {"noleap": 365, "all_leap": 366, "360_day": 360}[rule]


def _epoch(rule: str) -> int:
    """Return the days from 0001-01-01 to 1970-01-01; Julian counts from the Gregorian epoch."""
    return _days_before("proleptic_gregorian" if rule == "julian" else rule, 1970)
