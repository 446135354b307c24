"""The store: the few verbs that everything above needs, and nothing about how storage does them."""

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
    """Parts with their offsets, in any order; later ones win where they overlap: a shard, whose index is known only at the end."""

    parts: Iterable[tuple[int, Buffer]]
    """Offset and bytes."""

    def __iter__(self) -> Iterator[Buffer]:
        whole = bytearray()
        for offset, data in self.parts:
            view = octets(data)
            whole.extend(bytes(max(0, offset + view.nbytes - len(whole))))
            whole[offset : offset + view.nbytes] = view
        return iter([whole])


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a store can do; decides which promises hold on it."""

    writable: bool
    """Whether anything can be written at all."""
    exclusive: bool
    """Whether a key can be created only if it does not exist, atomically."""
    conditional: bool = False
    """Whether an object can be replaced only if it is still what it was, atomically."""
    durable: bool
    """Whether ``sync`` makes writes survive a power failure."""
    listable: bool
    """Whether the children of a folder can be listed."""
    requests: bool = False
    """Whether reading is a request to a service, which costs more than the bytes of a small object."""
    regions: bool = False
    """Whether it is a ``RegionStore``: decoded cells of any region are to be had."""
    stored: bool = True
    """Whether objects are stored, so that reading one again gives the same bytes; otherwise they
    are made on request."""


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
    """Identifier of the machine's current run, so that a process number of an earlier one is not
    mistaken."""
    process: int
    """Process number."""
    since: str
    """When it was taken, UTC, ISO 8601."""
    started: str = "-"
    """When the process began, in ticks of a clock since the machine's start, and which clock; "-"
    if that is not known."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.host} since {self.since}"


class ReadableStore(Protocol):
    """A tree of keys to read from. Keys have no leading slash; errors are ``StoreError``; only a definite absence is ``NotFoundError``."""

    uri: str
    """Where it is, for people; without credentials."""
    abilities: Abilities
    """What it can do."""

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object, from ``offset``, at most ``length``."""

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of those of ``keys`` that exist."""

    def size(self, key: str) -> int | None:
        """Return the length of an object in bytes; None if there is none."""

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield those of ``keys`` that exist."""

    def children(self, key: str) -> Children:
        """Return what lies directly below a folder."""

    def folder_exists(self, key: str) -> bool:
        """Return whether a folder exists (always False where there are none)."""

    def stray(self, key: str) -> str | None:
        """Return where the folder ``key`` leads if it is a link out of the store that may not be followed."""

    def linked(self, key: str) -> bool:
        """Return whether the folder ``key`` is a link."""


class RegionStore(ReadableStore, Protocol):
    """A store that gives decoded cells as well."""

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the cells of a region of an array, one ``(start, stop)`` per axis; None if it has stored bytes of it only."""


class Store(ReadableStore, Protocol):
    """A tree of keys to read from and to write to."""

    def require_parent(self) -> None:
        """Raise ``NotFoundError`` if the store's own folder could not be made."""

    def create(self, key: str, parts: Parts) -> int | None:
        """Create an object and return its length; return None, having changed nothing, if it exists."""

    def write(self, key: str, parts: Parts) -> None:
        """Write an object, whole or not at all, replacing what was there."""

    def remove(self, key: str) -> None:
        """Remove an object; nothing happens if there is none."""

    def remove_folder(self, key: str) -> None:
        """Remove a folder if it exists and is empty."""


def read_optional(store: ReadableStore, key: str) -> bytes | None:
    """Return an object's bytes, or None if it definitely does not exist."""
    try:
        return store.read(key)
    except NotFoundError:
        return None


def joined(parts: Parts) -> bytes:
    """Return the parts as one piece of bytes."""
    return b"".join(part if isinstance(part, bytes) else octets(part) for part in parts)


Tag = str
"""What an object service calls one state of an object."""

Options = Mapping[str, Any]
"""Storage options, as fsspec takes them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoreOptions:
    """How a store is opened, whatever kind it is."""

    durable: bool = True
    """Whether local writes are synced."""
    follow_links: bool = False
    """Whether linked folders may lead out of the store."""
    beside: bool = False
    """Whether lock and journal lie beside the store instead of in it."""
    single_writer: bool = False
    """Whether storage may be written on which two writers cannot be kept apart."""
    references: Sequence[str] | None = None
    """Places to which a reference set may lead; None for its own folder alone."""
