"""An object service in memory, with a log, and faults at any request."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zapz.storage.objects.store import ObjectStore
from zapz.testing.faults import Died, Fault, nothing

MUTATIONS = ("put", "put_new", "put_over", "delete")
"""Types of requests that change something."""
_BROKEN = 500
_REFUSED = 400
_DENIED = 403
_PRECONDITION = 412


class AnswerError(Exception):
    """An error that a service returns."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        """HTTP status code."""


@dataclass(frozen=True)
class Request:
    """One request to a service."""

    kind: str
    """"get", "look", "list", "put", "put_new" (if absent), "put_over" (by tag) or "delete"."""
    path: str
    """The object, or the folder."""

    @property
    def changes(self) -> bool:
        """Whether it changes something."""
        return self.kind in MUTATIONS


class ObjectService:
    """Objects in memory, with the conditions of S3. Safe to use from several threads."""

    exclusive = True
    conditional = True
    listable = True
    probed = True
    quoted = False
    largest: int | None = None
    scope = "testing"

    def __init__(self, *, unique_tags: bool = True) -> None:
        """Create a service without objects.

        Args:
            unique_tags: Whether every write gets a new tag; otherwise equal bytes have equal tags,
                as on most services.
        """
        self.objects: dict[str, bytes] = {}
        """All objects, by path."""
        self.log: list[Request] = []
        """Requests that were carried out."""
        self.before: Callable[[Request], None] = nothing
        """Called before a request is carried out; an exception that it raises is the answer."""
        self.after: Callable[[Request], None] = nothing
        """Called after a request; an exception that it raises replaces the answer."""
        self.denied: set[str] = set()
        """Types of requests that are denied. Without "list", absent objects are denied too, as by
        S3."""
        self._tags: dict[str, str] = {}
        self._unique = unique_tags
        self._count = 0
        self._guard = threading.RLock()

    # -- for tests --------------------------------------------------------------------------------

    def store(self, root: str, *, beside: bool = False) -> ObjectStore:
        """Return a folder of the service as a store, which can be a target.

        Each call returns the store of a new process. It sends one request at a time.

        Args:
            root: The folder, such as "bucket/cube".
            beside: Whether lock and journal are beside it.
        """
        store = ObjectStore(self, root, f"testing://{root}", beside=beside)
        store.pauses = (0.0,)
        store.at_once = 1
        return store

    def snapshot(self) -> dict[str, bytes]:
        """Return a copy of all objects, by path."""
        return dict(self.objects)

    def restore(self, objects: dict[str, bytes]) -> None:
        """Restore the objects of a ``snapshot``, with new tags."""
        self.objects = dict(objects)
        self._tags = {path: self._new_tag(data) for path, data in objects.items()}

    def overwrite(self, path: str, data: bytes) -> str:
        """Write an object as another program does, without log and faults; return its tag."""
        self.objects[path] = bytes(data)
        self._tags[path] = self._new_tag(data)
        return self._tags[path]

    def requests(self, action: Callable[[], Any]) -> int:
        """Run ``action``, and return the number of its requests."""
        counted = 0
        before = self.before

        def count(request: Request) -> None:
            nonlocal counted
            counted += 1
            before(request)

        self.before = count
        try:
            action()
        finally:
            self.before = before
        return counted

    @contextlib.contextmanager
    def failing(self, number: int, fault: Fault) -> Iterator[None]:
        """Let one request of the block fail.

        Args:
            number: Number of the request in the block, counted from 0.
            fault: The fault; after "died", the rest of the block has no effect.
        """
        made, died = -1, False
        before, after = self.before, self.after

        def ahead(request: Request) -> None:
            nonlocal made, died
            made += 1
            died = died or (made == number and fault == "died")
            if died:
                raise Died
            if made == number and fault == "refused":
                raise AnswerError(_REFUSED)
            before(request)

        def behind(request: Request) -> None:
            after(request)
            if made == number and fault == "lost":
                raise AnswerError(_BROKEN)

        self.before, self.after = ahead, behind
        try:
            yield
        finally:
            self.before, self.after = before, after

    # -- the ``Backend`` of a store ---------------------------------------------------------------

    def _new_tag(self, data: bytes) -> str:
        self._count += 1
        return f"t{self._count}" if self._unique else hashlib.md5(data, usedforsecurity=False).hexdigest()

    def _asked(self, kind: str, path: str, action: Callable[[], Any]) -> Any:
        request = Request(kind, path)
        self.before(request)
        hidden = "list" in self.denied and kind in {"get", "look"} and path not in self.objects
        if kind in self.denied or hidden:
            raise AnswerError(_DENIED)
        with self._guard:
            self.log.append(request)
            result = action()
        self.after(request)
        return result

    def _tag(self, path: str) -> str:
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self._tags[path]

    def _bytes(self, path: str) -> bytes:
        self._tag(path)
        return self.objects[path]

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """Return bytes of an object, and its tag."""
        found: tuple[bytes, str] = self._asked("get", path, lambda: (self._bytes(path)[start:end], self._tag(path)))
        return found

    def get_many(self, paths: Sequence[str]) -> list[Any]:
        """Return bytes and tag, or the error, per object."""
        answers: list[Any] = []
        for path in paths:
            try:
                answers.append(self.get(path, None, None))
            except Exception as error:  # noqa: BLE001 - handed on as a value
                answers.append(error)
        return answers

    def look(self, path: str) -> tuple[int, str | None]:
        """Return the length of an object in bytes, and its tag."""
        found: tuple[int, str] = self._asked("look", path, lambda: (len(self._bytes(path)), self._tag(path)))
        return found

    def put(self, path: str, data: bytes) -> str | None:
        """Write an object; return its tag."""
        tag: str = self._asked("put", path, lambda: self.overwrite(path, data))
        return tag

    def put_new(self, path: str, data: bytes) -> str | None:
        """Write an object if it is absent; return its tag.

        Raises:
            AnswerError: It exists.
        """

        def create() -> str:
            if path in self.objects:
                raise AnswerError(_PRECONDITION)
            return self.overwrite(path, data)

        tag: str = self._asked("put_new", path, create)
        return tag

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """Write an object if it still has this tag; return the new tag.

        Raises:
            FileNotFoundError: It is absent.
            AnswerError: It has another tag.
        """

        def replace() -> str:
            if self._tag(path) != tag:
                raise AnswerError(_PRECONDITION)
            return self.overwrite(path, data)

        new: str = self._asked("put_over", path, replace)
        return new

    def delete(self, path: str) -> None:
        """Remove an object."""

        def remove() -> None:
            self.objects.pop(path, None)
            self._tags.pop(path, None)

        self._asked("delete", path, remove)

    def list(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of folders and of objects directly in a folder.

        Raises:
            FileNotFoundError: There are none.
        """

        def names() -> tuple[list[str], list[str]]:
            rests = [key[len(path) + 1 :] for key in self.objects if key.startswith(f"{path}/")]
            if not rests:
                raise FileNotFoundError(path)
            return sorted({r.split("/")[0] for r in rests if "/" in r}), sorted(r for r in rests if "/" not in r)

        found: tuple[list[str], list[str]] = self._asked("list", path, names)
        return found
