"""The regular chunk grid: counts, boxes, and what an append does to it.

A grid cuts an array of some shape into equal chunks; the last chunk along an axis may reach beyond
the shape. Appending ``M`` steps to ``N`` along one axis touches the boundary chunk (if ``N`` ends
inside one) and creates the chunks after it::

      N = 5, chunk = 3                 append M = 5                  after: 10
      +-------+-------+                                              +-------+-------+-------+-------+
      | 0 1 2 | 3 4 . |    +    | a b c d e |              =         | 0 1 2 | 3 4 a | b c d | e . . |
      +-------+-------+                                              +-------+-------+-------+-------+
                  ^ boundary chunk                                            rewritten  new     new

All arithmetic is on Python integers: a grid of ten million chunks costs no more than one of ten.
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
    """Length of every axis, in cells."""
    chunks: tuple[int, ...]
    """Length of a chunk along every axis, in cells; at least 1."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of chunks along every axis."""
        return tuple(ceil_div(n, c) for n, c in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_size(self) -> int:
        """Number of cells of one (full) chunk."""
        return math.prod(self.chunks)

    def box(self, index: Index) -> Box:
        """Return the cells of chunk ``index`` that lie inside the shape."""
        return tuple((i * c, min((i + 1) * c, n)) for i, c, n in zip(index, self.chunks, self.shape, strict=True))

    def covering(self, box: Box) -> Box:
        """Return the range of chunk indices, per axis, that overlap ``box``."""
        return tuple((a // c, ceil_div(b, c)) for (a, b), c in zip(box, self.chunks, strict=True))


def touched(old: int, new: int, chunk: int) -> Span:
    """Return the range of chunks along the append axis that an append from ``old`` to ``new`` steps writes."""
    return (old // chunk, ceil_div(new, chunk)) if new > old else (old // chunk, old // chunk)


def intersect(a: Box, b: Box) -> Box | None:
    """Return the cells common to two boxes, or None if there are none."""
    result = tuple((max(p, r), min(q, s)) for (p, q), (r, s) in zip(a, b, strict=True))
    return result if all(p < q for p, q in result) else None


def shift(box: Box, origin: Sequence[int], sign: int = 1) -> Box:
    """Return ``box`` moved by ``sign * origin`` cells."""
    return tuple((a + sign * o, b + sign * o) for (a, b), o in zip(box, origin, strict=True))


def slices(box: Box) -> tuple[Any, ...]:
    """Return ``box`` as an index expression for NumPy that gives a view, of a 0-dimensional array too."""
    return (*(slice(a, b) for a, b in box), ...)


def indices(spans: Box) -> Iterator[Index]:
    """Yield every index of a box of chunk indices, in C order, in constant memory."""
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
    """Return the place of an index among those of a box, in C order (the order of a shard's index table)."""
    number = 0
    for i, (a, b) in zip(index, spans, strict=True):
        number = number * (b - a) + (i - a)
    return number


def unravel(number: int, spans: Box) -> Index:
    """Return the index at a place among those of a box, in C order."""
    index: list[int] = []
    for a, b in reversed(spans):
        number, i = divmod(number, b - a)
        index.append(a + i)
    return tuple(reversed(index))


def resized(shape: tuple[int, ...], axis: int | None, length: int) -> tuple[int, ...]:
    """Return a shape with another length along an axis; as it is if there is no axis."""
    return tuple(length if i == axis else n for i, n in enumerate(shape))


def grouped(spans: Box, target: Sequence[int], source: Sequence[int], origin: Sequence[int]) -> Iterator[Index]:
    """Yield the indices of ``spans`` source block by source block, so that neighbours share source chunks.

    Drawn for one axis, target chunks of 2 and source chunks of 6: ``[0 1 2] [3 4 5]``, all of a
        bracket before the next.

    Args:
        spans: Range of target chunk indices per axis.
        target: Target chunk shape, in cells.
        source: Source chunk shape, in cells.
        origin: Target cell at which the source's first cell lies.
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
