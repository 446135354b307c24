"""Stores of zarr-python as object services: through their own methods, in zarr's event loop.

A store may hold connections and locks that belong to the loop in which they were first used, and
that is zarr's loop. So only that loop touches a store, whichever thread calls. Operations that must
not be interleaved there are one coroutine.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from zapz.format import documents as doors
from zapz.format.metadata import join
from zapz.storage.objects.backends import AT_ONCE, content_tag

BUCKET = "store"
"""First part of every path. It names the whole store, as a bucket does, so that paths beside a
folder of it are possible."""

Answers = Sequence[tuple[bytes, str | None] | BaseException]
"""Bytes and tag, or the error, per object."""
Listing = tuple[list[str], list[str]]
"""Names of folders and of objects."""


class Home:
    """The storage behind stores of this process; stores on the same memory share one.

    It is shared as long as any of them is in use.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        """Kept alive, because its address identifies it: no other object may get that address."""
        self.name = os.urandom(6).hex()
        """Random, so that no other store in any process has it; an address would be reused."""
        self.opening = asyncio.Lock()
        """Held while the store is opened."""
        self.turn = asyncio.Lock()
        """Held while an object is changed, and while the condition of the change is checked."""


_HOMES: weakref.WeakValueDictionary[str, Home] = weakref.WeakValueDictionary()
_HOMES_GUARD = threading.Lock()


def home_of(store: Any) -> tuple[Home, str]:
    """Return the storage behind a store, and the path in it at which the store begins."""
    from zarr.storage import MemoryStore  # imported where used: it costs half a second

    place, path = f"{id(store)}", ""
    if isinstance(store, MemoryStore):  # its text names its memory, which several stores may share
        scheme, _, rest = str(store).partition("://")
        memory, _, path = rest.partition("/")
        place = f"{scheme}://{memory}"
    with _HOMES_GUARD:
        home = _HOMES.get(place)
        if home is None:
            home = _HOMES[place] = Home(store)
    return home, path


class ZarrBackend:
    """Any store of zarr-python, as a ``Backend`` without conditional requests."""

    exclusive = False
    conditional = False
    probed = True
    quoted = False
    largest: int | None = None

    def __init__(self, store: Any, home: Home) -> None:
        self._store = store
        self._home = home
        self._opened = False
        self.listable = bool(store.supports_listing)
        self.scope = home.name

    def _run(self, action: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        """Run a coroutine function in zarr's loop, with the store open."""
        from zarr.core.sync import sync  # zarr has no public name for the loop of its stores

        async def opened() -> Any:
            if not self._opened:
                await self._open()
            return await action(*args)

        return sync(opened())

    async def _open(self) -> None:
        from zarr.storage import StorePath

        async with self._home.opening:
            await StorePath.open(self._store, "")  # opens a store that is not open, and does nothing else
            self._opened = True

    async def _get(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        from zarr.abc.store import OffsetByteRequest, RangeByteRequest
        from zarr.buffer import default_buffer_prototype

        span: Any = None
        if end is not None:
            span = RangeByteRequest(start or 0, end)
        elif start:
            span = OffsetByteRequest(start)
        found = await self._store.get(_key(path), prototype=default_buffer_prototype(), byte_range=span)
        if found is None:
            raise FileNotFoundError(path)
        data: bytes = found.to_bytes()
        return data

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """See ``Backend``."""
        return self._run(self._get, path, start, end), None

    def get_many(self, paths: Sequence[str]) -> Answers:
        """See ``Backend``."""
        answers = self._run(self._get_all, paths)
        return [answer if isinstance(answer, BaseException) else (answer, None) for answer in answers]

    async def _get_all(self, paths: Sequence[str]) -> Sequence[bytes | BaseException]:
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(path: str) -> bytes:
            async with limit:
                return await self._get(path)

        return await asyncio.gather(*map(one, paths), return_exceptions=True)

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        return int(self._run(self._store.getsize, _key(path))), None

    def put(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        self._run(self._put, path, data)
        return None

    async def _put(self, path: str, data: bytes) -> None:
        from zarr.buffer import cpu

        await self._store.set(_key(path), cpu.Buffer.from_bytes(data))

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        raise NotImplementedError

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """See ``Backend``."""
        self._run(self._store.delete, _key(path))

    def list(self, path: str) -> Listing:
        """See ``Backend``."""
        found: Listing = self._run(self._list, path)
        if found == ([], []):
            raise FileNotFoundError(path)
        return found

    async def _list(self, path: str) -> Listing:
        """List a folder. Objects are the names that can be read: zarr lists no types."""
        names = sorted({name.strip("/") async for name in self._store.list_dir(_key(path))} - {""})
        # Nothing is searched for below an array, and it may have millions of chunks.
        if any(doors.says_array(name) for name in names):
            return [], names
        unknown = [name for name in names if name not in doors.DOCUMENT_NAMES]
        answers = await self._get_all([join(path, name) for name in unknown])
        folders = []
        for name, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, FileNotFoundError):
                folders.append(name)
            elif isinstance(answer, BaseException):
                raise answer
        return folders, [name for name in names if name not in folders]


class ProcessBackend(ZarrBackend):
    """A store in this process's memory: both conditions are thread-safe. A ``Backend``."""

    exclusive = True
    conditional = True

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """See ``Backend``."""
        data: bytes = self._run(self._get, path)
        return data[start:end], content_tag(data)

    def get_many(self, paths: Sequence[str]) -> Answers:
        """See ``Backend``."""
        answers = self._run(self._get_all, paths)
        return [answer if isinstance(answer, BaseException) else (answer, content_tag(answer)) for answer in answers]

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        data, tag = self.get(path, None, None)
        return len(data), tag

    def put(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        self._run(self._put_if, path, data, lambda _: True)
        return content_tag(data)

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        self._run(self._put_if, path, data, lambda here: here is None)
        return content_tag(data)

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        self._run(self._put_if, path, data, lambda here: here is not None and content_tag(here) == tag)
        return content_tag(data)

    async def _put_if(self, path: str, data: bytes, holds: Callable[[bytes | None], bool]) -> None:
        async with self._home.turn:
            try:
                here = await self._get(path)
            except FileNotFoundError:
                here = None
            if not holds(here):
                raise FileExistsError(path)
            await self._put(path, data)

    def delete(self, path: str) -> None:
        """See ``Backend``."""
        self._run(self._delete, path)

    async def _delete(self, path: str) -> None:
        async with self._home.turn:
            await self._store.delete(_key(path))


def _key(path: str) -> str:
    return path.partition("/")[2].rstrip("/")
