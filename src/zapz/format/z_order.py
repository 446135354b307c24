"""Visit a box of chunk indices along a Z-order curve, in constant memory.

Neighbours in all axes come soon after one another: the first ``4**k`` indices of an aligned square
fill a square of ``2**k`` by ``2**k``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from zapz.format.grid import Box, Index


def z_order(spans: Box) -> Iterator[Index]:
    """Yield every index in a box once, along a Z-order curve; the last axis moves first."""
    if any(a >= b for a, b in spans):
        return
    size = 1
    while any(size < b for _, b in spans):
        size *= 2
    yield from _below((0,) * len(spans), size, spans)


def _below(corner: Index, size: int, spans: Box) -> Iterator[Index]:
    if any(i >= b or i + size <= a for i, (a, b) in zip(corner, spans, strict=True)):
        return
    if size == 1:
        yield corner
        return
    half = size // 2
    sides = [(i,) if i + half >= b else (i, i + half) for i, (_, b) in zip(corner, spans, strict=True)]
    for each in product(*sides):
        yield from _below(each, half, spans)
