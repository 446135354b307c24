"""Chunks of a dataset in a store: as stored, an inner chunk of a shard, or encoded again."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from zapz.errors import ChunkError, ConflictError, NotFoundError
from zapz.format import codecs, shards
from zapz.format import documents as doors
from zapz.format.buffers import octets
from zapz.format.documents import ARRAY_NAMES, foreign_document
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Index, ravel
from zapz.format.metadata import Array, join
from zapz.server.content import PIECE, MemoryContent, etag_of
from zapz.server.generation import Generation
from zapz.server.served import Chunk, NeedsThreadError
from zapz.server.views import ServedArray
from zapz.storage.chunk_reader import ChunkReader, zarr_chunk
from zapz.storage.opened import OpenObject, opened, stamp_of
from zapz.storage.store import ReadableStore

_SMALL = 8 << 20
"""Maximum decoded size of a chunk that is read with one request, in bytes."""


class _Inner:
    """An inner chunk: a part of an open shard."""

    def __init__(self, shard: OpenObject, start: int, length: int) -> None:
        self._shard = shard
        self._start = start
        self.size = length
        self.tag = f"{shard.tag}-{start:x}" if shard.tag else ""

    def read(self, offset: int, length: int) -> bytes:
        """See ``Content``."""
        return self._shard.read(self._start + offset, min(length, self.size - offset))

    def close(self) -> None:
        """See ``Content``."""
        self._shard.close()


class ChunkOpener:
    """Opens the chunks of one dataset."""

    def __init__(self, reserve: Callable[[int], Callable[[], None]] = lambda _: lambda: None) -> None:
        """Create an opener.

        Args:
            reserve: Reserves bytes of memory, and returns the function that releases them.
        """
        self._reserve = reserve
        self._agreed: dict[str, tuple[Array, dict[str, str]]] = {}
        self._filled: dict[tuple[str, str], bytes] = {}

    def forget(self) -> None:
        """Forget chunks of fill values: the arrays may have changed."""
        self._filled = {}
        self._agreed = {}

    def open(
        self, store: ReadableStore, generation: Generation, served: ServedArray, index: Index, *, inline: bool
    ) -> Chunk | None:
        """Open a chunk; None if there is no object at its key.

        Raises:
            NeedsThreadError: It is large or must be decoded, and the caller cannot wait.
            ChunkError: It is damaged.
            StoreError: Storage failed.
        """
        stored = served.stored
        if served.form == "stored":
            item = opened(store, stored.key(index), small=stored.chunk_bytes <= _SMALL)
            if item is None:
                return None
            if inline and item.size > PIECE:
                item.close()
                raise NeedsThreadError
            return Chunk(item, etag_of(item.tag))
        if inline:
            raise NeedsThreadError
        if served.form == "inner":
            return _inner(store, served, index)
        document = foreign_document(generation.dataset.documents, stored.path)
        release = self._reserve(3 * served.array.chunk_bytes)
        try:
            cells = ChunkReader(store, stored, document, store.uri).unit(index)
            return None if cells is None else in_memory(encoded_cells(served, generation, cells))
        finally:
            release()

    def open_missing(self, generation: Generation, served: ServedArray) -> Chunk | None:
        """Return a chunk that does not exist as one of fill values; None if clients read it so.

        Raises:
            ChunkError: The array's codecs cannot encode its fill value.
        """
        if not served.explicit:
            return None
        key = generation.id, served.array.path
        data = self._filled.get(key)
        if data is None:
            release = self._reserve(2 * served.array.chunk_bytes)
            try:
                cells = np.broadcast_to(fill_cells(served.stored), served.array.grid.chunks)
                data = self._filled[key] = encoded_cells(served, generation, cells)
            finally:
                release()
        return in_memory(data)

    def require_array(self, store: ReadableStore, served: ServedArray) -> None:
        """Check that an array is there as it is served, of which a chunk is not.

        Raises:
            NotFoundError: Its own document is gone, so the chunk is not just missing.
            ConflictError: Its own document describes other chunks.
            StoreError: Storage failed.
        """
        path = served.stored.path
        stamps = {key: stamp for name in ARRAY_NAMES if (stamp := stamp_of(store, key := join(path, name))) is not None}
        if not stamps:
            raise NotFoundError("the array does not exist any more", where=f"{store.uri}/{path}")
        seen = served.stored, stamps
        if self._agreed.get(path) == seen:
            return
        own = doors.read(store.read_many(stamps)).arrays.get(path)
        if own is None or not _is_same(served.stored, own):
            raise ConflictError("the array is not what the consolidated metadata describe", where=f"{store.uri}/{path}")
        self._agreed[path] = seen


def _is_same(told: Array, own: Array) -> bool:
    """Return whether an array's own document describes the same chunks, or more of them."""
    alike = (own.dtype, own.grid.chunks, own.keys, own.codecs, own.fill) == (
        told.dtype,
        told.grid.chunks,
        told.keys,
        told.codecs,
        told.fill,
    )
    return (
        alike and len(own.shape) == len(told.shape) and all(a >= b for a, b in zip(own.shape, told.shape, strict=True))
    )


def _inner(store: ReadableStore, served: ServedArray, unit: Index) -> Chunk | None:
    """Open the inner chunk of a shard; None if shard or chunk do not exist.

    Raises:
        ChunkError: The shard's index is damaged.
    """
    stored = served.stored
    config = stored.codecs.shards
    if config is None:
        raise AssertionError("an inner chunk of an array without shards")
    per_shard = stored.units_per_axis
    key = stored.key(tuple(u // n for u, n in zip(unit, per_shard, strict=True)))
    shard = opened(store, key)
    if shard is None:
        return None
    try:
        start, length = shards.index_range(config, stored.units_per_chunk, shard.size)
        index = shards.parse_index(config, stored.units_per_chunk, shard.read(start, length), shard.size)
    except ChunkError as error:
        shard.close()
        raise error.at(f"{store.uri}/{key}") from None
    within = tuple(u % n for u, n in zip(unit, per_shard, strict=True))
    place = index.range(ravel(within, tuple((0, n) for n in per_shard)))
    if place is None:
        shard.close()
        return None
    content = _Inner(shard, *place)
    return Chunk(content, etag_of(content.tag))


def encoded_cells(
    served: ServedArray, generation: Generation, cells: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> bytes:
    """Return the cells of a chunk, encoded as clients expect it.

    Raises:
        ChunkError: They cannot be encoded.
    """
    array = served.array
    if array.codecs.foreign is not None:
        document = foreign_document(generation.view(array_format(generation, served)).documents, array.path)
        return bytes(octets(zarr_chunk(array, document).encode(np.ascontiguousarray(cells))))
    return bytes(octets(codecs.encode(array.codecs, array.dtype, cells)))


def array_format(generation: Generation, served: ServedArray) -> int:
    """Return the Zarr format in which an array is served."""
    own = generation.dataset.arrays.get(served.array.path)
    return generation.dataset.zarr_format if own is served.array else 5 - generation.dataset.zarr_format


def in_memory(data: bytes) -> Chunk:
    """Return bytes as a chunk, tagged by their content."""
    return Chunk(MemoryContent(data), etag_of(f"{zlib.crc32(data):08x}{zlib.adler32(data):08x}-{len(data):x}"))
