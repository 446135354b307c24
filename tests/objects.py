"""A storage double: an object service in memory, below the store interface, with a log, faults, and a clock that only moves when told.

``Service`` keeps objects and tags and calls a hook before (and after) every request; ``World`` makes writers on it that seem to be on other
machines, and lets hours pass in no time.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zapz import waiting
from zapz.storage import clock
from zapz.storage.objects.store import ObjectStore
from zapz.storage.store import Holder
from zapz.txn.objects import lease, session, settling, transaction, vacuum

MUTATIONS = ("put", "put_new", "put_over", "delete")


class Dead(BaseException):
    """What a process notices of its own death: nothing that it does afterwards has any effect."""


class AnswerError(Exception):
    """What a service answers instead of doing something."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@dataclass(frozen=True)
class Request:
    """One request."""

    kind: str
    path: str

    @property
    def changes(self) -> bool:
        return self.kind in MUTATIONS


class Service:
    """Objects in memory, with the conditions of S3. A ``Backend``."""

    exclusive = True
    conditional = True
    listable = True
    probed = True
    quoted = False
    largest: int | None = None
    scope = "double"

    def __init__(self, *, unique_tags: bool = True) -> None:
        self.objects: dict[str, bytes] = {}
        self.log: list[Request] = []
        self.before: Callable[[Request], None] = lambda request: None
        """Called before a request is carried out; what it raises is the answer."""
        self.after: Callable[[Request], None] = lambda request: None
        """Called after it was; what it raises replaces the answer."""
        self.denied: set[str] = set()
        """Kinds of requests that are not allowed. Without "list", what is absent is denied too, as by S3."""
        self._tags: dict[str, str] = {}
        self._unique = unique_tags
        self._count = 0
        self._guard = threading.RLock()

    def snapshot(self) -> dict[str, bytes]:
        return dict(self.objects)

    def restore(self, objects: dict[str, bytes]) -> None:
        self.objects = dict(objects)
        self._tags = {path: self._new_tag(data) for path, data in objects.items()}

    def _new_tag(self, data: bytes) -> str:
        self._count += 1
        return f"t{self._count}" if self._unique else hashlib.md5(data).hexdigest()

    def _asked(self, kind: str, path: str, action: Callable[[], Any]) -> Any:
        request = Request(kind, path)
        self.before(request)
        hidden = "list" in self.denied and kind in {"get", "look"} and path not in self.objects
        if kind in self.denied or hidden:
            raise AnswerError(403)
        with self._guard:
            self.log.append(request)
            result = action()
        self.after(request)
        return result

    def _tag(self, path: str) -> str:
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self._tags[path]

    def _store(self, path: str, data: bytes) -> str:
        self.objects[path] = bytes(data)
        self._tags[path] = self._new_tag(data)
        return self._tags[path]

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        return self._asked("get", path, lambda: (self._bytes(path)[start:end], self._tag(path)))

    def _bytes(self, path: str) -> bytes:
        self._tag(path)
        return self.objects[path]

    def get_many(self, paths: Sequence[str]) -> list[Any]:
        answers: list[Any] = []
        for path in paths:
            try:
                answers.append(self.get(path, None, None))
            except Exception as error:  # noqa: BLE001 - handed on as a value
                answers.append(error)
        return answers

    def look(self, path: str) -> tuple[int, str | None]:
        return self._asked("look", path, lambda: (len(self._bytes(path)), self._tag(path)))

    def put(self, path: str, data: bytes) -> str | None:
        return self._asked("put", path, lambda: self._store(path, data))

    def put_new(self, path: str, data: bytes) -> str | None:
        def create() -> str:
            if path in self.objects:
                raise AnswerError(412)
            return self._store(path, data)

        return self._asked("put_new", path, create)

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        def replace() -> str:
            if self._tag(path) != tag:
                raise AnswerError(412)
            return self._store(path, data)

        return self._asked("put_over", path, replace)

    def delete(self, path: str) -> None:
        def remove() -> None:
            self.objects.pop(path, None)
            self._tags.pop(path, None)

        self._asked("delete", path, remove)

    def list(self, path: str) -> tuple[list[str], list[str]]:
        def names() -> tuple[list[str], list[str]]:
            rests = [key[len(path) + 1 :] for key in self.objects if key.startswith(f"{path}/")]
            if not rests:
                raise FileNotFoundError(path)
            return sorted({r.split("/")[0] for r in rests if "/" in r}), sorted(r for r in rests if "/" not in r)

        return self._asked("list", path, names)


