"""Threads that answer requests."""

from __future__ import annotations

import sys
import threading
import weakref

import pytest
from kit.wire import PATIENCE, eventually

from zapz.server.pool import DaemonPool


class Result:
    pass


def test_results_and_errors() -> None:
    pool = DaemonPool(2)
    assert pool.submit(lambda: 7).result(PATIENCE) == 7
    failed = pool.submit(sys.exit)
    with pytest.raises(SystemExit):
        failed.result(PATIENCE)
    pool.close()


def test_a_thread_that_waits_keeps_no_result() -> None:
    pool = DaemonPool(1)
    result = Result()
    future = pool.submit(lambda result=result: result)
    assert future.result(PATIENCE) is result
    known = weakref.ref(result)
    del result, future
    eventually(lambda: known() is None)
    pool.close()


def test_threads_are_started_when_they_are_needed() -> None:
    pool = DaemonPool(2)
    before = set(threading.enumerate())
    for _ in range(5):
        pool.submit(lambda: None).result(PATIENCE)
        eventually(lambda: pool._idle == 1)
    assert len(set(threading.enumerate()) - before) == 1
    event = threading.Event()
    futures = [pool.submit(lambda: event.wait(PATIENCE)) for _ in range(5)]
    assert len(set(threading.enumerate()) - before) == 2
    assert futures[-1].cancel()
    event.set()
    assert all(future.result(PATIENCE) for future in futures[:-1])
    pool.close()
    eventually(lambda: set(threading.enumerate()) <= before)


def test_the_system_has_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads do the task; if there are none, it is refused and not done later."""
    pool = DaemonPool(2)
    start = threading.Thread.start
    fails = True

    def starts(thread: threading.Thread) -> None:
        if fails:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starts)
    done: list[int] = []
    with pytest.raises(RuntimeError):
        pool.submit(lambda: done.append(1))
    fails = False
    event = threading.Event()
    first = pool.submit(lambda: event.wait(PATIENCE))
    fails = True
    second = pool.submit(lambda: done.append(2))
    event.set()
    assert first.result(PATIENCE)
    second.result(PATIENCE)
    assert done == [2]
    pool.close()
