"""Read a folder of an object service; every request is repeated while the service is busy."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from zapz.errors import ConflictError, NotFoundError, ZapzError
from zapz.format.metadata import join
from zapz.storage.layout import OURS, is_ours
from zapz.storage.objects.backends import Backend, above, content_tag
from zapz.storage.objects.errors import meaning
from zapz.storage.objects.permissions import failure
from zapz.storage.store import Abilities, Children, Tag
from zapz.storage.uris import beside_of

_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Pauses between attempts while a service is busy, in seconds."""
_AT_ONCE = 16
"""Maximum number of documents that are read or written at the same time."""
_NO_TAG = "absent"


class ObjectFiles:
    """A readable folder of an object service."""

    def __init__(self, backend: Backend, root: str, uri: str, *, abilities: Abilities, beside: bool = False) -> None:
        self._backend = backend
        self._root = root.rstrip("/")
        self._ours = beside_of(self._root) if beside else join(self._root, OURS)
        self._noted: dict[str, Tag] | None = None
        self._above: dict[tuple[str, ...], dict[tuple[str, str], bytes]] = {}
        self._guard = threading.Lock()
        self.pauses: tuple[float, ...] = _PAUSES
        self.at_once = _AT_ONCE
        self.uri = uri
        self.beside = beside
        self.abilities = abilities

    def _path(self, key: str) -> str:
        if is_ours(key):
            return f"{self._ours}{key[len(OURS) :]}"
        return join(self._root, key) if key else self._root

    def elsewhere(self, key: str) -> str | None:
        """Return the path of zapz's ``key`` for the other setting of ``journal``, if it exists."""
        other = join(self._root, OURS) if self.beside else f"{self._root}{OURS}"
        path = f"{other}{key[len(OURS) :]}"
        return path if self._look(path, key) is not None else None

    def noting(self) -> Self:
        """Return a copy that records the tag of each object that it reads, to replace it later."""
        other = copy.copy(self)
        other._noted = {}  # noqa: SLF001 - the same class
        return other

    def note_many(self, keys: Iterable[str]) -> None:
        """Record the tags of objects without reading them, several at once."""
        if self.at_once == 1:
            for key in keys:
                self.size(key)
            return
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="zapz") as threads:
            for _ in threads.map(self.size, keys):
                pass

    def noted(self, key: str) -> tuple[bool, Tag | None]:
        """Return whether a tag of ``key`` was recorded, and the tag; None if it was absent then."""
        with self._guard:
            tag = (self._noted or {}).get(key)
        return tag is not None, None if tag == _NO_TAG else tag

    def _note(self, key: str, tag: Tag) -> None:
        if self._noted is None:
            return
        with self._guard:
            if self._noted.setdefault(key, tag) != tag:
                raise ConflictError(
                    "another program changed a chunk while it was read",
                    where=f"{self.uri}/{key}",
                    hint="Run the append again.",
                )

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``ReadableStore``."""
        if length == 0:
            return b""
        end = None if length is None else offset + length
        try:
            data, tag = self._get(key, offset or None, end)
            if self._noted is not None:
                whole = not offset and end is None
                self._note(key, tag or content_tag(data if whole else self._get(key, None, None)[0]))
        except NotFoundError:
            self._note(key, _NO_TAG)
            raise
        return data

    def read_tagged(self, key: str) -> tuple[bytes, Tag]:
        """Return an object's bytes, and the tag for a conditional replacement."""
        data, tag = self._get(key, None, None)
        return data, tag or content_tag(data)

    def read_part(self, key: str, offset: int, length: int) -> tuple[bytes, Tag | None]:
        """Return bytes of an object, and its tag; None if the service has no tags."""
        return self._get(key, offset, offset + length)

    def _get(self, key: str, start: int | None, end: int | None) -> tuple[bytes, Tag | None]:
        path = self._path(key)
        found: tuple[bytes, Tag | None] = self._call("cannot read", key, lambda: self._backend.get(path, start, end))
        return found

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``ReadableStore``. All requests are concurrent, if the backend supports that."""
        return {key: data for key, (data, _) in self._get_many(keys).items()}

    def read_many_tagged(self, keys: Iterable[str]) -> dict[str, tuple[bytes, Tag]]:
        """Return bytes and tags of those of ``keys`` that exist."""
        return {key: (data, tag or content_tag(data)) for key, (data, tag) in self._get_many(keys).items()}

    def _get_many(self, keys: Iterable[str]) -> dict[str, tuple[bytes, Tag | None]]:
        wanted = list(keys)
        found: dict[str, tuple[bytes, Tag | None]] = {}
        if not wanted:
            return found
        paths = [self._path(key) for key in wanted]
        answers = self._call("cannot read", wanted[0], lambda: self._backend.get_many(paths))
        for key, answer in zip(wanted, answers, strict=True):
            if not isinstance(answer, BaseException):
                found[key] = answer
                continue
            kind = "failed" if isinstance(answer, ZapzError) else meaning(answer)
            if kind == "again":
                with contextlib.suppress(NotFoundError):
                    found[key] = self._get(key, None, None)
            elif kind != "absent":
                raise self._failure(answer, "cannot read", key)
        return found

    def above(self, names: tuple[str, ...]) -> dict[tuple[str, str], bytes]:
        """Return the objects of these names in the folders above this one, the nearest first.

        Keys are pairs of folder and name. Objects are requested once. Those that cannot be read are
        ignored: callers often have no rights there.
        """
        if names not in self._above:
            self._above[names] = above(self._backend, self._root, names)
        return self._above[names]

    def stray(self, key: str) -> str | None:  # noqa: ARG002 - there are no links
        """See ``ReadableStore``."""
        return None

    def linked(self, key: str) -> bool:  # noqa: ARG002 - there are no links
        """See ``ReadableStore``."""
        return False

    def size(self, key: str) -> int | None:
        """See ``ReadableStore``."""
        found = self._look(self._path(key), key)
        if found is None:
            self._note(key, _NO_TAG)
            return None
        size, tag = found
        if tag is not None:
            self._note(key, tag)
        return size

    def look(self, key: str) -> tuple[int, Tag | None] | None:
        """Return length and tag of an object; None if it does not exist."""
        return self._look(self._path(key), key)

    def _look(self, path: str, key: str) -> tuple[int, Tag | None] | None:
        try:
            found: tuple[int, Tag | None] = self._call("cannot stat", key, lambda: self._backend.look(path))
        except NotFoundError:
            return None
        return found

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``ReadableStore``."""
        return (key for key in keys if self.size(key) is not None)

    def children(self, key: str) -> Children:
        """See ``ReadableStore``."""
        folders, files = self._call("cannot list", key, lambda: self._backend.list(self._path(key)))
        return Children(folders=tuple(sorted(folders)), files=tuple(sorted(files)))

    def folder_exists(self, key: str) -> bool:  # noqa: ARG002 - there are no folders
        """See ``ReadableStore``."""
        return False

    # -- errors -----------------------------------------------------------------------------------

    def _call(self, what: str, key: str, action: Callable[[], Any]) -> Any:
        """Run an idempotent request; repeat it while the service is busy."""
        for pause in (*self.pauses, None):
            try:
                return action()
            except Exception as error:  # every backend has errors of its own
                if isinstance(error, ZapzError):
                    raise
                if pause is None or meaning(error) != "again":
                    raise self._failure(error, what, key) from error
            time.sleep(pause)
        raise AssertionError("the last attempt ends the loop")

    def _failure(self, error: BaseException, what: str, key: str) -> ZapzError:
        if isinstance(error, ZapzError):
            return error
        return failure(error, what, self.uri, key)