@dataclass
class Clock:
    """Time that passes only where somebody sleeps."""

    now: float = 1_000_000.0
    slept: Callable[[float], None] = field(default=lambda seconds: None)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept(seconds)


class World:
    """A service, a clock, and writers on machines of their own. Threads name their machine in ``here``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, unique_tags: bool = True) -> None:
        self.service = Service(unique_tags=unique_tags)
        self.clock = Clock()
        self.here = threading.local()
        for module in (transaction, settling, lease, session, vacuum, waiting):
            monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setattr(clock, "now", self.clock.monotonic)
        monkeypatch.setattr(lease, "RENEWALS", 0)
        monkeypatch.setattr(settling, "_POLL", 1.1 * lease.LEASE)  # one sleep is enough to see a lease run out
        monkeypatch.setattr(session, "me", self._me)

    def _me(self) -> Holder:
        host = getattr(self.here, "host", "elsewhere")
        return Holder(host=host, boot="- - -", process=1, since="2026-11-21T00:00:00+00:00")

    def store(self, root: str = "bucket/cube") -> ObjectStore:
        """Return a store on the service that sends one request at a time and repeats none after a pause."""
        store = ObjectStore(self.service, root, f"double://{root}")
        store.pauses = (0.0,)
        store.at_once = 1
        return store


CHUNKS = {"x": 4, "y": 3}
"""Arrays that ``write_line`` can write, and their chunk lengths."""


def write_line(folder: Path, values: Sequence[int], arrays: str = "x") -> Path:
    """Write a v2 group with arrays of whole numbers along ``time``, all the same, uncompressed, and no labels."""
    folder.mkdir(parents=True)
    documents: dict[str, Any] = {".zgroup": {"zarr_format": 2}}
    for name in arrays:
        documents[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": ["time"]}
        documents[f"{name}/.zarray"] = {
            "zarr_format": 2, "shape": [len(values)], "chunks": [CHUNKS[name]], "dtype": "<i4", "compressor": None, "filters": None,
            "fill_value": -1, "order": "C",
        }  # fmt: skip
        (folder / name).mkdir()
        for start in range(0, len(values), CHUNKS[name]):
            cells = np.full(CHUNKS[name], -1, "<i4")
            part = values[start : start + CHUNKS[name]]
            cells[: len(part)] = part
            (folder / name / str(start // CHUNKS[name])).write_bytes(cells.tobytes())
    for key, document in documents.items():
        (folder / key).write_text(json.dumps(document))
    (folder / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": documents}))
    return folder


def read_line(objects: dict[str, bytes], root: str = "bucket/cube") -> tuple[int, ...] | None:
    """Read what ``write_line`` writes as a reader of consolidated metadata does; None if there is no dataset.

    Where the arrays differ, every value that does is replaced by -99.
    """
    data = objects.get(f"{root}/.zmetadata")
    if data is None:
        return None
    found: set[tuple[int, ...]] = set()
    metadata = json.loads(data)["metadata"]
    for name in (key.partition("/")[0] for key in metadata if key.endswith("/.zarray")):
        length = metadata[f"{name}/.zarray"]["shape"][0]
        cells: list[int] = []
        for number in range(-(-length // CHUNKS[name])):
            stored = objects.get(f"{root}/{name}/{number}")
            cells += [-1] * CHUNKS[name] if stored is None else np.frombuffer(stored, "<i4").tolist()
        found.add(tuple(cells[:length]))
    one, *others = found
    return one if not others else tuple(-99 for _ in one)
