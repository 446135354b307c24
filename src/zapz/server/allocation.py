"""How memory of a server is allocated: what large bodies needed is given back."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_TRIM, _MMAP, _ARENAS = -1, -3, -8
"""Numbers of the options M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX in ``malloc.h``."""
_LARGE = 1 << 19
"""Size from which memory comes from the system, and goes back to it, in bytes."""
_SPARE = 1 << 23
"""Free memory that is kept, in bytes."""


_YOUNG = 5_000
"""Number of new objects after which the garbage collector searches for cycles. The command line
raises it, for programs that end soon."""


def keep_memory_small() -> None:
    """Let glibc's ``malloc`` give memory of large bodies back; do nothing elsewhere.

    By default each thread has an arena of its own, and glibc keeps more and more free memory after
    large blocks were freed. Then the memory of a server under load grows for a long time. Python's
    lock lets only one thread allocate at a time, so that two arenas are enough.
    """
    gc.collect()
    gc.freeze()  # modules stay; the collector need not look through them again
    gc.set_threshold(_YOUNG, 10, 10)
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        options = ctypes.CDLL(None).mallopt
        for option, value in ((_ARENAS, 2), (_MMAP, _LARGE), (_TRIM, _SPARE)):
            options(option, value)
