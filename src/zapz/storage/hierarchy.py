"""Open a hierarchy: read its documents once, and keep their bytes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Container, Iterable
from dataclasses import dataclass

from zapz.errors import FormatError, MetadataError, NotFoundError, StoreError, UnsupportedError
from zapz.format import documents as doors
from zapz.format.level_names import LEVELS, LINKED, STORED, SUFFIX, number_of
from zapz.format.metadata import Dataset, check_path, is_named, join, parent
from zapz.storage.layout import OURS
from zapz.storage.open import require_folder
from zapz.storage.store import Children, Options, ReadableStore, StoreOptions

_MAX_DEPTH = 16
_UNFINISHED = "The dataset is damaged or still being written."
_ARRAYS_ONLY = -1
"""Depth of a root without any document. It is a group only if it directly contains arrays;
otherwise it is a folder of datasets."""


class LinkedLevelError(UnsupportedError):
    """A level of a ``.levels`` dataset is a link to another dataset."""


def digest(data: bytes | None) -> str | None:
    """Return the SHA-256 digest of a document, in hexadecimal; None if it is absent."""
    return None if data is None else hashlib.sha256(data).hexdigest()


def read_documents(store: ReadableStore, listing: Children | None = None) -> dict[str, bytes]:
    """Read all metadata documents of a hierarchy.

    Arrays are never listed, so the cost does not grow with the number of chunks. Folders without
    metadata are searched for nested nodes, because some writers omit group documents. A store that
    may be read but not listed is read as its consolidated metadata describe it.

    Args:
        store: The store.
        listing: Names directly in the store, if they are already known.

    Raises:
        NotFoundError: There is nothing at all.
        MetadataError: Consolidated metadata name a document that does not exist.
        StoreError: Storage failed, or the store may not be listed and has no consolidated metadata.
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
    except StoreError as error:
        # In a listed store, a denied nested folder is an error: the listing shows that it exists.
        if store.abilities.listable or not error.denied:
            raise
        return _named(store, error)


