"""Derive the levels of one variable from blocks of its finest level, in any order, each block once.

A block goes up through the levels at once, as long as it begins and ends with windows. Otherwise it
waits for its neighbours. What is handed on are sums and counts, not means::

    finest level    [ a b c d e ][ f g h i j ]     the window "e f" lies in both blocks
    level 1         [  ab  cd  ef  gh  ij  ]       made when both are there

The order of blocks does not change a bit of the result (``cf.aggregation``).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from zapz.cf.aggregation import Aggregation, Factors, Partial
from zapz.format.buffers import Cells
from zapz.format.grid import Box, Index, ceil_div, intersect, shift, slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """From one level to the next."""

    path: str
    """The array that is derived."""
    ratio: Factors
    """Number of cells of the level before that become one, per axis."""
    region: Box
    """Cells of this level that are derived, per axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Block:
    """A block of a level."""

    box: Box
    """Its cells."""
    cells: Cells | None = None
    """Stored cells; None if there are only sums, or no chunk."""
    partial: Partial | None = None
    """Windows that can be combined to larger ones; None if there are only cells, or no chunk."""

    @property
    def is_absent(self) -> bool:
        """Whether there is no chunk: all its cells are the same value."""
        return self.cells is None and self.partial is None


Emit = Callable[[str, Box, Cells | None], None]
"""Takes a derived block: the array, the range of its cells, and the cells; None if they follow from
no chunk at all."""


