"""Aggregation: how the cells of a window become one cell of a coarser level. Pure.

The result depends on the cells of the window alone, not on chunks, threads or order: integers are
summed exactly, and floats in float64 as nested groups, first along the first axis::

    a b c d
    e f g h     4 x 4 cells:    ((a + e) + (b + f)) + ((i + m) + (j + n)), and so on:
    i j k l                     first windows of 2 x 2, then 2 x 2 of these
    m n o p

Missing cells (NaN and the markers of CF section 2.5.1) are skipped. A window without values is
missing. Windows are clipped at the end of an axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from zapz.cf.encoding import Encoding
from zapz.cf.markers import Stored, has_nan, is_nan, mask
from zapz.errors import EncodingError

Method = Literal["mean", "median", "mode", "first", "min", "max"]
"""How the cells of a window become one: the mean or median of the values, the most frequent value
(the smallest of several), the cell at the window's first corner whatever it is, the least or the
greatest value."""
METHODS: Final[tuple[str, ...]] = get_args(Method)
Rounding = Literal["even", "zero"]
"""How a mean of integers is rounded: to the nearest, ties to the even one; or toward 0."""

_LARGEST: Final = 8
"""Bytes of the largest integers."""

Factors: TypeAlias = tuple[int, ...]
"""Number of cells that become one, per axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregation:
    """How the stored cells of one variable are aggregated."""

    method: Method
    """How the cells of a window become one."""
    encoding: Encoding
    """The meaning of the stored cells, here and in the result."""
    rounding: Rounding = "even"
    """How means and medians of integers are rounded."""

    def check(self) -> None:
        """Check that the method is defined for the data type.

        Raises:
            EncodingError: It is not: texts, times and booleans have no mean.
        """
        kind = self.encoding.dtype.kind
        numbers = kind in "iuf" and (self.encoding.axis is None or self.method not in {"mean", "median"})
        ordered = numbers or kind == "b"
        if self.method == "first" or numbers or (ordered and self.method not in {"mean", "median"}):
            return
        raise EncodingError(
            f"the method {self.method!r} is not defined for this type",
            expected=", ".join(m for m in METHODS if m == "first" or (ordered and m not in {"mean", "median"})),
            found=str(self.encoding.dtype) if self.encoding.axis is None else "times",
        )

    @property
    def carries(self) -> bool:
        """Whether windows of windows can be aggregated without their cells."""
        return self.method not in {"median", "mode"}

    def keeps(self, value: Stored) -> bool:
        """Return whether windows of one value have exactly this value.

        Args:
            value: A stored cell, 0-dimensional.
        """
        if self.method != "mean" or value.dtype.kind != "f" or not self.valid(value.reshape(1))[0]:
            return True
        return bool(value == 0 or np.isinf(value))

    def apply(self, cells: Stored, factors: Factors) -> Stored:
        """Return one cell per window.

        Args:
            cells: Stored cells, whose first one is the first of a window.
            factors: Length of a window along each axis; at least 1.

        Returns:
            Array with the number of windows along each axis, in the dtype of ``cells``.
        """
        if self.carries:
            return self.finished(self.grouped(self.partial(cells), factors), cells.dtype)
        plain = self._plain(cells)
        values, valid = _gathered(plain, factors), _gathered(self.valid(cells), factors, fill=False)
        found = _median(values, valid, self.rounding) if self.method == "median" else _mode(values, valid)
        some = np.asarray(valid.any(axis=-1))
        return self._stored(found, None if some.all() else some, cells.dtype)

    def partial(self, cells: Stored) -> Partial:
        """Return cells as windows of one cell each, from which larger ones can be made."""
        plain = self._plain(cells)
        if self.method == "first":
            return Partial(values=plain, counts=None)
        valid = self.valid(cells)
        if self.method == "mean" and plain.dtype.kind in "iu" and plain.dtype.itemsize == _LARGEST:
            plain = plain.astype(object)  # sums may need more than 64 bits
        if not valid.all():
            neutral = 0 if self.method == "mean" else _neutral(plain.dtype, self.method)
            plain = np.where(valid, plain, np.asarray(neutral, plain.dtype))
        return Partial(values=plain, counts=valid.view(np.uint8))

    def grouped(self, partial: Partial, factors: Factors) -> Partial:
        """Return windows of windows.

        Args:
            partial: Windows, whose first one is the first of a group.
            factors: Number of windows that become one, per axis.
        """
        if partial.counts is None:
            return Partial(values=partial.values[tuple(slice(None, None, f) for f in factors)], counts=None)
        combine: Callable[..., Any] = {"mean": np.add, "min": np.minimum, "max": np.maximum}[self.method]
        values, counts, most = partial.values, partial.counts, partial.most * math.prod(factors)
        kind = _wide(values.dtype) if self.method == "mean" else values.dtype.newbyteorder("=")
        for step in steps_of(factors):
            for axis, p in enumerate(step):
                if p > 1:
                    values = _combined(values, axis, p, combine, kind)
                    counts = _combined(counts, axis, p, np.add, _counting(most))
        return Partial(values=values, counts=counts, most=most)

    def finished(self, partial: Partial, dtype: np.dtype[Any]) -> Stored:
        """Return one stored cell per window.

        Args:
            partial: The windows.
            dtype: Data type of stored cells.
        """
        values, counts = partial.values, partial.counts
        if counts is None:
            return self._stored(values, None, dtype)
        valid = counts > 0
        missing = valid if not valid.all() else None
        if self.method == "mean":
            values = _means(values, counts if missing is None else np.maximum(counts, 1), self.rounding)
        return self._stored(values, missing, dtype)

    def valid(self, cells: Stored) -> Stored:
        """Return a mask of the cells that are not missing."""
        valid: Stored = np.asarray(cells == cells) if has_nan(cells.dtype) else np.ones(cells.shape, bool)  # noqa: PLR0124 - NaN
        markers = [marker for marker in self.encoding.markers if not is_nan(marker)]
        return valid & ~mask(cells, markers) if markers else valid

    def _plain(self, cells: Stored) -> Stored:
        """Return stored numbers with the signedness that ``_Unsigned`` gives them."""
        if not self.encoding.reinterpreted:
            return cells
        return np.ascontiguousarray(cells, self.encoding.dtype).view(self.encoding.plain.dtype)

    def _stored(self, values: Stored, valid: Stored | None, dtype: np.dtype[Any]) -> Stored:
        plain = self.encoding.plain.dtype if self.encoding.reinterpreted else dtype
        with np.errstate(over="ignore", invalid="ignore"):
            out = values.astype(plain)
        if self.encoding.reinterpreted:
            out = out.view(self.encoding.dtype).astype(dtype)
        if valid is not None:
            out[~valid] = self.encoding.fill
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partial:
    """What is known of windows whose neighbours are still to be added."""

    values: Stored
    """Sums, extremes or corner cells, one per window."""
    counts: Stored | None
    """Number of values in each window; None where it does not matter."""
    most: int = 1
    """Number of cells of a whole window."""


