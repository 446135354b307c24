"""Signals that stop the server: they are noted, so that it can end its replies first."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import types
from typing import Any, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """A context in which SIGTERM and SIGINT do not end the process.

    Only the main thread can be told of signals; elsewhere, the context does nothing.
    """

    def __init__(self, *, wake: bool) -> None:
        """Make a context.

        Args:
            wake: Whether the main thread waits for ``channel``. An event loop has its own means.
        """
        self.count = 0
        """How many have arrived; the second one means not to wait for anything any longer."""
        self._wake = wake
        self._before: dict[int, Any] = {}
        self._descriptor = -1

    def __enter__(self) -> Self:
        self.channel, self._write = socket.socketpair()
        self.channel.settimeout(0)
        self._write.settimeout(0)
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
            if self._wake:
                # A handler alone would not end a call that has just begun to wait.
                self._descriptor = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before and self._wake:
            signal.set_wakeup_fd(self._descriptor)
        self.channel.close()
        self._write.close()

    def _note(self, _number: int, _frame: types.FrameType | None) -> None:
        self.count += 1

    def stopped(self) -> bool:
        """Return whether the server must stop."""
        return self.count > 0

    def hurry(self) -> bool:
        """Return whether it must not wait for replies either."""
        return self.count > 1

    def clear(self) -> None:
        """Empty ``channel``, a socket that can be read as soon as a signal has arrived."""
        with contextlib.suppress(BlockingIOError):
            self.channel.recv(64)

    def wait(self) -> None:
        """Wait for a signal."""
        self.channel.settimeout(None)
        while not self.count:
            self.channel.recv(1)
        self.channel.settimeout(0)
