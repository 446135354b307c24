"""Where the time of an append goes, for those who ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from zapz.execution.writer import Sink
from zapz.storage.store import ReadableStore


class Timing:
    """Adds up the seconds of one slice after another."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seconds: dict[str, float] = {}
        self._opened: list[float] = []
        self._lap: tuple[str, float] | None = None

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Take the time in which the next slice is opened, which may be ahead of its turn."""
        began = time.perf_counter()
        yield
        self._opened.append(time.perf_counter() - began)

    def begin(self) -> None:
        """Begin with the next slice: it is looked at."""
        self._seconds = {"opening": self._opened.pop(0)} if self._opened else {}
        self._lap = None
        self.enter("checking")

    def enter(self, name: str) -> None:
        """Begin with the next part; the one before is over."""
        now = time.perf_counter()
        if self._lap is not None:
            self._add(self._lap[0], now - self._lap[1])
        self._lap = (name, now)

    def _add(self, name: str, seconds: float) -> None:
        with self._guard:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def spent(self, seconds: float) -> None:
        """Take note of the time that a thread took to read, make and write chunks; from any thread."""
        self._add("encoding", seconds)

    def end(self) -> dict[str, float]:
        """Return the seconds of each part; of "reading", "encoding" and "writing" those of all threads together."""
        self.enter("")
        found, self._lap = self._seconds, None
        if "encoding" in found:  # what is left of a thread's time
            found["encoding"] = max(0.0, found["encoding"] - found.get("reading", 0.0) - found.get("writing", 0.0))
        order = (
            "opening",
            "checking",
            "preparing",
            "copying",
            "reading",
            "encoding",
            "writing",
            "syncing",
            "committing",
        )
        return {name: found[name] for name in order if name in found}

    def reads(self, store: ReadableStore) -> ReadableStore:
        """Return a store that takes the time of what is read from it."""
        return cast("ReadableStore", _Timed(store, "reading", ("read", "read_many", "cells"), self))

    def writes(self, sink: Sink) -> Sink:
        """Return a sink that takes the time of what is written to it."""
        return cast("Sink", _Timed(sink, "writing", ("put",), self))


class _Timed:
    """An object some of whose methods are timed."""

    def __init__(self, inner: Any, name: str, methods: tuple[str, ...], timing: Timing) -> None:
        for method in methods:
            if hasattr(inner, method):
                setattr(self, method, _timed(getattr(inner, method), name, timing))
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _timed(method: Any, name: str, timing: Timing) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            timing._add(name, time.perf_counter() - began)  # noqa: SLF001 - its own

    return call
