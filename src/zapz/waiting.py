"""Waits: for a lock, a turn, a slice. Until when, and what ends them before: the caller, or a signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from zapz import interrupts
from zapz.errors import CancelledError

_LOOK = 0.1
"""Seconds after which a wait that can be cancelled looks whether it was."""


@dataclass(frozen=True, slots=True, eq=False)
class Wait:
    """How long something is waited for, each time that it has to be."""

    seconds: float = 0.0
    """At most so long."""
    cancelled: Callable[[], bool] | None = None
    """Whether the caller wants it to end."""
    told: Callable[[str, float], None] | None = None
    """Called with what is waited for, and for how many seconds at most, once it really has to be."""
    fixed: bool = False
    """Whether the user has no say in how long."""

    def at_least(self, seconds: float) -> Wait:
        """Return a wait that is no shorter than that."""
        return replace(self, seconds=max(self.seconds, seconds))

    def begin(self, where: str) -> Deadline:
        """Begin to wait now.

        Args:
            where: What for: a target or slice, for messages.
        """
        return Deadline(self, where)


class Deadline:
    """A moment up to which something is waited for."""

    def __init__(self, wait: Wait, where: str) -> None:
        self._seconds = wait.seconds
        self._end = self.now() + wait.seconds
        self._cancelled = wait.cancelled
        self._told = wait.told
        self._where = where

    @staticmethod
    def now() -> float:
        """Return the seconds on the clock that counts here."""
        return time.monotonic()

    @property
    def left(self) -> float:
        """Seconds left; never less than 0."""
        return max(0.0, self._end - self.now())

    def is_over(self) -> bool:
        """Return whether it has passed."""
        return self.now() >= self._end

    def pause(self, seconds: float) -> None:
        """Let so many seconds pass, whatever is left; the caller or a signal may end that.

        Raises:
            CancelledError: The caller has.
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
            raise CancelledError("cancelled", where=self._where, hint="What was appended before stays.")
