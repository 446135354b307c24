"""What a dataset contains, by its metadata, and the removal of exactly that.

Keys come from integer ranges, never from a listing. The removal can be interrupted at any point and
repeated.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zapz.errors import StoreError
from zapz.format import documents as doors
from zapz.format.metadata import Dataset, check_path, folders_above, join, parent
from zapz.storage.hierarchy import digest
from zapz.storage.local.store import LocalStore
from zapz.storage.presence import candidates
from zapz.storage.requirements import Requirements
from zapz.txn import bounds, journal, records
from zapz.txn.extents import Extent

FORMAT = 1
"""Version of the record."""
_DENIED = frozenset((errno.EACCES, errno.EPERM, errno.EISDIR))
"""Errors for what may not be removed: files of other users, and a folder at the path of a chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a dataset contains: what is removed once another one has replaced it."""

    id: str
    """Name of the replacement."""
    documents: Mapping[str, str | None]
    """Digests of its documents, by key."""
    extents: tuple[Extent, ...] = ()
    """Its chunks."""

    @classmethod
    def of(cls, dataset: Dataset, name: str) -> Inventory:
        """Return the inventory of a dataset."""
        extents = (
            Extent(path=a.path, keys=a.keys, spans=tuple((0, n) for n in a.grid.counts))
            for a in dataset.arrays.values()
        )
        documents = {key: digest(data) for key, data in dataset.documents.items()}
        return cls(id=name, documents=documents, extents=tuple(extents))

    def encode(self) -> bytes:
        """Return it as bytes."""
        extents = [journal.extent_record(extent) for extent in self.extents]
        return records.frame(
            {"zapz_renewal": FORMAT, "id": self.id, "documents": dict(self.documents), "extents": extents}
        )

    @classmethod
    def decode(cls, data: bytes, where: str) -> Inventory:
        """Read the bytes of ``encode``.

        Raises:
            JournalError: It is damaged, or a newer zapz wrote it.
        """
        return records.versioned(data, "zapz_renewal", FORMAT, where, cls._of_record)

    @classmethod
    def _of_record(cls, record: Mapping[str, Any]) -> Inventory:
        documents = dict(record["documents"].items())
        for key, found in documents.items():
            check_path(key)
            if not isinstance(found, str):
                raise TypeError("a digest that is not text")
        extents = tuple(journal.extent_of(e) for e in record["extents"])
        return cls(id=journal.name_of(record["id"]), documents=documents, extents=extents)


def clear(store: LocalStore, remains: Inventory, where: str) -> None:
    """Remove a dataset's chunks, then its documents, then its folders.

    If another program has changed a document, nothing is removed. Files behind a link, and files
    that may not be removed, stay.

    Args:
        store: The dataset.
        remains: Its inventory.
        where: Path of the inventory, for messages.

    Raises:
        JournalError: The inventory does not match the documents. Nothing was changed.
    """
    here = store.read_many(remains.documents)
    if Requirements({key: remains.documents[key] for key in here}).violations(here):
        return
    _check(store, remains, where)
    for extent in remains.extents:
        _clear_chunks(store, extent)
    folders = {folder for extent in remains.extents for folder in folders_above(extent.path)}
    for key in remains.documents:
        above = set(folders_above(parent(key)))
        folders |= above
        if not any(store.linked(folder) for folder in above):
            _unless_denied(store.remove, key)
    for folder in sorted(folders, key=len, reverse=True):
        _unless_denied(store.remove_folder, folder)


def _check(store: LocalStore, remains: Inventory, where: str) -> None:
    """Check that the documents explain an inventory.

    Where an array's document is removed already, no other array may be in its place.

    Raises:
        JournalError: They do not.
    """
    for key in remains.documents:
        if not doors.is_document(key):
            raise bounds.unexplained(where, f"document {key!r}", "names of metadata documents")
    for extent in remains.extents:
        governing = bounds.governing(extent.path)
        here = store.read_many(governing)
        if not set(here) <= set(remains.documents) or not any(key in remains.documents for key in governing):
            raise bounds.unexplained(where, f"chunks of {extent.path!r}", "the document that governs them")
        for key, document in here.items():
            array = bounds.read_array(extent.path, key, document, where)
            if (array.keys, array.grid.counts) != (extent.keys, tuple(b for _, b in extent.spans)):
                raise bounds.unexplained(where, f"chunks {extent.spans} of {extent.path!r}", f"{array.grid.counts}")
        if not here:
            bounds.require_alone(store, extent.path, extent.keys, extent.spans, where)


def _keys(store: LocalStore, extent: Extent, folders: dict[str, bool]) -> Iterator[str]:
    """Yield an array's chunk keys; if there are very many, only those that exist."""
    for index in candidates(store, extent.path, extent.keys, extent.spans, folders, links=False):
        yield join(extent.path, extent.keys.key(index))


def _clear_chunks(store: LocalStore, extent: Extent) -> None:
    """Remove chunks in index order: a folder is finished and removed before the next one begins."""
    trail: list[str] = []
    there = False
    last: str | None = None
    folders: dict[str, bool] = {}
    for key in _keys(store, extent, folders):
        folder = parent(key)
        if folder != last:
            last = folder
            above = list(folders_above(folder))
            while trail and trail[-1] not in above:
                _unless_denied(store.remove_folder, trail.pop())
            trail = above[::-1]
            there = all(store.folder_exists(name) and not store.linked(name) for name in trail)
        if there:
            store.check_lock()
            _unless_denied(store.remove, key)
    for folder in sorted({*trail, *folders}, key=len, reverse=True):
        _unless_denied(store.remove_folder, folder)


def _unless_denied(remove: Callable[[str], None], key: str) -> None:
    try:
        remove(key)
    except StoreError as error:
        if error.errno not in _DENIED:
            raise
