"""The chunks that a transaction has created. Pure.

Each chunk is one bit, so that ten million chunks need little more than a megabyte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zapz.format.grid import Index
from zapz.format.metadata import join
from zapz.storage.presence import IndexSet
from zapz.txn.extents import Extent


class ChunkSet:
    """A set of chunks within the extents of a transaction."""

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._extents = {extent.path: extent for extent in extents}
        self._sets = {extent.path: IndexSet(extent.spans) for extent in extents}

    def add(self, path: str, index: Index) -> None:
        """Add a chunk to the set."""
        self._sets[path].add(index)

    def discard(self, path: str, index: Index) -> None:
        """Remove a chunk from the set."""
        self._sets[path].discard(index)

    def holds(self, path: str, index: Index) -> bool:
        """Return whether a chunk is in the set."""
        return index in self._sets[path]

    def keys(self) -> Iterator[str]:
        """Yield the keys of all chunks in the set."""
        for path, extent in self._extents.items():
            for index in self._sets[path]:
                yield join(path, extent.keys.key(index))
