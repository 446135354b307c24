"""Compare a slice with what is already at its place in the target, within a budget.

A slice that is given again is usually equal, and large. Therefore the lengths of all chunks are
compared, which is cheap, and the content of a sample. The sample is spread over slices, arrays and
chunks, and always contains the first and last chunk of each array::

    chunks of an array    [ 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 ]
    lengths                 x   x   x   x   x   x   x   x   x   x
    content                 x           x           x           x

If the two sides cannot store the same bytes, the decoded cells of the sample are compared. Unequal
lengths or bytes alone do not prove a difference: another program may have encoded the same cells.
Such chunks are decoded, and their cells decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zapz.cf.conversion import Conversion, shown
from zapz.checks.budget import Budget, Share
from zapz.checks.reading import Reading
from zapz.checks.static import differing, same_cells
from zapz.errors import SliceError
from zapz.format.buffers import Cells
from zapz.format.grid import Box, Index, count, indices, intersect, shift, unravel
from zapz.format.lossy import near
from zapz.planning.placement import Placement
from zapz.planning.steps import ArrayPlan, plan_array
from zapz.reports import Compared
from zapz.sources.open_slice import OpenSlice

REQUEST_BYTES = 1_000_000
"""Bytes of the budget that one request to an object store costs: 64 requests equal 64 MB."""
_FILES = 1 << 20
"""Maximum number of files of an array whose lengths are compared."""
_CONTENTS = 1 << 14
"""Maximum number of chunks of a slice whose content is compared, even if they are small: opening a
file costs as much time as reading many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """The first difference between a slice and the target."""

    path: str
    """Variable."""
    place: str
    """Index of the cell in the target, for display."""
    target_value: str
    """The target's value, for display."""
    slice_value: str
    """The slice's value, for display."""
    extent: str
    """How many cells differ, for display."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """What a slice is compared with: the target, or in a dry run an earlier planned slice."""

    reading: Reading
    """Reads its cells."""
    meanings: Mapping[str, Conversion]
    """Conversions of its cells to the target's encoding, by variable; empty for the target."""
    offset: int
    """Its first step that is compared."""
    length: int
    """Number of steps that are compared."""
    start: int = 0
    """Step of the slice that is compared with the step ``offset``."""
    base: int = 0
    """Step of the target at which its own steps begin; more than 0 for a planned slice."""


