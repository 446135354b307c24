"""Read the chunks of one array: raw or decoded, whole or inner, from any store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

import numpy as np

from zapz.errors import ChunkError, NotFoundError, ZapzError
from zapz.format import codecs
from zapz.format.buffers import Buffer, Cells, octets
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Box, Index, indices, intersect, ravel, shift, slices
from zapz.format.metadata import Array
from zapz.storage.presence import IndexSet
from zapz.storage.store import ReadableStore, RegionStore

if TYPE_CHECKING:
    from zapz.format.shards import ShardIndex
    from zapz.storage.zarr_codecs import ZarrChunk

_SHARD_INDICES = 64


class ChunkReader:
    """Reader of one array's chunks.

    A unit is an inner chunk if the array is sharded, else a chunk.
    """

    def __init__(
        self,
        store: ReadableStore,
        array: Array,
        document: bytes | None,
        where: str,
        cache_bytes: int = 0,
        present: IndexSet | None = None,
    ) -> None:
        self.array = array
        self._present = present
        self._store = store
        self._where = where
        self._document = document
        self._cache: OrderedDict[Index, Cells | None] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached = 0
        self._indices: OrderedDict[Index, tuple[ShardIndex | None, int]] = OrderedDict()
        self._guard = threading.Lock()
        self._regions = cast("RegionStore", store) if store.abilities.regions else None
        self._per_shard = array.units_per_axis
        self._units = tuple((0, n) for n in self._per_shard)

    def raw(self, index: Index) -> bytes | None:
        """Return the bytes of a whole chunk (shard); None only if it certainly does not exist."""
        if self._present is not None and index not in self._present:
            return None
        try:
            return self._store.read(self.array.key(index))
        except NotFoundError:
            return None

    def raw_unit(self, unit: Index) -> bytes | None:
        """Return a unit's encoded bytes; None if it is missing.

        Raises:
            ChunkError: The shard is shorter than its index states, or the index is damaged.
        """
        if self.array.codecs.shards is None:
            return self.raw(unit)
        shard = tuple(u // n for u, n in zip(unit, self._per_shard, strict=True))
        index, _ = self.shard_index(shard)
        place = index.range(self.number(unit)) if index is not None else None
        if place is None:
            return None
        data = self._store.read(self.array.key(shard), place[0], place[1])
        if len(data) != place[1]:
            raise ChunkError(
                "shard is shorter than its index states",
                where=f"{self._where}, {self.array.key(shard)}",
                expected=f"{place[1]} bytes from byte {place[0]}",
                found=f"{len(data)}",
            )
        return data

    def inspect(self, index: Index, data: Buffer) -> ShardIndex | None:
        """Check a whole chunk (shard) without decoding it; return the index of a shard.

        Raises:
            ChunkError: Its length, its header or its shard index is damaged.
        """
        array, config = self.array, self.array.codecs.shards
        try:
            if config is None:
                codecs.inspect(array.codecs, array.dtype, array.grid.chunk_size, data)
                return None
            from zapz.format import shards  # imported where used: most arrays have none

            view = octets(data)
            start, length = shards.index_range(config, array.units_per_chunk, view.nbytes)
            return shards.parse_index(config, array.units_per_chunk, view[start : start + length], view.nbytes)
        except ChunkError as error:
            raise error.at(f"{self._where}, {array.key(index)}") from None

    def number(self, unit: Index) -> int:
        """Return the position of an inner chunk in its shard's index table."""
        return ravel(tuple(u % n for u, n in zip(unit, self._per_shard, strict=True)), self._units)

    def shard_index(self, shard: Index) -> tuple[ShardIndex | None, int]:
        """Return a shard's index and its length in bytes; (None, 0) if the shard is missing.

        Raises:
            ChunkError: The index is damaged.
        """
        with self._guard:
            if shard in self._indices:
                return self._indices[shard]
        config = self.array.codecs.shards
        key = self.array.key(shard)
        size = self._store.size(key) if self._present is None or shard in self._present else None
        found: tuple[ShardIndex | None, int] = (None, 0)
        if size is not None and config is not None:
            from zapz.format import shards  # imported where used: most arrays have none

            try:
                start, length = shards.index_range(config, self.array.units_per_chunk, size)
                found = (
                    shards.parse_index(config, self.array.units_per_chunk, self._store.read(key, start, length), size),
                    size,
                )
            except ChunkError as error:
                raise error.at(f"{self._where}, {self.array.key(shard)}") from None
        with self._guard:
            self._indices[shard] = found
            if len(self._indices) > _SHARD_INDICES:
                self._indices.popitem(last=False)
        return found

    def unit(self, unit: Index, out: Cells | None = None, *, keep: bool = False) -> Cells | None:
        """Return a decoded unit, of shape ``array.units.chunks``; None if it is missing.

        Args:
            unit: Index of the unit.
            out: Array to decode into, where that saves a copy.
            keep: Whether to cache it, because it will be needed again soon.

        Raises:
            ChunkError: The chunk is damaged.
        """
        with self._guard:
            if unit in self._cache:
                self._cache.move_to_end(unit)
                return self._cache[unit]
        cells = self._padded(self._regions, unit) if self._regions is not None else None
        if cells is None:
            data = self.raw_unit(unit)
            cells = None if data is None else self.decode(data, unit, out if not keep else None)
        if keep:
            self._keep(unit, cells)
        return cells

    def part(self, unit: Index, take: Box, out: Cells | None = None) -> Cells | None:
        """Return some cells of a unit; None if it is missing.

        If the store can read regions, only these cells are read.

        Args:
            unit: Index of the unit.
            take: Range of its cells per axis, counted from its first cell.
            out: Array to decode into, if the whole unit is requested and that saves a copy.

        Returns:
            Array with the shape of ``take``.

        Raises:
            ChunkError: The chunk is damaged.
        """
        chunks = self.array.units.chunks
        if self._regions is not None and all(c >= n for c, n in zip(chunks, self.array.shape, strict=True)):
            region: Cells | None = self._regions.cells(self.array.path, take)
            if region is not None:
                return region
        whole = all(a == 0 and b == c for (a, b), c in zip(take, chunks, strict=True))
        cells = self.unit(unit, out if whole else None, keep=not whole)
        return cells if cells is None or cells is out else cells[slices(take)]

    def _padded(self, regions: RegionStore, unit: Index) -> Cells | None:
        """Return a unit of full shape from a store of regions; None if it has only stored bytes."""
        cells: Cells | None = regions.cells(self.array.path, self.array.units.box(unit))
        if cells is None or cells.shape == self.array.units.chunks:
            return cells
        whole = np.empty(self.array.units.chunks, self.array.dtype)
        whole[...] = fill_cells(self.array)
        whole[tuple(slice(0, n) for n in cells.shape)] = cells
        return whole

    def _keep(self, unit: Index, cells: Cells | None) -> None:
        size = 0 if cells is None else cells.nbytes
        with self._guard:
            if unit in self._cache or size > self._cache_bytes:
                return
            self._cache[unit] = cells
            self._cached += size
            while self._cached > self._cache_bytes:
                _, old = self._cache.popitem(last=False)
                self._cached -= 0 if old is None else old.nbytes

    def decode(self, data: Buffer, unit: Index, out: Cells | None = None) -> Cells:
        """Decode a unit's bytes to an array of shape ``array.units.chunks``.

        Raises:
            ChunkError: They do not decode.
            UnsupportedError: A codec is not available.
        """
        array = self.array
        try:
            if array.codecs.foreign is not None:
                return zarr_chunk(array, self._document).decode(data)
            return codecs.decode(array.unit_codecs, array.dtype, array.units.chunks, data, out)
        except ZapzError as error:
            raise error.at(self.name(unit)) from None

    def name(self, index: Index) -> str:
        """Return a chunk's name for messages."""
        if self.array.codecs.shards is None:
            return f"{self._where}, {self.array.key(index)}"
        shard = tuple(u // n for u, n in zip(index, self._per_shard, strict=True))
        return f"{self._where}, {self.array.key(shard)}, inner chunk {index}"


def zarr_chunk(array: Array, document: bytes | None) -> ZarrChunk:
    """Return the encoder and decoder of an array whose codecs zapz does not run itself.

    Raises:
        ChunkError: The array's document is not known.
    """
    if document is None:
        raise ChunkError("chunk cannot be decoded without its array's document", where=array.path)
    from zapz.storage.zarr_codecs import ZarrChunk  # imported where used: zapz runs most codecs itself

    return ZarrChunk(document, array.path)


def require_codecs(array: Array, document: bytes | None, where: str) -> None:
    """Check that an array's chunks can be decoded and encoded.

    Args:
        array: The array.
        document: The document from which zarr-python creates its codecs.
        where: The dataset, for messages.

    Raises:
        UnsupportedError: A codec is not known, or not installed.
    """
    try:
        codecs.require_known(array.unit_codecs)
        if array.unit_codecs.foreign is not None:
            zarr_chunk(array, document).require_codecs()
    except ZapzError as error:
        raise error.at(f"{where}, {array.path}") from None


def region(reader: ChunkReader, box: Box, fill: Cells) -> Cells:
    """Return the decoded cells of a box.

    Args:
        reader: The array's chunks.
        box: Range of cells per axis.
        fill: Value of cells whose chunk is missing, 0-dimensional.

    Returns:
        Array with the shape of the box and the dtype of the array.
    """
    array = reader.array
    out = np.empty(tuple(b - a for a, b in box), array.dtype)
    for unit in indices(array.units.covering(box)):
        common = intersect(array.units.box(unit), box) if box else ()
        if common is None:
            continue
        corner = tuple(i * c for i, c in zip(unit, array.units.chunks, strict=True))
        cells = reader.part(unit, shift(common, corner, -1) if box else ())
        there = out[slices(shift(common, [a for a, _ in box], -1))] if box else out
        there[...] = fill if cells is None else cells
    return out
