"""Levels are derived from blocks of the finest one as the definition says, whatever the blocks are and in which order they come."""

from __future__ import annotations

import math
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.level_definition import defined

from zapz.cf.aggregation import METHODS, Aggregation
from zapz.cf.encoding import encoding_of
from zapz.execution.cascade import Cascade, Stage
from zapz.format.grid import Box, ceil_div, slices

FILL = {"f": math.nan, "i": -9}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A finest level in blocks, some of them without a chunk, and the ratios of levels."""
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 23)), draw(st.integers(1, 23)))
    ratios = draw(st.lists(st.sampled_from([(1, 2, 2), (1, 2, 2), (1, 3, 3), (1, 1, 2)]), min_size=1, max_size=4))
    dtype = np.dtype(draw(st.sampled_from(["f4", "f8", "i2"])))
    numbers = np.random.default_rng(draw(st.integers(0, 9))).normal(0, 9, shape)
    cells = numbers.astype(dtype)
    cells[np.abs(numbers) > draw(st.sampled_from([0.5, 9, 90]))] = FILL[dtype.kind]
    return {
        "cells": cells,
        "ratios": ratios,
        "block": (1, draw(st.integers(1, 9)), draw(st.integers(1, 9))),
        "floor": draw(st.booleans()),
        "absent": draw(st.sampled_from([0, 0.3])),
        "marked": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


def boxes(shape: tuple[int, ...], block: tuple[int, ...]) -> list[Box]:
    grid = product(*(range(0, n, c) for n, c in zip(shape, block, strict=True)))
    return [tuple((a, min(a + c, n)) for a, c, n in zip(at, block, shape, strict=True)) for at in grid]


def levels_of(case: dict[str, Any]) -> list[tuple[int, ...]]:
    """Return the shapes of the levels."""
    shapes = [case["cells"].shape]
    for ratio in case["ratios"]:
        sizes = zip(shapes[-1], ratio, strict=True)
        shapes.append(tuple(n // r if case["floor"] else ceil_div(n, r) for n, r in sizes))
    return shapes


def derived(case: dict[str, Any], made: Aggregation, *, rounded: bool, workers: int = 1) -> list[Any]:
    cells, shapes = case["cells"].copy(), levels_of(case)
    fill = FILL[cells.dtype.kind]
    out = [np.empty(shape, cells.dtype) for shape in shapes[1:]]
    written = [np.zeros(shape, int) for shape in shapes[1:]]
    chance = random.Random(case["seed"])
    pieces = boxes(cells.shape, case["block"])
    chance.shuffle(pieces)
    absent = [chance.random() < case["absent"] for _ in pieces]
    for box, gone in zip(pieces, absent, strict=True):
        if gone:
            case["cells"][slices(box)] = fill

    def emit(path: str, box: Box, block: Any) -> None:
        out[int(path)][slices(box)] = fill if block is None else block
        written[int(path)][slices(box)] += 1

    stages = [
        Stage(path=str(n), ratio=ratio, region=tuple((0, m) for m in shape))
        for n, (ratio, shape) in enumerate(zip(case["ratios"], shapes[1:], strict=True))
    ]
    region = tuple((0, n) for n in cells.shape)
    value = np.asarray(fill, cells.dtype)
    cascade = Cascade(made, stages, emit, region=region, block=case["block"], absent=value, rounded=rounded)

    def add(which: int) -> None:
        cascade.add(pieces[which], None if absent[which] else case["cells"][slices(pieces[which])])

    if workers == 1:
        for which in range(len(pieces)):
            add(which)
    else:
        with ThreadPoolExecutor(workers) as threads:
            list(threads.map(add, range(len(pieces))))
    assert all((count == 1).all() for count in written)
    return out


def expected(case: dict[str, Any], method: str, *, rounded: bool) -> list[Any]:
    fill = FILL[case["cells"].dtype.kind]

    def once(cells: Any, factors: tuple[int, ...]) -> Any:
        return defined(
            cells,
            factors,
            method,
            missing=lambda value: value != value or (case["marked"] and value == fill),  # noqa: PLR0124 - NaN
            fill=fill,
            floor=case["floor"],
        )

    if rounded:
        return list(accumulate(case["ratios"], once, initial=case["cells"]))[1:]
    totals = accumulate(case["ratios"], lambda a, b: tuple(x * y for x, y in zip(a, b, strict=True)))
    return [once(case["cells"], total) for total in totals]


def aggregation(case: dict[str, Any], method: Any) -> Aggregation:
    dtype = case["cells"].dtype
    return Aggregation(method=method, encoding=encoding_of(dtype, {}, FILL[dtype.kind] if case["marked"] else None))


def is_nested(case: dict[str, Any]) -> bool:
    """Whether sums of sums are grouped as the sums of the whole windows."""
    sides = [[ratio[axis] for ratio in case["ratios"]] for axis in (1, 2)]
    return all(side == sorted(side) for side in sides) and (1, 1, 2) not in case["ratios"]


@given(cases(), st.sampled_from(["mean", "first", "min", "max"]))
def test_law_levels_from_the_finest_one(case: dict[str, Any], method: str) -> None:
    found = derived(case, aggregation(case, method), rounded=False)
    for one, other in zip(found, expected(case, method, rounded=False), strict=True):
        if is_nested(case) or method != "mean":
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1)


@given(cases(), st.sampled_from(METHODS))
def test_law_levels_from_rounded_levels(case: dict[str, Any], method: str) -> None:
    found = derived(case, aggregation(case, method), rounded=True)
    for one, other in zip(found, expected(case, method, rounded=True), strict=True):
        np.testing.assert_array_equal(one, other)


@given(cases(), st.sampled_from(["median", "mode"]))
def test_law_one_level_from_whole_windows(case: dict[str, Any], method: str) -> None:
    case["ratios"] = case["ratios"][:1]
    found = derived(case, aggregation(case, method), rounded=False)
    np.testing.assert_array_equal(found[0], expected(case, method, rounded=False)[0])


@pytest.mark.parametrize("seed", range(3))
def test_threads(seed: int) -> None:
    cells = np.random.default_rng(seed).normal(0, 9, (2, 77, 61)).astype("f4")
    case = {
        "cells": cells,
        "ratios": [(1, 2, 2)] * 4,
        "block": (1, 5, 7),
        "floor": False,
        "absent": 0.2,
        "marked": True,
        "seed": seed,
    }
    found = derived(case, aggregation(case, "mean"), rounded=False, workers=8)
    for one, other in zip(found, expected(case, "mean", rounded=False), strict=True):
        np.testing.assert_array_equal(one, other)
