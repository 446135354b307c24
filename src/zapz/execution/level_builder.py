"""Build the chunks of a coarser level: from the slice, or from cells that are already derived."""

from __future__ import annotations

from typing import Any

import numpy as np

from zapz.execution.chunk_builder import ChunkBuilder
from zapz.execution.level_cells import derived_cells, finest_cells
from zapz.format.buffers import Buffer, Cells
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Index, slices
from zapz.planning.steps import ClearChunk, CopyChunk, EncodeChunk, ReduceChunk


class LevelBuilder(ChunkBuilder):
    """Builds the chunks of an array of a coarser level."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Create a builder; see ``ChunkBuilder``."""
        super().__init__(*args, **options)
        self._ready: dict[Index, Cells | None] = {}
        self._encoded_units: dict[Index, Buffer | None] = {}

    @property
    def absent(self) -> Cells:
        """The target's value of cells without a chunk, 0-dimensional."""
        return self._missing_value()[0]

    def give(self, step: ReduceChunk, made: Cells | None) -> None:
        """Provide the derived cells of a unit, so that ``build`` does not read the slice.

        The inner chunks of a shard are encoded at once: their cells take more memory.

        Args:
            step: The step that builds the unit.
            made: Its derived cells; None if they follow from no chunk at all.
        """
        self._ready[step.index] = made
        if self._shards is not None:
            self._encoded_units[step.index] = super()._inner(step)

    def _inner(self, step: CopyChunk | EncodeChunk | ReduceChunk | ClearChunk) -> Buffer | None:
        if step.index in self._encoded_units:
            return self._encoded_units.pop(step.index)
        return super()._inner(step)

    def _cells(self, step: EncodeChunk | ReduceChunk) -> Cells | None:
        """Return the cells of a unit; None if all are missing and read as the fill value."""
        if isinstance(step, EncodeChunk):
            return super()._cells(step)
        absent, is_fill = self._missing_value()
        if step.index in self._ready:
            made = self._ready.pop(step.index)
        else:
            finest = finest_cells(self._reader(), self._convert, absent)
            made = derived_cells(self._plan, step.box, finest, absent)
        array = self._plan.target
        out = np.empty(array.units.chunks, array.dtype)
        out[...] = fill_cells(array)
        missing = made is None and is_fill
        for piece in step.pieces:
            missing = self._place(piece, out) and missing
        out[slices(step.put)] = absent if made is None else made
        return None if missing else out
