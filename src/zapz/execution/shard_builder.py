"""Build shards from inner chunks, which are moved as bytes if possible.

::

    old shard    [ a b . | index ]            two inner chunks, unused bytes (.)
    new shard    [ a b c d | index ]          c is in the unused bytes, d after them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from zapz.format import shards
from zapz.format.buffers import Buffer, octets
from zapz.format.codecs import Shards
from zapz.format.grid import Index
from zapz.format.shards import ShardIndex
from zapz.planning.steps import KeepInner
from zapz.storage.chunk_reader import ChunkReader
from zapz.storage.store import PlacedParts, ReadableStore

_BLOCK = 1 << 22
"""Size of the blocks in which an old shard is moved, in bytes."""

InnerChunks = Iterable[tuple[int, Buffer | KeepInner | None]]
"""Numbers of inner chunks in the shard, with their bytes. ``KeepInner`` keeps that of the old
shard; None is read as the fill value."""


class ShardBuilder:
    """Builds the shards of one array; its unit of memory is the inner chunk."""

    def __init__(self, config: Shards, old: ChunkReader, store: ReadableStore) -> None:
        """Create a builder for the shards of an array.

        Args:
            config: Sharding of the array.
            old: Reads the existing shards.
            store: The target's store, which holds the existing shards.
        """
        self._config = config
        self._old = old
        self._store = store

    def build(self, index: Index, inner: InnerChunks, *, extends: bool) -> PlacedParts | None:
        """Return the parts of a shard with their offsets, created on iteration.

        Return None if all of it is read as the fill value.

        Args:
            index: Index of the shard.
            inner: Its inner chunks.
            extends: Whether an existing shard is extended, with its contents.
        """
        old, size = self._old.shard_index(index) if extends else (None, 0)
        made = shards.empty(self._old.array.units_per_chunk)
        body = self._body(index, inner, made, old, size)
        first = next(body, None)
        return None if first is None else PlacedParts(parts=self._with_index(chain([first], body), made))

    def empty(self) -> PlacedParts:
        """Return a shard without inner chunks: all of it is read as the fill value."""
        return PlacedParts(parts=self._with_index((), shards.empty(self._old.array.units_per_chunk)))

    def _with_index(self, body: Iterable[tuple[int, Buffer]], made: ShardIndex) -> Iterator[tuple[int, Buffer]]:
        """Yield the parts of a shard, then its index, which is complete only at the end."""
        config = self._config
        end = 0 if config.index_location == "end" else shards.index_bytes(config, self._old.array.units_per_chunk)
        for offset, data in body:
            end = max(end, offset + octets(data).nbytes)
            yield offset, data
        yield end if config.index_location == "end" else 0, shards.build(config, made)

    def _body(
        self, index: Index, inner: InnerChunks, made: ShardIndex, old: ShardIndex | None, size: int
    ) -> Iterator[tuple[int, Buffer]]:
        """Yield the bytes of a shard with their offsets, and fill in its index.

        Old inner chunks keep their place. New ones are written where the old index does not refer
        to, then after it. So a reader that has just read the old index still finds the old cells.
        """
        room = shards.FreeSpace.of(self._config, old, size, self._old.array.units_per_chunk)
        for offset in range(room.start, room.stop, _BLOCK):
            yield offset, self._store.read(self._old.array.key(index), offset, min(_BLOCK, room.stop - offset))
        for number, data in inner:
            if isinstance(data, KeepInner):
                place = old.range(number) if old is not None else None
                if place is not None:
                    made.entries[number] = place
            elif data is not None:
                length = octets(data).nbytes
                offset = room.take(length)
                made.entries[number] = (offset, length)
                yield offset, data
