"""The server's core without HTTP: requests as calls, and a store of zarr-python that reads through it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype

from kit.cubes import Values, quiet
from zapz.config.settings import Config
from zapz.server.application import Application
from zapz.server.datasets import Datasets
from zapz.server.limits import Limit
from zapz.server.messages import HttpRequest
from zapz.server.metrics import Metrics
from zapz.server.opening import Opening
from zapz.sources.shared_cache import SharedCache


@dataclass(frozen=True)
class Answer:
    """A reply, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class StatusError(Exception):
    """A reply other than 200, 206 and 404: clients raise an error."""


@dataclass
class Core:
    """Datasets behind the core."""

    things: Mapping[str, Any]
    config: Config = field(default_factory=Config)
    refresh: float = 1.0
    states: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        memory = self.options.get("memory", Limit(1 << 30))
        self.opening = Opening(
            refresh=self.refresh,
            memory=memory,
            metrics=self.metrics,
            chunks=SharedCache(1 << 27),
            blocks=SharedCache(1 << 27),
            states=self.states,
        )
        served = {name: self.opening.of(name, thing, self.config) for name, thing in self.things.items()}
        self.datasets = Datasets(served)
        self.application = Application(self.datasets, metrics=self.metrics, **self.options)

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, *, inline: bool = False
    ) -> Answer:
        """Return the reply, as an adapter would send it: first inline, then in a thread."""
        where, _, query = path.partition("?")
        request = HttpRequest(
            method=method, path=where, query=query, headers={"host": "localhost:8080", **(headers or {})}
        )
        reply = self.application.answer(request, inline=True)
        if reply is None:
            assert not inline, "it needs a thread"
            reply = self.application.answer(request)
        assert reply is not None
        try:
            body = reply.body if isinstance(reply.body, bytes) else b"".join(reply.body)
        finally:
            if not isinstance(reply.body, bytes):
                reply.body.close()
        reply.done(len(body))
        fields = {name.lower(): value for name, value in reply.headers}
        assert len(fields) == len(reply.headers), "a header field twice"
        if method != "HEAD" and reply.status not in {204, 304}:
            assert fields["content-length"] == str(len(body))
        return Answer(reply.status, fields, body)

    def read(
        self, prefix: str, paths: Iterable[str] | None = None, *, zarr_format: int | None = None
    ) -> dict[str, Values]:
        """Return all arrays of a dataset, read by zarr-python through the core."""
        import zarr

        with quiet():
            group = zarr.open_group(CoreStore(self, prefix), mode="r", zarr_format=zarr_format)
            found = {}
            for name in (
                paths
                if paths is not None
                else [n for n, m in group.members(max_depth=None) if isinstance(m, zarr.Array)]
            ):
                found[name] = np.asarray(group[name][...])
            return found


class CoreStore(Store):
    """A store of zarr-python whose bytes come from the core."""

    def __init__(self, core: Core, prefix: str) -> None:
        super().__init__(read_only=True)
        self._core = core
        self._prefix = prefix
        self._is_open = True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = None  # type: ignore[assignment]

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        fields = {}
        if isinstance(byte_range, RangeByteRequest):
            fields["range"] = f"bytes={byte_range.start}-{byte_range.end - 1}"
        elif isinstance(byte_range, OffsetByteRequest):
            fields["range"] = f"bytes={byte_range.offset}-"
        elif isinstance(byte_range, SuffixByteRequest):
            fields["range"] = f"bytes=-{byte_range.suffix}"
        answer = self._core.ask(f"{self._prefix}/{key}", headers=fields)
        if answer.status == 404:
            return None
        if answer.status not in {200, 206}:
            raise StatusError(f"{self._prefix}/{key}: {answer.status} {answer.body[:200]!r}")
        return prototype.buffer.from_bytes(answer.body)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return self._core.ask(f"{self._prefix}/{key}", "HEAD").status == 200

    supports_writes = False
    supports_deletes = False
    supports_listing = True
    supports_partial_writes = False

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        raise NotImplementedError
        yield ""

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        where = f"{self._prefix}/{prefix.strip('/')}".rstrip("/") + "/"
        for child in self._core.ask(where, headers={"accept": "application/json"}).json["children"]:
            yield child.rstrip("/")
