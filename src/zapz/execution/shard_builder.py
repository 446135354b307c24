"""Put shards together from inner chunks, which are moved as bytes where they can be.

::

    old shard    [ a b . | index ]            before: two inner chunks, and dead bytes (.)
    new shard    [ a b c d | index ]          c goes where the old index refers to nothing, d behind it
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
"""Bytes of an old shard that are moved at a time."""

InnerChunks = Iterable[tuple[int, Buffer | KeepInner | None]]
"""Numbers in the shard with bytes; ``KeepInner`` for what the old shard has there, None for what
reads as the fill value."""


class ShardBuilder:
    """Builds the shards of one array; its unit of memory is the inner chunk."""

    def __init__(self, config: Shards, old: ChunkReader, store: ReadableStore) -> None:
        """Describe how.

        Args:
            config: How the array's shards are made.
            old: Reads the shards that are there.
            store: The target's, where these lie.
        """
        self._config = config
        self._old = old
        self._store = store

    def build(self, index: Index, inner: InnerChunks, *, extends: bool) -> PlacedParts | None:
        """Return a shard's parts with their offsets, made as they are taken; None if all of it reads as the fill value.

        Args:
            index: Which shard.
            inner: Its inner chunks.
            extends: Whether it is one that is there, with what that holds.
        """
        old, size = self._old.shard_index(index) if extends else (None, 0)
        made = shards.empty(self._old.array.units_per_chunk)
        body = self._body(index, inner, made, old, size)
        first = next(body, None)
        return None if first is None else PlacedParts(parts=self._with_index(chain([first], body), made))

    def empty(self) -> PlacedParts:
        """Return a shard without inner chunks: all of it reads as the fill value."""
        return PlacedParts(parts=self._with_index((), shards.empty(self._old.array.units_per_chunk)))

    def _with_index(self, body: Iterable[tuple[int, Buffer]], made: ShardIndex) -> Iterator[tuple[int, Buffer]]:
        """Yield a shard's parts, then its index, which is complete only then."""
        config = self._config
        end = 0 if config.index_location == "end" else shards.index_bytes(config, self._old.array.units_per_chunk)
        for offset, data in body:
            end = max(end, offset + octets(data).nbytes)
            yield offset, data
        yield end if config.index_location == "end" else 0, shards.build(config, made)

    def _body(
        self, index: Index, inner: InnerChunks, made: ShardIndex, old: ShardIndex | None, size: int
    ) -> Iterator[tuple[int, Buffer]]:
        """Yield a shard's bytes with their offsets, and fill in the index on the way.

        Old inner chunks stay where they are. New ones go where the old index refers to nothing,
            then behind it: whoever has just
        read the old index still finds the old cells.
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
