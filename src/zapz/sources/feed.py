"""From slice items to opened slices: each is opened when its turn comes, or a little ahead, and closed exactly once."""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from zapz.errors import CancelledError
from zapz.sources.contexts import add_note

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")

_END: Any = object()
"""What pulling gives at the end."""
_BLINK = 0.5
"""Seconds after which a wait looks up: an interrupt that comes in the moment before it falls asleep
is noticed then."""


class Feed(Generic[T, S]):
    """Turns an iterable of items into opened slices, one after another; used as ``with Feed(...) as feed: for opened in feed: ...``.

    A slice is closed before the next one is handed out, or when the context is left. Without
    prefetching all of it happens in the caller's thread, and an item is pulled only when a slice is
    asked for::

        pull 0  open 0  USE 0  close 0  pull 1  open 1  USE 1  close 1  ...

    With ``prefetch = n`` one thread pulls and opens in order, from the first slice asked for, and
    the caller closes::

        pull 0  open 0  pull 1  open 1  pull 2  open 2  ...       never more than n beyond the one in use,
                        USE 0           close 0  USE 1  ...       the one that is being opened included

    An error of the iterable, or of opening, is raised where that slice would have come, as the
    object that it is; after it nothing more is pulled. Leaving the context closes first the slice
    in use, then those that were opened ahead, then a generator, in the thread that runs it; it
    waits for an opening that is under way. The first error is the one that leaves; errors while
    closing become its notes. (Only a second interrupt ends that waiting: the thread then closes
    what it has when it can.)

    Args:
        items: What is opened, in this order; any iterable except text, a path or a mapping, which
            are one item.
        open_item: Opens an item.
        close: Closes what ``open_item`` returned. It receives the error under which the slice is
            left, None on success. A slice that was opened ahead and never handed out is left under
            that error too, or under a ``GeneratorExit`` if there is none: it was not used.
        prefetch: How many slices are opened ahead.
        cancelled: Asked before each pull, each opening and each slice handed out, in the thread
            that does it.

    Raises:
        TypeError: ``items`` is one item.
        CancelledError: From the iteration, when ``cancelled`` says so.
        RuntimeError: The feed is used outside of its context, or entered twice.
    """

    def __init__(
        self,
        items: Iterable[T],
        open_item: Callable[[T], S],
        close: Callable[[S, BaseException | None], None],
        prefetch: int = 0,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        if isinstance(items, str | bytes | os.PathLike | Mapping):
            raise TypeError(f"one item, not an iterable of items: {type(items).__name__}")
        self._items = items
        self._open_item = open_item
        self._close = close
        self._prefetch = prefetch
        self._cancelled = cancelled
        self._iterator: Iterator[T] | None = None
        self._in_use: list[S] = []
        self._reason: BaseException | None = None
        self._failures: list[BaseException] = []
        self._entered = self._over = False
        # What follows is shared with the thread, under this condition.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ready: deque[S] = deque()
        self._error: BaseException | None = None
        self._ended = self._working = self._stopping = self._released = self._finished = False

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a feed is entered once")
        self._entered = True
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> S:
        if not self._entered:
            raise RuntimeError("a feed is used in its context: with Feed(...) as feed")
        if self._over:
            raise StopIteration
        try:
            self._leave(None)
            self._check_cancelled()
            if self._prefetch:
                self._await_slice()
            else:
                self._fetch()
            return self._take()
        except BaseException:
            self._stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reason = GeneratorExit("opened ahead, and not used") if error is None else error
        try:
            self._stop()
            self._attempt(lambda: self._leave(error))
        finally:
            self._attempt(self._wind_up)
        failures = [failure for failure in self._failures if failure is not self._reason]
        # An error knows this feed by its traceback. If the feed kept the error, only the cyclic collector could free the slices.
        self._failures, self._reason, self._error = [], None, None
        if failures:
            first = failures.pop(0) if error is None else error
            for failure in failures:
                add_note(first, failure)
            if error is None:
                try:
                    raise first
                finally:
                    del first, failures

    def _leave(self, error: BaseException | None) -> None:
        """Close the slice in use, if there is one."""
        if self._in_use:
            _without_stop(self._close, self._in_use.pop(), error)

    def _take(self) -> S:
        """Hand out the next slice, or raise why there is none."""
        with self._changed:
            if self._ready:
                self._in_use.append(self._ready.popleft())
                self._changed.notify_all()
                return self._in_use[-1]
            error = self._error
        try:
            raise StopIteration if error is None else error
        finally:
            del error  # this frame is in its traceback

    def _stop(self) -> None:
        """Let nothing more be pulled or handed out."""
        self._over = True
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _check_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise CancelledError("cancelled", where="slices", hint="What was appended before stays.")

    def _fetch(self) -> None:
        """Pull and open one item; what comes of it is the next slice, or the end."""
        opened: list[S] = []
        try:
            opened += self._opened()
        except BaseException as error:  # noqa: BLE001 - it is raised where the slice would have come
            self._error = error
        with self._changed:
            self._ready.extend(opened)
            self._ended = not opened
            self._changed.notify_all()

    def _opened(self) -> list[S]:
        """Return the next slice, opened; nothing at the end."""
        self._check_cancelled()
        if self._iterator is None:
            self._iterator = iter(self._items)
        item = next(self._iterator, _END)
        if item is _END:
            return []
        self._check_cancelled()
        return [_without_stop(self._open_item, item)]

    def _await_slice(self) -> None:
        """Wait until the thread, started when it is first asked, has a slice or knows that there is none."""
        if self._thread is None:
            run = contextvars.copy_context().run
            self._thread = threading.Thread(target=run, args=(self._work,), name="zapz-feed", daemon=True)
            self._thread.start()
        with self._changed:
            self._wait(lambda: bool(self._ready) or self._ended)

    def _wait(self, reached: Callable[[], bool]) -> None:
        """Wait in the caller's thread, where interrupts come."""
        while not self._changed.wait_for(reached, _BLINK):
            pass

    def _work(self) -> None:
        """Fetch while there is room; close what is left when the slice in use has been closed. All that the thread does."""
        with self._changed:
            self._working = True
        while self._await_room():
            self._fetch()
        with self._changed:
            self._changed.wait_for(lambda: self._released)
        self._close_rest()
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def _await_room(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._is_at_end() or len(self._ready) < self._prefetch)
            return not self._is_at_end()

    def _is_at_end(self) -> bool:
        return self._stopping or self._ended

    def _wind_up(self) -> None:
        """Have everything closed that nobody uses."""
        with self._changed:
            self._released = True
            self._changed.notify_all()
            working = self._working  # if not yet, because starting it was interrupted, it will find nothing to do
            if working:  # Thread.join, if it is interrupted, takes the thread for ended in Python 3.11 and 3.12
                self._wait(lambda: self._finished)
        if self._thread is not None and working:
            self._thread.join()
        else:
            self._close_rest()

    def _close_rest(self) -> None:
        while self._ready:
            self._attempt(lambda: _without_stop(self._close, self._ready.popleft(), self._reason))
        if isinstance(self._iterator, Generator):
            self._attempt(self._iterator.close)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - the first one is raised when all has been closed
            self._failures.append(error)


def _without_stop(function: Callable[..., R], *args: Any) -> R:
    """Call a function whose ``StopIteration`` would pass for the end of the slices."""
    try:
        return function(*args)
    except StopIteration as error:
        raise RuntimeError("a slice raised StopIteration while it was opened or closed") from error
