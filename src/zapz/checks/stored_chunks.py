"""Read and decode every stored chunk of a dataset, in bounded memory.

Missing chunks and chunks beyond the shapes are counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from zapz.checks.findings import Finding, finding_of
from zapz.errors import ChunkError, StoreError, UnsupportedError, ZapzError
from zapz.execution.run import batches, pump
from zapz.format.documents import foreign_document
from zapz.format.grid import Index, count, indices
from zapz.format.metadata import Array, Dataset
from zapz.storage.chunk_reader import ChunkReader
from zapz.storage.presence import present
from zapz.storage.store import ReadableStore

MOST_FINDINGS = 1000
"""Maximum number of damaged chunks that are listed."""
_MOST_FAILURES = 100
"""Number of chunks that storage fails to return, after which the check stops."""
_WORKERS, _REQUESTS = 4, 16
"""Default number of threads: on local storage, on an object store."""
_ANY = 1 << 62
"""A number larger than every chunk index."""
_WHOLE = 1 << 28
"""Maximum decoded size of a shard that is read as a whole, in bytes. The inner chunks of a larger
shard are read one by one."""

Progress: TypeAlias = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCounts:
    """The numbers of chunks (shards) of all arrays."""

    expected: int
    """Chunks within the shapes."""
    stored: int = 0
    """Chunks that exist; each was read and decoded."""
    missing: int = 0
    """Chunks that do not exist, and read as the fill value. That alone is not damage."""
    stale: int | None = None
    """Chunks beyond the shapes, which no reader uses; None where storage cannot be listed."""
    damaged: int = 0
    """Chunks that cannot be read or decoded."""
    bytes: int = 0
    """Bytes read."""


class StoredChunks:
    """Checks the chunks of one dataset."""

    def __init__(
        self, store: ReadableStore, dataset: Dataset, workers: int | None, memory_limit: int, progress: Progress | None
    ) -> None:
        self.findings: list[Finding] = []
        """Damaged chunks; the first 1000."""
        self.notes: list[str] = []
        """One note per array whose chunks cannot be decoded."""
        self._store = store
        self._dataset = dataset
        largest = max((array.chunk_bytes for array in dataset.arrays.values()), default=1)
        most = max(1, memory_limit // max(1, min(largest, _WHOLE)))
        self._workers = min(workers or (_REQUESTS if store.abilities.requests else _WORKERS), most)
        self._progress = progress
        self._guard = threading.Lock()
        self._total = sum(count(_spans(array)) for array in dataset.arrays.values())
        self._done = self._stored = self._damaged = self._failed = self._bytes = self._stale = 0
        self._undecoded: set[str] = set()

    def check(self) -> ChunkCounts:
        """Check all chunks.

        Raises:
            StoreError: Storage fails repeatedly.
        """
        from concurrent.futures import ThreadPoolExecutor  # imported where used: only this check starts threads

        before = 0
        for path, array in sorted(self._dataset.arrays.items()):
            document = foreign_document(self._dataset.documents, path)
            reader = ChunkReader(self._store, array, document, self._store.uri)
            with ThreadPoolExecutor(self._workers, thread_name_prefix="zapz") as threads:
                pump(threads, batches(self._existing(array)), partial(self._batch, reader), self._workers)
            before += count(_spans(array))
            self._advance(before - self._done)  # missing chunks count as done
        return ChunkCounts(
            expected=self._total,
            stored=self._stored,
            missing=self._total - self._stored,
            stale=self._stale if self._store.abilities.listable else None,
            damaged=self._damaged,
            bytes=self._bytes,
        )

    def _existing(self, array: Array) -> Iterator[Index]:
        """Yield the chunks of an array that exist, or all chunks if storage cannot be listed."""
        if not self._store.abilities.listable:
            yield from indices(_spans(array))
            return
        counts = array.grid.counts
        try:
            for index in present(self._store, array.path, array.keys, tuple((0, _ANY) for _ in counts), strict=True):
                if all(i < n for i, n in zip(index, counts, strict=True)):
                    yield index
                else:
                    self._stale += 1
        except ZapzError as error:
            if isinstance(error, StoreError):
                raise
            self._note(error)

    def _batch(self, reader: ChunkReader, some: list[Index]) -> None:
        for index in some:
            try:
                self._check(reader, index)
            except ChunkError as error:
                self._note(error)
            except StoreError as error:
                self._count(0)
                self._note(error)
                with self._guard:
                    self._failed += 1
                    enough = self._failed >= _MOST_FAILURES
                if enough:
                    raise
        self._advance(len(some))

    def _advance(self, chunks: int) -> None:
        with self._guard:
            self._done += chunks
            done = self._done
        if self._progress is not None and chunks:
            self._progress(done, self._total)

    def _check(self, reader: ChunkReader, index: Index) -> None:
        """Read one chunk, inspect its header or shard index, and decode it."""
        array = reader.array
        if array.codecs.shards is not None and array.chunk_bytes > _WHOLE:
            self._check_inner(reader, index)
            return
        data = reader.raw(index)
        if data is None:
            return
        self._count(len(data))
        table = reader.inspect(index, data)
        for unit in indices(array.units_in(index)):
            place = (0, len(data)) if table is None else table.range(reader.number(unit))
            if place is not None:
                self._decode(reader, memoryview(data)[place[0] : sum(place)], unit)

    def _check_inner(self, reader: ChunkReader, index: Index) -> None:
        """Check a shard that is too large to be read as a whole."""
        table, size = reader.shard_index(index)
        if table is None:
            return
        self._count(size)
        for unit in indices(reader.array.units_in(index)):
            data = reader.raw_unit(unit)
            if data is not None:
                self._decode(reader, data, unit)

    def _decode(self, reader: ChunkReader, data: memoryview | bytes, unit: Index) -> None:
        path = reader.array.path
        if path in self._undecoded:
            return
        try:
            reader.decode(data, unit)
        except UnsupportedError as error:
            with self._guard:
                if path not in self._undecoded:
                    self._undecoded.add(path)
                    self.notes.append(f"chunks of {path or '/'} are not decoded: {error.what} ({error.found})")

    def _count(self, size: int) -> None:
        with self._guard:
            self._stored += 1
            self._bytes += size

    def _note(self, error: ZapzError) -> None:
        with self._guard:
            self._damaged += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding_of(error, self._store.uri))


def _spans(array: Array) -> tuple[tuple[int, int], ...]:
    return tuple((0, n) for n in array.grid.counts)
