"""Read a folder of a local file system, with ``os`` only.

fsspec's local file system cannot detect whether a folder is a link, and each of its calls creates
an object for every file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from zapz.errors import MetadataError, NotFoundError, UnsupportedError
from zapz.storage.local.posix import ABSENT, READ, failure, read_file, read_rest
from zapz.storage.store import Abilities, Children

_OPEN = READ | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK
"""Flags that open a file, but no link, and that wait for no other process."""
_HOLD = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
"""Flags that open a folder, without reading it."""
_FOLDERS = 1 << 16
"""Maximum number of folders that are remembered to be inside the root."""


def _stamp(found: os.stat_result) -> str:
    """Return inode, time of modification, length, time of change, which no program sets."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ctime_ns:x}"


def _identity(found: os.stat_result) -> str:
    return f"{found.st_dev:x}-{found.st_ino:x}"


class LocalObject:
    """An open file; see ``storage.opened.OpenObject``."""

    is_fast = True

    def __init__(self, descriptor: int, path: str, found: os.stat_result) -> None:
        self._descriptor = descriptor
        self._path = path
        self.size = found.st_size
        self.tag = _stamp(found)

    def read(self, offset: int, length: int) -> bytes:
        """See ``OpenObject``."""
        try:
            return read_rest(self._descriptor, length, offset)
        except OSError as error:
            raise failure(error, "cannot read", self._path) from error

    def close(self) -> None:
        """See ``OpenObject``."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class HeldFolder:
    """A folder that exists, under its name or not, as long as this object."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.identity = _identity(os.fstat(descriptor))
        """Text that no other folder has while this object exists."""

    def __del__(self) -> None:
        os.close(self._descriptor)


