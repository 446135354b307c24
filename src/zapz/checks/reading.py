"""Read cells and labels of targets and slices, for checks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from zapz.config.settings import Config
from zapz.errors import FormatError, LabelError, SliceError
from zapz.format import documents as doors
from zapz.format.buffers import Cells
from zapz.format.dtypes import undefined
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Box, indices
from zapz.format.metadata import Dataset
from zapz.planning.label_order import check_labels, check_order, notes_of
from zapz.planning.labels import ENDS, Labels, Line, SeenLabels, all_label_paths
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import ChunkReader, region
from zapz.storage.store import ReadableStore


class Reading:
    """Reads cells of a dataset in a store."""

    def __init__(self, store: ReadableStore, dataset: Dataset, cache_bytes: int = 0) -> None:
        self.store = store
        self.dataset = dataset
        self._cache_bytes = cache_bytes
        self._readers: dict[str, ChunkReader] = {}

    def reader(self, path: str) -> ChunkReader:
        """Return a reader of one array's chunks; with a cache, the same reader each time."""
        if path in self._readers:
            return self._readers[path]
        document = doors.foreign_document(self.dataset.documents, path)
        reader = ChunkReader(self.store, self.dataset.arrays[path], document, self.store.uri, self._cache_bytes)
        if self._cache_bytes:
            self._readers[path] = reader
        return reader

    def cells(self, path: str, box: Box) -> Cells:
        """Return the cells of a box as stored.

        Args:
            path: The array.
            box: Start and stop per axis, in cells.

        Returns:
            An array with the shape of the box, in the stored dtype.
        """
        return region(self.reader(path), box, fill_cells(self.dataset.arrays[path]))

    def rows(self, path: str, axis: int, start: int, stop: int) -> Cells:
        """Return the cells of the steps ``start`` to ``stop`` along an axis, as stored."""
        shape = self.dataset.arrays[path].shape
        return self.cells(path, tuple((start, stop) if i == axis else (0, n) for i, n in enumerate(shape)))


def label_paths(target: Dataset, dim: str, *, copies: bool = False) -> list[str]:
    """Return the label variables of the append dimension; of a pyramid, those of the first level.

    The other levels repeat these labels (``check_level_labels``).

    Args:
        target: The dataset.
        dim: The append dimension.
        copies: Return those of the other levels, too.
    """
    found = all_label_paths(target, dim)
    if copies or not target.pyramids:
        return found
    from zapz.planning.levels import copies_of  # imported where used: most targets have no levels

    repeated = copies_of(target, found)
    return [path for path in found if path not in repeated]


def read_labels(
    target: Reading,
    source: OpenSlice,
    placement: Placement,
    known: Mapping[str, Line],
    config: Config,
    own: Mapping[str, Cells] | None = None,
) -> list[Labels]:
    """Read the labels that an append needs: the target's first and last two, and all of the slice.

    Args:
        target: The target.
        source: The slice.
        placement: Where the slice is placed.
        known: The target's first and last labels, by variable, as far as this call has read or
            written them. They are not read again.
        config: Settings. If the target cannot store a label, wrong order is reported first.
        own: The slice's stored labels, by variable, as far as they have been read; shape (steps,).

    Returns:
        Labels per label variable.

    Raises:
        LabelError: The target cannot store a label, and the labels are also out of order.
        SliceError: The target cannot store a label, or the slice's labels changed since they were
            inspected.
    """
    found = []
    for path in label_paths(target.dataset, placement.dim):
        if path in placement.filled or path not in source.dataset.arrays:
            continue
        stored = own.get(path) if own is not None else None
        if stored is None:
            stored = Reading(source.store, source.dataset).rows(path, 0, 0, placement.length)
        seen: SeenLabels | None = source.labels_seen.get(path)
        if seen is not None and seen.digest != digest_of_cells(stored):
            raise SliceError(
                "the slice's labels changed since zapz first read them",
                where=f"{source.uri}, {path}",
                hint="Another process may still be writing the slice. Append it when it is complete.",
            )
        conversion, last = placement.conversions[path], known.get(path)
        if last is None or last.encoding is not conversion.target:
            ends = read_ends(target, path, placement.offset) if last is None else last.stored
            last = Line.of(conversion.target, ends)
        if seen is not None and seen.labels is not None and seen.conversion is conversion:
            found.append(replace(seen.labels, old=last))
            continue
        distinct = len(set(stored.reshape(-1).tolist()))
        try:
            converted = conversion.apply(stored)
        except SliceError as error:
            kept = Labels(path=path, old=last, new=Line.of(conversion.source, stored), distinct=distinct)
            if kept.new.kind == last.kind and None not in kept.new.values:
                check_order(kept, config, source.uri)
            raise error.at(f"{source.uri}, {path}") from None
        found.append(Labels(path=path, old=last, new=Line.of(conversion.target, converted), distinct=distinct))
    return found


