"""One array as a dataset of its own: a root that contains only the array's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from zapz.errors import NotFoundError
from zapz.storage.store import Children, ReadableStore


class OneArray:
    """The store of an array, presented as a store with one folder. A ``ReadableStore``."""

    def __init__(self, array: ReadableStore, name: str) -> None:
        """Wrap the store of an array.

        Args:
            array: The store of the array's folder.
            name: Name of the folder.
        """
        self._array = array
        self._name = name
        self._prefix = f"{name}/"
        self.uri = array.uri
        self.abilities = replace(
            array.abilities, writable=False, exclusive=False, conditional=False, durable=False, listable=True
        )

    def _inner(self, key: str) -> str | None:
        """Return a key relative to the array's folder; None if it is outside of it."""
        return key[len(self._prefix) :] if key.startswith(self._prefix) else None

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``ReadableStore``."""
        inner = self._inner(key)
        if inner is None:
            raise NotFoundError("no such object", where=f"{self.uri}, {key}")
        return self._array.read(inner, offset, length)

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``ReadableStore``."""
        inner = [key for key in map(self._inner, keys) if key is not None]
        return {self._prefix + key: data for key, data in self._array.read_many(inner).items()}

    def size(self, key: str) -> int | None:
        """See ``ReadableStore``."""
        inner = self._inner(key)
        return None if inner is None else self._array.size(inner)

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``ReadableStore``."""
        return (self._prefix + key for key in self._array.existing(k for k in map(self._inner, keys) if k is not None))

    def children(self, key: str) -> Children:
        """See ``ReadableStore``. The root can be listed even where the array's folder cannot."""
        if not key:
            return Children(folders=(self._name,), files=())
        inner = self._inner(f"{key}/")
        if inner is None:
            raise NotFoundError("no such folder", where=f"{self.uri}, {key}")
        return self._array.children(inner.rstrip("/"))

    def folder_exists(self, key: str) -> bool:
        """See ``ReadableStore``."""
        return not key or key == self._name

    def linked(self, key: str) -> bool:  # noqa: ARG002 - the caller named the array, wherever it is
        """See ``ReadableStore``."""
        return False

    def stray(self, key: str) -> str | None:  # noqa: ARG002 - the same
        """See ``ReadableStore``."""
        return None
