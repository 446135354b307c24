"""Shards: read, check and build a shard's index; inner chunks are moved as bytes, never decoded.

A shard holds inner chunks in any order, and an index of their positions::

    index at the end:    [ inner 0 | inner 2 | dead | inner 1 ][ offset, length of 0 1 2 … ][crc32c]
    index at the start:  [ index ][ inner chunks … ]

When a shard is extended, old inner chunks keep their offsets, and new ones are written where the
old index does not refer to. A reader that has read the old index still reads the old cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from zapz.errors import ChunkError
from zapz.format import compressors
from zapz.format.buffers import Buffer, octets
from zapz.format.codecs import Shards

MISSING = 2**64 - 1
"""Offset and length of an inner chunk that is not in the shard."""

Range = tuple[int, int]
"""Offset and length, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardIndex:
    """Positions of the inner chunks of one shard."""

    entries: np.ndarray[Any, np.dtype[np.uint64]]
    """Shape (inner chunks, 2): offset and length in bytes, in C order of the inner chunk index."""

    def range(self, number: int) -> Range | None:
        """Return the range of inner chunk ``number``; None if it is missing."""
        offset, length = (int(v) for v in self.entries[number])
        return None if offset == MISSING else (offset, length)

    @property
    def live_bytes(self) -> int:
        """Total size of the inner chunks in the index, in bytes."""
        held = self.entries[self.entries[:, 0] != MISSING]
        return int(held[:, 1].sum())


def empty(count: int) -> ShardIndex:
    """Return the index of a shard that has none of its ``count`` inner chunks."""
    return ShardIndex(entries=np.full((count, 2), MISSING, dtype=np.uint64))


@dataclass(slots=True, kw_only=True, eq=False)
class FreeSpace:
    """Free space for new inner chunks of a shard: gaps between old ones, then the end."""

    start: int
    """Offset of the first byte of inner chunks."""
    stop: int
    """Offset after the last inner chunk. An old index at the end begins here."""
    gaps: list[Range]
    """Ranges that the index does not refer to."""

    @classmethod
    def of(cls, shards: Shards, index: ShardIndex | None, size: int, count: int) -> FreeSpace:
        """Return the free space in a shard of ``size`` bytes, or in a new one without index."""
        length = index_bytes(shards, count)
        start = length if shards.index_location == "start" else 0
        if index is None:
            return cls(start=start, stop=start, gaps=[])
        stop = size if shards.index_location == "start" else size - length
        gaps: list[Range] = []
        position = start
        for offset, held in sorted((int(o), int(n)) for o, n in index.entries if int(o) != MISSING):
            if offset > position:
                gaps.append((position, offset - position))
            position = max(position, offset + held)
        if stop > position:
            gaps.append((position, stop - position))
        return cls(start=start, stop=stop, gaps=gaps)

    def take(self, length: int) -> int:
        """Reserve ``length`` bytes in the first gap that is large enough, else at the end.

        Returns:
            The offset, in bytes.
        """
        for i, (offset, room) in enumerate(self.gaps):
            if room >= length:
                self.gaps[i] = (offset + length, room - length)
                return offset
        offset = self.stop
        self.stop += length
        return offset


def index_bytes(shards: Shards, count: int) -> int:
    """Return the length of an index of ``count`` inner chunks, in bytes."""
    return 16 * count + (4 if shards.index_crc32c else 0)


def index_range(shards: Shards, count: int, size: int) -> Range:
    """Return the range of the index in a shard of ``size`` bytes.

    Raises:
        ChunkError: The shard is too short to hold it.
    """
    length = index_bytes(shards, count)
    if size < length:
        raise ChunkError("shard is too short for its index", expected=f"at least {length} bytes", found=f"{size}")
    return (0 if shards.index_location == "start" else size - length, length)


def parse_index(shards: Shards, count: int, data: Buffer, size: int) -> ShardIndex:
    """Read and check the index of a shard of ``size`` bytes.

    Args:
        shards: The sharding codec.
        count: Number of inner chunks.
        data: Bytes of the index.
        size: Size of the shard, in bytes.

    Raises:
        ChunkError: The checksum is wrong, or an inner chunk would be outside the file or inside the
            index.
    """
    if shards.index_crc32c:
        data = compressors.decode_stage("crc32c", {}, data, limit=16 * count, exact=True)
    if octets(data).nbytes != 16 * count:
        raise ChunkError(
            "shard index has the wrong length",
            expected=f"{16 * count} bytes",
            found=f"{octets(data).nbytes}",
        )
    view = np.frombuffer(octets(data), dtype="<u8" if shards.index_endian == "little" else ">u8")
    entries = view.reshape(count, 2).astype(np.uint64)
    held = entries[:, 0] != MISSING
    if np.any((entries[:, 1] == MISSING) == held):
        raise ChunkError("shard index is damaged", expected="offset and length, or neither", found="only one of them")
    offsets, lengths = entries[held, 0], entries[held, 1]
    start, stop = (
        (index_bytes(shards, count), size)
        if shards.index_location == "start"
        else (0, size - index_bytes(shards, count))
    )
    if (
        np.any(offsets < start)
        or np.any(offsets > stop)
        or np.any(lengths > stop - np.minimum(offsets, np.uint64(stop)))
    ):
        raise ChunkError(
            "shard index refers to bytes outside the shard", expected=f"inner chunks within bytes {start} to {stop}"
        )
    if np.any(lengths == 0):
        raise ChunkError("empty inner chunk in the shard index", expected="at least one byte")
    return ShardIndex(entries=entries)


def build(shards: Shards, index: ShardIndex) -> bytes:
    """Return the bytes of an index."""
    data = index.entries.astype("<u8" if shards.index_endian == "little" else ">u8").tobytes()
    return bytes(compressors.encode_stage("crc32c", {}, data)) if shards.index_crc32c else data
