"""Explain why a path has no dataset, and what to do. Loaded only after opening has failed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Sequence

from zapz.errors import FormatError, MetadataError, NotFoundError, UnsupportedError, ZapzError
from zapz.format.documents import DOCUMENT_NAMES, NODE_NAMES
from zapz.format.magic import BEGINNING, ZIP, FileFormat, format_of
from zapz.format.metadata import join, parent
from zapz.storage.layout import OURS
from zapz.storage.local.posix import read_file
from zapz.storage.store import ReadableStore
from zapz.storage.uris import inside, is_local

_DOCUMENTS = "a .zgroup, .zarray or zarr.json"
_FOREIGN_ROOTS = {
    "Icechunk": ({"snapshots", "manifests"}, {"repo"}),
    "the Zarr v3 layout from before 2023": ({"meta", "data"}, set()),
}
_LOOK_INTO = 10
"""Maximum number of subfolders that are searched for datasets."""
_LOOK_AT = 4
"""Maximum number of files whose format is checked."""


class OtherFormatError(FormatError):
    """The named path is a file that is not a dataset."""


def file_error(path: str) -> OtherFormatError:
    """Return the error for a local file that was named as a dataset."""
    try:
        beginning = read_file(path, 0, BEGINNING)
    except OSError:
        return _no_folder(path, "a file", "")
    return _of_beginning(path, beginning)


def nothing_error(store: ReadableStore) -> ZapzError:
    """Return the error for a path or URI without any document of a dataset."""
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    if store.abilities.listable:
        try:
            children = store.children("")
        except NotFoundError:
            return NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
        files = tuple(name for name in children.files if not _is_ours(name))
        folders = tuple(name for name in children.folders if not _is_ours(name))
    # Some services list an object as its own child.
    if not folders and len(files) <= 1 and (beginning := _beginning(store, "")):
        return _of_beginning(store.uri, beginning)
    for kind, (marks, objects) in _FOREIGN_ROOTS.items():
        if (marks and marks <= set(folders)) or (objects and objects & set(files) and "snapshots" in folders):
            return UnsupportedError(f"{kind} is not supported", where=store.uri)
    if not files and not folders and not store.abilities.listable:
        return NotFoundError(
            "no such dataset",
            where=store.uri,
            hint="Check the address. Without a listing, zapz needs consolidated metadata.",
        )
    return _no_documents(store, files, folders)


def _is_ours(name: str) -> bool:
    """Return whether zapz creates a folder of that name in a target or beside one."""
    return name.endswith((OURS, f"{OURS}-new"))


def _no_documents(store: ReadableStore, files: Sequence[str], folders: Sequence[str]) -> MetadataError:
    """Return the error for a folder that is not a dataset."""
    found = ", ".join([*files, *folders][:3]) or "nothing"
    error = MetadataError("not a Zarr dataset", where=store.uri, expected=_DOCUMENTS, found=found)
    if inner := _datasets_in(store, folders):
        return error.advised(
            f"Some of its subfolders are datasets: name one of them, such as {inside(store.uri, inner[0])}."
        )
    if known := _known_file(store, files):
        name, kind = known
        suffix = os.path.splitext(name)[1]
        alike = sum(os.path.splitext(each)[1] == suffix for each in files)
        error.found = f"a folder with {name}, {kind.name}" + (f", and {alike - 1} more" if alike > 1 else "")
        local = is_local(store.uri)
        named = f"{shlex.quote(store.uri)}/*{suffix}" if local and suffix else inside(store.uri, name)
        _advise(error, kind, f"the files themselves, {named},", local=local)
    return error


def _datasets_in(store: ReadableStore, folders: Collection[str]) -> list[str]:
    """Return the datasets among the first subfolders of a store."""
    several = [name for name in folders if not name.startswith(".")][:_LOOK_INTO]
    found = store.read_many(join(folder, key) for folder in several for key in NODE_NAMES)
    return [folder for folder in several if any(parent(key) == folder for key in found)]


def _known_file(store: ReadableStore, files: Sequence[str]) -> tuple[str, FileFormat] | None:
    """Return name and format of a file in a folder; None if no format is recognised."""
    for name in [name for name in files if not name.startswith(".")][:_LOOK_AT]:
        if (kind := format_of(_beginning(store, name))) is not None:
            return name, kind
    return None


def _beginning(store: ReadableStore, key: str) -> bytes:
    """Return the first bytes of an object; empty if it cannot be read."""
    try:
        return store.read(key, 0, BEGINNING)
    except ZapzError:
        return b""


def _of_beginning(uri: str, beginning: bytes) -> OtherFormatError:
    """Return the error for a file with these first bytes."""
    folder, _, name = uri.rstrip("/").rpartition("/")
    if name in DOCUMENT_NAMES:
        return _no_folder(uri, "a metadata document", f"Name the folder that contains it: {folder}")
    if not beginning:
        return _no_folder(uri, "an empty file", "")
    kind = format_of(beginning)
    if kind is None:
        return _no_folder(uri, "a file", "")
    if kind is ZIP:
        named = f"zip://::{f'file://{uri}' if is_local(uri) else uri}"
        hint = f"If it contains a Zarr dataset, rename it so that it ends in .zip, or use {named}"
        return _no_folder(uri, kind.name, hint)
    error = _no_folder(uri, kind.name, "")
    _advise(error, kind, "it", local=is_local(uri))
    return error


def _no_folder(where: str, found: str, hint: str) -> OtherFormatError:
    expected = "a folder, or a .zip file"
    return OtherFormatError("not a Zarr dataset", where=where, expected=expected, found=found, hint=hint)


def _advise(error: FormatError, kind: FileFormat, files: str, *, local: bool) -> None:
    """Add to an error how files of this format can be appended."""
    if not kind.opener:
        error.advised(kind.remedy)
        return
    packages = f"{kind.packages.replace(' ', ' and ')} (pip install {kind.packages})"
    way = f"append {files}" if local else f"copy {files} to a local folder and append that"
    hint = f"zapz does not read such files itself. Install {packages}, then {way} with {{slice_source}}. {kind.remedy}"
    error.advised(hint.rstrip(), {"slice_source": kind.opener})