def steps_of(factors: Factors) -> tuple[Factors, ...]:
    """Return the factors of nested groups, whose product is ``factors``: prime numbers, ascending.

    Example: (1, 4, 6) is (1, 2, 2), then (1, 2, 3).
    """
    return tuple(zip_longest(*(tuple(_primes(f)) for f in factors), fillvalue=1))


def _primes(number: int) -> Iterator[int]:
    prime = 2
    while number > 1:
        if prime * prime > number:
            prime = number
        if number % prime:
            prime += 1
        else:
            yield prime
            number //= prime


def _combined(values: Stored, axis: int, p: int, combine: Callable[..., Any], kind: Any) -> Stored:
    """Return groups of ``p`` along an axis, combined from the first to the last, as ``kind``."""
    parts = [values[(slice(None),) * axis + (slice(n, None, p),)] for n in range(p)]
    if parts[-1].shape == parts[0].shape:
        out: Stored = combine(parts[0], parts[1], dtype=kind)
        more = parts[2:]
    else:  # the last group is not complete
        out, more = parts[0].astype(kind), parts[1:]
    for part in more:
        there = out[(slice(None),) * axis + (slice(0, part.shape[axis]),)]
        combine(there, part, out=there)
    return out


def _wide(dtype: np.dtype[Any]) -> Any:
    """Return the type of sums."""
    return np.float64 if dtype.kind == "f" else object if dtype.kind == "O" else np.int64


