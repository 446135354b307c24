"""Checks that need data: static variables, labels, and slices that are there already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from zapz.chunks import Cells, ChunkReader, document_of, fill_cells, region
from zapz.compat import conversion_of, meaning_of
from zapz.config import Config
from zapz.errors import SliceError, VariableError
from zapz.format.codecs import same_bytes
from zapz.format.grid import Box, indices
from zapz.format.metadata import Array, Dataset
from zapz.labels import Labels, Line
from zapz.sources.stores import Source
from zapz.steps import Placement
from zapz.storage.store import Store

_LAST = 2


class Reading:
    """Reads cells of a dataset in a store, for checks."""

    def __init__(self, store: Store, dataset: Dataset) -> None:
        self.store = store
        self.dataset = dataset

    def reader(self, path: str) -> ChunkReader:
        """Return a reader of one array's chunks."""
        return ChunkReader(
            self.store, self.dataset.arrays[path], document_of(self.dataset.documents, path), self.store.uri
        )

    def cells(self, path: str, box: Box) -> Cells:
        """Return the stored cells of a box."""
        return region(self.reader(path), box, fill_cells(self.dataset.arrays[path]))

    def rows(self, path: str, axis: int, start: int, stop: int) -> Cells:
        """Return the stored cells of some steps along an axis."""
        shape = self.dataset.arrays[path].shape
        return self.cells(path, tuple((start, stop) if i == axis else (0, n) for i, n in enumerate(shape)))


def label_paths(target: Dataset, dim: str) -> list[str]:
    """Return the label variables of the append dimension, the root's first (CF section 5: one-dimensional, named like it)."""
    return [p for p, a in sorted(target.arrays.items()) if a.dims == (dim,) and p.rpartition("/")[2] == dim]


def read_labels(target: Reading, source: Source, placement: Placement, known: Mapping[str, Cells]) -> list[Labels]:
    """Read what ``compat`` needs to know of labels: the target's last two, and all of the slice.

    Args:
        target: The target.
        source: The slice.
        placement: Where the slice goes.
        known: The target's last labels as this call has written them, so that they are not read again.
    """
    found = []
    for path in label_paths(target.dataset, placement.dim):
        if path in placement.filled or path not in source.dataset.arrays:
            continue
        last = (
            known[path] if path in known else target.rows(path, 0, max(0, placement.offset - _LAST), placement.offset)
        )
        mine = Reading(source.store, source.dataset).rows(path, 0, 0, placement.length)
        old = Line.of(meaning_of(target.dataset, path), last)
        found.append(Labels(path=path, old=old, new=Line.of(meaning_of(source.dataset, path), mine)))
    return found


class StaticVariables:
    """Compares static variables of slices with the target's; remembers digests of the target's chunks within a call."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def check(self, target: Reading, source: Source, placement: Placement, config: Config) -> None:
        """Refuse a slice whose static variables differ.

        Raises:
            VariableError: A value differs (by more than the tolerance).
        """
        for path in placement.static:
            self._check(target, source, path, config)

    def _check(self, target: Reading, source: Source, path: str, config: Config) -> None:
        mine, theirs = target.dataset.arrays[path], source.dataset.arrays[path]
        reader = target.reader(path)
        other = ChunkReader(source.store, theirs, document_of(source.dataset.documents, path), source.uri)
        meaning = conversion_of(source.dataset, target.dataset, path, source.uri)
        alike = (
            meaning.identity
            and mine.dtype == theirs.dtype
            and mine.grid == theirs.grid
            and same_bytes(theirs.codecs, mine.codecs)
        )
        tolerance = None if isinstance(config.static, str) else float(config.static)
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
            _compare(mine, here, there, box, tolerance, where)

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


def _compare(array: Array, here: Cells, there: Cells, box: Box, tolerance: float | None, where: str) -> None:
    differ = here != there
    if array.dtype.kind in "fcmM":
        differ &= ~((here != here) & (there != there))  # noqa: PLR0124 - NaN and NaT are the values unequal to themselves
    if array.dtype.fields is not None:
        differ = np.array(
            [a.tobytes() != b.tobytes() for a, b in zip(here.reshape(-1), there.reshape(-1), strict=True)]
        ).reshape(here.shape)
    if not np.any(differ):
        return
    numeric = array.dtype.kind in "iuf"
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(here.astype(np.float64) - there.astype(np.float64)) if numeric else None
    if tolerance is not None and gap is not None and bool(np.all(gap[differ] <= tolerance)):
        return
    first = tuple(int(i) for i in np.argwhere(np.atleast_1d(differ))[0])
    at = tuple(i + a for i, (a, _) in zip(first, box, strict=True)) if box else ()
    a, b = (np.atleast_1d(cells)[first] for cells in (here, there))
    count = int(np.count_nonzero(differ))
    largest = (
        f"; largest difference {np.nanmax(gap[differ]):g}"
        if gap is not None and not np.all(np.isnan(gap[differ]))
        else ""
    )
    raise VariableError(
        "a static variable differs from the target's",
        where=where,
        expected=f"{a} at index {at}",
        found=f"{b} ({count} cells of this chunk differ{largest})",
        hint='Is it the same grid? If rounding is meant, set static to a tolerance; static = "ignore" keeps the target\'s.',
    )


def find(target: Reading, path: str, labels: Line, length: int) -> int | None:
    """Return where the target's labels begin to equal a slice's first one; None if they nowhere do.

    Labels are sorted, so few chunks of them are read, however many there are.
    """
    array = target.dataset.arrays[path]
    reader = target.reader(path)
    fill = fill_cells(array)
    meaning = meaning_of(target.dataset, path)
    chunk = array.units.chunks[0]
    wanted = labels.values[0]

    def line(number: int) -> Line:
        box = ((number * chunk, min((number + 1) * chunk, length)),)
        return Line.of(meaning, region(reader, box, fill))

    low, high = 0, (length - 1) // chunk
    falling = False
    if low < high:
        falling = line(high).values[-1] < line(low).values[0]
    while low < high:
        middle = (low + high + 1) // 2
        start = line(middle).values[0]
        if (start >= wanted) if falling else (start <= wanted):
            low = middle
        else:
            high = middle - 1
    values = line(low).values
    return low * chunk + values.index(wanted) if wanted in values else None


def equals_there(target: Reading, source: Source, placement: Placement) -> str | None:
    """Compare the first and last chunk of each variable of a slice with what the target holds at the placement's offset.

    Returns:
        The path of a variable that differs, or None.
    """
    mine = Reading(source.store, source.dataset)
    for path, meaning in placement.conversions.items():
        array = source.dataset.arrays[path]
        axis = array.axis(placement.dim)
        if axis is None:
            continue
        last = tuple(n - 1 for n in array.units.counts)
        for unit in {tuple(0 for _ in last), last}:
            box = array.units.box(unit)
            there = tuple(
                (a + placement.offset, b + placement.offset) if i == axis else (a, b) for i, (a, b) in enumerate(box)
            )
            if not same_cells(meaning.apply(mine.cells(path, box)), target.cells(path, there)):
                return path
    return None


def same_cells(a: Cells, b: Cells) -> bool:
    """Return whether two arrays hold the same values, NaN and NaT equal to themselves."""
    if a.dtype.kind in "fcmM":
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(np.array_equal(a, b))
