"""Compare a slice with what lies at its place already: lengths of stored chunks, their bytes, cells; as much as a budget allows.

A slice that comes again is mostly equal, and large. So the lengths of all chunks are compared,
which is cheap, and the content of a sample that is spread over slices, arrays and chunks, the first
and last chunk of each array always among it::

    chunks of an array    [ 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 ]
    lengths                 x   x   x   x   x   x   x   x   x   x
    content                 x           x           x           x

Where both sides do not store the same bytes, decoded cells of the same sample are compared. Unequal
    lengths or bytes are no verdict: the
same cells may have been encoded by another program. They are decoded, and the cells decide.
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
"""Bytes of the budget that one request to a service costs: 64 requests instead of 64 MB."""
_FILES = 1 << 20
"""Files of an array whose lengths are compared."""
_CONTENTS = 1 << 14
"""Chunks of a slice whose content is compared at most, however small they are: opening one takes as
long as reading many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Difference:
    """Where a slice is not what lies there."""

    path: str
    """Variable."""
    place: str
    """Index in the target, for people."""
    here: str
    """What the target has there."""
    there: str
    """What the slice has."""
    extent: str
    """How many cells differ, for people."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """What a slice is compared with: the target, or in a dry run a slice that would be there."""

    reading: Reading
    """Its cells."""
    meanings: Mapping[str, Conversion]
    """What brings its cells to the target's terms, if they are not in them."""
    offset: int
    """Step of it at which the slice would begin."""
    length: int
    """Number of steps of it from there on that are to be compared, as far as the slice reaches."""
    start: int = 0
    """Step of the slice that lies at ``offset``."""


