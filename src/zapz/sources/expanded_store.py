"""Chunks of a slice that is read as one step, by the keys of arrays with one more axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from zapz.format.grid import Box
from zapz.format.metadata import Array, folders_above, join, parent
from zapz.storage.store import Children, ReadableStore, RegionStore


class Expanded(NamedTuple):
    """An array that gets one more axis, of length 1."""

    old: Array
    """The array without this axis."""
    new: Array
    """The array with this axis."""
    axis: int
    """Position of the axis."""


class ExpandedStore:
    """A store of arrays that get one more axis, with additional arrays.

    It is a ``RegionStore`` if the inner store is one.
    """

    def __init__(
        self, store: ReadableStore, arrays: Mapping[str, Expanded], made: Mapping[str, Mapping[str, bytes]]
    ) -> None:
        """Wrap a store.

        Args:
            store: The inner store.
            arrays: The arrays that get one more axis, by path.
            made: Chunks of the additional arrays, by key, by path.
        """
        self._store = store
        self._arrays = arrays
        self._made = {key: data for chunks in made.values() for key, data in chunks.items()}
        self._made_arrays = frozenset(made)
        self.uri = store.uri
        self.abilities = store.abilities

    def _inner(self, key: str) -> str:
        """Return the key of a chunk, or of another object, in the inner store."""
        found = self._above(parent(key))
        index = found.new.index(key) if found is not None else None
        if found is None or index is None:
            return key
        return found.old.key((*index[: found.axis], *index[found.axis + 1 :]))

    def _above(self, folder: str) -> Expanded | None:
        """Return the expanded array that contains a folder, or None."""
        for path in folders_above(folder):
            if path in self._arrays:
                return self._arrays[path]
        return self._arrays.get("")

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``ReadableStore``."""
        if key in self._made:
            return self._made[key][offset : None if length is None else offset + length]
        return self._store.read(self._inner(key), offset, length)

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``ReadableStore``."""
        inner = {self._inner(key): key for key in keys if key not in self._made}
        found = {inner[key]: data for key, data in self._store.read_many(inner).items()}
        return found | {key: self._made[key] for key in keys if key in self._made}

    def size(self, key: str) -> int | None:
        """See ``ReadableStore``."""
        return len(self._made[key]) if key in self._made else self._store.size(self._inner(key))

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``ReadableStore``."""
        outer: dict[str, str] = {}
        made: list[str] = []

        def inner() -> Iterator[str]:
            for key in keys:
                if key in self._made:
                    made.append(key)
                else:
                    outer[there := self._inner(key)] = key
                    yield there

        for key in self._store.existing(inner()):
            yield outer.pop(key)
        yield from made

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """See ``RegionStore``."""
        regions = cast("RegionStore", self._store)
        found = self._arrays.get(path)
        if found is None:
            return None if path in self._made_arrays else regions.cells(path, box)
        cells = regions.cells(path, (*box[: found.axis], *box[found.axis + 1 :]))
        return None if cells is None else np.expand_dims(cells, found.axis)

    def children(self, key: str) -> Children:
        """See ``ReadableStore``. In a chunk folder, names are those of the new arrays."""
        found = self._above(key)
        if found is None:
            return self._store.children(key)
        if found.new.keys.separator == ".":
            return self._flat(found)
        here = [part for part in key[len(found.new.path) :].split("/") if part]
        start = found.new.path
        if found.new.keys.style == "default":
            if not here:
                return Children(folders=("c",), files=())
            start = join(start, here.pop(0))
        return self._below(found, start, here)

    def _below(self, found: Expanded, start: str, here: list[str]) -> Children:
        """Return the contents of a chunk folder, for keys with slashes.

        The new axis is one more level of folders, with one entry.
        """
        axis = found.axis
        if len(here) > axis:
            return self._store.children(join(start, *here[:axis], *here[axis + 1 :]))
        if len(here) < axis:
            inner = self._store.children(join(start, *here))
            leaf = len(here) == found.old.ndim - 1  # its chunks become the folders above the last axis
            return Children(folders=(*inner.folders, *inner.files), files=()) if leaf else inner
        if axis < found.old.ndim:
            return Children(folders=("0",), files=())
        there = self._store.size(join(start, *here)) is not None
        return Children(folders=(), files=("0",) if there else ())

    def _flat(self, found: Expanded) -> Children:
        """Return the chunks of an array whose keys have no slashes."""
        path, axis = found.new.path, found.axis
        names: list[str] = []
        for name in self._store.children(path).files:
            index = found.old.index(join(path, name))
            if index is not None:
                names.append(found.new.keys.key((*index[:axis], 0, *index[axis:])))
        return Children(folders=(), files=tuple(names))

    def folder_exists(self, key: str) -> bool:
        """See ``ReadableStore``."""
        return self._store.folder_exists(key)

    def stray(self, key: str) -> str | None:
        """See ``ReadableStore``."""
        return self._store.stray(key)

    def linked(self, key: str) -> bool:
        """See ``ReadableStore``."""
        return self._store.linked(key)
