"""Build the chunks of the finest level, and hand on their new cells: each cell exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zapz.execution.chunk_builder import BuiltChunk, ChunkBuilder
from zapz.format.buffers import Buffer, Cells, octets
from zapz.format.grid import Box, Index, indices, intersect, shift, slices
from zapz.planning.steps import ClearChunk, CopyChunk, EncodeChunk, ReduceChunk

Tap = Callable[[Box, "Cells | None"], None]
"""Takes new cells of the target as it stores them: their range per axis, and the cells; None if the
slice has no chunk of them."""


class TappedBuilder(ChunkBuilder):
    """Builds the chunks of an array, and hands on the new cells of each unit."""

    def __init__(self, tap: Tap, *args: Any, **options: Any) -> None:
        """Create a builder.

        Args:
            tap: Takes the new cells of each unit, in the thread that builds its chunk.
            args: See ``ChunkBuilder``.
            options: See ``ChunkBuilder``.
        """
        super().__init__(*args, **options)
        self._tap = tap

    def _copied(self, step: CopyChunk) -> BuiltChunk | None:
        built = super()._copied(step)
        array = self._plan.target
        if built is None:
            for unit in indices(array.units_in(step.index)):
                self._hand_on(unit, None)
        elif self._shards is None:
            (data,) = built.parts
            self._hand_on(step.index, self._old.decode(data, step.index))
        elif built.copied:
            (data,) = built.parts
            table = self._old.inspect(step.index, data)
            for unit in indices(array.units_in(step.index)):
                place = None if table is None else table.range(self._old.number(unit))
                raw = None if place is None else octets(data)[place[0] : place[0] + place[1]]
                self._hand_on(unit, None if raw is None else self._old.decode(raw, unit))
        return built

    def _inner(self, step: CopyChunk | EncodeChunk | ReduceChunk | ClearChunk) -> Buffer | None:
        data = super()._inner(step)
        if not isinstance(step, EncodeChunk):
            self._hand_on(step.index, None if data is None else self._old.decode(data, step.index))
        return data

    def _cells(self, step: EncodeChunk | ReduceChunk) -> Cells | None:
        cells = super()._cells(step)
        self._hand_on(step.index, cells)
        return cells

    def _hand_on(self, unit: Index, cells: Cells | None) -> None:
        """Hand on the new cells of a unit."""
        units = self._plan.target.units
        box = intersect(units.box(unit), self._plan.new_box)
        if box is None:
            return
        corner = [i * c for i, c in zip(unit, units.chunks, strict=True)]
        self._tap(box, None if cells is None else cells[slices(shift(box, corner, -1))])
