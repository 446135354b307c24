"""Stores on object services: S3, Azure, Google, memory, and all others that fsspec supports.

Capabilities are probed at run time, once per process and bucket: whether creation can depend on
absence, and replacement on a tag. Requests are repeated while a service is busy. Where an answer
may have been lost, the object is read back and compared with the bytes of the request, so that the
outcome is known, not guessed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from zapz.errors import AbilityError, NotFoundError, StoreError
from zapz.storage.layout import OURS
from zapz.storage.objects import capabilities
from zapz.storage.objects.backends import Backend, content_tag
from zapz.storage.objects.errors import meaning
from zapz.storage.objects.files import ObjectFiles
from zapz.storage.objects.permissions import undeletable
from zapz.storage.store import Abilities, Parts, Tag, joined


class ObjectStore(ObjectFiles):
    """A readable and writable folder of an object service."""

    def __init__(
        self, backend: Backend, root: str, uri: str, *, beside: bool = False, single_writer: bool = False
    ) -> None:
        able = Abilities(
            writable=backend.exclusive or single_writer,
            exclusive=backend.exclusive,
            conditional=backend.conditional,
            durable=False,
            listable=backend.listable,
            requests=True,
        )
        super().__init__(backend, root, uri, abilities=able, beside=beside)
        self._single_writer = single_writer
        self._deletable = True
        self.uncertain = False
        """Whether a write request ended with an unknown outcome: it may still arrive."""

    @property
    def largest(self) -> int | None:
        """Maximum size in bytes of an object that one request can write; None without a limit."""
        return self._backend.largest

    def require_parent(self) -> None:
        """See ``Store``. Object stores have no folders."""

    # -- writing ----------------------------------------------------------------------------------

    def create(self, key: str, parts: Parts) -> int | None:
        """See ``Store``."""
        data = joined(parts)
        return None if self.replace(key, data, None) is None else len(data)

    def replace(self, key: str, data: bytes, tag: Tag | None, *, mine: bool = True) -> Tag | None:
        """Write an object in one request, if it is unchanged.

        Args:
            key: Its key.
            data: Its new bytes.
            tag: Its required tag; None if it must be absent.
            mine: Whether an object that already contains ``data`` counts as written: the answer to
                an earlier request may have been lost.

        Returns:
            The new tag; None if the condition does not hold, and nothing was written.

        Raises:
            AbilityError: The storage cannot keep two writers apart.
            StoreError: Storage failed, or the object is larger than one request may write.
        """
        self._require_writable(key, data)
        path = self._path(key)
        for pause in (*self.pauses, None):
            try:
                return self._put(path, data, tag) or content_tag(data)
            except Exception as error:  # every backend has errors of its own
                kind = meaning(error)
                if not (kind == "refused" or (kind == "absent" and tag is not None)):
                    if kind != "again":
                        raise self._failure(error, "cannot write", key) from error
                    if pause is None:
                        self.uncertain = True
                        raise self._failure(error, "cannot write", key) from error
            except BaseException:  # a signal, while the request is in flight
                self.uncertain = True
                raise
            if kind != "again" or pause is None:
                return self._if_mine(key, data) if mine else None
            time.sleep(pause)
        raise AssertionError("the last attempt ends the loop")

    def _put(self, path: str, data: bytes, tag: Tag | None) -> Tag | None:
        if tag is None and self.abilities.exclusive:
            return self._backend.put_new(path, data)
        if tag is not None and self.abilities.conditional:
            return self._backend.put_over(path, data, tag)
        if self._tag_now(path) != tag:
            raise FileExistsError(path)
        return self._backend.put(path, data)

    def _tag_now(self, path: str) -> Tag | None:
        """Return an object's tag, on a service without conditions; None if it is absent."""
        try:
            data, tag = self._backend.get(path, None, None)
        except Exception as error:
            if meaning(error) == "absent":
                return None
            raise
        return tag or content_tag(data)

    def _if_mine(self, key: str, data: bytes) -> Tag | None:
        try:
            here, tag = self.read_tagged(key)
        except NotFoundError:
            return None
        return tag if here == data else None

    def replace_many(self, items: Sequence[tuple[str, bytes, Tag | None]]) -> list[Tag | None]:
        """Call ``replace`` for each item, several at once and in any order; return the new tags."""
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
        """See ``Store``. Object stores have no folders."""

    def require_writable(self) -> None:
        """Refuse storage that cannot keep two writers apart, unless ``single_writer`` is set.

        Raises:
            AbilityError: It cannot.
        """
        if not self.abilities.writable:
            raise AbilityError(
                "this storage cannot create an object only if it is absent, so two writers could overwrite each other's data",
                where=self.uri,
                hint="Append to a local copy, or to s3://, gs:// or az://. Use {single_writer} only if no other process writes.",
                remedies={"single_writer": True},
            )

    def require_deletable(self) -> None:
        """Refuse storage on which the lock object could not be removed.

        Raises:
            AbilityError: Objects may not be deleted.
        """
        if not self._deletable:
            raise undeletable(self.uri, OURS)

    def _require_writable(self, key: str, data: bytes) -> None:
        self.require_writable()
        if self.largest is not None and len(data) > self.largest:
            raise StoreError(
                "object is too large for one write request",
                where=f"{self.uri}/{key}",
                expected=f"at most {self.largest} bytes",
                found=f"{len(data)}",
                hint="Create the target with smaller chunks (or shards).",
            )

    def probe(self) -> None:
        """Probe whether the service honours conditions, once per process and bucket."""
        backend = self._backend
        if backend.probed or not backend.exclusive:
            return
        if backend.scope not in _PROBED:
            if backend.listable:
                with contextlib.suppress(NotFoundError):
                    self.children("")  # a target must be listable: refuse before anything is written
            path = self._path(f"{OURS}/{capabilities.name(time.time())}")
            _PROBED[backend.scope] = self._call(
                "cannot probe this storage", OURS, lambda: capabilities.probed(backend, path)
            )
        found = _PROBED[backend.scope]
        backend.quoted = found.quoted
        self._deletable = found.deletable
        self.abilities = Abilities(
            writable=found.exclusive or self._single_writer,
            exclusive=found.exclusive,
            conditional=found.conditional,
            durable=False,
            requests=True,
            listable=self.abilities.listable,
        )


_PROBED: dict[str, capabilities.Probed] = {}
"""Results of probes, by ``Backend.scope``."""
