"""From what a program has open to a store: fsspec's mappers, and stores, groups and arrays of zarr-python.

What lies in a local folder is opened as that folder, and what lies on an object service as the service, so that it is as safe and as
fast as if its path or URI had been named. Other stores are used through their own methods.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zapz.errors import AbilityError
from zapz.storage.local import LocalStore
from zapz.storage.store import Store
from zapz.storage.uris import public

_SERVICES = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https"))
"""Protocols of services: they are asked anew, because listings that a file system has kept may be old."""
_ARCHIVES = frozenset(("libarchive", "reference", "tar", "zip"))
"""Protocols of what can only be read."""
_ZARR_SCHEME = "zarr-"


def is_given(thing: Any) -> bool:
    """Return whether ``open_given`` may know ``thing``; costs nothing."""
    return bool(_origins(thing) & {"fsspec", "zarr"})


def open_given(
    thing: Any,
    *,
    durable: bool = True,
    follow_links: bool = False,
    beside: bool = False,
    single_writer: bool = False,
    read_only: bool = False,
) -> Store | None:
    """Return the store of something that is open; nothing is read or made yet.

    Args:
        thing: An fsspec mapper; a store, ``StorePath``, group or array of zarr-python.
        durable: Whether local writes are synced.
        follow_links: Whether linked folders may lead out of the store.
        beside: Whether lock and journal lie beside the store instead of in it.
        single_writer: Whether storage may be written on which two writers cannot be kept apart.
        read_only: Whether it will only be read, as a slice is.

    Returns:
        The store; None if ``thing`` is none of these. An array that lies in a group becomes a dataset of its own, named by the last
        part of its path.

    Raises:
        AbilityError: It is to be written, and cannot be.
    """
    origins = _origins(thing)
    opening = _Opening(
        durable=durable, follow_links=follow_links, beside=beside, single_writer=single_writer, read_only=read_only
    )
    if "fsspec" in origins:
        from fsspec.mapping import FSMap  # imported where used: local appends do without it

        if isinstance(thing, FSMap):
            return opening.files(thing.fs, thing.root)
    return opening.zarr(thing) if "zarr" in origins else None


def _origins(thing: Any) -> set[str]:
    """Return the packages that a thing's class, or one of its bases, comes from."""
    return {base.__module__.partition(".")[0] for base in type(thing).__mro__}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opening:
    """How stores are opened; the fields are those of ``open_given``."""

    durable: bool
    """Whether local writes are synced."""
    follow_links: bool
    """Whether linked folders may lead out."""
    beside: bool
    """Whether lock and journal lie beside."""
    single_writer: bool
    """Whether storage may be written that keeps nobody apart."""
    read_only: bool
    """Whether it will only be read."""

    def zarr(self, thing: Any) -> Store | None:
        """Return the store of something of zarr-python's; None if it is not known."""
        import zarr  # imported where used: it costs half a second
        from zarr.storage import StorePath

        path = ""
        is_array = isinstance(thing, zarr.Array | zarr.AsyncArray)
        if is_array or isinstance(thing, zarr.Group | zarr.AsyncGroup):
            thing = thing.store_path
        if isinstance(thing, StorePath):
            thing, path = thing.store, thing.path
        if not isinstance(thing, zarr.abc.store.Store):
            return None
        store = self._zarr_store(thing, path)
        if not self.read_only and (thing.read_only or not thing.supports_writes):
            raise AbilityError(
                "the target can only be read",
                where=store.uri,
                expected="a store that is open for writing",
                found=f"{type(thing).__name__}, {'read-only' if thing.read_only else 'which cannot be written to'}",
                hint='Open it with read_only=False, or a group with mode="r+".',
            )
        if not is_array or not path:
            return store
        from zapz.storage.one_array import OneArray

        alone = OneArray(store, path.rpartition("/")[2])
        if not self.read_only:
            alone.refuse()
        return alone

    def _zarr_store(self, store: Any, path: str) -> Store:
        """Return the store of one of zarr-python's; a class that changes one of zarr's is used through its own methods."""
        from zarr.storage import FsspecStore, ZipStore
        from zarr.storage import LocalStore as ZarrLocalStore

        if type(store) is ZarrLocalStore:
            return self._folder(os.path.join(store.root, path))
        if type(store) is FsspecStore:
            return self.files(store.fs, _joined(store.path, path))
        if type(store) is ZipStore:
            uri = f"zip://{path}::file://{os.path.abspath(store.path)}"
            self._only_to_read("an archive", uri)
            if not store.read_only and not store._is_open:  # noqa: SLF001 - opening it as it is would empty the file
                store = ZipStore(store.path, mode="r")
            return self._own(store, path, uri)
        return self._own(store, path, None)

    def _own(self, store: Any, path: str, uri: str | None) -> Store:
        """Return a store that is used through zarr's methods."""
        from zarr.storage import MemoryStore

        from zapz.storage.objects import ObjectStore
        from zapz.storage.zarr_stores import BUCKET, ProcessBackend, ZarrBackend, home_of

        home, begin = home_of(store)
        kind = ProcessBackend if isinstance(store, MemoryStore) and not self.read_only else ZarrBackend
        if uri is None:
            scheme = f"{_ZARR_SCHEME}{type(store).__name__.lower()}"
            uri = _joined(f"{scheme}://{home.name}", _joined(begin, path))
        root = _joined(BUCKET, path)
        return ObjectStore(kind(store, home), root, uri, beside=self.beside, single_writer=self.single_writer)

    def _folder(self, path: str) -> Store:
        return LocalStore(
            os.path.abspath(path), durable=self.durable, follow_links=self.follow_links, beside=self.beside
        )

    def files(self, fs: Any, root: str) -> Store:
        """Return the store in a folder of one of fsspec's file systems."""
        from zapz.storage.backends import backend_of
        from zapz.storage.objects import ObjectStore

        fs, root = _innermost(fs, root)
        protocols, uri = _protocols(fs), _name(fs, root)
        if _is_cache(fs):
            self._only_to_read("a cache", uri)
        elif protocols & {"file", "local"}:
            return self._folder(root)
        elif protocols & _ARCHIVES:
            self._only_to_read("an archive", uri)
        fs = _ours(fs)
        return ObjectStore(backend_of(fs, root), root, uri, beside=self.beside, single_writer=self.single_writer)

    def _only_to_read(self, what: str, uri: str) -> None:
        if not self.read_only:
            raise AbilityError(
                f"{what} can only be read",
                where=uri,
                expected="a folder, an object service, or memory",
                hint="Give what lies behind it, or unpack it. As a slice it can be given as it is.",
            )


