"""The few requests of each object service, with conditions where the service supports them.

fsspec's methods hide entity tags, and upload large objects in parts, which no condition protects.
So zapz sends single requests to services with conditions, through the session, credentials and
retries that fsspec has set up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

AT_ONCE = 64
"""Maximum number of concurrent requests."""
_GIB = 1 << 30


def content_tag(data: bytes) -> str:
    """Return a digest that serves as the tag of an object where a service has no tags."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Backend(Protocol):
    """One service. Paths are complete. Errors are its own; ``objects.errors`` classifies them."""

    conditional: bool
    """Whether a replacement can depend on a tag (a probe shows if the service honours that)."""
    exclusive: bool
    """Whether a creation can depend on absence (a probe shows if the service honours that)."""
    listable: bool
    """Whether folders can be listed."""
    probed: bool
    """Whether ``conditional`` and ``exclusive`` are certain without a probe."""
    scope: str
    """Identifies all paths with the same abilities: service, account, bucket."""
    quoted: bool
    """Whether tags in conditions need quotation marks (services differ; a probe shows it)."""
    largest: int | None
    """Maximum size in bytes of an object that one request can write; None if there is no limit
    worth checking."""

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """Return bytes and tag of an object."""

    def get_many(self, paths: Sequence[str]) -> Sequence[tuple[bytes, str | None] | BaseException]:
        """Return bytes and tag, or the error, per object."""

    def look(self, path: str) -> tuple[int, str | None]:
        """Return length in bytes and tag of an object."""

    def put(self, path: str, data: bytes) -> str | None:
        """Write an object and return its tag."""

    def put_new(self, path: str, data: bytes) -> str | None:
        """Write an object if it is absent, and return its tag."""

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """Write an object if its tag is still ``tag``, and return its new tag."""

    def delete(self, path: str) -> None:
        """Remove an object."""

    def list(self, path: str) -> tuple[list[str], list[str]]:
        """Return the names of folders and of objects directly below a folder."""


