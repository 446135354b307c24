"""Objects that are open for reading: size, tag and bytes are those of one state of the object.

A server states an object's length before it sends its bytes. So both must belong together, also
while another process replaces the object.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from zapz.errors import ConflictError, NotFoundError
from zapz.storage.linked_levels import LinkedLevels
from zapz.storage.local.files import LocalFiles
from zapz.storage.local.opened import HeldFolder
from zapz.storage.store import Abilities, ReadableStore

if TYPE_CHECKING:
    from zapz.storage.objects.files import ObjectFiles


_READS = Abilities(writable=False, exclusive=False, durable=False, listable=True)


class OpenObject(Protocol):
    """An object that is open for reading."""

    size: int
    """Its length, in bytes."""
    tag: str
    """Text that differs between states of the object; "" if the storage has no such text."""

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset``; fewer only if the object became shorter.

        Raises:
            ConflictError: The object was replaced.
            StoreError: Storage failed.
        """

    def close(self) -> None:
        """Close it; may be called several times."""


class InMemory:
    """An object whose bytes are in memory."""

    def __init__(self, data: bytes, tag: str) -> None:
        self.data = data
        self.size = len(data)
        self.tag = tag

    def read(self, offset: int, length: int) -> bytes:
        """See ``OpenObject``."""
        return self.data[offset : offset + length]

    def close(self) -> None:
        """See ``OpenObject``."""


class Tagged:
    """An object of a service; parts of it are requested, and their tag is compared."""

    def __init__(self, store: ObjectFiles, key: str, size: int, tag: str) -> None:
        self._store = store
        self._key = key
        self.size = size
        self.tag = tag

    def read(self, offset: int, length: int) -> bytes:
        """See ``OpenObject``."""
        data, tag = self._store.read_part(self._key, offset, length)
        if self.tag and tag is not None and tag != self.tag:
            raise ConflictError("an object was replaced while it was read", where=f"{self._store.uri}/{self._key}")
        return data

    def close(self) -> None:
        """See ``OpenObject``."""


def opened(store: ReadableStore, key: str, *, small: bool = False) -> OpenObject | None:
    """Open an object; None only if it certainly does not exist.

    Args:
        store: The store.
        key: Key of the object.
        small: Whether the object is small and will be read whole, so that one request is best.

    Raises:
        UnsupportedError: It is a link, and links may not be followed.
        StoreError: Storage failed.
    """
    if isinstance(store, LocalFiles):
        return store.opened(key)
    if isinstance(store, LinkedLevels):
        inner, rest = store.at(key)
        return opened(inner, rest, small=small)
    try:
        return _opened_remotely(store, key, small=small)
    except NotFoundError:
        return None


def _opened_remotely(store: ReadableStore, key: str, *, small: bool) -> OpenObject | None:
    """Open an object of a service, or one that is computed.

    Raises:
        NotFoundError: It does not exist.
    """
    if not store.abilities.requests:
        return InMemory(store.read(key), "")
    from zapz.storage.objects.files import ObjectFiles  # imported where used: local datasets need none

    if not isinstance(store, ObjectFiles):
        return InMemory(store.read(key), "")
    if small:
        return InMemory(*store.read_tagged(key))
    found = store.look(key)
    return None if found is None else Tagged(store, key, found[0], found[1] or "")


def whole_reader(store: ReadableStore, key: str, most: int) -> Callable[[], tuple[bytes, str] | None] | None:
    """Return a function that reads a local object whole; None if the store is not local.

    Args:
        store: The store.
        key: Key of the object.
        most: Maximum size, in bytes.

    Returns:
        A function that returns bytes and tag; None if the object has to be opened anew.
    """
    if isinstance(store, LinkedLevels):
        return whole_reader(*store.at(key), most)
    return store.whole_reader(key, most) if isinstance(store, LocalFiles) else None


def stamp_of(store: ReadableStore, key: str) -> str | None:
    """Return a text that changes when an object does; None if it does not exist.

    On a local file system it is made of inode, time of modification and length, on a service it is
    the entity tag, or else a digest of the content.

    Raises:
        StoreError: Storage failed.
    """
    if isinstance(store, LocalFiles):
        return store.stamp(key)
    if isinstance(store, LinkedLevels):
        return stamp_of(*store.at(key))
    if not store.abilities.stored:
        return "computed"
    from zapz.storage.objects.backends import content_tag  # imported where used: local datasets need none
    from zapz.storage.objects.files import ObjectFiles

    if isinstance(store, ObjectFiles):
        found = store.look(key)
        if found is None or found[1] is not None:
            return None if found is None else found[1]
    try:
        return content_tag(store.read(key))
    except NotFoundError:
        return None


def unchanged(store: ReadableStore, stamps: Mapping[str, str | None]) -> Callable[[], bool]:
    """Return a function that tells whether objects still have these stamps; it asks the storage.

    On a local file system it costs one system call per object.

    Args:
        store: The store.
        stamps: Stamps by key, as ``stamp_of`` returned them.
    """
    if not isinstance(store, LocalFiles) or len(stamps) != 1:
        return lambda: all(stamp_of(store, key) == stamp for key, stamp in stamps.items())
    ((key, stamp),) = stamps.items()
    return store.watcher(key, stamp)


def file_stamp(path: str) -> str:
    """Return a text that changes when a local file does.

    Raises:
        NotFoundError: It does not exist.
        StoreError: Storage failed.
    """
    folder, name = os.path.split(path)
    found = LocalFiles(folder, abilities=_READS).stamp(name)
    if found is None:
        raise NotFoundError("the file does not exist any more", where=path)
    return found


def home_of(store: ReadableStore) -> str:
    """Return the identity of a store's own folder; "" where storage has no folders.

    Raises:
        NotFoundError: The folder does not exist.
    """
    if not isinstance(store, LocalFiles):
        return ""
    found = store.folder_identity()
    if found is None:
        raise NotFoundError("the dataset's folder does not exist any more", where=store.uri)
    return found


def held_home(store: ReadableStore) -> HeldFolder | None:
    """Return a store's own folder, held so that no other folder gets its identity.

    A file system gives the inode of a removed folder to the next one. None where storage has no
    folders.

    Raises:
        NotFoundError: The folder does not exist.
    """
    if not isinstance(store, LocalFiles):
        return None
    found = store.held()
    if found is None:
        raise NotFoundError("the dataset's folder does not exist any more", where=store.uri)
    return found


def is_networked(store: ReadableStore) -> bool:
    """Return whether a local folder is on a network file system, where any read may wait."""
    if not isinstance(store, LocalFiles):
        return False
    from zapz.storage.local.lock import is_networked as on_network  # imported where used

    return on_network(os.fspath(store.root))
