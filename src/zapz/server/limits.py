"""Limits of work and memory: what exceeds them is refused for a moment, not queued without end."""

from __future__ import annotations

import threading
from collections.abc import Callable


class BusyError(Exception):
    """A limit is reached: the same request may succeed a moment later."""


class Limit:
    """A number of units that may be in use at the same time."""

    def __init__(self, most: int) -> None:
        self.most = most
        """Maximum number of units in use."""
        self.used = 0
        """Number of units in use."""
        self.refused = 0
        """Number of refusals so far."""
        self._guard = threading.Lock()

    def take(self, number: int = 1) -> Callable[[], None]:
        """Use some units; return the function that gives them back, which may be called repeatedly.

        Raises:
            BusyError: Fewer are left.
        """
        with self._guard:
            if self.used + number > self.most:
                self.refused += 1
                raise BusyError
            self.used += number
        rest = number

        def give_back() -> None:
            nonlocal rest
            with self._guard:
                self.used -= rest
                rest = 0

        return give_back

    def refuse(self) -> None:
        """Count a refusal that the caller decided, because it knows that no unit will be left."""
        with self._guard:
            self.refused += 1