def _counting(most: int) -> Any:
    return next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if most <= np.iinfo(kind).max)


def _neutral(dtype: np.dtype[Any], method: str) -> Any:
    """Return the value that is never the extreme of a window with values."""
    if dtype.kind == "b":
        return method == "min"
    if dtype.kind == "f":
        return np.inf if method == "min" else -np.inf
    return np.iinfo(dtype).max if method == "min" else np.iinfo(dtype).min


def _means(sums: Stored, counts: Stored, rounding: Rounding) -> Stored:
    """Return means of windows with at least one value."""
    if sums.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            means: Stored = sums / counts
            return means
    return _quotient(sums, counts.astype(sums.dtype), rounding)


def _quotient(sums: Stored, number: Any, rounding: Rounding) -> Stored:
    """Return quotients of integers, rounded exactly."""
    low: Stored = sums // number
    rest = sums - low * number
    to_even = (2 * rest > number) | ((2 * rest == number) & (low % 2 != 0))
    up = to_even if rounding == "even" else (low < 0) & (rest != 0)
    out: Stored = low + np.asarray(up, bool)
    return out


def _gathered(cells: Stored, factors: Factors, fill: Any = 0) -> Stored:
    """Return the cells of each window along a last axis; those beyond the end are ``fill``."""
    shape = tuple(-(-n // f) for n, f in zip(cells.shape, factors, strict=True))
    whole = cells
    if any(n % f for n, f in zip(cells.shape, factors, strict=True)):
        whole = np.full(tuple(m * f for m, f in zip(shape, factors, strict=True)), fill, cells.dtype)
        whole[tuple(slice(0, n) for n in cells.shape)] = cells
    split = whole.reshape([size for pair in zip(shape, factors, strict=True) for size in pair])
    axes = [*range(0, 2 * cells.ndim, 2), *range(1, 2 * cells.ndim, 2)]
    return split.transpose(axes).reshape(*shape, -1)


def _sorted(values: Stored, valid: Stored) -> Stored:
    """Return the valid values of each window in ascending order, then the others."""
    order = np.argsort(values, axis=-1, kind="stable")
    order = np.take_along_axis(order, np.argsort(~np.take_along_axis(valid, order, -1), axis=-1, kind="stable"), -1)
    return np.take_along_axis(values, order, -1)


def _median(values: Stored, valid: Stored, rounding: Rounding) -> Stored:
    """Return the median of the valid values of each window; undefined where there is none."""
    ordered, count = _sorted(values, valid), np.maximum(valid.sum(axis=-1), 1)
    low, high = (np.take_along_axis(ordered, (at // 2)[..., None], -1)[..., 0] for at in (count - 1, count))
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            wide = low.astype(np.float64) + high.astype(np.float64)
            return np.where(low == high, low, wide / 2)
    kind: Any = np.int64 if values.dtype.itemsize < _LARGEST else object
    return _quotient(low.astype(kind) + high.astype(kind), 2, rounding)


def _mode(values: Stored, valid: Stored) -> Stored:
    """Return the most frequent valid value of each window, the smallest of several."""
    ordered, count = _sorted(values, valid), valid.sum(axis=-1)
    place = np.broadcast_to(np.arange(values.shape[-1]), ordered.shape)
    begins = np.ones(ordered.shape, bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    begin = np.maximum.accumulate(np.where(begins, place, 0), axis=-1)
    length = np.where(place < count[..., None], place - begin, -1)
    return np.take_along_axis(ordered, np.argmax(length, axis=-1)[..., None], -1)[..., 0]