class Cascade:
    """Derives the levels of one variable, one from the other."""

    def __init__(
        self,
        aggregation: Aggregation,
        stages: Sequence[Stage],
        emit: Emit,
        *,
        region: Box,
        block: Index,
        absent: Cells,
        rounded: bool,
    ) -> None:
        """Derive levels.

        Args:
            aggregation: How cells become one.
            stages: From the finest level to the coarsest one.
            emit: Takes the derived blocks, each cell once; called from the threads that add blocks.
            region: Cells of the finest level that will be added, per axis.
            block: Each block that is added lies between two neighbouring multiples of this, per
                axis, and fills the region between them.
            absent: Value of cells without a chunk, 0-dimensional.
            rounded: Whether each level is made from the stored cells of the one before.
        """
        self._aggregation = aggregation
        self._stages = tuple(stages)
        self._emit = emit
        self._absent = absent
        self._rounded = rounded
        self._waiting: list[_Waiting] = []
        for stage in stages:
            self._waiting.append(_Waiting(stage, region, block))
            region, block = stage.region, tuple(math.lcm(d, r) // r for d, r in zip(block, stage.ratio, strict=True))

    def add(self, box: Box, cells: Cells | None) -> None:
        """Add a block of the finest level; each of its cells is added once.

        Args:
            box: Range of its cells, per axis.
            cells: The stored cells, in the shape of the box; None if there is no chunk.
        """
        block = _Block(box=box, cells=cells)
        for number, (stage, waiting) in enumerate(zip(self._stages, self._waiting, strict=True)):
            inside = self._clipped(block, waiting.region)
            if inside is None:
                return
            whole = inside if waiting.fits(inside.box) else waiting.join(inside, partial(self._plain, number))
            if whole is None:
                return
            block = self._reduced(number, whole)
            self._emit(stage.path, block.box, block.cells)

    def _clipped(self, block: _Block, region: Box) -> _Block | None:
        """Return the part of a block in a region: cells after the last window have no use."""
        if all(a >= r and b <= s for (a, b), (r, s) in zip(block.box, region, strict=True)):
            return block
        box = intersect(block.box, region)
        if box is None:
            return None
        at = slices(shift(box, [a for a, _ in block.box], -1))
        windows = block.partial
        if windows is not None:
            counts = None if windows.counts is None else windows.counts[at]
            windows = replace(windows, values=windows.values[at], counts=counts)
        return _Block(box=box, cells=None if block.cells is None else block.cells[at], partial=windows)

    def _reduced(self, number: int, block: _Block) -> _Block:
        """Return a block of a stage as a block of the next level."""
        stage = self._stages[number]
        box = tuple((a // r, ceil_div(b, r)) for (a, b), r in zip(block.box, stage.ratio, strict=True))
        if block.is_absent:
            return _Block(box=box)
        how = self._aggregation
        windows = self._plain(number, block)
        if not how.carries:
            return _Block(box=box, cells=how.apply(windows.values, stage.ratio))
        windows = how.grouped(windows, stage.ratio)
        cells = how.finished(windows, self._absent.dtype)
        return _Block(box=box, cells=cells, partial=None if self._rounded else windows)

    def _plain(self, number: int, block: _Block) -> Partial:
        """Return a block of a stage as windows to combine, or as its cells if they cannot be."""
        if block.partial is not None:
            return block.partial
        how, cells, ratios = self._aggregation, block.cells, list[Factors]()
        if cells is None:
            box = block.box
            if not self._rounded:  # windows have as many cells as the finest level has there
                ratios = [stage.ratio for stage in self._stages[:number]]
                for before, ratio in reversed([*zip(self._waiting[:number], ratios, strict=True)]):
                    spans = zip(box, ratio, before.region, strict=True)
                    box = tuple((a * r, min(b * r, stop)) for (a, b), r, (_, stop) in spans)
            cells = np.broadcast_to(self._absent, tuple(b - a for a, b in box))
        if not how.carries:
            return Partial(values=cells, counts=None)
        windows = how.partial(cells)
        for ratio in ratios:
            windows = how.grouped(windows, ratio)
        return windows


class _Waiting:
    """Blocks of a level that wait for their neighbours."""

    def __init__(self, stage: Stage, region: Box, block: Index) -> None:
        """Wait for the blocks of a stage.

        Args:
            stage: The stage that needs them.
            region: Cells of the level of the blocks that will come, per axis.
            block: Each block lies between two neighbouring multiples of this, per axis.
        """
        self._ratio = stage.ratio
        scaled = zip(stage.region, stage.ratio, region, strict=True)
        self.region: Box = tuple((max(a * r, c), min(b * r, d)) for (a, b), r, (c, d) in scaled)
        # The least length that ends both with a window and with a block.
        self._group = tuple(math.lcm(d, r) for d, r in zip(block, stage.ratio, strict=True))
        self._groups: dict[Box, list[_Block]] = {}
        self._guard = threading.Lock()

    def fits(self, box: Box) -> bool:
        """Return whether a block begins and ends with windows."""
        spans = zip(box, self._ratio, self.region, strict=True)
        return all(a % r == 0 and (b % r == 0 or b == end) for (a, b), r, (_, end) in spans)

    def join(self, block: _Block, plain: Callable[[_Block], Partial]) -> _Block | None:
        """Return a block that begins and ends with windows; None if others must come first.

        Args:
            block: The next block.
            plain: Returns a block as windows that can be combined.
        """
        spans = zip(block.box, self._group, self.region, strict=True)
        group = tuple((max(a // g * g, start), min(ceil_div(b, g) * g, stop)) for (a, b), g, (start, stop) in spans)
        # Along other axes, blocks may have any length.
        group = tuple(own if r == 1 else span for own, span, r in zip(block.box, group, self._ratio, strict=True))
        with self._guard:
            blocks = self._groups.setdefault(group, [])
            blocks.append(block)
            if sum(_size(each.box) for each in blocks) < _size(group):
                return None
            del self._groups[group]
        return _joined(group, blocks, plain)


def _size(box: Box) -> int:
    return math.prod(b - a for a, b in box)


def _joined(box: Box, blocks: Sequence[_Block], plain: Callable[[_Block], Partial]) -> _Block:
    """Return blocks that fill a box as one."""
    if all(each.is_absent for each in blocks):
        return _Block(box=box)
    shape, corner = tuple(b - a for a, b in box), [a for a, _ in box]
    parts = [(slices(shift(each.box, corner, -1)), plain(each)) for each in blocks]
    first = parts[0][1]
    values = np.empty(shape, first.values.dtype)
    counts = None if first.counts is None else np.empty(shape, first.counts.dtype)
    for at, part in parts:
        values[at] = part.values
        if counts is not None:
            counts[at] = part.counts
    return _Block(box=box, partial=replace(first, values=values, counts=counts))