class LocalFiles:
    """A readable folder of a local file system."""

    def __init__(
        self, root: str | os.PathLike[str], *, abilities: Abilities, follow_links: bool = False, beside: bool = False
    ) -> None:
        self.root = Path(root)
        self.uri = str(self.root)
        self.abilities = abilities
        self.beside = beside
        self._follow_links = follow_links
        self._prefix = f"{self.root}{os.sep}"
        self._inside: dict[str, tuple[int, int]] = {}

    def _at(self, key: str) -> str:
        """Return a key's path."""
        return self._prefix + key if key else str(self.root)

    @property
    def successor_root(self) -> str:
        """Path of the target's replacement: beside its real folder, even if a link names it."""
        root = os.path.realpath(self.root) if os.path.islink(self.root) else str(self.root)
        folder, name = os.path.split(root)
        return os.path.join(folder, f".{name}.zapz-new")

    def has_successor(self) -> bool:
        """Return whether that path exists: a replacement is in progress or was interrupted."""
        return not self.beside and os.path.lexists(self.successor_root)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``ReadableStore``."""
        try:
            return read_file(self._at(key), offset, length)
        except OSError as error:
            raise failure(error, "cannot read", self._at(key)) from error

    def opened(self, key: str) -> LocalObject | None:
        """Open a file; None only if it certainly does not exist.

        Raises:
            UnsupportedError: It is a link, or in a linked folder that leads out of the root.
            MetadataError: It is not a file.
            StoreError: It cannot be opened.
        """
        path = self._at(key)
        folder = key.rpartition("/")[0]
        if not self._follow_links and not self._is_same_folder(folder):
            self._require_inside(folder)
        try:
            descriptor = os.open(path, READ if self._follow_links else _OPEN)
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                raise MetadataError("not a folder", where=self._at(folder)) from error
            if error.errno in ABSENT:
                return None
            if error.errno == errno.ELOOP and not self._follow_links:
                raise self._linked_error(path) from error
            raise failure(error, "cannot read", path) from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
            raise MetadataError("not a file", where=path)
        return LocalObject(descriptor, path, found)

    def _is_same_folder(self, folder: str) -> bool:
        """Return whether a folder is still the one that was seen inside the root."""
        known = self._inside.get(folder)
        if known is None:
            return False
        try:
            found = os.stat(self._at(folder))
        except OSError:
            return False
        return known == (found.st_dev, found.st_ino)

    def _require_inside(self, folder: str) -> None:
        """Check that no link above a file leads out of the root; remember the folder."""
        root, leads = os.path.realpath(self.root), os.path.realpath(self._at(folder))
        if f"{leads}{os.sep}".startswith(f"{root.rstrip(os.sep)}{os.sep}"):
            if len(self._inside) >= _FOLDERS:
                self._inside.clear()
            with contextlib.suppress(OSError):
                found = os.stat(leads, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):  # a folder that is made later could be a link
                    self._inside[folder] = found.st_dev, found.st_ino
            return
        raise self._linked_error(self._at(folder))

    @staticmethod
    def _linked_error(path: str) -> UnsupportedError:
        return UnsupportedError(
            "a link in the dataset is not followed",
            where=path,
            hint="{follow_links} allows links.",
            remedies={"follow_links": True},
        )

    def stamp(self, key: str) -> str | None:
        """Return a text that changes when a file does; None if it does not exist."""
        try:
            return _stamp(os.stat(self._at(key)))
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot stat", self._at(key)) from error

    def watcher(self, key: str, stamp: str | None) -> Callable[[], bool]:
        """Return a function that tells whether a file still has a stamp."""
        if stamp is None:
            return lambda: self.stamp(key) is None
        path = self._at(key)
        inode, modified, size, changed = (int(part, 16) for part in stamp.split("-"))

        def same() -> bool:
            try:
                found = os.stat(path)
            except OSError:
                return False
            return (found.st_mtime_ns, found.st_ino, found.st_size, found.st_ctime_ns) == (
                modified,
                inode,
                size,
                changed,
            )

        return same

    def folder_identity(self) -> str | None:
        """Return a text that identifies the root folder; None if it does not exist."""
        try:
            found = os.stat(self.root)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot stat", str(self.root)) from error
        return _identity(found) if stat.S_ISDIR(found.st_mode) else None

    def held(self) -> HeldFolder | None:
        """Return the root folder, held so that no other gets its identity; None if absent."""
        try:
            descriptor = os.open(self.root, _HOLD)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot open", str(self.root)) from error
        return HeldFolder(descriptor)

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``ReadableStore``."""
        found: dict[str, bytes] = {}
        for key in keys:
            with contextlib.suppress(NotFoundError):
                found[key] = self.read(key)
        return found

    def stray(self, key: str) -> str | None:
        """See ``ReadableStore``."""
        path = self._at(key)
        if self._follow_links or not self.linked(key):
            return None
        leads = os.path.realpath(path)
        return None if leads.startswith(os.path.realpath(self.root) + os.sep) else leads

    def size(self, key: str) -> int | None:
        """See ``ReadableStore``."""
        try:
            found = os.stat(self._at(key))
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot stat", self._at(key)) from error
        return None if stat.S_ISDIR(found.st_mode) else found.st_size

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``ReadableStore``. Any link counts as existing: it is replaced, not followed."""
        absent: set[str] = set()
        present: set[str] = set()
        for key in keys:
            folder = key.rpartition("/")[0]
            if folder not in present:
                if folder in absent:
                    continue
                if self._lstat(folder) is None:
                    absent.add(folder)
                    continue
                present.add(folder)
            found = self._lstat(key)
            if found is None:
                continue
            if stat.S_ISDIR(found.st_mode):
                raise MetadataError(
                    "a folder is at the path of a chunk", where=self._at(key), hint="Remove the folder."
                )
            yield key

    def _lstat(self, key: str) -> os.stat_result | None:
        """Return the status of a key, without following links; None if it certainly is absent."""
        try:
            return os.lstat(self._at(key))
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot stat", self._at(key)) from error

    def linked(self, key: str) -> bool:
        """See ``ReadableStore``."""
        found = self._lstat(key)
        return found is not None and stat.S_ISLNK(found.st_mode)

    def children(self, key: str) -> Children:
        """See ``ReadableStore``."""
        path = self._at(key)
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    (folders if entry.is_dir() else files).append(entry.name)
        except OSError as error:
            raise failure(error, "cannot list", path) from error
        return Children(folders=tuple(sorted(folders)), files=tuple(sorted(files)))

    def folder_exists(self, key: str) -> bool:
        """See ``ReadableStore``."""
        found = self._lstat(key)
        return found is not None and not stat.S_ISREG(found.st_mode)
