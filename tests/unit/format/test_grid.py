"""Laws of the regular chunk grid."""

from __future__ import annotations

from itertools import islice

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zapz.format.grid import (
    Box,
    RegularGrid,
    ceil_div,
    count,
    grouped,
    indices,
    intersect,
    ravel,
    shift,
    slices,
    touched,
    unravel,
)

LENGTHS = st.integers(1, 17)


@st.composite
def grids(draw: st.DrawFn, least: int = 0) -> RegularGrid:
    ndim = draw(st.integers(least, 3))
    return RegularGrid(
        shape=tuple(draw(st.integers(0, 12)) for _ in range(ndim)),
        chunks=tuple(draw(st.integers(1, 7)) for _ in range(ndim)),
    )


@settings(deadline=None, max_examples=100)
@given(grids())
def test_boxes_of_all_chunks_cover_the_shape_once(grid: RegularGrid) -> None:
    hits = np.zeros(grid.shape, dtype=int)
    for index in indices(tuple((0, n) for n in grid.counts)):
        hits[slices(grid.box(index))] += 1
    assert (hits == 1).all()


@settings(deadline=None, max_examples=100)
@given(grids(), st.data())
def test_covering_names_exactly_the_chunks_that_overlap(grid: RegularGrid, data: st.DataObject) -> None:
    box: list[tuple[int, int]] = []
    for n in grid.shape:
        a = data.draw(st.integers(0, max(0, n - 1)))
        box.append((a, data.draw(st.integers(min(a + 1, n), n))))
    wanted = tuple(box)
    named = set(indices(grid.covering(wanted))) if all(a < b for a, b in wanted) else set()
    overlapping = {
        i for i in indices(tuple((0, n) for n in grid.counts)) if not wanted or intersect(grid.box(i), wanted)
    }
    assert named == overlapping


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=4))
def test_ravel_is_the_place_in_c_order_and_unravel_undoes_it(pairs: list[tuple[int, int]]) -> None:
    spans = tuple((a, a + n) for a, n in pairs)
    everything = list(indices(spans))
    assert [ravel(index, spans) for index in everything] == list(range(len(everything)))
    assert [unravel(number, spans) for number in range(len(everything))] == everything


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 13))
def test_touched_chunks_are_those_that_hold_a_new_cell(old: int, more: int, chunk: int) -> None:
    span = touched(old, old + more, chunk)
    assert set(range(*span)) == {cell // chunk for cell in range(old, old + more)}


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), LENGTHS, LENGTHS, st.integers(0, 20)), max_size=3))
def test_grouped_yields_every_index_once(axes: list[tuple[int, int, int, int, int]]) -> None:
    spans: Box = tuple((a, a + n) for a, n, *_ in axes)
    target, source, origin = [tuple(axis[i] for axis in axes) for i in (2, 3, 4)]
    found = list(grouped(spans, target, source, origin))
    assert sorted(found) == list(indices(spans))
    assert len(found) == count(spans)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 30), st.integers(1, 40), LENGTHS, LENGTHS)
def test_grouped_needs_no_source_chunk_again_after_leaving_it(start: int, steps: int, target: int, source: int) -> None:
    """Along one axis every source chunk is under way for one contiguous run of target chunks."""
    order = [i for (i,) in grouped((touched(start, start + steps, target),), (target,), (source,), (start,))]
    assert order == sorted(order)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9)), max_size=4))
def test_shift_and_back_is_nothing(axes: list[tuple[int, int, int]]) -> None:
    box: Box = tuple((min(a, b), max(a, b)) for a, b, _ in axes)
    origin = [o for *_, o in axes]
    assert shift(shift(box, origin), origin, -1) == box


@given(st.integers(0, 2**80), st.integers(1, 2**70))
def test_ceil_div_is_exact_on_any_integers(a: int, b: int) -> None:
    q = ceil_div(a, b)
    assert (q - 1) * b < a <= q * b


def test_huge_grids_cost_nothing() -> None:
    grid = RegularGrid(shape=(2**61, 2**61), chunks=(1, 3))
    assert grid.counts == (2**61, ceil_div(2**61, 3))
    assert len(list(islice(indices(tuple((0, n) for n in grid.counts)), 5))) == 5
    assert count(tuple((0, n) for n in grid.counts)) == 2**61 * ceil_div(2**61, 3)
    assert ravel((2**60, 7), tuple((0, n) for n in grid.counts)) == 2**60 * ceil_div(2**61, 3) + 7