def compare(side: Side, source: OpenSlice, placement: Placement, budget: Budget) -> Difference | Compared:
    """Compare a slice with what lies at its place.

    Args:
        side: What lies there.
        source: The slice.
        placement: How its values become the target's.
        budget: What it may cost.

    Returns:
        The first difference that was found; else what has been compared.
    """
    share, total = budget.share(), Compared()
    pairs = [
        _Pair.of(side, source, placement, path)
        for path in placement.conversions
        if source.dataset.arrays[path].axis(placement.dim) is not None
        and all(source.dataset.arrays[path].shape)
        and path in side.reading.dataset.arrays
    ]
    pairs.sort(key=lambda pair: pair.size)  # what small arrays leave of their part is for the larger ones
    for number, pair in enumerate(pairs):
        found = pair.compare(share, len(pairs) - number)
        if isinstance(found, Difference):
            return found
        total = total.plus(found)
    return total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pair:
    """One array on both sides."""

    side: Side
    mine: Reading
    plan: ArrayPlan
    """The array as if the slice were appended at its place; its chunks are what is compared."""
    conversion: Conversion
    stored: bool
    """Whether both sides store chunks of the same bytes, if their cells are equal."""
    local: bool
    """Whether reading costs no requests."""

    @classmethod
    def of(cls, side: Side, source: OpenSlice, placement: Placement, path: str) -> _Pair:
        """Pair an array of the slice with the one that is there."""
        theirs = side.reading.dataset.arrays[path]
        axis = theirs.axis(placement.dim)
        placed = replace(placement, offset=side.offset, length=side.length)
        there = theirs if axis is None else theirs.resized(axis, side.offset + side.length)
        plan = plan_array(there, source.dataset.arrays[path], axis, placed, recompress=False)
        stores = (source.store, side.reading.store)
        aligned = not side.start and path not in side.meanings
        return cls(
            side=side,
            mine=Reading(source.store, source.dataset, cache_bytes=source.dataset.arrays[path].unit_bytes),
            plan=plan,
            conversion=placement.conversions[path],
            stored=plan.verbatim and aligned and all(store.abilities.stored for store in stores),
            local=not any(store.abilities.requests for store in stores),
        )

    @property
    def path(self) -> str:
        """The array."""
        return self.plan.path

    @property
    def spans(self) -> Box:
        """Range of the chunks in question, per axis."""
        return self.plan.spans

    @property
    def size(self) -> int:
        """Bytes of the cells in question."""
        return count(self.spans) * self.plan.target.chunk_bytes

    def compare(self, share: Share, arrays: int) -> Difference | Compared:
        """Compare lengths and contents; ``arrays`` share what is left."""
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
        """Compare lengths of stored chunks; return those that differ, how many were compared, and the bytes of the slice's."""
        if not self.stored:
            return [], 0, 0
        most = _FILES if self.local else max(2, share.looks // arrays)
        several = total if share.budget.whole else min(total, most)
        suspects: list[int] = []
        numbers, held = _spread(total, several), 0
        for number in numbers:
            index = unravel(number, self.spans)
            mine = self.mine.store.size(self._mine_key(index))
            if mine != self.side.reading.store.size(self.plan.target.key(index)):
                suspects.append(number)
            held += mine or 0
        if not self.local:
            share.spend(looks=len(numbers))
        return suspects, len(numbers), held

    def _mine_index(self, index: Index) -> Index:
        chunks = self.plan.target.grid.chunks
        return tuple(i - o // c for i, o, c in zip(index, self.plan.origin, chunks, strict=True))

    def _mine_key(self, index: Index) -> str:
        return self.mine.dataset.arrays[self.path].key(self._mine_index(index))

    def _content(self, index: Index) -> tuple[int, Difference | None]:
        """Compare one chunk; return how many bytes of the slice that took."""
        if self.stored:
            mine = self.mine.reader(self.path).raw(self._mine_index(index))
            theirs = self.side.reading.reader(self.path).raw(index)
            if mine == theirs and (mine is not None or self._same_fill):
                return len(mine or b""), None
        box = intersect(self.plan.target.grid.box(index), self.plan.new_box)
        if box is None:
            return 0, None
        size = 0
        for unit in indices(self.plan.target.units.covering(box)):
            part = intersect(self.plan.target.units.box(unit), box)
            if part is None:
                continue
            here, there = self._cells(part)
            size += there.nbytes
            goal = self.plan.target
            if not (same_cells(there, here) or (goal.codecs.lossy and near(goal, there, here))):
                return size, self._difference(part, here, there)
        return size, None

    @property
    def _same_fill(self) -> bool:
        """Whether a chunk that is missing reads the same on both sides."""
        mine, theirs = (reading.dataset.arrays[self.path].fill for reading in (self.mine, self.side.reading))
        return mine.image is not None and mine.image == theirs.image

    def _cells(self, box: Box) -> tuple[Cells, Cells]:
        """Return the cells of a box on both sides, in the target's terms."""
        here = self.side.reading.cells(self.path, box)
        if self.path in self.side.meanings:
            here = self.side.meanings[self.path].apply(here)
        origin = tuple(o - (self.side.start if i == self.plan.axis else 0) for i, o in enumerate(self.plan.origin))
        try:
            return here, self.conversion.apply(self.mine.cells(self.path, shift(box, origin, -1)))
        except SliceError as error:
            raise error.at(f"{self.mine.store.uri}, {self.path}") from None

    def _difference(self, box: Box, here: Cells, there: Cells) -> Difference:
        differ = differing(here, there)
        first = tuple(int(i) for i in np.argwhere(differ)[0]) if differ.any() else (0,) * here.ndim
        place = (i + a for i, (a, _) in zip(first, box, strict=True))
        named = (
            f"{dim or f'axis {n}'} {i}" for n, (dim, i) in enumerate(zip(self.plan.target.dims, place, strict=True))
        )
        meaning = self.conversion.target
        return Difference(
            path=self.path,
            place=", ".join(named),
            here=shown(meaning, here[first]),
            there=shown(meaning, there[first]),
            extent=f"{max(1, int(np.count_nonzero(differ)))} of the {here.size} cells of this chunk differ",
        )


def _spread(total: int, several: int) -> Sequence[int]:
    """Return numbers of chunks, evenly spread, the first and last among them."""
    if several >= total:
        return range(total)
    return [round(i * (total - 1) / (several - 1)) for i in range(several)]
