"""Windows of cells become one cell as the definition says, whatever they are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from kit.level_definition import defined

from zapz.cf.aggregation import METHODS, Aggregation, steps_of
from zapz.cf.encoding import Encoding, encoding_of
from zapz.errors import EncodingError

NUMBERS = ("i1", "u1", "<i2", ">i2", "<u4", "<i4", "<i8", "<u8", "<f2", "<f4", ">f4", "<f8")
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9)


def encoding(dtype: Any, attributes: dict[str, Any] | None = None, marker: Any = None) -> Encoding:
    return encoding_of(np.dtype(dtype), attributes or {}, marker)


def same(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> bool:
    return (
        found.dtype == expected.dtype
        and found.shape == expected.shape
        and bool(np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"))
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], tuple[int, ...], Encoding]:
    dtype = np.dtype(draw(st.sampled_from(NUMBERS)))
    few = st.sampled_from([0, 1, 2, 3, 5, 7] if dtype.kind == "u" else [0, 1, -1, 2, -3, 5])
    elements = draw(st.sampled_from([few, npst.from_dtype(dtype)]))
    if dtype.kind == "f":
        elements = st.one_of(few, st.just(math.nan), npst.from_dtype(dtype, allow_nan=True, allow_infinity=True))
    cells = draw(npst.arrays(dtype, draw(SHAPES), elements=elements))
    factors = tuple(draw(st.integers(1, 6)) for _ in cells.shape)
    marker = draw(st.sampled_from([None, 1, 5])) if dtype.kind != "f" else draw(st.sampled_from([None, math.nan, 5.0]))
    return cells, factors, encoding(dtype, {"missing_value": 3} if draw(st.booleans()) else {}, marker)


@given(cases(), st.sampled_from(METHODS), st.sampled_from(["even", "zero"]))
def test_law_a_cell_is_what_the_definition_says(
    case: tuple[np.ndarray[Any, Any], tuple[int, ...], Encoding], method: Any, rounding: Any
) -> None:
    cells, factors, meaning = case
    markers = {float(m) for m in meaning.markers}
    made = Aggregation(method=method, encoding=meaning, rounding=rounding)
    made.check()
    with np.errstate(all="ignore"):
        expected = defined(
            cells,
            factors,
            method,
            missing=lambda value: value != value or value in markers,  # noqa: PLR0124 - NaN
            fill=meaning.fill,
            rounding=rounding,
        )
    assert same(made.apply(cells, factors), expected)


@given(cases(), st.sampled_from(["mean", "first", "min", "max"]), st.data())
def test_law_windows_of_windows_are_windows(
    case: tuple[np.ndarray[Any, Any], tuple[int, ...], Encoding], method: Any, data: st.DataObject
) -> None:
    """Pieces that begin and end with windows make the whole, whatever was aggregated first."""
    cells, factors, meaning = case
    made = Aggregation(method=method, encoding=meaning)
    steps = steps_of(factors)
    whole = made.partial(cells)
    cut = data.draw(st.integers(0, -(-cells.shape[0] // factors[0]))) * factors[0]
    parts = [made.partial(cells[:cut]), made.partial(cells[cut:])]
    for step in steps:
        whole, parts = made.grouped(whole, step), [made.grouped(part, step) for part in parts]
    found = np.concatenate([made.finished(part, cells.dtype) for part in parts])
    assert same(found.astype(cells.dtype), made.finished(whole, cells.dtype))


def test_the_sums_of_64_bits_do_not_overflow() -> None:
    cells = np.full((4, 4), np.iinfo("i8").max)
    assert Aggregation(method="mean", encoding=encoding("i8")).apply(cells, (4, 4)).tolist() == [[np.iinfo("i8").max]]
    assert Aggregation(method="median", encoding=encoding("u8")).apply(np.full(2, 2**64 - 1, "u8"), (2,)).tolist() == [
        2**64 - 1
    ]


def test_unsigned_numbers_that_are_stored_as_signed_ones() -> None:
    meaning = encoding("i1", {"_Unsigned": "true"}, 255)
    cells = np.array([200, 100, 255, 255, 200, 255], "u1").view("i1")
    assert Aggregation(method="mean", encoding=meaning).apply(cells, (2,)).view("u1").tolist() == [150, 255, 200]
    assert Aggregation(method="max", encoding=meaning).apply(cells, (3,)).view("u1").tolist() == [200, 200]


@pytest.mark.parametrize(
    ("dtype", "attributes", "allowed"),
    [
        ("i2", {}, set(METHODS)),
        ("f4", {"scale_factor": 0.1}, set(METHODS)),
        ("?", {}, {"mode", "first", "min", "max"}),
        ("M8[s]", {}, {"first"}),
        ("i8", {"units": "days since 2000-01-01"}, {"mode", "first", "min", "max"}),
        ("U3", {}, {"first"}),
        ("S3", {}, {"first"}),
        ("c8", {}, {"first"}),
    ],
)
def test_methods_that_a_type_has(dtype: str, attributes: dict[str, Any], allowed: set[str]) -> None:
    for method in METHODS:
        made = Aggregation(method=method, encoding=encoding(dtype, attributes))  # type: ignore[arg-type]
        if method in allowed:
            made.check()
            cells = np.zeros((3, 5), dtype)
            assert made.apply(cells, (2, 2)).shape == (2, 3)
        else:
            with pytest.raises(EncodingError, match="is not defined for this type"):
                made.check()


def test_booleans() -> None:
    cells = np.array([[True, False, True], [False, False, True]])
    found = {
        m: Aggregation(method=m, encoding=encoding("?")).apply(cells, (2, 2)).tolist()
        for m in ("mode", "first", "min", "max")
    }
    assert found == {"mode": [[False, True]], "first": [[True, True]], "min": [[False, True]], "max": [[True, True]]}


@pytest.mark.parametrize(
    ("factors", "steps"),
    [
        ((1, 4, 6), ((1, 2, 2), (1, 2, 3))),
        ((1,), ()),
        ((), ()),
        ((7, 8), ((7, 2), (1, 2), (1, 2))),
        ((12,), ((2,), (2,), (3,))),
        ((3, 35), ((3, 5), (1, 7))),
    ],
)
def test_steps(factors: tuple[int, ...], steps: tuple[tuple[int, ...], ...]) -> None:
    assert steps_of(factors) == steps