def _named(store: ReadableStore, denied: StoreError) -> dict[str, bytes]:
    """Read the documents that consolidated metadata name, and no others.

    Other names cannot be tried: without the right to list, S3 denies access to absent objects.

    Raises:
        StoreError: There are no consolidated metadata.
        MetadataError: They name a document that does not exist.
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
            "without the right to list, a store needs consolidated metadata",
            where=store.uri,
            expected=".zmetadata, or consolidated metadata in zarr.json",
            found="no readable consolidated metadata",
            hint=f"Consolidate the metadata, or grant the right to list. {denied.hint}".strip(),
        )
    found |= store.read_many(named)
    _require(named, found)
    return found


def _require(named: Iterable[str], found: Collection[str]) -> None:
    missing = sorted(key for key in named if key not in found)
    if missing:
        raise MetadataError(
            "incomplete dataset: consolidated metadata name a document that does not exist",
            expected=missing[0],
            found="none",
            hint=_UNFINISHED,
        )


def _found(store: ReadableStore, listing: Children | None) -> dict[str, bytes]:
    """Read the documents of a hierarchy: by listing its folders, else by their names alone."""
    root = store.read_many(n for n in doors.DOCUMENT_NAMES if listing is None or n in listing.files)
    if not root and listing is not None and _is_pyramid(store.uri, listing):
        levels = _levels(store, listing)
        if levels is not None:
            return levels
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


def _is_pyramid(uri: str, listing: Children) -> bool:
    """Return whether a folder without a root document is a ``.levels`` dataset.

    Without its document ``.zlevels``, only its name says so.
    """
    if LEVELS in listing.files:
        return True
    names = {*listing.folders, *listing.files}
    return uri.rstrip("/").endswith(SUFFIX) and bool(names & {"0.zarr", "0.link"})


def _levels(store: ReadableStore, listing: Children) -> dict[str, bytes] | None:
    """Read the documents of a ``.levels`` dataset: those of its levels, each a root of its own.

    Returns:
        The documents; None if what is named like a level is an array, so that it is none.

    Raises:
        LinkedLevelError: A level is stored elsewhere.
        MetadataError: A level is there twice, missing or empty.
    """
    roots = _stored_levels(store, listing)
    inside = {root: store.children(root) for root in roots}
    wanted = [LEVELS] if LEVELS in listing.files else []
    wanted += [join(root, name) for root in roots for name in doors.DOCUMENT_NAMES if name in inside[root].files]
    found = store.read_many(wanted)
    if any(doors.is_array(found, root) for root in roots):
        return None
    for root in roots:
        own = {name: found[join(root, name)] for name in doors.DOCUMENT_NAMES if join(root, name) in found}
        named = [join(root, key) for key in doors.consolidated_names(own)]
        search = _Search(store, doors.searched_names(own), {parent(key) for key in named}, found)
        search.require_inside(root)
        search.descend(root, inside[root], 0)
        _require(named, found)
        if not any(key.startswith(f"{root}/") for key in found):
            raise MetadataError("a level is empty", where=f"{store.uri}, {root}", hint=_UNFINISHED)
    return found


def _stored_levels(store: ReadableStore, listing: Children) -> list[str]:
    """Return the folders of the levels of a ``.levels`` dataset, in order.

    Raises:
        LinkedLevelError: A level is stored elsewhere.
        MetadataError: A level is there twice, or missing.
    """
    stored = {number: name for name in listing.folders if (number := number_of(name, STORED)) is not None}
    linked = {number: name for name in listing.files if (number := number_of(name, LINKED)) is not None}
    if twice := stored.keys() & linked.keys():
        raise MetadataError(
            "a level is there twice",
            where=store.uri,
            expected=f"{min(twice)}.link or {min(twice)}.zarr",
            found="both",
            hint="Remove the one that is out of date.",
        )
    if linked:
        raise LinkedLevelError(
            "a level is stored in another place",
            where=store.uri,
            expected=f"{min(linked)}.zarr",
            found=linked[min(linked)],
            hint="Append to the dataset that the link names, and create the levels again.",
        )
    names = [stored[number] for number in sorted(stored)]
    if sorted(stored) != list(range(len(stored))):
        raise MetadataError(
            "a level is missing",
            where=store.uri,
            expected=f"0.zarr to {max(stored)}.zarr",
            found=", ".join(names),
            hint=_UNFINISHED,
        )
    return names


def _paths(documents: Iterable[str]) -> set[str]:
    return {parent(key) for key in documents}


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """A search for nodes below a folder."""

    store: ReadableStore
    documents: tuple[str, ...]
    """Names of the documents that a node may have."""
    arrays: set[str]
    """Paths of arrays by consolidated metadata: no group document is requested for them."""
    found: dict[str, bytes]
    """Receives the documents."""

    def descend(self, folder: str, listing: Children, depth: int) -> None:
        """Find the nodes below a folder.

        Raises:
            UnsupportedError: Groups are nested too deeply, or a folder links out of the dataset.
        """
        if depth > _MAX_DEPTH:
            raise UnsupportedError(
                "groups are nested too deeply", where=folder, expected=f"at most {_MAX_DEPTH} levels"
            )
        if (
            folder
            and doors.may_hold_consolidated(listing.files, self.documents)
            and join(folder, doors.CONSOLIDATED) not in self.found
        ):
            # Consolidated metadata of a nested group become outdated unless they are refreshed too.
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
                self.require_inside(path)
            self.found.update({join(path, name): data for name, data in mine.items()})
            if not is_array:
                with contextlib.suppress(NotFoundError):
                    self.descend(path, self.store.children(path), depth + 1)

    def require_inside(self, path: str) -> None:
        """Refuse a node that cannot be a key, or whose folder is a link out of the dataset."""
        check_path(path)
        if (leads := self.store.stray(path)) is not None:
            raise UnsupportedError(
                "a folder is a link out of the dataset",
                where=path,
                found=leads,
                hint="{follow_links} allows it.",
                remedies={"follow_links": True},
            )


def open_dataset(store: ReadableStore, without: Collection[str] = (), listing: Children | None = None) -> Dataset:
    """Read a hierarchy, except for the variables ``without``.

    Args:
        store: The store.
        without: Names of variables to leave out.
        listing: Names directly in the store, if they are already known.

    Raises:
        FormatError: It is not Zarr, is damaged, or is not supported.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
    """
    try:
        documents = documents_of(store, without, listing)
        if documents is not None:
            return doors.read(documents)
    except FormatError as error:
        raise error.at(store.uri) from None
    from zapz.storage.no_dataset import nothing_error  # imported where used: for errors only

    raise nothing_error(store)


def open_with_links(
    store: ReadableStore, without: Collection[str], options: Options | None, how: StoreOptions
) -> tuple[ReadableStore, Dataset, tuple[str, ...]]:
    """Read a hierarchy as ``open_dataset`` does; levels of a ``.levels`` dataset may be links.

    Args:
        store: The store.
        without: Names of variables to leave out.
        options: fsspec storage options, for links into the folder that contains the dataset.
        how: How the stores of linked datasets are opened.

    Returns:
        The store from which all levels can be read, the dataset, and the paths or URIs of linked
        datasets.

    Raises:
        FormatError: As ``open_dataset``, or a link leads to a place that is not allowed.
        StoreError: Storage failed.
    """
    try:
        return store, open_dataset(store, without), ()
    except LinkedLevelError:
        from zapz.storage.linked_levels import with_links  # imported where used: few slices have links

        joined = with_links(store, options, how)
        return joined, open_dataset(joined, without), joined.places


def documents_of(
    store: ReadableStore, without: Collection[str] = (), listing: Children | None = None
) -> dict[str, bytes] | None:
    """Return the documents of a hierarchy, except those of ``without``; None if there are none."""
    found = read_documents(store, listing)
    return {key: data for key, data in found.items() if not is_named(parent(key), without)} if found else None


def listing_of(store: ReadableStore) -> Children:
    """Return the names directly in a store; none if it does not exist."""
    try:
        return store.children("")
    except NotFoundError:
        return Children(folders=(), files=())


def is_empty(listing: Children, ours: Container[str] = ()) -> bool:
    """Return whether a target does not exist yet: it has at most zapz's folder and ``ours``."""
    return not [name for name in (*listing.folders, *listing.files) if name != OURS and name not in ours]
