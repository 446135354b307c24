"""Open a hierarchy: read its documents once, and remember what they were."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass

from zapz.errors import FormatError, MetadataError, NotFoundError, StoreError, UnsupportedError
from zapz.format import documents as doors
from zapz.format.metadata import Dataset, check_path, is_named, join, parent
from zapz.storage.layout import OURS
from zapz.storage.open import require_folder
from zapz.storage.store import Children, ReadableStore

_MAX_DEPTH = 16
_ARRAYS_ONLY = -1
"""Depth of a root without any document: a group only if arrays lie right in it, else a folder that
holds datasets."""


def digest(data: bytes | None) -> str | None:
    """Return the digest of a document; None if it is absent."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def read_documents(store: ReadableStore, listing: Children | None = None) -> dict[str, bytes]:
    """Read all metadata documents of a hierarchy.

    Arrays are never listed, so the cost does not grow with the number of chunks. Folders that hold
    no metadata are searched for nested nodes, because some writers leave group documents out. What
    may be read but not listed is read as its consolidated metadata say.

    Raises:
        NotFoundError: There is nothing at all.
        MetadataError: Consolidated metadata name a node that is not there.
    """
    require_folder(store)
    if listing is None and store.abilities.listable:
        try:
            listing = listing_of(store)
        except StoreError as error:
            if not error.denied:
                raise
            return _named(store, error)
    try:
        return _found(store, listing)
    except (
        StoreError
    ) as error:  # a denied listing further down is none of these: the others say that there is something
        if store.abilities.listable or not error.denied:
            raise
        return _named(store, error)


def _named(store: ReadableStore, denied: StoreError) -> dict[str, bytes]:
    """Read the documents that consolidated metadata name, and no others: without a listing S3 denies what is absent.

    Raises:
        StoreError: There are no consolidated metadata.
    """
    found: dict[str, bytes] = {}
    for key in doors.CONSOLIDATED_NAMES:
        try:
            found[key] = store.read(key)
        except StoreError as error:
            if not isinstance(error, NotFoundError) and not error.denied:
                raise
    if doors.is_array(found, ""):
        return found
    named = doors.consolidated_names(found, whole=True)
    if not named:
        raise StoreError(
            "what may not be listed can be read only with consolidated metadata",
            where=store.uri,
            expected=".zmetadata, or consolidated metadata in zarr.json",
            found="none that can be read",
            hint=f"Consolidate the metadata, or grant the right to list. {denied.hint}".strip(),
        )
    found |= store.read_many(named)
    _require(named, found)
    return found


def _require(named: Iterable[str], found: Collection[str]) -> None:
    missing = sorted(key for key in named if key not in found)
    if missing:
        raise MetadataError(
            "half a dataset: consolidated metadata name a document that is not there",
            expected=missing[0],
            found="none",
            hint="The dataset is damaged or still being written.",
        )


def _found(store: ReadableStore, listing: Children | None) -> dict[str, bytes]:
    """Read the documents of a hierarchy whose folders can be listed, or about which nothing but names is known."""
    root = store.read_many(n for n in doors.DOCUMENT_NAMES if listing is None or n in listing.files)
    found = dict(root)
    if not doors.is_array(root, ""):
        named = doors.consolidated_names(root)
        search = _Search(store, doors.searched_names(root), {parent(k) for k in named}, found)
        if listing is not None:
            search.descend("", listing, 0 if root else _ARRAYS_ONLY)
        wanted = [join(path, d) for path in {parent(key) for key in named} - _paths(found) for d in search.documents]
        found |= store.read_many(wanted)
        _require(named, found)
    return found


def _paths(documents: Iterable[str]) -> set[str]:
    return {parent(key) for key in documents}


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """A search for nodes."""

    store: ReadableStore
    documents: tuple[str, ...]
    """Names of the documents that a node may have."""
    arrays: set[str]
    """Paths that consolidated metadata name as arrays: they are not asked for a group's document."""
    found: dict[str, bytes]
    """Where the result goes."""

    def descend(self, folder: str, listing: Children, depth: int) -> None:
        """Find the nodes below a folder."""
        if depth > _MAX_DEPTH:
            raise UnsupportedError(
                "groups are nested too deeply", where=folder, expected=f"at most {_MAX_DEPTH} levels"
            )
        if folder and doors.may_hold_consolidated(listing.files, self.documents):
            # Those of an inner group go stale unless they are refreshed too.
            self.found.update(self.store.read_many([join(folder, doors.CONSOLIDATED)]))
        folders = [join(folder, name) for name in listing.folders if not name.startswith(".")]
        here = self.store.read_many(
            join(path, name)
            for path in folders
            for name in self.documents
            if not (doors.is_only_group(name) and path in self.arrays)
        )
        for path in folders:
            mine = {name: here[join(path, name)] for name in self.documents if join(path, name) in here}
            is_array = doors.is_array({join(path, name): data for name, data in mine.items()}, path)
            if depth == _ARRAYS_ONLY and not is_array:
                continue
            if mine:
                check_path(path)
                if (leads := self.store.stray(path)) is not None:
                    raise UnsupportedError(
                        "a folder is a link that leaves the dataset",
                        where=path,
                        found=leads,
                        hint="{follow_links} allows it.",
                        remedies={"follow_links": True},
                    )
            self.found.update({join(path, name): data for name, data in mine.items()})
            if not is_array:
                with contextlib.suppress(NotFoundError):
                    self.descend(path, self.store.children(path), depth + 1)


def open_dataset(store: ReadableStore, without: Collection[str] = (), listing: Children | None = None) -> Dataset:
    """Read a hierarchy, the variables ``without`` apart.

    Args:
        store: Where it is.
        without: Variables that are not wanted.
        listing: What lies right in the store, if that is known already.

    Raises:
        FormatError: It is not Zarr, damaged, or not supported.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
    """
    try:
        documents = documents_of(store, without, listing)
        if documents is not None:
            return doors.read(documents)
    except FormatError as error:
        raise error.at(store.uri) from None
    from zapz.storage.no_dataset import nothing_error  # imported where used: it has failed

    raise nothing_error(store)


def documents_of(
    store: ReadableStore, without: Collection[str] = (), listing: Children | None = None
) -> dict[str, bytes] | None:
    """Return the documents of a hierarchy, those of the variables ``without`` apart; None if there are none at all."""
    found = read_documents(store, listing)
    return {key: data for key, data in found.items() if not is_named(parent(key), without)} if found else None


def listing_of(store: ReadableStore) -> Children:
    """Return what lies right in a store; nothing if it does not exist."""
    try:
        return store.children("")
    except NotFoundError:
        return Children(folders=(), files=())


def is_empty(listing: Children, ours: Container[str] = ()) -> bool:
    """Return whether a target does not exist yet: there is at most our own journal, and ``ours``."""
    return not [name for name in (*listing.folders, *listing.files) if name != OURS and name not in ours]