class FsspecBackend:
    """Any fsspec file system: conditional creation where fsspec supports it, and no tags."""

    conditional = False
    probed = False
    quoted = False
    largest: int | None = None

    def __init__(self, fs: Any, root: str) -> None:
        protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
        self._fs = fs
        self.exclusive = bool(protocols & {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"})
        self.listable = not protocols & {"http", "https"}
        self._archive = "zip" in protocols  # where a missing member is a KeyError
        self._folders = not self.exclusive
        self.scope = f"{sorted(protocols)} {fs._fs_token} {root.partition('/')[0]}"  # noqa: SLF001 - fsspec's own identity

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """See ``Backend``."""
        try:
            return self._fs.cat_file(path, start=start, end=end), None
        except KeyError as error:
            if self._archive:
                raise FileNotFoundError(path) from error
            raise

    def get_many(self, paths: Sequence[str]) -> Sequence[tuple[bytes, str | None] | BaseException]:
        """See ``Backend``."""
        if getattr(self._fs, "async_impl", False):
            whole = [None] * len(paths)
            answers = self._fs.cat_ranges(list(paths), whole, whole, on_error="return")
            return [answer if isinstance(answer, BaseException) else (answer, None) for answer in answers]
        return [self._get_or_error(path) for path in paths]

    def _get_or_error(self, path: str) -> tuple[bytes, str | None] | BaseException:
        try:
            return self.get(path, None, None)
        except Exception as error:  # noqa: BLE001 - handed on as a value
            return error

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        info = self._fs.info(path)
        if info.get("type") == "directory":
            raise FileNotFoundError(path)
        return int(info["size"]), None

    def put(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        if self._folders:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, data)
        return None

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        self._fs.pipe_file(path, data, mode="create")
        return None

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """See ``Backend``."""
        self._fs.rm_file(path)

    def list(self, path: str) -> tuple[list[str], list[str]]:
        """See ``Backend``."""
        self._fs.invalidate_cache(path)
        folders: list[str] = []
        objects: list[str] = []
        for entry in self._fs.ls(path, detail=True):
            name = entry["name"].rstrip("/").rpartition("/")[2]
            (folders if entry["type"] == "directory" else objects).append(name)
        return folders, [name for name in objects if name]


class MemoryBackend(FsspecBackend):
    """fsspec's memory. It tests before it creates, so a guard makes both conditions thread-safe."""

    conditional = True
    probed = True
    _guard = threading.Lock()

    def _tag(self, path: str) -> str:
        return content_tag(self._fs.cat_file(path))

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """See ``Backend``."""
        with self._guard:
            return self._fs.cat_file(path, start=start, end=end), self._tag(path)

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        with self._guard:
            size, _ = super().look(path)
            return size, self._tag(path)

    def put(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        with self._guard:
            return self._put(path, data)

    def _put(self, path: str, data: bytes) -> str:
        self._fs.pipe_file(path, data)
        return self._tag(path)

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        with self._guard:
            if self._fs.exists(path):
                raise FileExistsError(path)
            return self._put(path, data)

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        with self._guard:
            if not self._fs.exists(path) or self._tag(path) != tag:
                raise FileExistsError(path)
            return self._put(path, data)


class _Asynchronous(FsspecBackend):
    """A service whose own client is called in fsspec's event loop."""

    conditional = True

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        from fsspec.asyn import sync  # imported where used: local appends do without it

        async def started() -> Any:
            return await coroutine

        return sync(self._fs.loop, started)

    async def _get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        raise NotImplementedError

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """See ``Backend``."""
        found: tuple[bytes, str | None] = self._run(self._get(path, start, end))
        return found

    def get_many(self, paths: Sequence[str]) -> Sequence[tuple[bytes, str | None] | BaseException]:
        """See ``Backend``."""

        async def every() -> Sequence[tuple[bytes, str | None] | BaseException]:
            limit = asyncio.Semaphore(AT_ONCE)

            async def one(path: str) -> tuple[bytes, str | None]:
                async with limit:
                    return await self._get(path, None, None)

            return await asyncio.gather(*map(one, paths), return_exceptions=True)

        found: Sequence[tuple[bytes, str | None] | BaseException] = self._run(every())
        return found


class S3Backend(_Asynchronous):
    """Amazon S3 and services with the same protocol, through s3fs."""

    largest: int | None = 5 * _GIB

    def __init__(self, fs: Any, root: str) -> None:
        super().__init__(fs, root)
        self._prompt = False

    def _be_prompt(self) -> None:
        """Send bodies at once, without waiting for "100 Continue": it halves the round trips."""
        if self._prompt:
            return
        self._prompt = True
        with contextlib.suppress(ImportError, AttributeError):  # without this, writes are only slower
            from botocore.handlers import add_expect_header

            self._fs.s3.meta.events.unregister("before-call.s3", add_expect_header)

    def _at(self, path: str) -> dict[str, str]:
        bucket, key, _ = self._fs.split_path(path)
        return {"Bucket": bucket, "Key": key}

    async def _get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        span = (
            {} if start is None and end is None else {"Range": f"bytes={start or 0}-{'' if end is None else end - 1}"}
        )
        answer = await self._fs._call_s3("get_object", **self._at(path), **span)  # noqa: SLF001 - `call_s3` in the loop
        async with answer["Body"] as body:
            return await body.read(), answer["ETag"].strip('"')

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        answer = self._fs.call_s3("head_object", **self._at(path))
        return int(answer["ContentLength"]), answer["ETag"].strip('"')

    def _put(self, path: str, data: bytes, **condition: str) -> str | None:
        self._be_prompt()
        tag: str = self._fs.call_s3("put_object", **self._at(path), Body=data, **condition)["ETag"].strip('"')
        return tag

    def put(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        return self._put(path, data)

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        return self._put(path, data, IfNoneMatch="*")

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        return self._put(path, data, IfMatch=f'"{tag}"' if self.quoted else tag)

    def delete(self, path: str) -> None:
        """See ``Backend``."""
        self._fs.call_s3("delete_object", **self._at(path))


class AzureBackend(_Asynchronous):
    """Azure Blob Storage, through adlfs."""

    largest: int | None = 4 * _GIB

    def _blob(self, path: str) -> Any:
        container, name, _ = self._fs.split_path(path)
        return self._fs.service_client.get_blob_client(container, name)

    async def _get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        span: dict[str, int] = {} if start is None and end is None else {"offset": start or 0}
        if end is not None:
            span["length"] = end - (start or 0)
        async with self._blob(path) as blob:
            answer = await blob.download_blob(**span)
            return await answer.readall(), answer.properties.etag

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""

        async def properties() -> Any:
            async with self._blob(path) as blob:
                return await blob.get_blob_properties()

        found = self._run(properties())
        return int(found.size), found.etag

    def _put(self, path: str, data: bytes, **condition: Any) -> str | None:
        async def upload() -> Any:
            async with self._blob(path) as blob:
                return await blob.upload_blob(data, max_concurrency=1, **condition)

        tag: str = self._run(upload())["etag"]
        return tag

    def put(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        return self._put(path, data, overwrite=True)

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        return self._put(path, data, overwrite=False)

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        from azure.core import MatchConditions

        return self._put(path, data, overwrite=True, etag=tag, match_condition=MatchConditions.IfNotModified)


def backend_of(fs: Any, root: str) -> Backend:
    """Return the backend for an fsspec file system."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    if "memory" in protocols:
        return MemoryBackend(fs, root)
    if protocols & {"s3", "s3a"}:
        return S3Backend(fs, root)
    if protocols & {"az", "abfs", "abfss"}:
        return AzureBackend(fs, root)
    return FsspecBackend(fs, root)


def above(backend: Backend, root: str, names: Sequence[str]) -> dict[tuple[str, str], bytes]:
    """Return the readable objects of these names above a path, by (folder, name), nearest first."""
    folders = [root[:i] for i in range(len(root) - 1, 0, -1) if root[i] == "/" and root[i - 1] != "/"]
    places = [(folder, name) for folder in folders for name in names]
    answers = backend.get_many([f"{folder}/{name}" for folder, name in places]) if places else ()
    return {
        place: answer[0] for place, answer in zip(places, answers, strict=True) if not isinstance(answer, BaseException)
    }
