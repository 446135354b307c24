"""What a cell of a coarser level is, written down cell by cell: slow, with Python's numbers, and nothing of zapz's."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np


def defined(
    cells: np.ndarray[Any, Any],
    factors: Sequence[int],
    method: str,
    *,
    missing: Callable[[Any], bool],
    fill: Any = None,
    rounding: str = "even",
    floor: bool = False,
) -> np.ndarray[Any, Any]:
    """Return one cell per window, as the definition says; ``floor`` leaves incomplete windows out."""
    counts = [n // f if floor else -(-n // f) for n, f in zip(cells.shape, factors, strict=True)]
    out = np.empty(counts, cells.dtype)
    for index in np.ndindex(*counts):
        box = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        out[index] = cell(cells[box], method, missing, fill, rounding, factors)
    return out


def cell(
    window: np.ndarray[Any, Any],
    method: str,
    missing: Callable[[Any], bool],
    fill: Any,
    rounding: str,
    factors: Sequence[int],
) -> Any:
    """Return what becomes of a window."""
    if method == "first":
        return window[(0,) * window.ndim]
    values = [value for value in window.ravel().tolist() if not missing(value)]
    if not values:
        return fill
    if method == "mode":
        found = Counter(values)
        return min(value for value, count in found.items() if count == max(found.values()))
    if method in {"min", "max"}:
        return min(values) if method == "min" else max(values)
    whole = window.dtype.kind in "iu"
    if method == "median":
        low, high = sorted(values)[(len(values) - 1) // 2], sorted(values)[len(values) // 2]
        return rounded(Fraction(low + high, 2), rounding) if whole else low if low == high else (low + high) / 2
    if whole:
        return rounded(Fraction(sum(values), len(values)), rounding)
    return nested(window, missing, factors) / len(values)


def rounded(value: Fraction, rounding: str) -> int:
    """Round to the nearest integer, ties to the even one; or toward 0."""
    return round(value) if rounding == "even" else math.trunc(value)


def nested(window: np.ndarray[Any, Any], missing: Callable[[Any], bool], factors: Sequence[int]) -> float:
    """Return the sum in float64: groups of the smallest prime factors first, then groups of these."""
    sums = {
        index: 0.0 if missing(value) else float(value)
        for index, value in zip(np.ndindex(*window.shape), window.ravel().tolist(), strict=True)
    }
    for step in itertools.zip_longest(*(primes(f) for f in factors), fillvalue=1):
        for axis, prime in enumerate(step):
            grouped: dict[tuple[int, ...], float] = {}
            for index in sorted(sums):
                group = (*index[:axis], index[axis] // prime, *index[axis + 1 :])
                grouped[group] = grouped[group] + sums[index] if group in grouped else sums[index]
            sums = grouped
    (total,) = sums.values()
    return total


def primes(number: int) -> list[int]:
    """Return the prime factors of a number, ascending."""
    return next(([p, *primes(number // p)] for p in range(2, number + 1) if number % p == 0), [])
