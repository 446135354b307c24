"""The store: the few operations that the rest of zapz needs, on any type of storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from zapz.errors import NotFoundError
from zapz.format.buffers import Buffer, octets
from zapz.format.grid import Box

if TYPE_CHECKING:
    import numpy as np

Parts = Iterable[Buffer]
"""The bytes of one object, in order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedParts:
    """Parts with their offsets, in any order; later parts win where they overlap.

    A shard needs this, because its index is known only at the end.
    """

    parts: Iterable[tuple[int, Buffer]]
    """Offset in bytes, and bytes."""

    def __iter__(self) -> Iterator[Buffer]:
        whole = bytearray()
        for offset, data in self.parts:
            view = octets(data)
            whole.extend(bytes(max(0, offset + view.nbytes - len(whole))))
            whole[offset : offset + view.nbytes] = view
        return iter([whole])


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a store can do; the guarantees of an append depend on it."""

    writable: bool
    """Whether anything can be written at all."""
    exclusive: bool
    """Whether a key can be created only if it does not exist, atomically."""
    conditional: bool = False
    """Whether an object can be replaced only if it is unchanged, atomically."""
    durable: bool
    """Whether ``sync`` makes writes survive a power failure."""
    listable: bool
    """Whether the children of a folder can be listed."""
    requests: bool = False
    """Whether each read is a request to a service, which costs more than a small object's bytes."""
    regions: bool = False
    """Whether it is a ``RegionStore``: decoded cells of any region are available."""
    stored: bool = True
    """Whether objects are stored, so that reading one again returns the same bytes; otherwise they
    are computed on request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """One level of a hierarchy."""

    folders: tuple[str, ...]
    """Names of folders."""
    files: tuple[str, ...]
    """Names of files (objects)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a lock."""

    host: str
    """Name of the machine."""
    boot: str
    """Identifier of the machine's boot, so that a process number of an earlier boot is not
    mistaken for a current one."""
    process: int
    """Process number."""
    since: str
    """When the lock was taken, UTC, ISO 8601."""
    started: str = "-"
    """When the process started, in clock ticks since the machine's boot, and by which clock; "-" if
    that is not known."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since}"


class ReadableStore(Protocol):
    """A readable tree of keys.

    Keys have no leading slash. Errors are ``StoreError``. ``NotFoundError`` means that the object
    certainly does not exist.
    """

    uri: str
    """Its path or URI for display, without credentials."""
    abilities: Abilities
    """What it can do."""

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object.

        Args:
            key: Key of the object.
            offset: First byte.
            length: Maximum number of bytes; None for all.

        Raises:
            NotFoundError: The object does not exist.
            StoreError: Storage failed.
        """

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those of ``keys`` that exist."""

    def size(self, key: str) -> int | None:
        """Return the length of an object in bytes; None if it does not exist."""

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield those of ``keys`` that exist."""

    def children(self, key: str) -> Children:
        """Return the names directly below a folder.

        Raises:
            NotFoundError: There is no such folder.
            StoreError: It cannot be listed.
        """

    def folder_exists(self, key: str) -> bool:
        """Return whether a folder exists (always False where storage has no folders)."""

    def stray(self, key: str) -> str | None:
        """Return where the folder ``key`` leads, if it is a link out of the store.

        None if it is not, or if such links may be followed.
        """

    def linked(self, key: str) -> bool:
        """Return whether the folder ``key`` is a link."""


class RegionStore(ReadableStore, Protocol):
    """A store that also returns decoded cells."""

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the decoded cells of a region of an array.

        Args:
            path: Path of the array.
            box: Range of cells per axis.

        Returns:
            Array with the shape of the box; None if the store has only stored bytes of it.
        """


class Store(ReadableStore, Protocol):
    """A readable and writable tree of keys."""

    def require_parent(self) -> None:
        """Refuse a store whose own folder cannot be created.

        Raises:
            NotFoundError: Its parent folder does not exist.
        """

    def create(self, key: str, parts: Parts) -> int | None:
        """Create an object and return its length in bytes; if it exists, change nothing.

        Returns:
            Number of bytes written; None if the object exists.
        """

    def write(self, key: str, parts: Parts) -> None:
        """Write an object completely or not at all, replacing an existing one."""

    def remove(self, key: str) -> None:
        """Remove an object; do nothing if it does not exist."""

    def remove_folder(self, key: str) -> None:
        """Remove a folder if it exists and is empty."""


def read_optional(store: ReadableStore, key: str) -> bytes | None:
    """Return an object's bytes; None if it certainly does not exist."""
    try:
        return store.read(key)
    except NotFoundError:
        return None


def joined(parts: Parts) -> bytes:
    """Return the parts, joined."""
    return b"".join(part if isinstance(part, bytes) else octets(part) for part in parts)


Tag = str
"""An object service's identifier of one state of an object (entity tag)."""

Options = Mapping[str, Any]
"""fsspec storage options."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoreOptions:
    """Options for opening a store of any type."""

    durable: bool = True
    """Whether local writes are synced."""
    follow_links: bool = False
    """Whether linked folders may lead out of the store."""
    beside: bool = False
    """Whether lock and journal are beside the store instead of inside it."""
    single_writer: bool = False
    """Whether writing is allowed on storage that cannot keep two writers apart."""
    references: Sequence[str] | None = None
    """Folders and URI prefixes to which a reference set may lead; None for its own folder only."""
