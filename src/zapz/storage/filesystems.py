"""fsspec file systems: what they wrap, and instances that any thread can call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zapz.errors import AbilityError

_SERVICES = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https"))
"""Protocols of services. Their listings are never cached, because a cached one may be outdated."""
_EXTRAS = {
    "s3": ("s3fs", ("s3", "s3a")),
    "gcs": ("gcsfs", ("gs", "gcs")),
    "azure": ("adlfs", ("az", "abfs", "abfss", "adl")),
    "http": ("aiohttp", ("http", "https")),
}
"""By extra: the package that it installs, and the protocols that need it."""

_INNER = ("fs", "sync_fs", "of", "fo", "f", "_store", "store")
"""Attributes in which file systems, open files and stores keep the object that they wrap."""
_LEADING = frozenset(("fo", "target_protocol", "remote_protocol", "fs"))
"""Options that name a wrapped file or file system."""


def not_installed(where: str, error: ImportError, protocol: str | None = None) -> AbilityError:
    """Return the error for storage that needs a package that is not installed.

    Args:
        where: Path or URI, for display.
        error: Why its file system cannot be created.
        protocol: Its protocol, if ``where`` does not begin with it.
    """
    protocol = protocol or where.rpartition("::")[2].partition("://")[0]
    extra = next((extra for extra, (_, protocols) in _EXTRAS.items() if protocol in protocols), None)
    if extra is None:
        hint = "Install the packages that the message names."
    else:
        hint = f"Install it: `pip install {_EXTRAS[extra][0]}`; the extra zapz[{extra}] includes it."
    return AbilityError("a package for this type of storage is not installed", where=where, found=str(error), hint=hint)


def join_path(root: str, path: str) -> str:
    """Return a path below a root; either may be empty."""
    return f"{root.rstrip('/')}/{path}" if root and path else root or path


def protocols_of(fs: Any) -> set[str]:
    """Return the protocols of a file system."""
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)


def is_cache(fs: Any) -> bool:
    """Return whether a file system caches what it reads from another one."""
    from fsspec.implementations.cached import CachingFileSystem

    return isinstance(fs, CachingFileSystem)


def innermost(fs: Any, root: str) -> tuple[Any, str]:
    """Return the file system inside wrappers, caches excepted, and the root in it."""
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
    from fsspec.implementations.dirfs import DirFileSystem

    while True:
        if isinstance(fs, AsyncFileSystemWrapper):
            fs = fs.sync_fs
        elif isinstance(fs, DirFileSystem):
            fs, root = fs.fs, join_path(fs.path or "", root.rstrip("/"))
        else:
            return fs, root


def behind_caches(fs: Any, root: str) -> tuple[Any, str]:
    """Return the file system inside wrappers and caches, and the root in it."""
    while True:
        fs, root = innermost(fs, root)
        if not is_cache(fs):
            return fs, root
        fs = fs.fs


def is_references(fs: Any) -> bool:
    """Return whether a file system reads the files that a reference set names."""
    from fsspec.implementations.reference import ReferenceFileSystem

    return isinstance(fs, ReferenceFileSystem) or "reference" in protocols_of(fs)


def leads_to_references(thing: Any, depth: int = 8) -> bool:
    """Return whether an object is a reference set, or is inside one.

    Args:
        thing: A URI, an option, a file system, a store, or an open file.
        depth: Maximum depth of nested objects to search.
    """
    from fsspec import AbstractFileSystem

    if isinstance(thing, str):
        return any(part.partition("://")[0] == "reference" for part in thing.split("::"))
    inner: Iterable[Any] = (getattr(thing, name, None) for name in _INNER)
    if isinstance(thing, AbstractFileSystem):
        if is_references(thing):
            return True
        inner = (thing.storage_options, thing.storage_args, *inner)
    elif isinstance(thing, Mapping):
        nested = AbstractFileSystem | Mapping
        inner = (value for key, value in thing.items() if key in _LEADING or isinstance(value, nested))
    elif isinstance(thing, list | tuple):
        inner = thing
    elif thing is None or isinstance(thing, int | float | bytes | bytearray):
        return False
    return depth > 0 and any(leads_to_references(part, depth - 1) for part in inner)


def ours(fs: Any) -> Any:
    """Return a file system that any thread can call.

    A file system that runs in the caller's event loop is replaced by a new one with the same
    options. Services always get a new one: it caches no listings, and it has as many connections as
    there are concurrent requests.
    """
    protocols = protocols_of(fs)
    if is_cache(fs):  # keep it: its purpose is to keep what was read
        return fs
    services = bool(protocols & _SERVICES)
    if not services and not (fs.async_impl and fs.asynchronous):
        return fs
    options = _synchronous(fs.storage_options)
    if services:
        options["use_listings_cache"] = False
    if protocols & {"s3", "s3a"}:
        from zapz.storage.objects.backends import AT_ONCE

        options["config_kwargs"] = {"max_pool_connections": AT_ONCE, **(options.get("config_kwargs") or {})}
    return type(fs)(*fs.storage_args, **options)


def _synchronous(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without those that bind a file system to an event loop, at any depth."""
    return {key: _exchanged(key, value) for key, value in options.items() if key not in {"asynchronous", "loop"}}


def _exchanged(key: str, value: Any) -> Any:
    from fsspec import AbstractFileSystem

    if isinstance(value, AbstractFileSystem):
        return ours(innermost(value, "")[0])
    if isinstance(value, Mapping) and key != "fo":  # skipped: there are as many references as chunks
        return _synchronous(value)
    return value