def _joined(root: str, path: str) -> str:
    """Return a path below a root; either may be empty."""
    return f"{root.rstrip('/')}/{path}" if root and path else root or path


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def _is_cache(fs: Any) -> bool:
    from fsspec.implementations.cached import CachingFileSystem

    return isinstance(fs, CachingFileSystem)


def _innermost(fs: Any, root: str) -> tuple[Any, str]:
    """Return the file system that does the work, and the root in it."""
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from fsspec.implementations.dirfs import DirFileSystem

    while True:
        if isinstance(fs, AsyncFileSystemWrapper):
            fs = fs.sync_fs
        elif isinstance(fs, DirFileSystem):
            fs, root = fs.fs, _joined(fs.path or "", root.rstrip("/"))
        else:
            return fs, root


def _ours(fs: Any) -> Any:
    """Return a file system that can be called from any thread: one with the same options, if this one lives in somebody's event loop.

    Services get one in any case, which keeps no listings and has as many connections as there are requests at once.
    """
    protocols = _protocols(fs)
    if _is_cache(fs):  # it keeps what has been read, and that is what it is for
        return fs
    services = bool(protocols & _SERVICES)
    if not services and not (fs.async_impl and fs.asynchronous):
        return fs
    options = _synchronous(fs.storage_options)
    if services:
        options["use_listings_cache"] = False
    if protocols & {"s3", "s3a"}:
        from zapz.storage.backends import AT_ONCE

        options["config_kwargs"] = {"max_pool_connections": AT_ONCE, **(options.get("config_kwargs") or {})}
    return type(fs)(*fs.storage_args, **options)


def _synchronous(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without what ties a file system to an event loop; file systems among them are exchanged too."""
    return {key: _exchanged(key, value) for key, value in options.items() if key not in {"asynchronous", "loop"}}


def _exchanged(key: str, value: Any) -> Any:
    from fsspec import AbstractFileSystem

    if isinstance(value, AbstractFileSystem):
        return _ours(_innermost(value, "")[0])
    if isinstance(value, Mapping) and key != "fo":  # references are as many as chunks
        return _synchronous(value)
    return value


def _name(fs: Any, root: str) -> str:
    """Return what a folder is called: as its URI, where there is one that leads there; never with credentials."""
    if _is_cache(fs):
        return f"{min(_protocols(type(fs)))}::{_name(*_innermost(fs.fs, root))}"
    uri = root if "://" in root else str(fs.unstrip_protocol(root))
    inner = fs.storage_options.get("fo")
    if isinstance(inner, str | os.PathLike):
        named = os.fspath(inner)
        protocol = fs.storage_options.get("target_protocol") or "file"
        return public(f"{uri}::{named if '://' in named else f'{protocol}://{named}'}")
    if inner is not None or _protocols(fs) & _ARCHIVES:  # an open file, or references without a place
        scheme, mark, rest = uri.partition("://")
        return _joined(f"{scheme}{mark}{os.urandom(6).hex()}", rest.lstrip("/"))
    return public(uri)
