"""Which chunks a transaction has created: a bit each, so that ten million cost little more than a megabyte. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zapz.format.grid import Index, indices
from zapz.format.metadata import join
from zapz.txn.journal import Extent


class Written:
    """A set of chunks within the extents of a transaction."""

    def __init__(self, extents: Sequence[Extent]) -> None:
        self._extents = {extent.path: extent for extent in extents}
        self._bits = {extent.path: bytearray((extent.count + 7) // 8) for extent in extents}

    def add(self, path: str, index: Index) -> None:
        """Take a chunk into the set."""
        number = self._number(path, index)
        self._bits[path][number >> 3] |= 1 << (number & 7)

    def discard(self, path: str, index: Index) -> None:
        """Take a chunk out of the set."""
        number = self._number(path, index)
        self._bits[path][number >> 3] &= ~(1 << (number & 7))

    def holds(self, path: str, index: Index) -> bool:
        """Return whether a chunk is in the set."""
        number = self._number(path, index)
        return bool(self._bits[path][number >> 3] >> (number & 7) & 1)

    def _number(self, path: str, index: Index) -> int:
        number = 0
        for i, (a, b) in zip(index, self._extents[path].spans, strict=True):
            number = number * (b - a) + (i - a)
        return number

    def keys(self) -> Iterator[str]:
        """Yield the keys of all chunks in the set."""
        for path, extent in self._extents.items():
            bits = self._bits[path]
            if not any(bits):
                continue
            for number, index in enumerate(indices(extent.spans)):
                if bits[number >> 3] >> (number & 7) & 1:
                    yield join(path, extent.keys.key(index))
