"""Stores from open objects: fsspec mappers, and stores, groups and arrays of zarr-python.

An object in a local folder is opened as that folder, and an object on a service as that service. So
it is as safe and as fast as if the caller had named its path or URI. Other stores are used through
their own methods.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from zapz.errors import AbilityError
from zapz.storage.filesystems import innermost, is_cache, join_path, ours, protocols_of
from zapz.storage.local.store import LocalStore
from zapz.storage.open import PLAIN, origins_of
from zapz.storage.store import ReadableStore, Store, StoreOptions
from zapz.storage.uris import redact

_ARCHIVES = frozenset(("libarchive", "reference", "tar", "zip"))
"""Protocols of read-only file systems."""
_ZARR_SCHEME = "zarr-"


def target_store(thing: Any, how: StoreOptions = PLAIN) -> Store | None:
    """Return the store of an open object, to write to; nothing is read or created yet.

    Args:
        thing: An fsspec mapper; a store, ``StorePath`` or group of zarr-python.
        how: Options for opening it.

    Returns:
        The store; None if ``thing`` is none of these.

    Raises:
        AbilityError: It is read-only.
        UnsupportedError: It leads to a reference set.
    """
    opening = _Opening(how, read_only=False)
    if (mapper := _mapper(thing)) is not None:
        return opening.files(mapper.fs, mapper.root)
    found = _zarr_of(thing)
    if found is None:
        return None
    store = opening.zarr(found)
    if found.store.read_only or not found.store.supports_writes:
        raise AbilityError(
            "the target is read-only",
            where=store.uri,
            expected="a store that is open for writing",
            found=f"{type(found.store).__name__}, {'read-only' if found.store.read_only else 'without support for writing'}",
            hint='Open the store with read_only=False, or the group with mode="r+".',
        )
    if found.is_array and found.path:
        raise AbilityError(
            "an array cannot be a target", where=store.uri, hint="Use the group that contains the array, or its store."
        )
    return store


def slice_store(thing: Any, how: StoreOptions = PLAIN) -> ReadableStore | None:
    """Return the store of an open object, to read from; nothing is read yet.

    Args:
        thing: An fsspec mapper; a store, ``StorePath``, group or array of zarr-python.
        how: Options for opening it.

    Returns:
        The store; None if ``thing`` is none of these. An array inside a group becomes a dataset of
        its own, named by the last part of its path.

    Raises:
        UnsupportedError: It leads to a reference set.
    """
    opening = _Opening(how, read_only=True)
    if (mapper := _mapper(thing)) is not None:
        return opening.files(mapper.fs, mapper.root)
    found = _zarr_of(thing)
    if found is None:
        return None
    store = opening.zarr(found)
    if not found.is_array or not found.path:
        return store
    from zapz.storage.single_array import OneArray

    return OneArray(store, found.path.rpartition("/")[2])


def _mapper(thing: Any) -> Any:
    """Return an fsspec mapper; None if ``thing`` is something else."""
    if "fsspec" not in origins_of(thing):
        return None
    from fsspec.mapping import FSMap  # imported where used: local appends do without it

    return thing if isinstance(thing, FSMap) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Zarr:
    """Store and path of an object of zarr-python."""

    store: Any
    """Its store."""
    path: str
    """Its path in the store."""
    is_array: bool
    """Whether it is an array."""


def _zarr_of(thing: Any) -> _Zarr | None:
    """Return store and path of an object of zarr-python; None if ``thing`` is something else."""
    if "zarr" not in origins_of(thing):
        return None
    import zarr  # imported where used: it costs half a second
    from zarr.storage import StorePath

    path = ""
    is_array = isinstance(thing, zarr.Array | zarr.AsyncArray)
    if is_array or isinstance(thing, zarr.Group | zarr.AsyncGroup):
        thing = thing.store_path
    if isinstance(thing, StorePath):
        thing, path = thing.store, thing.path
    return _Zarr(store=thing, path=path, is_array=is_array) if isinstance(thing, zarr.abc.store.Store) else None


@dataclass(frozen=True, slots=True)
class _Opening:
    """Options for opening stores."""

    how: StoreOptions
    """Options for all types of storage."""
    read_only: bool
    """Whether the store is only read."""

    def zarr(self, found: _Zarr) -> Store:
        """Return the store for a store of zarr-python.

        A subclass of one of zarr's classes is used through its own methods: it may change them.
        """
        store, path = found.store, found.path
        from zarr.storage import FsspecStore, ZipStore
        from zarr.storage import LocalStore as ZarrLocalStore

        if type(store) is ZarrLocalStore:
            return self._folder(os.path.join(store.root, path))
        if type(store) is FsspecStore:
            return self.files(store.fs, join_path(store.path, path))
        if type(store) is ZipStore:
            uri = f"zip://{path}::file://{os.path.abspath(store.path)}"
            self._only_to_read("an archive", uri)
            if not store.read_only and not store._is_open:  # noqa: SLF001 - opening it unchanged would empty the file
                store = ZipStore(store.path, mode="r")
            return self._own(store, path, uri)
        return self._own(store, path, None)

    def _own(self, store: Any, path: str, uri: str | None) -> Store:
        """Return a store that is used through its zarr methods."""
        from zarr.storage import MemoryStore

        from zapz.storage.filesystems import leads_to_references
        from zapz.storage.objects.store import ObjectStore
        from zapz.storage.objects.zarr_backend import BUCKET, ProcessBackend, ZarrBackend, home_of
        from zapz.storage.references.open import within

        if leads_to_references(store):
            raise within(f"{_ZARR_SCHEME}{type(store).__name__.lower()}")
        home, begin = home_of(store)
        kind = ProcessBackend if isinstance(store, MemoryStore) and not self.read_only else ZarrBackend
        if uri is None:
            scheme = f"{_ZARR_SCHEME}{type(store).__name__.lower()}"
            uri = join_path(f"{scheme}://{home.name}", join_path(begin, path))
        root = join_path(BUCKET, path)
        return ObjectStore(kind(store, home), root, uri, beside=self.how.beside, single_writer=self.how.single_writer)

    def _folder(self, path: str) -> Store:
        return LocalStore(
            os.path.abspath(path), durable=self.how.durable, follow_links=self.how.follow_links, beside=self.how.beside
        )

    def files(self, fs: Any, root: str) -> Store:
        """Return the store for a folder of an fsspec file system.

        Raises:
            AbilityError: It is read-only, and the store is opened for writing.
            UnsupportedError: It leads to a reference set.
        """
        from zapz.storage.filesystems import behind_caches, is_references, leads_to_references
        from zapz.storage.objects.backends import backend_of
        from zapz.storage.objects.store import ObjectStore
        from zapz.storage.references.open import within

        fs, root = innermost(fs, root)
        inner, inner_root = behind_caches(fs, root)
        if is_references(inner):  # without its cache, which would not check where references lead
            return self._references(inner, inner_root)
        if leads_to_references(fs):
            raise within(_name(fs, root))
        protocols, uri = protocols_of(fs), _name(fs, root)
        if is_cache(fs):
            self._only_to_read("a cache", uri)
        elif protocols & {"file", "local"}:
            return self._folder(root)
        elif protocols & _ARCHIVES:
            self._only_to_read("an archive", uri)
        fs = ours(fs)
        return ObjectStore(
            backend_of(fs, root), root, uri, beside=self.how.beside, single_writer=self.how.single_writer
        )

    def _references(self, fs: Any, root: str) -> Store:
        """Return the store for a folder of a reference set."""
        from zapz.storage.objects.store import ObjectStore
        from zapz.storage.references.open import of_file_system

        uri = _name(fs, root)
        self._only_to_read("a reference set", uri)
        backend = of_file_system(fs, uri, self.how.references)
        return ObjectStore(backend, root.strip("/"), uri, beside=self.how.beside, single_writer=self.how.single_writer)

    def _only_to_read(self, what: str, uri: str) -> None:
        if not self.read_only:
            raise AbilityError(
                f"{what} is read-only",
                where=uri,
                expected="a folder, an object service, or memory",
                hint="Use the storage behind it, or unpack it. As a slice, it is accepted unchanged.",
            )


def _name(fs: Any, root: str) -> str:
    """Return the name of a folder for messages, without credentials: its URI, if it has one."""
    if is_cache(fs):
        return f"{min(protocols_of(type(fs)))}::{_name(*innermost(fs.fs, root))}"
    uri = root if "://" in root else str(fs.unstrip_protocol(root))
    inner = fs.storage_options.get("fo")
    if isinstance(inner, str | os.PathLike):
        named = os.fspath(inner)
        protocol = fs.storage_options.get("target_protocol") or "file"
        return redact(f"{uri}::{named if '://' in named else f'{protocol}://{named}'}")
    if inner is not None or protocols_of(fs) & _ARCHIVES:  # an open file, or references without a URI
        scheme, mark, rest = uri.partition("://")
        return join_path(f"{scheme}{mark}{os.urandom(6).hex()}", rest.lstrip("/"))
    return redact(uri)
