"""A source as a store, for the engine."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from zapz.errors import ChunkError, NotFoundError
from zapz.format import codecs, shards
from zapz.format.buffers import octets
from zapz.format.documents import foreign_document
from zapz.format.grid import Box, RegularGrid, indices, slices
from zapz.format.metadata import Array, Dataset
from zapz.sources.source import Source
from zapz.storage.chunk_reader import zarr_chunk
from zapz.storage.store import Abilities, Children


def _holds_texts_of(found: np.dtype[Any], asked: np.dtype[Any]) -> bool:
    """Return whether text fits the requested data type, which may be longer than its own."""
    if asked.kind == "O":
        return found.kind in "TU"
    return found.kind == asked.kind and found.kind in "SU" and found.itemsize <= asked.itemsize


class SourceStore:
    """A source as a store of chunks and of regions of decoded cells (``RegionStore``)."""

    def __init__(self, source: Source, dataset: Dataset) -> None:
        self.source = source
        self.naming: AbstractContextManager[Any] = nullcontext()
        """Adds slice source and item to errors of the source, if it comes from a slice source."""
        self.uri = os.fspath(source.uri)
        self.has_cells = type(source).cells is not Source.cells
        self.has_bytes = type(source).read is not Source.read
        self.abilities = Abilities(
            writable=False, exclusive=False, durable=False, listable=False, regions=self.has_cells, stored=False
        )
        self._dataset = dataset
        self._last: tuple[str, bytes] | None = None

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the cells of a region; None if only stored bytes are available.

        Raises:
            ChunkError: The source returned other cells than its documents declare.
        """
        with self.naming:
            found = self.source.cells(path, box) if self.has_cells else None
        if found is None:
            return None
        array, wanted = self._dataset.arrays[path], tuple(b - a for a, b in box)
        if isinstance(found, np.ndarray | np.generic) and _holds_texts_of(found.dtype, array.dtype):
            found = np.asarray(found).astype(array.dtype)
        if isinstance(found, np.ma.MaskedArray):
            raise ChunkError(
                "the source returned masked cells",
                where=f"{self.uri}, {path}",
                expected="the array's missing value marker (such as _FillValue), or NaN, in missing cells",
            )
        if (
            not isinstance(found, np.ndarray | np.generic)
            or found.shape != wanted
            or found.dtype.newbyteorder("=") != array.dtype
        ):
            raise ChunkError(
                "the source returned other cells than requested",
                where=f"{self.uri}, {path}",
                expected=f"{wanted} of {array.dtype}",
                found=f"{getattr(found, 'shape', type(found).__name__)} of {getattr(found, 'dtype', 'no data type')}",
            )
        return np.asarray(found, dtype=array.dtype)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return stored bytes, encoded from cells if the source has no others.

        Raises:
            NotFoundError: There is no such chunk.
            ChunkError: The source did not return bytes.
        """
        end = None if length is None else offset + length
        if not self.has_bytes and self.has_cells:
            return self._encoded(key)[offset:end]
        try:
            with self.naming:
                found = self.source.read(key, offset, length)
        except KeyError as error:
            if not self.has_cells:
                raise NotFoundError("no such chunk", where=f"{self.uri}, {key}") from error
            return self._encoded(key)[offset:end]
        if not isinstance(found, bytes | bytearray | memoryview):
            hint = "A source reports a missing chunk with KeyError."
            raise ChunkError(
                "the source did not return bytes", where=f"{self.uri}, {key}", found=type(found).__name__, hint=hint
            )
        return bytes(found)

    def _encoded(self, key: str) -> bytes:
        """Return a chunk, encoded from cells. The last one is cached: shards are read in parts.

        Raises:
            NotFoundError: The source has stored chunks, but no cells for this one.
            ChunkError: The source has only cells, but not for this chunk.
        """
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        for path, array in self._dataset.arrays.items():
            index = array.index(key)
            if index is None:
                continue
            cells = self.cells(path, array.grid.box(index))
            if cells is None and not self.has_bytes:
                raise ChunkError(
                    "the source returns neither cells nor stored chunks",
                    where=f"{self.uri}, {path}",
                    hint="It must implement read, or cells for every array.",
                )
            if cells is not None:
                data = encoded(array, self._dataset.documents, cells)
                self._last = key, data
                return data
        raise NotFoundError("no such chunk", where=f"{self.uri}, {key}")

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the existing documents among these keys."""
        found = self.documents()
        return {key: found[key] for key in keys if key in found}

    def documents(self) -> dict[str, bytes]:
        """Return the current documents."""
        with self.naming:
            return dict(self.source.documents())

    def prepare(self, paths: Iterable[str]) -> None:
        """Compute those of these arrays that are not computed yet."""
        with self.naming:
            self.source.prepare(list(paths))

    def size(self, key: str) -> int | None:
        """Return the length of a chunk in bytes; None if it is missing."""
        try:
            return len(self.read(key))
        except NotFoundError:
            return None

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the existing keys; all keys for a source with only cells."""
        whole = self.has_cells and not self.has_bytes
        return (key for key in keys if whole or self.size(key) is not None)

    def children(self, key: str) -> Children:
        """Return nothing: the source itself returns the documents."""
        del key
        return Children(folders=(), files=())

    def stray(self, key: str) -> None:
        """Return None: no key is a link."""

    def linked(self, key: str) -> bool:
        """Return False: no key is a link."""
        del key
        return False

    def folder_exists(self, key: str) -> bool:
        """Return False: there are no folders."""
        del key
        return False


def encoded(array: Array, documents: Mapping[str, bytes], cells: np.ndarray[Any, Any]) -> bytes:
    """Return a chunk (shard), encoded as an array's documents define it.

    Args:
        array: The array.
        documents: Documents of its dataset, for codecs that only zarr-python can run.
        cells: Cells of the chunk inside the array, in the array's data type; the rest gets the fill
            value.
    """
    whole = np.zeros(array.grid.chunks, array.dtype)
    if array.fill.value is not None:
        whole[...] = array.fill.value
    there = whole[tuple(slice(0, n) for n in cells.shape)] if cells.ndim else whole
    there[...] = cells
    config = array.codecs.shards
    if array.codecs.foreign is not None:
        return zarr_chunk(array, foreign_document(documents, array.path)).encode(whole)
    if config is None:
        return bytes(octets(codecs.encode(array.codecs, array.dtype, whole)))
    grid = RegularGrid(shape=array.grid.chunks, chunks=config.inner_shape)
    index = shards.empty(math.prod(grid.counts))
    room = shards.FreeSpace.of(config, None, 0, math.prod(grid.counts))
    parts: list[bytes] = []
    for number, unit in enumerate(indices(tuple((0, n) for n in grid.counts))):
        inner = np.ascontiguousarray(whole[slices(grid.box(unit))])
        parts.append(bytes(octets(codecs.encode(config.inner, array.dtype, inner))))
        index.entries[number] = room.take(len(parts[-1])), len(parts[-1])
    table = shards.build(config, index)
    return b"".join([*parts, table] if config.index_location == "end" else [table, *parts])
