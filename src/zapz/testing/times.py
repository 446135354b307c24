"""Simulated time, which passes only where zapz sleeps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from zapz.storage import clock, waiting
from zapz.testing.faults import nothing
from zapz.txn.objects import lease, session, settling, transaction, vacuum


@dataclass
class Clock:
    """A clock that moves only where zapz sleeps. It replaces the module ``time``."""

    now: float = 1_000_000.0
    """Seconds since the epoch, and of the monotonic clock."""
    slept: Callable[[float], None] = nothing
    """Called after each sleep, with its duration in seconds."""

    def monotonic(self) -> float:
        """Return the time in seconds."""
        return self.now

    def time(self) -> float:
        """Return the time in seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.slept(seconds)


TIMED = (transaction, settling, lease, session, vacuum, waiting)
"""Modules that read a clock."""


@contextlib.contextmanager
def simulated_time(at: Clock | None = None) -> Iterator[Clock]:
    """Give zapz, in this process, a clock that moves only where it sleeps, until the block ends.

    Leases are not renewed meanwhile.

    Args:
        at: The clock; a new one by default.
    """
    moving = at or Clock()
    changes: list[tuple[Any, str, Any]] = [(module, "time", moving) for module in TIMED]
    changes += [
        (clock, "now", moving.monotonic),
        (lease, "RENEWALS", 0),
        (settling, "_POLL", 1.1 * lease.LEASE),  # one sleep is enough to see a lease run out
    ]
    kept = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield moving
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
