"""Steps between labels as text or numbers: ``"+"``, 0.5, ``"12h"``, ``"PT1H"``, ``"-P1M"``. Pure.

Durations are those of ISO 8601, or a number with a unit. A month has no fixed length, so a duration
counts either months or seconds, never both::

    "P1Y2M" -> 14 months        "P1DT12H", "36h" -> 129600 s        "P1M1D" -> refused
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, NoReturn, TypeAlias

from zapz.cf.calendars import DAY, NUMPY_UNITS, UNITS
from zapz.errors import ConfigError

_LONGEST: Final = 64
"""Maximum length of a step, in characters. A longer text is a mistake."""
_SHORT: Final = re.compile(r"([+-]?)([0-9]*(?:\.[0-9]+)?)(ns|us|ms|s|min|m|h|H|d|D|W)")
_ISO: Final = re.compile(
    r"([+-]?)P(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:(N)W)?(?:(N)D)?(?:T(?=[0-9])(?:(N)H)?(?:(N)M)?(?:(N)S)?)?".replace(
        "N", r"[0-9]+(?:[.,][0-9]+)?"
    )
)
_SECONDS: Final = {symbol: UNITS[unit] for symbol, unit in NUMPY_UNITS.items()} | {
    "min": UNITS["minutes"],
    "H": UNITS["hours"],
    "d": UNITS["days"],
    "W": 7 * UNITS["days"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A length of time, in months or in seconds."""

    months: int = 0
    """Number of calendar months; negative for backwards."""
    seconds: Fraction = Fraction(0)
    """Number of seconds, negative for backwards; 0 if the duration counts months."""
    text: str
    """The duration as written by the user."""


Step: TypeAlias = Duration | Fraction | str
"""A duration, a number in the units of the labels, or "+" or "-"."""


def check_step(value: Any) -> None:
    """Check a value of ``append_step``, as far as that is possible without labels.

    Raises:
        ConfigError: The value is not a step.
    """
    parse_step(value)


def parse_step(value: Any) -> Step:
    """Return a value of ``append_step`` as a step.

    Args:
        value: A number other than 0; "+" or "-"; a number with a unit, such as "12h"; or an ISO
            8601 duration, with or without a sign.

    Raises:
        ConfigError: The value is not a step.
    """
    if isinstance(value, str):
        text = value.strip()
        return text if text in {"+", "-"} else _duration(text)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or not value:
        _refuse(value)
    return Fraction(value)


def iso_of(seconds: Fraction) -> str:
    """Return seconds as an ISO 8601 duration, in days to seconds, rounded to nanoseconds."""
    whole, nanoseconds = divmod(round(abs(seconds) * 10**9), 10**9)
    fraction = f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""
    hours, minutes, rest = whole // 3600 % 24, whole // 60 % 60, whole % 60
    days = f"{whole // DAY}D" if whole >= DAY else ""
    clock = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n)
    clock += f"{rest}{fraction}S" if rest or fraction or not (days or clock) else ""
    sign = "-" if seconds < 0 and (whole or nanoseconds) else ""
    return f"{sign}P{days}{'T' if clock else ''}{clock}"


def _duration(text: str) -> Duration:
    if len(text) > _LONGEST:
        _refuse(f"{text[:_LONGEST]}...")
    if match := _SHORT.fullmatch(text):
        return _signed(text, match[1], seconds=Fraction(match[2] or 1) * _SECONDS[match[3]])
    match = _ISO.fullmatch(text)
    if match is None:
        _refuse(text)
    sign, years, months, *parts = match.groups()
    numbers = [part and part.replace(",", ".") for part in parts]
    written = [number for number in numbers if number]
    if any("." in number for number in written[:-1]):
        _refuse(text, "a fraction in the last number only")
    if (years or months) and written:
        _refuse(text, "either years and months, or weeks to seconds: a month has no fixed length")
    units = ("W", "D", "h", "min", "s")
    seconds = sum(Fraction(number) * _SECONDS[unit] for number, unit in zip(numbers, units, strict=True) if number)
    return _signed(text, sign, months=12 * int(years or 0) + int(months or 0), seconds=Fraction(seconds))


def _signed(text: str, sign: str, *, months: int = 0, seconds: Fraction) -> Duration:
    if not months and not seconds:
        _refuse(text)
    way = -1 if sign == "-" else 1
    return Duration(months=way * months, seconds=way * seconds, text=text)


class DurationError(ConfigError):
    """The value looks like a duration, but breaks the rule of durations in ``expected``."""


def _refuse(value: object, expected: str = "") -> NoReturn:
    any_step = 'a number other than 0, "+", "-", or a duration such as "12h", "-1D", "PT1H" or "P1M"'
    kind = DurationError if expected else ConfigError
    raise kind(
        "invalid append_step",
        where="append_step",
        expected=expected or any_step,
        found=repr(value),
        hint="Correct the setting, or remove it to allow gaps.",
    )
