"""A clock for leases: it goes on while the machine is suspended, as everybody else's does."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands still in suspension, its boot clock does not; elsewhere the
monotonic one does not either."""


def now() -> float:
    """Return seconds since some moment."""
    return time.clock_gettime(_CLOCK)
