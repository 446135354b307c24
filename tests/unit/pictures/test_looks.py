"""Text that fits: no line is too long, nothing is lost, colours go on in the next line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapz.pictures import numbers
from zapz.pictures.look import SYMBOLS, Look, columns, fold, ljust
from zapz.pictures.table import NARROW, as_list, table

WORDS = st.text(st.characters(codec="utf-8"), max_size=60)
WIDTHS = st.integers(40, 160)
RED = "\x1b[31m{}\x1b[0m"


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@given(WORDS, WIDTHS, st.booleans(), st.booleans())
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int, symbols: bool, painted: bool) -> None:
    look = Look(width=width, symbols=symbols, colours=256 if painted else 0)
    shown = look.text(text)
    lines = look.wrapped(look.paint(shown, "bad"), "name  ", "      ")
    assert max(map(columns, lines)) <= width
    assert plain("".join(lines)).replace(" ", "") == f"name{shown}".replace(" ", "")
    for line in lines:  # no colour is left on at an end of a line
        assert not re.findall(r"\x1b\[[0-9;]*m", line) or line.rstrip().endswith("\x1b[0m")
    assert Look().wrapped(shown, "name  ") == [f"name  {shown}".rstrip()]


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.integers(4, 60))
def test_shortened_text_fits(text: str, width: int) -> None:
    for symbols in (True, False):
        look = Look(symbols=symbols)
        shown = look.text(text)
        short = look.shortened(shown, width)
        assert columns(short) <= width
        assert (short == shown) is (columns(shown) <= width)
    assert Look().shortened("a" * 500, None) == "a" * 500


def test_columns() -> None:
    assert columns(RED.format("ab")) == 2
    assert columns("日本") == 4
    assert columns("e\u0301") == 1
    assert ljust(RED.format("ab"), 4) == RED.format("ab") + "  "
    assert list(fold("one two three", 7, 5)) == ["one two", "three"]
    assert list(fold(RED.format("abcd"), 2, 2)) == [RED.format("ab"), RED.format("cd")]


def test_what_a_medium_lacks() -> None:
    assert (
        Look(symbols=False).text(f"a → b × c {SYMBOLS}").isascii() is False
    )  # half blocks are drawn with symbols only
    assert Look(symbols=False).text(SYMBOLS.replace("▀", "")).isascii()
    assert Look().text("a\tb\x1b[31m\n\u202e") == "a?b?[31m??"
    assert Look().paint("a", "bad") == "a"
    assert Look(colours=256).paint("a", "bad") == RED.format("a")
    assert Look(colours=256).paint("", "bad") == ""


CELLS = st.lists(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=70), min_size=4, max_size=4), min_size=1, max_size=5
)


@given(CELLS, WIDTHS, st.integers(0, 12), st.integers(0, 2**24))
def test_tables_fit(cells: list[list[str]], width: int, indent: int, colours: int) -> None:
    """At any width from 40 columns on; every character of every cell is there."""
    look = Look(width=width, colours=colours)
    shown = [[look.text(cell) for cell in row] for row in cells]
    lines = table(("variable", "dims", "stored as", "units"), shown, look, indent)
    assert max(map(columns, lines), default=0) <= width
    there = plain("".join(lines))
    for cell in (cell for row in shown for cell in row):
        for word in cell.split():
            for character in word:
                assert character in there


def test_a_table() -> None:
    rows = [("sst", "time lat lon", "", "degC"), ("time", "time", "", "days since 2024-01-01")]
    assert table(("variable", "dims", "codec", "units"), rows, Look()) == [
        "variable  dims          units",
        "sst       time lat lon  degC",
        "time      time          days since 2024-01-01",
    ]
    assert table(("variable", "dims", "codec", "units"), rows, Look(width=40)) == [
        "sst",
        "  dims   time lat lon",
        "  units  degC",
        "time",
        "  dims   time",
        "  units  days since 2024-01-01",
    ]
    assert table(("a", "b"), [("", "")], Look()) == []
    for width in (NARROW - 1, NARROW):
        found = table(("variable", "dims"), [("sst", "time")], Look(width=width))
        assert (found == as_list(("variable", "dims"), [("sst", "time")], Look(width=width))) is (width < NARROW)
    wide = [("x" * 10, "some words that are wrapped where they do not fit", "1", "2")]
    assert table(("a", "b", "c", "d"), wide, Look(width=60))[1:] == [
        "xxxxxxxxxx  some words that are wrapped where they do  1  2",
        "            not fit",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (48_600, "48.6 kB"), (2.5e6, "2.5 MB"), (7e15, "7000.0 TB")],
)
def test_sizes(number: float, text: str) -> None:
    assert numbers.size(number) == text
    assert numbers.count(1, "chunk") == "1 chunk"
    assert numbers.count(1024, "chunk") == "1,024 chunks"
