"""Waits for a lock, a turn or a slice: how long they last, and what ends them early."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from zapz import interrupts
from zapz.errors import CancelledError

_LOOK = 0.1
"""Seconds between two checks whether a wait was cancelled."""


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """How long to wait, each time that waiting is necessary."""

    seconds: float = 0.0
    """Maximum duration of one wait, in seconds."""
    cancelled: Callable[[], bool] | None = None
    """Returns whether the caller has cancelled the wait."""
    told: Callable[[str, float], None] | None = None
    """Called once when a wait really begins, with what is waited for and the maximum duration in
    seconds."""
    fixed: bool = False
    """Whether no setting changes the duration."""

    def at_least(self, seconds: float) -> Wait:
        """Return a wait of at least this many seconds."""
        return replace(self, seconds=max(self.seconds, seconds))

    def begin(self, where: str) -> Deadline:
        """Start a wait now.

        Args:
            where: The target or slice that is waited for, for messages.
        """
        return Deadline(self, where)


class Deadline:
    """The moment at which a wait ends."""

    def __init__(self, wait: Wait, where: str) -> None:
        self._seconds = wait.seconds
        self._end = self.now() + wait.seconds
        self._cancelled = wait.cancelled
        self._told = wait.told
        self._where = where

    @staticmethod
    def now() -> float:
        """Return the time on the monotonic clock, in seconds."""
        return time.monotonic()

    @property
    def left(self) -> float:
        """Seconds left; at least 0."""
        return max(0.0, self._end - self.now())

    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return self.now() >= self._end

    def pause(self, seconds: float) -> None:
        """Sleep for this many seconds, even beyond the deadline.

        Raises:
            CancelledError: The caller has cancelled the wait.
            Stopped: A signal was deferred (see ``interrupts``).
        """
        end = self.now() + seconds
        if self._told is not None:
            told, self._told = self._told, None
            told(self._where, self._seconds)
        while True:
            self._check()
            left = end - self.now()
            if left <= 0:
                return
            time.sleep(left if self._cancelled is None else min(left, _LOOK))

    def _check(self) -> None:
        interrupts.stop_if_held()
        if self._cancelled is not None and self._cancelled():
            raise CancelledError("cancelled", where=self._where, hint="Slices appended before stay in the target.")