def check_level_labels(
    target: Reading, source: OpenSlice, placement: Placement, labels: Sequence[Labels], checked: set[str]
) -> dict[str, Cells]:
    """Refuse a slice whose levels have different labels, and a target whose levels have.

    Args:
        target: The target.
        source: The slice.
        placement: Where the slice is placed.
        labels: The labels that were read, of the first level of each pyramid.
        checked: Label variables whose last labels in the target are known to equal those of the
            first level; completed here.

    Returns:
        The labels of the other levels as the target stores them, by variable; shape (steps,).

    Raises:
        LabelError: The labels of a level differ from those of the first one.
        FormatError: The same in the target.
        SliceError: The target cannot store a label.
    """
    if not target.dataset.pyramids:
        return {}
    from zapz.planning.levels import copies_of  # imported where used: most targets have no levels

    known = {found.path: found for found in labels}
    found: dict[str, Cells] = {}
    for path, original in copies_of(target.dataset, all_label_paths(target.dataset, placement.dim)).items():
        if original not in known:
            continue
        stored = Reading(source.store, source.dataset).rows(path, 0, 0, placement.length)
        conversion, first = placement.conversions[path], known[original]
        if path not in checked and placement.offset:
            last = target.rows(path, 0, placement.offset - 1, placement.offset)
            known_last = Line.of(first.old.encoding, first.old.stored[-1:])
            _require_same(Line.of(conversion.target, last), known_last, FormatError, target.store.uri, path, original)
            checked.add(path)
        try:
            found[path] = conversion.apply(stored)
        except SliceError as error:
            raise error.at(f"{source.uri}, {path}") from None
        _require_same(Line.of(conversion.target, found[path]), first.new, LabelError, source.uri, path, original)
    return found


def _require_same(
    labels: Line, first: Line, kind: type[LabelError | FormatError], where: str, path: str, original: str
) -> None:
    """Refuse labels of a level that differ from those of the first level."""
    if labels.values == first.values:
        return
    place = next(i for i, pair in enumerate(zip(labels.values, first.values, strict=True)) if pair[0] != pair[1])
    raise kind(
        "the levels have different labels",
        where=f"{where}, {path}",
        expected=f"{first.text(place)}, as in {original}",
        found=labels.text(place),
        hint="Create the levels again, with the tool that created them.",
    )


def check_followers(labels: Sequence[Labels], source: OpenSlice, config: Config) -> list[str]:
    """Refuse a slice whose labels do not continue the target's; return notes about order and gaps.

    Raises:
        LabelError: As ``check_labels``.
        ConfigError: As ``check_labels``.
    """
    for found in labels:
        check_labels(found, config, source.uri)
    return [*notes_of(labels, config)]


def read_ends(target: Reading, path: str, length: int) -> Cells:
    """Return the first and the last two of ``length`` stored labels, or all if there are fewer."""
    if length == 0:
        return np.empty(0, target.dataset.arrays[path].dtype)
    if length <= ENDS:
        return target.rows(path, 0, 0, length)
    return np.concatenate([target.rows(path, 0, 0, 1), target.rows(path, 0, length - 2, length)])


def hidden(target: Reading, path: str, stored: Cells, where: str) -> bool:
    """Return whether xarray would read new labels of a v2 target as missing.

    If so, the append removes the array's fill value. A missing chunk of labels would then have no
    defined value, so no chunk may be missing, unless it reads the same afterwards.

    Args:
        target: The target.
        path: The label variable.
        stored: The new labels, as the target stores them; shape (steps,).
        where: The slice, for messages.

    Raises:
        LabelError: A chunk of labels is missing.
    """
    array = target.dataset.arrays[path]
    door = doors.of(target.dataset.zarr_format)
    if not any(door.hides(array, value) for value in stored.reshape(-1)):
        return False
    if array.fill.value != undefined(array.dtype):
        keys = [array.key(index) for index in indices(tuple((0, n) for n in array.grid.counts))]
        missing = sorted(set(keys) - set(target.store.existing(keys)))
        if missing:
            raise LabelError(
                "a label equals fill_value, which marks labels that were not written",
                where=f"{where}, {path}",
                expected="no missing chunk of labels in the target: only then can zapz remove "
                f"fill_value {array.fill.value!s} from its metadata",
                found=f"{missing[0]} is missing",
                hint="Write the labels of the target again: read them, and write them with write_empty_chunks=True.",
            )
    return True


def digest_of(labels: Sequence[Labels]) -> str:
    """Return a digest of a slice's labels in the target's encoding; empty if there are none."""
    digest = hashlib.sha256()
    for found in labels:
        digest.update(f"{found.path}\0{found.new.stored.dtype}\0".encode())
        digest.update(_content(found.new.stored))
    return digest.hexdigest() if labels else ""


def digest_of_cells(cells: Cells) -> str:
    """Return a digest of stored cells."""
    return hashlib.sha256(_content(cells)).hexdigest()


def _content(cells: Cells) -> bytes:
    return repr(cells.tolist()).encode() if cells.dtype.hasobject else cells.tobytes()
