"""Stores from what a user names: paths, URIs, chained URIs, archives."""

from __future__ import annotations

import os
from typing import Any

from zapz.errors import MetadataError, NotFoundError, StoreError
from zapz.storage.local.posix import is_file, is_folder
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Options, ReadableStore, Store, StoreOptions
from zapz.storage.uris import is_local, local_path, redact, told

PLAIN = StoreOptions()


def origins_of(thing: Any) -> set[str]:
    """Return the top-level packages of an object's class and of its base classes."""
    return {base.__module__.partition(".")[0] for base in type(thing).__mro__}


def is_given(thing: Any) -> bool:
    """Return whether ``thing`` may be an open object that ``adapters`` accepts; imports nothing."""
    return bool(origins_of(thing) & {"fsspec", "zarr"})


def open_store(uri: str | os.PathLike[str], options: Options | None = None, how: StoreOptions = PLAIN) -> Store:
    """Return the store at ``uri``; nothing is read or created yet.

    Args:
        uri: Local path, ``file://`` or any fsspec URI (chained too), or a ``.zip`` file to read
            from.
        options: fsspec storage options.
        how: Options for opening it.

    Raises:
        FormatError: It is a file, but not a dataset; or it is inside a reference set.
        AbilityError: The package for this type of storage is not installed.
        StoreError: It cannot be opened.
    """
    text = os.fspath(uri)
    if is_local(text):
        path = local_path(text)
        if not is_file(str(path)):
            return LocalStore(path, durable=how.durable, follow_links=how.follow_links, beside=how.beside)
        if path.suffix != ".zip":
            from zapz.storage.no_dataset import file_error  # imported where used: for errors only

            raise file_error(str(path))
        text = f"zip://::file://{path}"
    return _open_remote(text, options, how)


def _open_remote(uri: str, options: Options | None, how: StoreOptions) -> Store:
    """Return the store at an fsspec URI; nothing is read yet.

    Raises:
        AbilityError: The package for this type of storage is not installed.
        StoreError: It cannot be opened.
    """
    import fsspec  # imported where used: local appends do without it

    from zapz.storage.filesystems import leads_to_references, not_installed
    from zapz.storage.objects.backends import AT_ONCE, backend_of
    from zapz.storage.objects.store import ObjectStore

    if leads_to_references(uri) or leads_to_references(options or {}):
        from zapz.storage.references.open import at_uri

        backend, root, uri = at_uri(uri, options, how.references)
        return ObjectStore(backend, root, uri, beside=how.beside, single_writer=how.single_writer)
    try:
        given = {"use_listings_cache": False, **(options or {})}
        if uri.startswith(("s3://", "s3a://")):  # one connection for each concurrent request
            given["config_kwargs"] = {"max_pool_connections": AT_ONCE, **given.get("config_kwargs", {})}
        fs, root = fsspec.core.url_to_fs(uri, **given)
    except ImportError as error:
        raise not_installed(redact(uri), error) from error
    except Exception as error:  # every backend has errors of its own
        kind = MetadataError if type(error).__name__ == "BadZipFile" else StoreError
        raise kind("cannot open storage", where=redact(uri), found=told(error)) from error
    return ObjectStore(backend_of(fs, root), root, redact(uri), beside=how.beside, single_writer=how.single_writer)


def archive_of(uri: str | os.PathLike[str]) -> str:
    """Return the path of the archive that a local path names; "" if it names none."""
    text = os.fspath(uri)
    if not is_local(text) or local_path(text).suffix != ".zip" or not is_file(str(local_path(text))):
        return ""
    return str(local_path(text))


def require_folder(store: ReadableStore) -> None:
    """Refuse a local store whose folder does not exist.

    Raises:
        NotFoundError: It does not exist.
    """
    if isinstance(store, LocalStore) and not is_folder(str(store.root)):
        raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
