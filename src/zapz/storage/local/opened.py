"""Open files of a folder for a server: no links, and size, stamp and bytes of one state."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from zapz.errors import MetadataError, UnsupportedError
from zapz.storage.local.posix import ABSENT, READ, failure, read_rest

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


class OpenedFiles:
    """The part of a readable folder that opens files for a server."""

    root: Path
    """The folder."""
    _follow_links: bool
    _inside: dict[str, tuple[int, int]]

    def _at(self, key: str) -> str:
        """Return a key's path."""
        raise NotImplementedError

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

    def whole_reader(self, key: str, most: int) -> Callable[[], tuple[bytes, str] | None]:
        """Return a function that reads a file whole, as ``opened`` does but at the least cost.

        It returns the bytes and the stamp; None if the file is not there, larger than ``most``
        bytes, or was not opened before: then ``opened`` says what is wrong, if anything is.
        """
        path, folder = self._at(key), self._at(key.rpartition("/")[0])
        known, follows = self._inside.get(key.rpartition("/")[0]), self._follow_links
        flags = READ if follows else _OPEN

        def read() -> tuple[bytes, str] | None:
            try:
                if not follows:
                    above = os.stat(folder)
                    if known is None or above.st_ino != known[1] or above.st_dev != known[0]:
                        return None
                descriptor = os.open(path, flags)
                try:
                    found = os.fstat(descriptor)
                    size = found.st_size
                    if size > most or not stat.S_ISREG(found.st_mode):
                        return None
                    data = os.read(descriptor, size)
                finally:
                    os.close(descriptor)
            except OSError:
                return None
            return (data, _stamp(found)) if len(data) == size else None

        return read

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
            return (
                found.st_ctime_ns == changed
                and found.st_mtime_ns == modified
                and found.st_ino == inode
                and found.st_size == size
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
