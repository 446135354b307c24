"""Threads that answer requests; they do not keep the process alive."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class DaemonPool:
    """Up to so many threads, started when they are needed.

    Python waits at its end for the threads of a ``ThreadPoolExecutor``. A reply that is computed
    for minutes would hold up a server that was told to stop, so these threads are daemons.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._tasks: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads = 0
        self._idle = 0
        self._closed = 0

    def submit(self, function: Callable[[], _T]) -> Future[_T]:
        """Call a function in a thread. Cancelling works as long as no thread has begun with it."""
        future: Future[_T] = Future()
        with self._changed:
            self._tasks.append((future, function))
            if self._idle >= len(self._tasks):
                self._changed.notify()
            elif self._threads < self._most:
                self._start()
        return future

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, args=(self._closed,), name="zapz-server", daemon=True)
        try:
            thread.start()
            self._threads += 1
        except RuntimeError:  # the system has no more; another thread does the task
            if not self._threads:
                self._tasks.pop()
                raise

    def close(self) -> None:
        """Let the threads end after the tasks that were submitted; later tasks start new ones."""
        with self._changed:
            self._closed += 1
            self._threads = 0
            self._changed.notify_all()

    def _work(self, closed: int) -> None:
        while task := self._next(closed):
            future, function = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001  # it is raised where the result is asked for
                    future.set_exception(error)
            del task, future, function  # results are large, and the next task may be long in coming

    def _next(self, closed: int) -> tuple[Future[Any], Callable[[], Any]] | None:
        """Return the next task, or None if the thread must end."""
        with self._changed:
            self._idle += 1
            while not self._tasks and closed == self._closed:
                self._changed.wait()
            self._idle -= 1
            return self._tasks.popleft() if self._tasks else None