def compare(side: Side, source: OpenSlice, placement: Placement, budget: Budget) -> Difference | Compared:
    """Compare a slice with what is already at its place.

    Args:
        side: What it is compared with.
        source: The slice.
        placement: How the slice's values are converted to the target's.
        budget: What the comparison may cost.

    Returns:
        The first difference; if there is none, what has been compared.

    Raises:
        SliceError: A value of the slice cannot be converted.
        ChunkError: A chunk is damaged.
        StoreError: Storage failed.
    """
    share, total = budget.share(), Compared()
    pairs = [
        _Pair.of(side, source, placement, path)
        for path in placement.conversions
        if source.dataset.arrays[path].axis(placement.dim) is not None
        and all(source.dataset.arrays[path].shape)
        and path in side.reading.dataset.arrays
    ]
    pairs.sort(key=lambda pair: pair.size)  # larger arrays get what small ones leave of their share
    for number, pair in enumerate(pairs):
        found = pair.compare(share, len(pairs) - number)
        if isinstance(found, Difference):
            return found
        total = total.plus(found)
    return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pair:
    """One array of the slice, and of what it is compared with."""

    side: Side
    """What the slice is compared with."""
    slice: Reading
    """Reads the slice's cells."""
    plan: ArrayPlan
    """A plan to append the array at its place; its chunks are compared."""
    conversion: Conversion
    """Converts the slice's cells to the target's encoding."""
    stored: bool
    """Whether equal cells are stored as equal bytes on both sides."""
    local: bool
    """Whether reading needs no requests to an object store."""

    @classmethod
    def of(cls, side: Side, source: OpenSlice, placement: Placement, path: str) -> _Pair:
        """Pair an array of the slice with the same array of the other side."""
        array = side.reading.dataset.arrays[path]
        axis = array.axis(placement.dim)
        placed = replace(placement, offset=side.offset, length=side.length)
        resized = array if axis is None else array.resized(axis, side.offset + side.length)
        plan = plan_array(resized, source.dataset.arrays[path], axis, placed, recompress=False)
        stores = (source.store, side.reading.store)
        aligned = not side.start and path not in side.meanings
        return cls(
            side=side,
            slice=Reading(source.store, source.dataset, cache_bytes=source.dataset.arrays[path].unit_bytes),
            plan=plan,
            conversion=placement.conversions[path],
            stored=plan.verbatim and aligned and all(store.abilities.stored for store in stores),
            local=not any(store.abilities.requests for store in stores),
        )

    @property
    def path(self) -> str:
        """Path of the array."""
        return self.plan.path

    @property
    def spans(self) -> Box:
        """Range of the compared chunks, per axis, in chunk indices."""
        return self.plan.spans

    @property
    def size(self) -> int:
        """Size of the compared chunks, in decoded bytes."""
        return count(self.spans) * self.plan.target.chunk_bytes

    def compare(self, share: Share, arrays: int) -> Difference | Compared:
        """Compare lengths and contents; use 1 / ``arrays`` of what is left of the share."""
        total = count(self.spans)
        suspects, lengths, held = self._lengths(share, arrays, total)
        average = held // lengths if lengths else self.plan.target.chunk_bytes
        cost = max(1, average) if self.local else REQUEST_BYTES
        several = total if share.budget.whole else max(2, min(share.bytes // cost, _CONTENTS) // arrays)
        first = [suspects[i] for i in _spread(len(suspects), several)]
        chosen = list(dict.fromkeys([*first, *_spread(total, several)]))
        read = 0
        for number in chosen:
            index = unravel(number, self.spans)
            size, found = self._content(index)
            read += size
            if found is not None:
                return found
        share.spend(bytes_=read if self.local else len(chosen) * REQUEST_BYTES)
        return Compared(chunks=total, lengths=lengths, contents=len(chosen), bytes=read)

    def _lengths(self, share: Share, arrays: int, total: int) -> tuple[list[int], int, int]:
        """Compare the lengths of stored chunks.

        Returns:
            The numbers of the chunks that differ, how many were compared, and the total length of
            the slice's chunks in bytes.
        """
        if not self.stored:
            return [], 0, 0
        most = _FILES if self.local else max(2, share.looks // arrays)
        several = total if share.budget.whole else min(total, most)
        suspects: list[int] = []
        numbers, held = _spread(total, several), 0
        for number in numbers:
            index = unravel(number, self.spans)
            length = self.slice.store.size(self._slice_key(index))
            if length != self.side.reading.store.size(self.plan.target.key(index)):
                suspects.append(number)
            held += length or 0
        if not self.local:
            share.spend(looks=len(numbers))
        return suspects, len(numbers), held

    def _slice_index(self, index: Index) -> Index:
        chunks = self.plan.target.grid.chunks
        return tuple(i - o // c for i, o, c in zip(index, self.plan.origin, chunks, strict=True))

    def _slice_key(self, index: Index) -> str:
        return self.slice.dataset.arrays[self.path].key(self._slice_index(index))

    def _content(self, index: Index) -> tuple[int, Difference | None]:
        """Compare one chunk; return the number of bytes read from the slice, and a difference."""
        if self.stored:
            slice_bytes = self.slice.reader(self.path).raw(self._slice_index(index))
            target_bytes = self.side.reading.reader(self.path).raw(index)
            if slice_bytes == target_bytes and (slice_bytes is not None or self._same_fill):
                return len(slice_bytes or b""), None
        box = intersect(self.plan.target.grid.box(index), self.plan.new_box)
        if box is None:
            return 0, None
        size = 0
        for unit in indices(self.plan.target.units.covering(box)):
            part = intersect(self.plan.target.units.box(unit), box)
            if part is None:
                continue
            target_cells, slice_cells = self._cells(part)
            size += slice_cells.nbytes
            array = self.plan.target
            if not (
                same_cells(slice_cells, target_cells) or (array.codecs.lossy and near(array, slice_cells, target_cells))
            ):
                return size, self._difference(part, target_cells, slice_cells)
        return size, None

    @property
    def _same_fill(self) -> bool:
        """Whether a missing chunk reads the same on both sides."""
        slice_fill, target_fill = (
            reading.dataset.arrays[self.path].fill for reading in (self.slice, self.side.reading)
        )
        return slice_fill.image is not None and slice_fill.image == target_fill.image

    def _cells(self, box: Box) -> tuple[Cells, Cells]:
        """Return the cells of a box of the target and of the slice, in the target's encoding.

        Both arrays have the shape of the box, which is in cells of the target.
        """
        target_cells = self.side.reading.cells(self.path, box)
        if self.path in self.side.meanings:
            target_cells = self.side.meanings[self.path].apply(target_cells)
        origin = tuple(o - (self.side.start if i == self.plan.axis else 0) for i, o in enumerate(self.plan.origin))
        try:
            return target_cells, self.conversion.apply(self.slice.cells(self.path, shift(box, origin, -1)))
        except SliceError as error:
            raise error.at(f"{self.slice.store.uri}, {self.path}") from None

    def _difference(self, box: Box, target_cells: Cells, slice_cells: Cells) -> Difference:
        differ = differing(target_cells, slice_cells)
        first = tuple(int(i) for i in np.argwhere(differ)[0]) if differ.any() else (0,) * target_cells.ndim
        base = [self.side.base if n == self.plan.axis else 0 for n in range(target_cells.ndim)]
        place = (i + a + b for i, (a, _), b in zip(first, box, base, strict=True))
        named = (
            f"{dim or f'axis {n}'} {i}" for n, (dim, i) in enumerate(zip(self.plan.target.dims, place, strict=True))
        )
        meaning = self.conversion.target
        return Difference(
            path=self.path,
            place=", ".join(named),
            target_value=shown(meaning, target_cells[first]),
            slice_value=shown(meaning, slice_cells[first]),
            extent=f"{max(1, int(np.count_nonzero(differ)))} of the {target_cells.size} cells of this chunk differ",
        )


def _spread(total: int, several: int) -> Sequence[int]:
    """Return evenly spread chunk numbers that include the first and the last."""
    if several >= total:
        return range(total)
    return [round(i * (total - 1) / (several - 1)) for i in range(several)]
