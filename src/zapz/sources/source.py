"""What a slice can be: the interface, and its dress as a store for the engine."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn

import numpy as np

from zapz.errors import AbilityError, ChunkError, NotFoundError
from zapz.format import codecs, compressors
from zapz.format.metadata import Dataset
from zapz.storage.store import Abilities, Children, Parts

Box = tuple[tuple[int, int], ...]
"""Start and stop along every axis, in cells."""


class Source(ABC):
    """One slice, however it is made. Subclass it to feed zapz from anything that can answer like a Zarr hierarchy.

    ``documents`` says what there is, in the words of Zarr's metadata; then either ``read`` gives chunks as stored bytes (which zapz
    copies where the target's codecs can read them), or ``cells`` gives regions of arrays, or both.

    Methods may be called from several threads at once.
    """

    uri: str = "slice"
    """What it is called in reports and messages."""
    is_ours: ClassVar[bool] = False
    """Whether zapz made it, so that what it wishes needs no check."""

    @abstractmethod
    def documents(self) -> Mapping[str, bytes]:
        """Return the metadata documents by key: ``zarr.json``, ``chl/zarr.json``; or ``.zgroup``, ``chl/.zarray``, ``chl/.zattrs``."""

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return stored bytes of a chunk, from ``offset``, at most ``length``.

        Raises:
            KeyError: There is no such chunk: its cells have the array's fill value.
        """
        del offset, length
        raise KeyError(key)

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the cells of a region of an array, of shape ``stop - start`` along every axis, in the array's data type.

        None (the default) if the source has stored bytes only.
        """
        del path, box
        return None

    @property
    def pending(self) -> bool:
        """Whether there is something to compute before the target is locked: true if the class has a ``prepare`` of its own."""
        return type(self).prepare is not Source.prepare

    def prepare(self, paths: Collection[str]) -> None:
        """Compute what is not there yet of these arrays. Called once it is known that the slice may follow, before the target is locked."""
        del paths

    def encodings(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what a new target's encoding should be, by variable, as a configuration says it; a configuration overrides it."""
        return {}

    def close(self) -> None:  # noqa: B027 - nothing to close is common
        """Let go of whatever was opened. Called exactly once, if its turn came."""


class SourceStore:
    """A source as a store that can only be read."""

    abilities = Abilities(writable=False, exclusive=False, durable=False, listable=False)

    def __init__(self, source: Source, dataset: Dataset) -> None:
        self.source = source
        self.uri = os.fspath(source.uri)
        self.has_cells = type(source).cells is not Source.cells
        self.has_bytes = type(source).read is not Source.read
        self._dataset = dataset

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the cells of a region; None if only stored bytes are to be had.

        Raises:
            ChunkError: The source gave other cells than its documents promise.
        """
        found = self.source.cells(path, box) if self.has_cells else None
        if found is None:
            return None
        array, wanted = self._dataset.arrays[path], tuple(b - a for a, b in box)
        if isinstance(found, np.ma.MaskedArray):
            raise ChunkError(
                "the source gave masked cells",
                where=f"{self.uri}, {path}",
                expected="the array's marker, or NaN, where cells are missing",
            )
        if (
            not isinstance(found, np.ndarray | np.generic)
            or found.shape != wanted
            or found.dtype.newbyteorder("=") != array.dtype
        ):
            raise ChunkError(
                "the source gave other cells than were asked for",
                where=f"{self.uri}, {path}",
                expected=f"{wanted} of {array.dtype}",
                found=f"{getattr(found, 'shape', type(found).__name__)} of {getattr(found, 'dtype', 'no data type')}",
            )
        return np.asarray(found, dtype=array.dtype)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return stored bytes; made of cells, if the source has no others.

        Raises:
            NotFoundError: There is no such chunk.
            ChunkError: The source gave no bytes.
        """
        if self.has_cells and not self.has_bytes:
            data = self._encoded(key)
            return data[offset : None if length is None else offset + length]
        try:
            found = self.source.read(key, offset, length)
        except KeyError as error:
            raise NotFoundError("no such chunk", where=f"{self.uri}, {key}") from error
        if not isinstance(found, bytes | bytearray | memoryview):
            hint = "A source says with KeyError that there is no such chunk."
            raise ChunkError(
                "the source gave no bytes", where=f"{self.uri}, {key}", found=type(found).__name__, hint=hint
            )
        return bytes(found)

    def _encoded(self, key: str) -> bytes:
        """Return a chunk of cells as the documents say that it is stored."""
        for path, array in self._dataset.arrays.items():
            index = array.index(key)
            if index is None:
                continue
            box = array.grid.box(index)
            cells = (
                None if array.codecs.shards is not None or array.codecs.foreign is not None else self.cells(path, box)
            )
            if cells is None:
                raise ChunkError(
                    "the source gives neither cells nor stored chunks",
                    where=f"{self.uri}, {path}",
                    hint="It has to implement read, or cells for every array (with codecs that zapz runs, unsharded).",
                )
            whole = np.zeros(array.grid.chunks, array.dtype)
            if array.fill.value is not None:
                whole[...] = array.fill.value
            whole[tuple(slice(0, b - a) for a, b in box)] = cells
            return bytes(compressors.octets(codecs.encode(array.codecs, array.dtype, whole)))
        raise NotFoundError("no such chunk", where=f"{self.uri}, {key}")

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return those documents and chunks that exist."""
        found = dict(self.source.documents())
        return {key: found[key] for key in keys if key in found}

    def size(self, key: str) -> int | None:
        """Return the length of a chunk in bytes."""
        try:
            return len(self.read(key))
        except NotFoundError:
            return None

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield those keys that exist; of regions, which always do, all."""
        return (key for key in keys if self.has_cells or self.size(key) is not None)

    def children(self, key: str) -> Children:
        """Return nothing: documents are asked of the source."""
        del key
        return Children(folders=(), files=())

    def stray(self, key: str) -> None:
        """No key is a link."""

    def linked(self, key: str) -> bool:
        """No key is a link."""
        del key
        return False

    def folder_exists(self, key: str) -> bool:
        """There are no folders."""
        del key
        return False

    def require_parent(self) -> None:
        """A source has no parent."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise AbilityError("a slice cannot be written", where=self.uri)

    def create(self, key: str, parts: Parts) -> NoReturn:
        """Refuse."""
        self._refuse(key, parts)

    def write(self, key: str, parts: Parts) -> NoReturn:
        """Refuse."""
        self._refuse(key, parts)

    def remove(self, key: str) -> NoReturn:
        """Refuse."""
        self._refuse(key)

    def remove_folder(self, key: str) -> NoReturn:
        """Refuse."""
        self._refuse(key)
