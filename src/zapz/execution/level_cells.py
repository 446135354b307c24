"""The cells of a coarser level, derived from the slice's finest level: for one chunk alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from zapz.format.buffers import Cells
from zapz.format.grid import Box, ceil_div, indices, intersect, shift, slices
from zapz.planning.steps import ArrayPlan
from zapz.storage.chunk_reader import ChunkReader

Finest = Callable[[Box], "Cells | None"]
"""Returns cells of the slice's finest level as the target stores them; None if none has a chunk."""


def finest_cells(reader: ChunkReader, convert: Callable[[Cells, str], Cells], absent: Cells) -> Finest:
    """Return a function that reads the finest level.

    Args:
        reader: The slice's chunks of the finest level.
        convert: Converts stored cells to those of the target; also gets their chunk's name.
        absent: The target's value of cells without a chunk, 0-dimensional.
    """

    def read(box: Box) -> Cells | None:
        units, start = reader.array.units, [a for a, _ in box]
        out: Cells | None = None
        for unit in indices(units.covering(box)):
            common = intersect(units.box(unit), box)
            if common is None:
                continue
            corner = [i * c for i, c in zip(unit, units.chunks, strict=True)]
            stored = reader.part(unit, shift(common, corner, -1))
            if stored is None:
                continue
            cells = convert(stored, reader.name(unit))
            if common == box:
                return cells
            if out is None:
                out = filled(box, absent)
            out[slices(shift(common, start, -1))] = cells
        return out

    return read


def filled(box: Box, value: Cells) -> Cells:
    """Return cells that are all the same, in the shape of a box."""
    out = np.empty(tuple(b - a for a, b in box), value.dtype)
    out[...] = value
    return out


def derived_cells(plan: ArrayPlan, box: Box, finest: Finest, absent: Cells) -> Cells | None:
    """Return cells of a derived array, or None if they follow from no chunk at all.

    Args:
        plan: The plan of the array.
        box: Cells of the slice's finest level, beginning with a window.
        finest: Reads them.
        absent: The target's value of cells without a chunk, 0-dimensional.
    """
    derivation = plan.derivation
    if derivation is None or plan.source is None:
        raise AssertionError(f"{plan.path} is not derived")
    how = derivation.aggregation
    factors, kept = derivation.factors, how.keeps(absent)
    whole = tuple((0, ceil_div(b - a, f)) for (a, b), f in zip(box, factors, strict=True))
    lengths = tuple(f * ceil_div(c, f) for f, c in zip(factors, plan.source.units.chunks, strict=True))
    out: Cells | None = None
    for part in _parts(box, lengths):
        cells = finest(part)
        if cells is None and kept:
            continue
        if cells is None:
            cells = filled(part, absent)
        for step in derivation.reductions:
            cells = how.apply(cells, step)
        if out is None:
            out = filled(whole, absent)
        corner = [(a - start) // f for (a, _), (start, _), f in zip(part, box, factors, strict=True)]
        out[slices(tuple((c, c + n) for c, n in zip(corner, cells.shape, strict=True)))] = cells
    return out


def _parts(box: Box, lengths: tuple[int, ...]) -> Iterator[Box]:
    """Yield parts of a box of at most these lengths, which begin with windows."""
    counts = tuple((0, ceil_div(b - a, n)) for (a, b), n in zip(box, lengths, strict=True))
    for index in indices(counts):
        yield tuple((a + i * n, min(a + (i + 1) * n, b)) for i, n, (a, b) in zip(index, lengths, box, strict=True))
