"""Shards: the index of a shard is read, checked and built; inner chunks are moved as bytes, never decoded.

A shard holds inner chunks in any order and an index that says where each lies::

    index at the end:    [ inner 0 | inner 2 | dead | inner 1 ][ offset, length of 0 1 2 … ][crc32c]
    index at the start:  [ index ][ inner chunks … ]

Extending keeps old inner chunks at their offsets, and puts new ones where the old index refers to
    nothing: a reader who has read
the old index still reads the old cells.
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
"""Offset and length of an inner chunk that the shard does not hold."""

Range = tuple[int, int]
"""Offset and length, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardIndex:
    """Where the inner chunks of one shard lie."""

    entries: np.ndarray[Any, np.dtype[np.uint64]]
    """Shape (inner chunks, 2): offset and length in bytes, in C order of the inner chunk index."""

    def range(self, number: int) -> Range | None:
        """Return where inner chunk ``number`` lies; None if it is missing."""
        offset, length = (int(v) for v in self.entries[number])
        return None if offset == MISSING else (offset, length)

    @property
    def live_bytes(self) -> int:
        """Bytes of all inner chunks that the index names."""
        held = self.entries[self.entries[:, 0] != MISSING]
        return int(held[:, 1].sum())


def empty(count: int) -> ShardIndex:
    """Return the index of a shard that holds none of its ``count`` inner chunks."""
    return ShardIndex(entries=np.full((count, 2), MISSING, dtype=np.uint64))


@dataclass(slots=True, kw_only=True, eq=False)
class FreeSpace:
    """Where new inner chunks of a shard may go: into gaps that its index refers to nowhere, then behind all."""

    start: int
    """First byte of inner chunks."""
    stop: int
    """Byte behind the last one; the old index, if it is at the end, begins here."""
    gaps: list[Range]
    """Offset and length of what nothing refers to."""

    @classmethod
    def of(cls, shards: Shards, index: ShardIndex | None, size: int, count: int) -> FreeSpace:
        """Return the room in a shard of ``size`` bytes; in a new one if there is no index."""
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
        """Return the offset for a new inner chunk: the first gap that holds it, else the end."""
        for i, (offset, room) in enumerate(self.gaps):
            if room >= length:
                self.gaps[i] = (offset + length, room - length)
                return offset
        offset = self.stop
        self.stop += length
        return offset


def index_bytes(shards: Shards, count: int) -> int:
    """Return the length of an index, in bytes."""
    return 16 * count + (4 if shards.index_crc32c else 0)


def index_range(shards: Shards, count: int, size: int) -> Range:
    """Return where the index lies in a shard of ``size`` bytes.

    Raises:
        ChunkError: The shard is too short to hold it.
    """
    length = index_bytes(shards, count)
    if size < length:
        raise ChunkError("shard is too short for its index", expected=f"at least {length} bytes", found=f"{size}")
    return (0 if shards.index_location == "start" else size - length, length)


def parse_index(shards: Shards, count: int, data: Buffer, size: int) -> ShardIndex:
    """Read and check the index of a shard of ``size`` bytes.

    Raises:
        ChunkError: The checksum is wrong, or an inner chunk would lie outside the file or inside
            the index.
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
        raise ChunkError(
            "shard index is damaged", expected="offset and length both missing or both given", found="one of them"
        )
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
            "shard index points outside the shard", expected=f"inner chunks within bytes {start} to {stop}"
        )
    if np.any(lengths == 0):
        raise ChunkError("shard index names an empty inner chunk", expected="at least one byte")
    return ShardIndex(entries=entries)


def build(shards: Shards, index: ShardIndex) -> bytes:
    """Return the bytes of an index."""
    data = index.entries.astype("<u8" if shards.index_endian == "little" else ">u8").tobytes()
    return bytes(compressors.encode_stage("crc32c", {}, data)) if shards.index_crc32c else data
