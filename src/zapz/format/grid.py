"""The regular chunk grid: counts, boxes, and what an append does to it.

A grid cuts an array into equal chunks; the last chunk along an axis may extend beyond the shape.
Appending ``M`` steps to ``N`` along one axis rewrites the boundary chunk (if ``N`` is inside a
chunk) and creates the chunks after it::

    N = 5, chunk = 3         append M = 5                 after: 10
    +-------+-------+                                     +-------+-------+-------+-------+
    | 0 1 2 | 3 4 . |    +   | a b c d e |          =     | 0 1 2 | 3 4 a | b c d | e . . |
    +-------+-------+                                     +-------+-------+-------+-------+
                ^ boundary chunk                                  rewritten  new     new

All arithmetic uses Python integers: a grid of ten million chunks costs no more than one of ten.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Span = tuple[int, int]
"""A half-open range of integers: start (included), stop (excluded)."""

Box = tuple[Span, ...]
"""One span per axis."""

Index = tuple[int, ...]
"""A chunk index: one integer per axis."""


def ceil_div(a: int, b: int) -> int:
    """Return ``a / b`` rounded up, for ``b > 0``."""
    return -(-a // b)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegularGrid:
    """A regular chunk grid (Zarr v3 core specification, "regular grids")."""

    shape: tuple[int, ...]
    """Length of each axis, in cells."""
    chunks: tuple[int, ...]
    """Length of a chunk along each axis, in cells; at least 1."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(ceil_div(n, c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_size(self) -> int:
        """Number of cells in a full chunk."""
        return math.prod(self.chunks)

    def box(self, index: Index) -> Box:
        """Return the cells of chunk ``index`` that are inside the shape."""
        return tuple((i * c, min((i + 1) * c, n)) for i, c, n in zip(index, self.chunks, self.shape, strict=True))

    def covering(self, box: Box) -> Box:
        """Return the range of chunk indices per axis that overlaps ``box`` (in cells)."""
        return tuple((a // c, ceil_div(b, c)) for (a, b), c in zip(box, self.chunks, strict=True))


def touched(old: int, new: int, chunk: int) -> Span:
    """Return the chunks along the append axis that an append from ``old`` to ``new`` steps writes.

    Args:
        old: Length before, in steps.
        new: Length after, in steps.
        chunk: Length of a chunk, in steps.
    """
    return (old // chunk, ceil_div(new, chunk)) if new > old else (old // chunk, old // chunk)


def intersect(a: Box, b: Box) -> Box | None:
    """Return the cells common to two boxes, or None if there are none."""
    result = tuple((max(p, r), min(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))
    return result if all(p < q for p, q in result) else None


def shift(box: Box, origin: Sequence[int], sign: int = 1) -> Box:
    """Return ``box`` moved by ``sign * origin`` cells."""
    return tuple((a + sign * o, b + sign * o) for (a, b), o in zip(box, origin, strict=True))


def slices(box: Box) -> tuple[Any, ...]:
    """Return ``box`` as a NumPy index that yields a view, also of a 0-dimensional array."""
    return (*(slice(a, b) for a, b in box), ...)


def indices(spans: Box) -> Iterator[Index]:
    """Yield every index in a box of chunk indices, in C order and constant memory."""
    if not spans:
        yield ()
        return
    *outer, (a, b) = spans
    for prefix in indices(tuple(outer)):
        for i in range(a, b):
            yield (*prefix, i)


def count(spans: Box) -> int:
    """Return the number of indices in a box of chunk indices."""
    return math.prod(b - a for a, b in spans)


def ravel(index: Index, spans: Box) -> int:
    """Return the position of an index in a box, in C order (as in the index of a shard)."""
    number = 0
    for i, (a, b) in zip(index, spans, strict=True):
        number = number * (b - a) + (i - a)
    return number


def unravel(number: int, spans: Box) -> Index:
    """Return the index at a position in a box, in C order."""
    index: list[int] = []
    for a, b in reversed(spans):
        number, i = divmod(number, b - a)
        index.append(a + i)
    return tuple(reversed(index))


def resized(shape: tuple[int, ...], axis: int | None, length: int) -> tuple[int, ...]:
    """Return a shape with a new length along an axis; unchanged if there is no axis."""
    return tuple(length if i == axis else n for i, n in enumerate(shape))


def grouped(spans: Box, target: Sequence[int], source: Sequence[int], origin: Sequence[int]) -> Iterator[Index]:
    """Yield the indices of ``spans`` source chunk by source chunk, so that each is read once.

    Example for one axis, with target chunks of 2 and source chunks of 6 cells: ``[0 1 2] [3 4 5]``.
    The indices in a pair of brackets come from one source chunk.

    Args:
        spans: Range of target chunk indices, per axis.
        target: Target chunk shape, in cells.
        source: Source chunk shape, in cells.
        origin: Target cell of the source's first cell, per axis.
    """
    for block in _blocks(tuple(zip(spans, target, source, origin, strict=True))):
        yield from indices(block)


def _blocks(axes: tuple[tuple[Span, int, int, int], ...]) -> Iterator[Box]:
    if not axes:
        yield ()
        return
    *outer, (span, target, source, origin) = axes
    for prefix in _blocks(tuple(outer)):
        for block in _blocks_of_axis(span, target, source, origin):
            yield (*prefix, block)


def _blocks_of_axis(span: Span, target: int, source: int, origin: int) -> Iterator[Span]:
    start, end = span
    while start < end:
        next_source = origin + ((start * target - origin) // source + 1) * source
        stop = min(end, max(start + 1, ceil_div(next_source, target)))
        yield (start, stop)
        start = stop
