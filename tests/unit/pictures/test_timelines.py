"""Timelines: each missing step is seen, at any width; marks above them do not overlap."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapz.cf.encoding import Encoding
from zapz.operations.info_words import stretches
from zapz.operations.label_gaps import steps_of
from zapz.pictures import scale, timeline
from zapz.pictures.look import Look, columns
from zapz.pictures.timeline import Stretch

DAYS = Encoding(dtype=np.dtype("i8"), units="days since 2020-01-01", calendar="standard")


@st.composite
def present(draw: st.DrawFn) -> list[bool]:
    """Return which steps are there: runs, most of which are; the first and the last step are."""
    runs = draw(st.lists(st.tuples(st.integers(30, 400), st.integers(1, 25)), min_size=1, max_size=8))
    found: list[bool] = []
    for there, gone in runs:
        found += [True] * there + [False] * gone
    return [*found, True, True]


@given(present(), st.integers(40, 200), st.booleans())
def test_every_missing_step_is_visible(there: list[bool], width: int, symbols: bool) -> None:
    """And nothing else is marked: a cell is full if, and only if, all of its steps are there."""
    steps = steps_of(DAYS, np.flatnonzero(there))
    found = stretches(steps)
    assert sum(each.steps for each in found) == len(there)
    lines = timeline.draw(found, Look(width=width, symbols=symbols), 6)
    assert max(map(columns, lines)) <= width
    row = lines[1][6:]
    cells = timeline.cells(found, width - 6)
    wide = len(row) // len(cells)
    full, part, gone = "█▄░" if symbols else "#+."
    start = 0
    for cell, sign in zip(cells, row[::wide], strict=True):
        inside = there[start : start + cell.steps]
        assert sign == (full if all(inside) else part if any(inside) else gone)
        start += cell.steps
    assert start == len(there)
    assert len(lines) >= 3 if not all(there) else len(lines) == 2


@given(present())
def test_the_svg_has_every_missing_step(there: list[bool]) -> None:
    found = stretches(steps_of(DAYS, np.flatnonzero(there)))
    root = ET.fromstring(timeline.timeline_svg(found, "time <&>"))
    rects = root.findall("rect")
    titles = [rect.findtext("title") or "" for rect in rects]
    assert all(title.endswith(" missing") for title in titles)
    gone = [title for title in titles if not title.endswith(", none missing")]
    assert sum(int(title.split(", ")[1].split(" missing")[0]) for title in gone) == there.count(False)
    assert all(
        rect.get("class") == "zapz-there"
        for rect, title in zip(rects, titles, strict=True)
        if title.endswith(", none missing")
    )
    edges = sorted((float(rect.get("x") or 0), float(rect.get("width") or 0)) for rect in rects)
    assert all(a + width >= b for (a, width), (b, _) in pairwise(edges))
    assert bool(timeline.timeline_legend(found)) is (False in there)


def test_gaps_that_lie_in_one_cell_or_in_several() -> None:
    found = [Stretch(f"2024-01-{day:02d}", 1, int(day in {3, 4, 5, 9})) for day in range(1, 11)]
    assert timeline.draw(found, Look(width=10)) == ["2024-01-01", "██░░░███░█", "█ present", "░ missing"]
    assert timeline.draw(found, Look(width=20), 0)[1] == "████░░░░░░██████░░██"
    assert timeline.draw(found, Look(width=6), 0)[1] == "█░▄█▄"
    assert timeline.draw([], Look(width=40)) == []
    painted = timeline.draw(found, Look(width=10, colours=256))[1]
    assert painted.startswith("\x1b[32m█\x1b[0m")
    assert "\x1b[31m░\x1b[0m" in painted


LABELS = st.tuples(
    st.integers(1, 400), st.sampled_from([1 / 24, 0.25, 1, 5, 30, 365]), st.integers(0, 4000), st.integers(1, 12)
)


@given(LABELS, st.integers(20, 160))
def test_marks_do_not_overlap(case: tuple[int, float, int, int], width: int) -> None:
    number, step, start, together = case
    first = dt.datetime.fromisoformat("2000-01-01") + dt.timedelta(days=start)
    labels = [(first + dt.timedelta(days=step * i * together)).isoformat() for i in range(min(number, width))]
    found = scale.marks(labels)
    assert found[0].place == 0
    for a, b in pairwise(found):
        assert a.place + len(a.text) < b.place < len(labels)
    for mark in found[1:]:  # what a mark says is true of its cell
        date = dt.datetime.fromisoformat(labels[mark.place])
        assert mark.text in {f"{date.year}", f"{date:%b}", f"{date.day:02d}", f"{date.hour:02d}h"}


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([f"{year}-01-01" for year in range(1990, 2020)], "1990      2000      2010"),
        (
            [f"2024-{month:02d}-01" for month in range(1, 13) for _ in range(6)],
            "2024-01-01  Mar   Apr   May   Jun   Jul   Aug   Sep   Oct   Nov   Dec",
        ),
        (
            [f"2024-01-01T{hour:02d}:00:00" for hour in range(24) for _ in range(3)],
            "2024-01-01        06h      09h      12h      15h      18h      21h",
        ),
        ([str(number) for number in range(12)], "0   4   8"),
        (["a"], "a"),
        ([], ""),
    ],
)
def test_scales(labels: list[str], line: str) -> None:
    assert scale.line(labels) == line
