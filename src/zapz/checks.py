"""Checks that need data: static variables, labels, and slices that are there already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from zapz.chunks import Cells, ChunkReader, document_of, fill_cells, region
from zapz.compat import conversion_of, meaning_of
from zapz.config import Config
from zapz.errors import SliceError, VariableError
from zapz.format.codecs import same_bytes
from zapz.format.grid import Box, indices
from zapz.format.metadata import Array, Dataset
from zapz.labels import Labels, Line
from zapz.sources.stores import OpenSlice
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


def read_labels(target: Reading, source: OpenSlice, placement: Placement, known: Mapping[str, Cells]) -> list[Labels]:
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
        meaning = meaning_of(target.dataset, path)
        try:
            converted = placement.conversions[path].apply(mine)
        except SliceError as error:
            raise error.at(f"{source.uri}, {path}") from None
        distinct = len(set(mine.reshape(-1).tolist()))
        found.append(Labels(path=path, old=Line.of(meaning, last), new=Line.of(meaning, converted), distinct=distinct))
    return found


def digest_of(labels: Sequence[Labels]) -> str:
    """Return a digest of a slice's labels, in the target's terms; empty if there are none."""
    digest = hashlib.sha256()
    for found in labels:
        digest.update(f"{found.path}\0{found.new.stored.dtype}\0".encode())
        stored = found.new.stored
        digest.update(repr(stored.tolist()).encode() if stored.dtype.hasobject else stored.tobytes())
    return digest.hexdigest() if labels else ""


class StaticVariables:
    """Compares static variables of slices with the target's; remembers digests of the target's chunks within a call."""

    def __init__(self) -> None:
        self._digests: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def check(self, target: Reading, source: OpenSlice, placement: Placement, config: Config) -> None:
        """Refuse a slice whose static variables differ.

        Raises:
            VariableError: A value differs (by more than the tolerance).
        """
        for path in placement.static:
            self._check(target, source, path, config)

    def _check(self, target: Reading, source: OpenSlice, path: str, config: Config) -> None:
        mine, theirs = target.dataset.arrays[path], source.dataset.arrays[path]
        reader = target.reader(path)
        other = ChunkReader(source.store, theirs, document_of(source.dataset.documents, path), source.uri)
        narrow = "dtype" in {**config.variable(path).encoding, **source.encodings.get(path, {})}
        meaning = conversion_of(source.dataset, target.dataset, path, source.uri, narrow=narrow)
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
            _compare(mine, (here, there), box, meaning.target.packing, tolerance, where)

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
) -> None:
    here, there = pair
    differ = here != there
    if array.dtype.kind in "fcmM":
        differ &= ~((here != here) & (there != there))  # noqa: PLR0124 - NaN and NaT are the values unequal to themselves
    if array.dtype.fields is not None:
        bytewise = (a.tobytes() != b.tobytes() for a, b in zip(here.reshape(-1), there.reshape(-1), strict=True))
        differ = np.fromiter(bytewise, dtype=bool, count=here.size).reshape(here.shape)
    if not np.any(differ):
        return
    scale, offset = (float(part) for part in packing)
    numeric = array.dtype.kind in "iuf"
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(here.astype(np.float64) - there.astype(np.float64)) * abs(scale) if numeric else None
    if tolerance is not None and gap is not None and bool(np.all(gap[differ] <= tolerance * (1 + 1e-12))):
        return
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
        hint='Is it the same grid? If rounding is meant, set static to a tolerance; static = "ignore" keeps the target\'s.',
    )


def same_cells(a: Cells, b: Cells) -> bool:
    """Return whether two arrays hold the same values, NaN and NaT equal to themselves."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.fields is not None:
        return a.tobytes() == b.tobytes()
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fcmM"))
