"""Threads that need one value of a ``SharedCache`` at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from zapz.sources.shared_cache import SharedCache

PATIENCE = 20.0
"""Seconds until a test that waits for something gives up."""
THREADS = 16


def at_once(call: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """Return what each of several threads gets that begin together: a value, or the error."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        start.wait(PATIENCE)
        try:
            return call(number)
        except BaseException as error:  # noqa: BLE001 - interrupts, too, are looked at
            return error

    with ThreadPoolExecutor(count) as pool:
        return [each.result(PATIENCE) for each in [pool.submit(run, number) for number in range(count)]]


def wait_for_others(cache: SharedCache, others: int = THREADS - 1) -> None:
    """Wait until so many threads wait for values that are being made."""
    until = time.monotonic() + PATIENCE
    while (found := _waiting(cache)) < others:
        assert time.monotonic() < until, f"{found} of {others} wait"
        time.sleep(0.001)


def _waiting(cache: SharedCache) -> int:
    return sum(len(making.over._cond._waiters) for making in list(cache._making.values()))  # type: ignore[attr-defined]
