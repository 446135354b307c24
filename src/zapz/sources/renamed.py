"""A slice whose arrays have other paths: one dataset, presented as the finest level of a pyramid.

An array can be presented at several paths: labels are the same at all levels::

    sst, time    -->    0.zarr/sst, 0.zarr/time, 1.zarr/time, 2.zarr/time
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np

from zapz.errors import FormatError
from zapz.format import documents as doors
from zapz.format.grid import Box
from zapz.format.metadata import folders_above, join, parent
from zapz.sources.open_slice import OpenSlice, presented_as
from zapz.storage.store import Children, ReadableStore, RegionStore


def renamed(source: OpenSlice, paths: Mapping[str, str]) -> OpenSlice:
    """Return a slice with its nodes at other paths.

    Args:
        source: The slice.
        paths: The stored path of each array and group to present, by its new path. Groups above
            are added by readers.

    Raises:
        FormatError: The documents of the slice are invalid.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for key, data in source.dataset.documents.items():
        folders.setdefault(parent(key), {})[key.rpartition("/")[2]] = data
    documents = {
        join(new, name): data
        for new, old in paths.items()
        for name, data in folders.get(old, {}).items()
        if name != ".zmetadata"
    }
    try:
        dataset = doors.read(documents)
    except FormatError as error:
        raise error.at(source.uri) from None
    arrays = {new: old for new, old in paths.items() if old in source.dataset.arrays}
    encodings = {new: source.encodings[old] for new, old in arrays.items() if old in source.encodings}
    return presented_as(source, RenamedStore(source.store, arrays), dataset, encodings=encodings, labels_seen={})


class RenamedStore:
    """A store in which arrays have other paths.

    It is a ``RegionStore`` if the inner store is one.
    """

    def __init__(self, store: ReadableStore, arrays: Mapping[str, str]) -> None:
        """Wrap a store.

        Args:
            store: The inner store.
            arrays: The stored path of each array, by its new path.
        """
        self._store = store
        self._arrays = arrays
        self.uri = store.uri
        self.abilities = store.abilities

    def _inner(self, key: str) -> str:
        for path in folders_above(key):
            if path in self._arrays:
                return join(self._arrays[path], key[len(path) + 1 :])
        return join(self._arrays[""], key) if "" in self._arrays else key

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``ReadableStore``."""
        return self._store.read(self._inner(key), offset, length)

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``ReadableStore``."""
        outer = {key: self._inner(key) for key in keys}
        found = self._store.read_many(set(outer.values()))
        return {key: found[inner] for key, inner in outer.items() if inner in found}

    def size(self, key: str) -> int | None:
        """See ``ReadableStore``."""
        return self._store.size(self._inner(key))

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``ReadableStore``."""
        outer: dict[str, list[str]] = {}
        for key in keys:
            outer.setdefault(self._inner(key), []).append(key)
        for inner in self._store.existing(outer):
            yield from outer[inner]

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """See ``RegionStore``."""
        return cast("RegionStore", self._store).cells(self._arrays.get(path, path), box)

    def children(self, key: str) -> Children:
        """See ``ReadableStore``."""
        return self._store.children(self._inner(key))

    def folder_exists(self, key: str) -> bool:
        """See ``ReadableStore``."""
        return self._store.folder_exists(self._inner(key))

    def stray(self, key: str) -> str | None:
        """See ``ReadableStore``."""
        return self._store.stray(self._inner(key))

    def linked(self, key: str) -> bool:
        """See ``ReadableStore``."""
        return self._store.linked(self._inner(key))
