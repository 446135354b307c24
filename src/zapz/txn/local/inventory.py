"""What a dataset consists of, by its metadata, and the removal of just that.

Keys come from integer ranges, never from a listing. The removal can be cut short anywhere, and done
again.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zapz.errors import StoreError
from zapz.format import documents as doors
from zapz.format.metadata import Dataset, check_path, folders_above, join, name, parent
from zapz.storage.hierarchy import digest
from zapz.storage.local.store import LocalStore
from zapz.storage.presence import candidates
from zapz.storage.requirements import Requirements
from zapz.txn import bounds, journal, records
from zapz.txn.extents import Extent

FORMAT = 1
"""Version of the record."""
_DENIED = frozenset((errno.EACCES, errno.EPERM, errno.EISDIR))
"""What is answered about what we may not remove: somebody else's files, and a folder where a chunk
belongs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a dataset consists of: what is removed once another one has its place."""

    id: str
    """Name of the renewal."""
    documents: Mapping[str, str | None]
    """Digests of its documents by key."""
    extents: tuple[Extent, ...] = ()
    """Its chunks."""

    @classmethod
    def of(cls, dataset: Dataset, name: str) -> Inventory:
        """Return what a dataset consists of."""
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
        """Read what ``encode`` made.

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
                raise TypeError("a digest that is no text")
        extents = tuple(journal.extent_of(e) for e in record["extents"])
        return cls(id=journal.name_of(record["id"]), documents=documents, extents=extents)


def clear(store: LocalStore, remains: Inventory, where: str) -> None:
    """Remove a dataset's chunks, then its documents, then its folders; nothing if another tool has changed a document.

    What lies behind a link, and what we may not remove, stays.

    Args:
        store: Where it is.
        remains: What it consists of.
        where: What says so.

    Raises:
        JournalError: It names more than its documents explain. Nothing was touched.
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
    """See that a dataset consists of what it is said to; where a document is removed already, that no other array has its place.

    Raises:
        JournalError: It does not.
    """
    for key in remains.documents:
        if name(key) not in doors.DOCUMENT_NAMES:
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
    """Yield an array's keys; of very many those that exist."""
    for index in candidates(store, extent.path, extent.keys, extent.spans, folders, links=False):
        yield join(extent.path, extent.keys.key(index))


def _clear_chunks(store: LocalStore, extent: Extent) -> None:
    """Remove chunks; in the order of their indices a folder is complete, and removed, before the next one begins."""
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
