"""Marks above a row of cells: at the beginning of years, months, days, hours, or evenly spaced.

::

    2023        Apr         Jul         Oct         2024        Apr
    ████████████████████████████████████████████████████████████████
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

_DATE = re.compile(r"(-?\d{4,})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d).*)?")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GAP = 2
"""Minimum number of columns between two marks."""


class Mark(NamedTuple):
    """One mark."""

    place: int
    """Index of the cell above which it begins."""
    text: str
    """Its text."""


class _Date(NamedTuple):
    year: int
    month: int
    day: int
    hour: int


_YEARS, _MONTH_STEPS, _DAYS, _HOURS = (1, 2, 5, 10, 20, 50, 100, 200, 500), (1, 3, 6), (1, 5, 10, 15), (1, 3, 6, 12)


def marks(labels: Sequence[str]) -> list[Mark]:
    """Return marks of cells that do not overlap; the first cell always has one.

    Args:
        labels: The first label of each cell, as text: ISO 8601 dates, or anything else.
    """
    dates = [_date(label) for label in labels]
    found = [date for date in dates if date is not None]
    if len(found) < len(dates) or not found:
        return _evenly(labels)
    for kind, steps in (("hour", _HOURS), ("day", _DAYS), ("month", _MONTH_STEPS), ("year", _YEARS)):
        for step in steps:
            made = list(_begun(found, kind, step))
            if made and _fit(made, len(labels)):
                return _with_first(made, found[0], kind)
    return [Mark(0, _first(found[0], "year"))]


def line(labels: Sequence[str]) -> str:
    """Return the marks of cells as a line of text, one column per cell."""
    text = ""
    for mark in marks(labels):
        text = f"{text.ljust(mark.place)}{mark.text}"
    return text


def _date(label: str) -> _Date | None:
    found = _DATE.fullmatch(label)
    return None if found is None else _Date(*(int(part or 0) for part in found.groups()[:4]))


def _begun(dates: Sequence[_Date], kind: str, step: int) -> Iterator[Mark]:
    """Yield a mark per cell in which a period of ``step`` years, months, days or hours begins."""
    period = _PERIODS[kind]
    for place, (before, date) in enumerate(pairwise(dates), start=1):
        if period(date, step) != period(before, step):
            yield Mark(place, _text(before, date))


_PERIODS: dict[str, Callable[[_Date, int], tuple[int, ...]]] = {
    "year": lambda date, step: (date.year // step,),
    "month": lambda date, step: (date.year, (date.month - 1) // step),
    "day": lambda date, step: (
        date.year,
        date.month,
        min((date.day - 1) // step, 30 // step - 1),
    ),  # no period begins on the 31st: the 1st is next to it
    "hour": lambda date, step: (*date[:3], date.hour // step),
}


def _text(before: _Date, date: _Date) -> str:
    """Return the text of a mark: the largest part of the date that differs from the cell before."""
    if date.year != before.year:
        return str(date.year)
    if date.month != before.month:
        return _MONTHS[date.month - 1] if 1 <= date.month <= len(_MONTHS) else f"{date.month:02d}"
    if date.day != before.day:
        return f"{date.day:02d}"
    return f"{date.hour:02d}h"


def _fit(found: Sequence[Mark], cells: int) -> bool:
    """Return whether marks do not overlap, and the last one ends within the row of cells."""
    gaps = all(b.place - a.place >= len(a.text) + _GAP for a, b in pairwise(found))
    return gaps and found[-1].place + len(found[-1].text) <= cells


def _with_first(found: list[Mark], date: _Date, kind: str) -> list[Mark]:
    """Return marks with the full date at the first cell, without marks that it would cover."""
    first = Mark(0, _first(date, kind))
    rest = [mark for mark in found if mark.place >= len(first.text) + _GAP]
    return [first, *rest]


def _first(date: _Date, kind: str) -> str:
    texts = {"year": f"{date.year}", "month": f"{date.year}-{date.month:02d}"}
    return texts.get(kind, f"{date.year}-{date.month:02d}-{date.day:02d}")


def _evenly(labels: Sequence[str]) -> list[Mark]:
    """Return evenly spaced marks, as many as fit."""
    if not labels:
        return []
    step = max(map(len, labels)) + _GAP
    return [
        Mark(place, labels[place])
        for place in range(0, len(labels), step)
        if not place or place + len(labels[place]) <= len(labels)
    ]
