"""Read a folder of a local file system, with ``os`` only.

fsspec's local file system cannot detect whether a folder is a link, and each of its calls creates
an object for every file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from zapz.errors import MetadataError, NotFoundError
from zapz.storage.local.opened import OpenedFiles
from zapz.storage.local.posix import ABSENT, failure, read_file
from zapz.storage.store import Abilities, Children


class LocalFiles(OpenedFiles):
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
