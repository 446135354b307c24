"""From what a user names to a store: paths, URIs, chained URIs, archives."""

from __future__ import annotations

import os
from pathlib import Path

from zapz.errors import FormatError, NotFoundError
from zapz.storage.local import LocalStore
from zapz.storage.posix import is_file, is_folder
from zapz.storage.store import Options, Store


def is_local(uri: str) -> bool:
    """Return whether ``uri`` names a local path."""
    return ("://" not in uri and "::" not in uri) or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """Return a local URI as an absolute path: ``~`` expanded, trailing slashes dropped, links kept."""
    text = uri.removeprefix("file://")
    return Path(os.path.abspath(os.path.expanduser(text)))


def open_store(
    uri: str | os.PathLike[str], options: Options | None = None, *, durable: bool = True, follow_links: bool = False
) -> Store:
    """Return the store at ``uri``; nothing is read or made yet.

    Args:
        uri: Local path, ``file://`` or any fsspec URI (chained too), or a ``.zip`` file to read from.
        options: fsspec storage options.
        durable: Whether local writes are synced.
        follow_links: Whether linked folders may lead out of the store.
    """
    text = os.fspath(uri)
    if is_local(text):
        path = local_path(text)
        if is_file(str(path)):
            if path.suffix == ".zip":
                return _remote(f"zip://::file://{path}", options)
            raise FormatError(
                "not a Zarr dataset", where=str(path), expected="a folder, or a .zip file", found="a file"
            )
        return LocalStore(path, durable=durable, follow_links=follow_links)
    return _remote(text, options)


def _remote(uri: str, options: Options | None) -> Store:
    from zapz.storage.remote import RemoteStore  # imported where used: it brings fsspec

    return RemoteStore(uri, options)


def require_folder(store: Store) -> None:
    """Refuse a local store whose folder is not there.

    Raises:
        NotFoundError: It is not there.
    """
    if isinstance(store, LocalStore) and not is_folder(str(store.root)):
        raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
