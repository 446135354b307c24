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


def place_of(uri: str) -> str:
    """Return where a URI leads: links resolved if it is local, trailing slashes dropped."""
    return os.path.realpath(local_path(uri)) if is_local(uri) else uri.rstrip("/")


def open_store(
    uri: str | os.PathLike[str],
    options: Options | None = None,
    *,
    durable: bool = True,
    follow_links: bool = False,
    beside: bool = False,
    single_writer: bool = False,
) -> Store:
    """Return the store at ``uri``; nothing is read or made yet.

    Args:
        uri: Local path, ``file://`` or any fsspec URI (chained too), or a ``.zip`` file to read from.
        options: fsspec storage options.
        durable: Whether local writes are synced.
        follow_links: Whether linked folders may lead out of the store.
        beside: Whether lock and journal lie beside the store instead of in it.
        single_writer: Whether storage may be written on which two writers cannot be kept apart.
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
    from zapz.storage.objects import open_object_store  # imported where used: it brings fsspec

    return open_object_store(text, options, beside=beside, single_writer=single_writer)


def require_folder(store: Store) -> None:
    """Refuse a local store whose folder is not there.

    Raises:
        NotFoundError: It is not there.
    """
    if isinstance(store, LocalStore) and not is_folder(str(store.root)):
        raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
