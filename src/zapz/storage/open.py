"""From what a user names to a store: paths, URIs, chained URIs, archives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from zapz.errors import FormatError, MetadataError, NotFoundError, StoreError
from zapz.storage.local.posix import is_file, is_folder
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Options, ReadableStore, Store
from zapz.storage.uris import clean, is_local, local_path, redact


def origins_of(thing: Any) -> set[str]:
    """Return the packages that a thing's class, or one of its bases, comes from."""
    return {base.__module__.partition(".")[0] for base in type(thing).__mro__}


def is_given(thing: Any) -> bool:
    """Return whether ``adapters`` may know ``thing``, as something that is open already; costs nothing."""
    return bool(origins_of(thing) & {"fsspec", "zarr"})


def open_store(
    uri: str | os.PathLike[str],
    options: Options | None = None,
    *,
    durable: bool = True,
    follow_links: bool = False,
    beside: bool = False,
    single_writer: bool = False,
    references: Sequence[str] | None = None,
) -> Store:
    """Return the store at ``uri``; nothing is read or made yet.

    Args:
        uri: Local path, ``file://`` or any fsspec URI (chained too), or a ``.zip`` file to read from.
        options: fsspec storage options.
        durable: Whether local writes are synced.
        follow_links: Whether linked folders may lead out of the store.
        beside: Whether lock and journal lie beside the store instead of in it.
        single_writer: Whether storage may be written on which two writers cannot be kept apart.
        references: Places to which a reference set may lead; None for its own folder alone.
    """
    text = os.fspath(uri)
    if is_local(text):
        path = local_path(text)
        if not is_file(str(path)):
            return LocalStore(path, durable=durable, follow_links=follow_links, beside=beside)
        if path.suffix != ".zip":
            raise FormatError(
                "not a Zarr dataset", where=str(path), expected="a folder, or a .zip file", found="a file"
            )
        text = f"zip://::file://{path}"
    return _open_remote(text, options, beside=beside, single_writer=single_writer, references=references)


def _open_remote(
    uri: str, options: Options | None, *, beside: bool, single_writer: bool, references: Sequence[str] | None
) -> Store:
    """Return the store at an fsspec URI; nothing is read yet.

    Raises:
        AbilityError: The package for this kind of storage is not installed.
        StoreError: It cannot be opened.
    """
    import fsspec  # imported where used: local appends do without it

    from zapz.storage.filesystems import leads_to_references, not_installed
    from zapz.storage.objects.backends import AT_ONCE, backend_of
    from zapz.storage.objects.store import ObjectStore

    if leads_to_references(uri) or leads_to_references(options or {}):
        from zapz.storage.references.open import at_uri

        backend, root, uri = at_uri(uri, options, references)
        return ObjectStore(backend, root, uri, beside=beside, single_writer=single_writer)
    try:
        given = {"use_listings_cache": False, **(options or {})}
        if uri.startswith(("s3://", "s3a://")):  # as many connections as there are requests at once
            given["config_kwargs"] = {"max_pool_connections": AT_ONCE, **given.get("config_kwargs", {})}
        fs, root = fsspec.core.url_to_fs(uri, **given)
    except ImportError as error:
        raise not_installed(redact(uri), error) from error
    except Exception as error:  # every backend has errors of its own
        kind = MetadataError if type(error).__name__ == "BadZipFile" else StoreError
        raise kind(
            "cannot open storage", where=redact(uri), found=f"{type(error).__name__}: {clean(str(error))}"
        ) from error
    return ObjectStore(backend_of(fs, root), root, redact(uri), beside=beside, single_writer=single_writer)


def require_folder(store: ReadableStore) -> None:
    """Refuse a local store whose folder is not there.

    Raises:
        NotFoundError: It is not there.
    """
    if isinstance(store, LocalStore) and not is_folder(str(store.root)):
        raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
