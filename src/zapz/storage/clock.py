"""A clock for leases: like the clocks of other machines, it continues during a suspension."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""On Linux the monotonic clock stops during a suspension, and the boot clock does not. On other
systems the monotonic clock continues."""


def now() -> float:
    """Return the seconds since an arbitrary fixed moment."""
    return time.clock_gettime(_CLOCK)
