"""Static variables: those without the append dimension must be what the target has."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from zapz.checks.reading import Reading
from zapz.config.array_encoding import UNSET
from zapz.config.settings import Config
from zapz.errors import SliceError, VariableError
from zapz.format.buffers import Cells
from zapz.format.codecs import same_bytes
from zapz.format.documents import foreign_document
from zapz.format.grid import Box, indices
from zapz.format.metadata import Array
from zapz.planning.meaning import conversion_of
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import ChunkReader, fill_cells, region


class StaticVariables:
    """Compares static variables of slices with the target's; remembers digests of the target's chunks within a call."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def check(self, target: Reading, source: OpenSlice, placement: Placement, config: Config) -> dict[str, float]:
        """Refuse a slice whose static variables differ; return those that differ within the tolerance, and by how much at most.

        Raises:
            VariableError: A value differs (by more than the tolerance).
        """
        gaps = {path: self._check(target, source, path, config) for path in placement.static}
        return {path: gap for path, gap in gaps.items() if gap}

    def _check(self, target: Reading, source: OpenSlice, path: str, config: Config) -> float:
        mine, theirs = target.dataset.arrays[path], source.dataset.arrays[path]
        reader = target.reader(path)
        other = ChunkReader(source.store, theirs, foreign_document(source.dataset.documents, path), source.uri)
        own = source.encodings.get(path)
        narrow = any(e.dtype is not UNSET for e in (config.variable(path).encoding, own) if e is not None)
        meaning = conversion_of(source.dataset, target.dataset, path, source.uri, config, narrow=narrow)
        alike = (
            meaning.identity
            and mine.dtype == theirs.dtype
            and mine.grid == theirs.grid
            and same_bytes(theirs.codecs, mine.codecs)
        )
        tolerance = None if isinstance(config.static, str) else float(config.static)
        largest = 0.0
        for index in indices(tuple((0, n) for n in mine.grid.counts)):
            if alike and self._same_bytes(reader, other, path, index):
                continue
            box = mine.grid.box(index)
            here = region(reader, box, fill_cells(mine))
            there = region(other, box, fill_cells(theirs))
            where = f"{source.uri}, {path}"
            try:
                there = meaning.apply(there)
            except SliceError as error:
                raise error.at(where) from None
            try:
                gap = _compare(mine, (here, there), box, meaning.target.packing, tolerance, where)
                largest = max(largest, gap)
            except VariableError as error:
                from zapz.checks.static_advice import (
                    WHOLE,
                    advice,
                    for_one_step,
                )  # imported where used: most slices need none

                if math.prod(mine.shape) <= WHOLE:
                    whole = tuple((0, n) for n in mine.shape)
                    here, there = region(reader, whole, fill_cells(mine)), region(other, whole, fill_cells(theirs))
                    there = meaning.apply(there)
                scale = abs(float(meaning.target.packing[0]))
                hint, remedies = advice(mine, config.append_dim, here, there, scale)
                if source.one_step:
                    hint, remedies = for_one_step(mine, config, hint, remedies)
                raise error.advised(hint, remedies) from None
        return largest

    def _same_bytes(self, reader: ChunkReader, other: ChunkReader, path: str, index: tuple[int, ...]) -> bool:
        theirs = other.raw(index)
        if theirs is None:
            return False
        if (path, index) not in self._digests:
            mine = reader.raw(index)
            if mine is None:
                return False
            self._digests[path, index] = hashlib.sha256(mine).digest()
        return self._digests[path, index] == hashlib.sha256(theirs).digest()


def _compare(
    array: Array,
    pair: tuple[Cells, Cells],
    box: Box,
    packing: tuple[float, float],
    tolerance: float | None,
    where: str,
) -> float:
    """Return the largest difference, if it is tolerated."""
    here, there = pair
    differ = differing(here, there)
    if not np.any(differ):
        return 0.0
    scale, offset = (float(part) for part in packing)
    numeric = array.dtype.kind in "iuf"
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(here.astype(np.float64) - there.astype(np.float64)) * abs(scale) if numeric else None
    if tolerance is not None and gap is not None and bool(np.all(gap[differ] <= tolerance * (1 + 1e-12))):
        return float(np.max(gap[differ]))
    first = tuple(int(i) for i in np.argwhere(np.atleast_1d(differ))[0])
    at = tuple(i + a for i, (a, _) in zip(first, box, strict=True)) if box else ()
    a, b = (np.atleast_1d(cells)[first] for cells in (here, there))
    if (scale, offset) != (1, 0) and numeric:
        a, b = (float(v) * scale + offset for v in (a, b))
    count = int(np.count_nonzero(differ))
    finite = gap is not None and not np.all(np.isnan(gap[differ]))
    largest = f"; largest difference {np.nanmax(gap[differ]):g}" if gap is not None and finite else ""
    raise VariableError(
        "a static variable differs from the target's",
        where=where,
        expected=f"{a} at index {at}",
        found=f"{b} ({count} cells of this chunk differ{largest})",
    )


def differing(here: Cells, there: Cells) -> Cells:
    """Return a mask of the cells that differ between two arrays of one type; NaN and NaT equal themselves."""
    if here.dtype.fields is not None:
        bytewise = (a.tobytes() != b.tobytes() for a, b in zip(here.reshape(-1), there.reshape(-1), strict=True))
        return np.fromiter(bytewise, dtype=bool, count=here.size).reshape(here.shape)
    differ = np.asarray(here != there)
    if here.dtype.kind in "fcmM":
        differ &= ~((here != here) & (there != there))  # noqa: PLR0124 - NaN and NaT are the values unequal to themselves
    return differ


def same_cells(a: Cells, b: Cells) -> bool:
    """Return whether two arrays hold the same values, NaN and NaT equal to themselves."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.fields is not None:
        return a.tobytes() == b.tobytes()
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fcmM"))
