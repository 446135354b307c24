"""The Z-order curve visits each index once, and neighbours soon after one another."""

from __future__ import annotations

from itertools import islice, product

from hypothesis import given
from hypothesis import strategies as st

from zapz.format.z_order import z_order

SPANS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).map(lambda s: (s[0], s[0] + s[1])), max_size=3)


@given(SPANS)
def test_law_each_index_comes_once(spans: list[tuple[int, int]]) -> None:
    assert sorted(z_order(tuple(spans))) == list(product(*(range(a, b) for a, b in spans)))


@given(st.integers(0, 3), st.integers(1, 3), st.integers(0, 5), st.integers(0, 5))
def test_law_squares_are_filled_one_after_the_other(level: int, more: int, row: int, column: int) -> None:
    """So a chunk of a coarser level is complete before the next one begins."""
    side = 1 << level
    places = [(i // side, j // side) for i, j in z_order(((0, row + side * more), (0, column + side * more)))]
    assert len(list(dict.fromkeys(places))) == sum(1 for a, b in zip([None, *places], places, strict=False) if a != b)


def test_it_takes_no_memory() -> None:
    assert list(islice(z_order(((0, 10**9), (0, 10**9))), 4)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
