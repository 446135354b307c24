"""Stores on object services: S3, Azure, Google, memory, and every other that fsspec knows, to read from or to write to.

What can be relied on is found out at run time, once per process and bucket: whether creation can depend on absence, and replacement on
a tag. Requests are repeated while a service is busy; where an answer may have been lost, the object is read back and compared with what
was to be written, so that the outcome is known and not guessed.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from zapz.errors import AbilityError, ConflictError, NotFoundError, StoreError, ZapzError
from zapz.format.metadata import join
from zapz.storage.layout import OURS, is_ours
from zapz.storage.objects import capabilities
from zapz.storage.objects.backends import Backend, above
from zapz.storage.objects.errors import meaning
from zapz.storage.objects.permissions import failure, undeletable
from zapz.storage.store import Abilities, Children, Parts, joined
from zapz.storage.uris import beside_of

_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between tries while a service is busy."""
_AT_ONCE = 16
"""Documents that are written at the same time."""
_NO_TAG = "absent"

Tag = str
"""What a service calls one state of an object."""


class ObjectStore:
    """A folder of an object service."""

    def __init__(
        self, backend: Backend, root: str, uri: str, *, beside: bool = False, single_writer: bool = False
    ) -> None:
        self._backend = backend
        self._root = root.rstrip("/")
        self._ours = beside_of(self._root) if beside else join(self._root, OURS)
        self._single_writer = single_writer
        self._deletable = True
        self._noted: dict[str, Tag] | None = None
        self._above: dict[tuple[str, ...], dict[tuple[str, str], bytes]] = {}
        self._guard = threading.Lock()
        self.uncertain = False
        """Whether a request to write was given up with its outcome unknown: it may still arrive."""
        self.pauses: tuple[float, ...] = _PAUSES
        self.at_once = _AT_ONCE
        self.uri = uri
        self.beside = beside
        self.abilities = Abilities(
            writable=backend.exclusive or single_writer,
            exclusive=backend.exclusive,
            conditional=backend.conditional,
            durable=False,
            listable=backend.listable,
        )

    @property
    def largest(self) -> int | None:
        """Bytes of the largest object that one request can write."""
        return self._backend.largest

    def _path(self, key: str) -> str:
        if is_ours(key):
            return f"{self._ours}{key[len(OURS) :]}"
        return join(self._root, key) if key else self._root

    def elsewhere(self, key: str) -> str | None:
        """Return where ``key`` of our own folder would be with the other setting of ``journal``, if something lies there."""
        other = join(self._root, OURS) if self.beside else f"{self._root}{OURS}"
        path = f"{other}{key[len(OURS) :]}"
        return path if self._look(path, key) is not None else None

    # -- reading ---------------------------------------------------------------------------------------------------------

    def noting(self) -> ObjectStore:
        """Return this store as one that remembers the tag of everything that it reads, for replacing it later."""
        other = copy.copy(self)
        other._noted = {}  # noqa: SLF001 - it is one of us
        return other

    def note_many(self, keys: Iterable[str]) -> None:
        """Note the tags of objects without reading them, several at once."""
        if self.at_once == 1:
            for key in keys:
                self.size(key)
            return
        with ThreadPoolExecutor(self.at_once, thread_name_prefix="zapz") as threads:
            for _ in threads.map(self.size, keys):
                pass

    def noted(self, key: str) -> tuple[bool, Tag | None]:
        """Return whether ``key`` was read by a store that notes, and the tag that it had then; None if it was absent."""
        with self._guard:
            tag = (self._noted or {}).get(key)
        return tag is not None, None if tag == _NO_TAG else tag

    def _note(self, key: str, tag: Tag) -> None:
        if self._noted is None:
            return
        with self._guard:
            if self._noted.setdefault(key, tag) != tag:
                raise ConflictError(
                    "another tool changed a chunk while it was read", where=f"{self.uri}/{key}", hint="Run it again."
                )

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``Store``."""
        if length == 0:
            return b""
        end = None if length is None else offset + length
        try:
            data, tag = self._get(key, offset or None, end)
            if self._noted is not None:
                whole = not offset and end is None
                self._note(key, tag or _digest(data if whole else self._get(key, None, None)[0]))
        except NotFoundError:
            self._note(key, _NO_TAG)
            raise
        return data

    def read_tagged(self, key: str) -> tuple[bytes, Tag]:
        """Return an object's bytes and the tag that a replacement can be made to depend on."""
        data, tag = self._get(key, None, None)
        return data, tag or _digest(data)

    def _get(self, key: str, start: int | None, end: int | None) -> tuple[bytes, Tag | None]:
        path = self._path(key)
        found: tuple[bytes, Tag | None] = self._call("cannot read", key, lambda: self._backend.get(path, start, end))
        return found

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``Store``. All requests are under way at once where the backend can."""
        return {key: data for key, (data, _) in self._get_many(keys).items()}

    def read_many_tagged(self, keys: Iterable[str]) -> dict[str, tuple[bytes, Tag]]:
        """Return bytes and tags of those of ``keys`` that exist."""
        return {key: (data, tag or _digest(data)) for key, (data, tag) in self._get_many(keys).items()}

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
        """Return the objects of these names that lie in folders above this one, by folder and name, the nearest first.

        They are asked for once. What cannot be read does not count: it is common to have no rights there.
        """
        if names not in self._above:
            self._above[names] = above(self._backend, self._root, names)
        return self._above[names]

    def stray(self, key: str) -> str | None:  # noqa: ARG002 - there are no links
        """See ``Store``."""
        return None

    def linked(self, key: str) -> bool:  # noqa: ARG002 - there are no links
        """See ``Store``."""
        return False

    def size(self, key: str) -> int | None:
        """See ``Store``."""
        found = self._look(self._path(key), key)
        if found is None:
            self._note(key, _NO_TAG)
            return None
        size, tag = found
        if tag is not None:
            self._note(key, tag)
        return size

    def _look(self, path: str, key: str) -> tuple[int, Tag | None] | None:
        try:
            found: tuple[int, Tag | None] = self._call("cannot look at", key, lambda: self._backend.look(path))
        except NotFoundError:
            return None
        return found

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``Store``."""
        return (key for key in keys if self.size(key) is not None)

    def children(self, key: str) -> Children:
        """See ``Store``."""
        folders, files = self._call("cannot list", key, lambda: self._backend.list(self._path(key)))
        return Children(folders=tuple(sorted(folders)), files=tuple(sorted(files)))

    def folder_exists(self, key: str) -> bool:  # noqa: ARG002 - there are no folders
        """See ``Store``."""
        return False

    def require_parent(self) -> None:
        """See ``Store``. Object stores have no folders."""

    # -- writing ---------------------------------------------------------------------------------------------------------

    def create(self, key: str, parts: Parts) -> int | None:
        """See ``Store``."""
        data = joined(parts)
        return None if self.replace(key, data, None) is None else len(data)

    def replace(self, key: str, data: bytes, tag: Tag | None, *, mine: bool = True) -> Tag | None:
        """Write an object in one request if it is still what it was.

        Args:
            key: Which.
            data: Its new bytes.
            tag: The tag that it must have; None if it must be absent.
            mine: Whether an object that holds ``data`` already counts as written: the answer to an earlier request may have been lost.

        Returns:
            The new tag; None, nothing having been written, if the condition does not hold.
        """
        self._require_writable(key, data)
        path = self._path(key)
        for pause in (*self.pauses, None):
            try:
                return self._put(path, data, tag) or _digest(data)
            except Exception as error:  # every backend has errors of its own
                kind = meaning(error)
                if not (kind == "refused" or (kind == "absent" and tag is not None)):
                    if kind != "again":
                        raise self._failure(error, "cannot write", key) from error
                    if pause is None:
                        self.uncertain = True
                        raise self._failure(error, "cannot write", key) from error
            except BaseException:  # a signal, while the request is on its way
                self.uncertain = True
                raise
            if kind != "again" or pause is None:
                return self._if_mine(key, data) if mine else None
            time.sleep(pause)
        raise AssertionError("the last try ends the loop")

    def _put(self, path: str, data: bytes, tag: Tag | None) -> Tag | None:
        if tag is None and self.abilities.exclusive:
            return self._backend.put_new(path, data)
        if tag is not None and self.abilities.conditional:
            return self._backend.put_over(path, data, tag)
        if self._tag_now(path) != tag:
            raise FileExistsError(path)
        return self._backend.put(path, data)

    def _tag_now(self, path: str) -> Tag | None:
        """Return an object's tag, for services where a look and a write are all that there is; None if it is absent."""
        try:
            data, tag = self._backend.get(path, None, None)
        except Exception as error:
            if meaning(error) == "absent":
                return None
            raise
        return tag or _digest(data)

    def _if_mine(self, key: str, data: bytes) -> Tag | None:
        try:
            here, tag = self.read_tagged(key)
        except NotFoundError:
            return None
        return tag if here == data else None

    def replace_many(self, items: Sequence[tuple[str, bytes, Tag | None]]) -> list[Tag | None]:
        """Do what ``replace`` does for several objects, several at once; their order is not kept."""
        if self.at_once == 1 or len(items) <= 1:
            return [self.replace(*item) for item in items]
        with ThreadPoolExecutor(min(self.at_once, len(items)), thread_name_prefix="zapz") as threads:
            return list(threads.map(lambda item: self.replace(*item), items))

    def tag(self, key: str) -> Tag:
        """Return an object's tag.

        Raises:
            NotFoundError: It is absent.
        """
        found = self._look(self._path(key), key)
        if found is None:
            raise NotFoundError("no such object", where=f"{self.uri}/{key}")
        return found[1] or self.read_tagged(key)[1]

    def write(self, key: str, parts: Parts) -> None:
        """See ``Store``."""
        data = joined(parts)
        self._require_writable(key, data)
        self._call("cannot write", key, lambda: self._backend.put(self._path(key), data))

    def remove(self, key: str) -> None:
        """See ``Store``."""
        with contextlib.suppress(NotFoundError):
            self._call("cannot remove", key, lambda: self._backend.delete(self._path(key)))

    def remove_folder(self, key: str) -> None:
        """See ``Store``. There are none."""

    def require_writable(self) -> None:
        """Refuse storage on which two writers cannot be kept apart, unless somebody has said that there is only one.

        Raises:
            AbilityError: It is such storage.
        """
        if not self.abilities.writable:
            raise AbilityError(
                "this storage cannot create an object only if it is absent, so two writers could destroy each other's work",
                where=self.uri,
                hint="Append to a local copy, or to s3://, gs:// or az://; or set single_writer = true if certainly nobody else writes.",
            )

    def require_deletable(self) -> None:
        """Refuse storage whose lock is an object that could not be removed again.

        Raises:
            AbilityError: Nothing may be deleted there.
        """
        if not self._deletable:
            raise undeletable(self.uri, OURS)

    def _require_writable(self, key: str, data: bytes) -> None:
        self.require_writable()
        if self.largest is not None and len(data) > self.largest:
            raise StoreError(
                "an object is larger than one request may write",
                where=f"{self.uri}/{key}",
                expected=f"at most {self.largest} bytes",
                found=f"{len(data)}",
                hint="Make the target with smaller chunks (or shards).",
            )

    def probe(self) -> None:
        """Find out whether the service honours conditions, once per process and bucket."""
        backend = self._backend
        if backend.probed or not backend.exclusive:
            return
        if backend.scope not in _PROBED:
            if backend.listable:
                with contextlib.suppress(NotFoundError):
                    self.children("")  # a target must be listed: that is refused before anything is written
            path = self._path(f"{OURS}/{capabilities.name(time.time())}")
            _PROBED[backend.scope] = self._call(
                "cannot find out what this storage can do", OURS, lambda: capabilities.probed(backend, path)
            )
        found = _PROBED[backend.scope]
        backend.quoted = found.quoted
        self._deletable = found.deletable
        self.abilities = Abilities(
            writable=found.exclusive or self._single_writer,
            exclusive=found.exclusive,
            conditional=found.conditional,
            durable=False,
            listable=self.abilities.listable,
        )

    # -- errors ------------------------------------------------------------------------------------------------------------

    def _call(self, what: str, key: str, action: Callable[[], Any]) -> Any:
        """Do something that may be done twice, again while the service is busy."""
        for pause in (*self.pauses, None):
            try:
                return action()
            except Exception as error:  # every backend has errors of its own
                if isinstance(error, ZapzError):
                    raise
                if pause is None or meaning(error) != "again":
                    raise self._failure(error, what, key) from error
            time.sleep(pause)
        raise AssertionError("the last try ends the loop")

    def _failure(self, error: BaseException, what: str, key: str) -> ZapzError:
        if isinstance(error, ZapzError):
            return error
        return failure(error, what, self.uri, key)


_PROBED: dict[str, capabilities.Probed] = {}
"""What services honour, by bucket."""


def _digest(data: bytes) -> Tag:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
