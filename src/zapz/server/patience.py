"""A limit for how long tasks may wait, for many short waits.

``asyncio.timeout`` makes a timer for each wait, which costs as much as the rest of a small reply.
Here one timer looks after all.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from weakref import WeakKeyDictionary, ref

from zapz.server.answering import CutReplyError

_LOOKS = 8
"""Number of checks of a wait until it has taken too long."""


class Patience:
    """Ends waits that take too long. It serves any event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()
        self._last: _Watch | None = None

    def limited(self) -> _Watch:
        """Return a context for the current task.

        Raises:
            CutReplyError: The body took too long.
        """
        loop = asyncio.get_running_loop()
        watch = self._last
        if watch is None or watch.loop() is not loop:
            watch = self._watches.get(loop)
            if watch is None:
                watch = self._watches[loop] = _Watch(loop, self._seconds / _LOOKS)
            self._last = watch
        return watch


class _Watch:
    """Looks after the waits of one event loop; a context that several tasks may be in."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: float) -> None:
        self.loop = ref(loop)
        self._pause = pause
        self._looks: dict[asyncio.Task[object], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._looks[task] = 0
            if self._timer is None:
                self._timer = task.get_loop().call_later(self._pause, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        if task is None or self._looks.pop(task) <= _LOOKS:
            return
        if not task.uncancel() and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise CutReplyError("cut off, the client reads too slowly") from None

    def _look(self) -> None:
        for task, looks in self._looks.items():
            self._looks[task] = looks + 1
            if looks == _LOOKS:
                task.cancel()
        loop = self.loop()
        self._timer = loop.call_later(self._pause, self._look) if self._looks and loop is not None else None
