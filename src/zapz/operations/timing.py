"""Measure the duration of each part of an append, for ``explain``."""

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
        """Measure how long the next slice takes to open, which may be ahead of its turn."""
        began = time.perf_counter()
        yield
        self._opened.append(time.perf_counter() - began)

    def begin(self) -> None:
        """Begin with the next slice: "checking"."""
        self._seconds = {"opening": self._opened.pop(0)} if self._opened else {}
        self._lap = None
        self.enter("checking")

    def enter(self, name: str) -> None:
        """Begin with the next part, and end the one before."""
        now = time.perf_counter()
        if self._lap is not None:
            self._add(self._lap[0], now - self._lap[1])
        self._lap = (name, now)

    def _add(self, name: str, seconds: float) -> None:
        with self._guard:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def spent(self, seconds: float) -> None:
        """Add the seconds that a thread needed to read, build and write chunks; from any thread."""
        self._add("encoding", seconds)

    def end(self) -> dict[str, float]:
        """Return the seconds of each part.

        "reading", "encoding" and "writing" are sums over all threads.
        """
        self.enter("")
        found, self._lap = self._seconds, None
        if "encoding" in found:  # the rest of the threads' time
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
        """Return a store whose reads are timed."""
        return cast("ReadableStore", _Timed(store, "reading", ("read", "read_many", "cells"), self))

    def writes(self, sink: Sink) -> Sink:
        """Return a sink whose writes are timed."""
        return cast("Sink", _Timed(sink, "writing", ("put",), self))


class _Timed:
    """A wrapper that times some methods of an object."""

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
