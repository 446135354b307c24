"""From slice items to opened slices, each opened in its turn or ahead, and closed exactly once."""

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
"""Marks the end of the items."""
_BLINK = 0.5
"""Wake-up interval in seconds, so that a signal delivered just before waiting is not missed."""


class Feed(Generic[T, S]):
    """Turns an iterable of items into opened slices, one after another.

    Use it as ``with Feed(...) as feed: for opened in feed: ...``. A slice is closed before the next
    one is returned, or when the context is exited. Without prefetching, all work is done in the
    caller's thread, and an item is pulled only when a slice is requested::

        pull 0  open 0  USE 0  close 0  pull 1  open 1  USE 1  close 1  ...

    With ``prefetch = n``, one thread pulls and opens in order, from the first request on, and the
    caller closes::

        pull 0  open 0  pull 1  open 1  pull 2  open 2  ...      at most n beyond the one in use,
                        USE 0           close 0  USE 1  ...      including the one being opened

    An error of the iterable, or of opening, is raised in place of that slice, as the same object;
    then nothing more is pulled. On exit of the context, the slice in use is closed first, then
    those that were opened ahead, then a generator, in the thread that runs it. The exit waits for
    an opening in progress. The first error is raised; errors while closing become its notes. Only
    a second interrupt ends this waiting; then the thread closes what it has when it can.

    Args:
        items: The items to open, in this order: any iterable except text, a path or a mapping,
            which are single items.
        open_item: Opens an item.
        close: Closes what ``open_item`` returned. It receives the error that ended the use of the
            slice, or None. A slice that was opened ahead and never returned receives that error
            too, or a ``GeneratorExit`` if there is none: it was not used.
        prefetch: Number of slices that are opened ahead.
        cancelled: Called before each pull, each opening and each returned slice, in the thread that
            does it.

    Raises:
        TypeError: ``items`` is a single item.
        CancelledError: ``cancelled`` returned true during iteration.
        RuntimeError: The feed is used outside its context, or entered twice.
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
        # The following attributes are shared with the thread, under this condition.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ready: deque[S] = deque()
        self._error: BaseException | None = None
        self._ended = self._working = self._stopping = self._released = self._finished = False

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("a feed can be entered only once")
        self._entered = True
        return self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> S:
        if not self._entered:
            raise RuntimeError("use a feed in its context: with Feed(...) as feed")
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
        # The traceback of an error refers to this feed. If the feed kept the error, slices would
        # stay in memory until the cyclic collector runs.
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
        """Return the next slice, or raise the error, or ``StopIteration`` at the end."""
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
        """Prevent that more is pulled or returned."""
        self._over = True
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _check_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise CancelledError("cancelled", where="slices", hint="Slices that were appended before are kept.")

    def _fetch(self) -> None:
        """Pull and open one item: the next slice, the end, or an error."""
        opened: list[S] = []
        try:
            opened += self._opened()
        except BaseException as error:  # noqa: BLE001 - raised later, in place of the slice
            self._error = error
        with self._changed:
            self._ready.extend(opened)
            self._ended = not opened
            self._changed.notify_all()

    def _opened(self) -> list[S]:
        """Return the next slice, opened; an empty list at the end."""
        self._check_cancelled()
        if self._iterator is None:
            self._iterator = iter(self._items)
        item = next(self._iterator, _END)
        if item is _END:
            return []
        self._check_cancelled()
        return [_without_stop(self._open_item, item)]

    def _await_slice(self) -> None:
        """Wait until the thread, started at the first request, has a slice or is at the end."""
        if self._thread is None:
            run = contextvars.copy_context().run
            self._thread = threading.Thread(target=run, args=(self._work,), name="zapz-feed", daemon=True)
            self._thread.start()
        with self._changed:
            self._wait(lambda: bool(self._ready) or self._ended)

    def _wait(self, reached: Callable[[], bool]) -> None:
        """Wait in the caller's thread, which receives interrupts."""
        while not self._changed.wait_for(reached, _BLINK):
            pass

    def _work(self) -> None:
        """Run the thread: fetch while there is room, then close the rest after the slice in use."""
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
        """Close every slice that is not in use."""
        with self._changed:
            self._released = True
            self._changed.notify_all()
            working = self._working  # false if its start was interrupted; then it will find no work
            if working:  # an interrupted Thread.join treats the thread as ended in Python 3.11 and 3.12
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
        except BaseException as error:  # noqa: BLE001 - the first one is raised after everything has been closed
            self._failures.append(error)


def _without_stop(function: Callable[..., R], *args: Any) -> R:
    """Call a function whose ``StopIteration`` would look like the end of the slices."""
    try:
        return function(*args)
    except StopIteration as error:
        raise RuntimeError("a slice raised StopIteration while it was opened or closed") from error
