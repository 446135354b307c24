"""Chunk grids: all chunks are drawn or counted, and kinds are told apart without colours."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapz.pictures import chunk_grid
from zapz.pictures.chunk_grid import ChunkGrid, Kind
from zapz.pictures.look import Look, columns

KINDS: tuple[Kind, ...] = ("copied", "joined", "encoded", "boundary", "empty")
SIGNS = dict(zip(KINDS, "■▤▣◧∙", strict=True))
ASCII = dict(zip(KINDS, "#seb.", strict=True))
RUNS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 30)), min_size=1, max_size=6)


@given(RUNS, st.booleans())
def test_each_chunk_is_drawn_or_counted(runs: list[tuple[Kind, int]], symbols: bool) -> None:
    signs = SIGNS if symbols else ASCII
    text = chunk_grid.symbols(runs, Look(symbols=symbols))
    total = sum(number for _, number in runs)
    if total <= 48:
        assert text == "".join(signs[kind] * number for kind, number in runs)
    else:
        times = "×" if symbols else "x"
        for kind, number in chunk_grid.counted(runs).items():
            assert f"{signs[kind]} {times} {number:,}" in text


def test_many_chunks_are_counted() -> None:
    assert chunk_grid.symbols([("copied", 412)], Look()) == "■ × 412"
    assert chunk_grid.symbols([("copied", 1200), ("boundary", 3)], Look()) == "■ × 1,200  ◧ × 3"
    assert chunk_grid.symbols([("copied", 4)], Look(), 3) == "■ × 4"
    assert chunk_grid.symbols([], Look()) == ""
    assert chunk_grid.symbols([("copied", 2), ("empty", 1)], Look(colours=256)) == "\x1b[32m■■\x1b[0m\x1b[2m∙\x1b[0m"


@pytest.mark.parametrize("width", [None, 40, 60, 100, 200])
def test_the_legend_fits(width: int | None) -> None:
    lines = chunk_grid.legend(["empty", "copied", "boundary"], Look(width=width))
    assert [re.sub(r"\s+", " ", line) for line in lines] == (
        ["■ copied byte for byte", "◧ boundary chunk, rewritten", "∙ empty: reads as the fill value"]
        if width in {40, 60}
        else ["■ copied byte for byte ◧ boundary chunk, rewritten ∙ empty: reads as the fill value"]
    )
    assert width is None or max(map(columns, lines)) <= width
    assert chunk_grid.legend([], Look(width=width)) == []


@given(st.integers(0, 9), st.integers(1, 12), st.integers(1, 40), st.sampled_from(KINDS))
def test_the_svg_draws_or_counts_each_chunk(old: int, rows: int, new: int, kind: Kind) -> None:
    grid = ChunkGrid(old=old, rows=rows, runs=[("boundary", rows), (kind, rows * (new - 1))])
    assert grid.total == rows * new
    assert grid.kind(0) == "boundary"
    root = ET.fromstring(chunk_grid.grid_svg(grid, "chunks of a"))
    boxes = [g.find("rect") for g in root.findall("g")]
    texts = " ".join(text.text or "" for text in root.findall("text"))
    drawn = {
        name: sum(box is not None and box.get("class") == f"zapz-{name}" for box in boxes)
        for name in ("old", "boundary", kind)
    }
    shown_rows = min(rows, 8)
    before = re.search(r"(\d+) more …", texts)
    after = re.search(r"… (\d+) more", texts)
    assert drawn["old"] / shown_rows + int(before[1] if before else 0) == old
    columns_drawn = sum(drawn[name] for name in {"boundary", kind}) / shown_rows
    assert columns_drawn + int(after[1] if after else 0) == new
    assert (f"{rows} chunks in each column" in texts) is (rows > 8)
    x, y, width, height = map(float, (root.get("viewBox") or "").split())
    for box in boxes:
        assert box is not None
        assert x <= float(box.get("x") or 0) <= width - float(box.get("width") or 0)
        assert y <= float(box.get("y") or 0) <= height - float(box.get("height") or 0)


def test_kinds_differ_in_form() -> None:
    """Not only in colour."""
    forms = set()
    for kind in KINDS:
        (group,) = ET.fromstring(chunk_grid.grid_svg(ChunkGrid(old=0, rows=1, runs=[(kind, 1)]), "a")).findall("g")
        forms.add((tuple(each.tag + (each.get("d") or "") for each in group if each.tag != "title"), kind == "empty"))
    assert len(forms) == len(KINDS)
    legend = ET.fromstring(chunk_grid.html_legend(KINDS))
    assert [each.get("class") for each in legend] == ["zapz-key"] * 6
    with pytest.raises(IndexError):
        ChunkGrid(old=0, rows=1, runs=[("copied", 1)]).kind(1)
