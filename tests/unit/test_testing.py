"""``zapz.testing``: what it offers to those who embed zapz does what its page says."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zapz
from zapz import testing
from zapz.storage import clock
from zapz.txn.objects import lease, settling

DAYS: list[Any] = [{"time": (("time",), np.array([day], "M8[D]")), "v": (("time", "x"), np.full((1, 4), float(n)))} for n, day in enumerate(("2024-06-01", "2024-06-02"))]  # fmt: skip
ROOT = "bucket/cube"


@pytest.fixture
def service() -> testing.ObjectService:
    """Give a service with a target of one day."""
    made = testing.ObjectService()
    zapz.append(made.store(ROOT), DAYS[0])
    made.log.clear()
    return made


def append(service: testing.ObjectService, **settings: Any) -> zapz.Report:
    return zapz.append(service.store(ROOT), DAYS[1], **settings)


def days(service: testing.ObjectService) -> int:
    return zapz.info(service.store(ROOT)).dims["time"]


def test_requests_are_counted_and_logged(service: testing.ObjectService) -> None:
    made = service.requests(lambda: append(service))
    assert made == len(service.log)
    assert made > sum(request.changes for request in service.log) > 3
    assert {request.kind for request in service.log} >= {"get", "list", "put_new", "put_over"}
    service.log.clear()
    append(service)
    assert not any(request.changes for request in service.log)


def writes_a_chunk(service: testing.ObjectService) -> int:
    """Return which request of an append writes the first chunk; nothing stays of it."""
    before = service.snapshot()
    service.log.clear()
    append(service)
    service.restore(before)
    return next(n for n, request in enumerate(service.log) if request.changes and "/v/" in request.path)


def test_a_refused_request_is_not_carried_out(service: testing.ObjectService) -> None:
    number = writes_a_chunk(service)
    with service.failing(number, "refused"), pytest.raises(zapz.StoreError, match="400"):
        append(service)
    assert days(service) == 1
    append(service)
    assert days(service) == 2


def test_a_lost_answer_belongs_to_a_request_that_was_carried_out(service: testing.ObjectService) -> None:
    with service.failing(0, "lost"), contextlib.suppress(zapz.StoreError):
        service.store(ROOT).write("x", [b"1"])
    assert service.objects[f"{ROOT}/x"] == b"1"


def test_nothing_that_a_dead_process_does_has_any_effect(service: testing.ObjectService) -> None:
    store = service.store(ROOT)
    store.write("x", [b"1"])
    with service.failing(0, "died"):
        for _ in range(2):
            with pytest.raises(testing.Died):
                store.write("x", [b"2"])
    assert service.objects[f"{ROOT}/x"] == b"1"
    store.write("x", [b"3"])
    assert service.objects[f"{ROOT}/x"] == b"3"


def test_a_lease_runs_out_in_no_time(service: testing.ObjectService) -> None:
    started = time.monotonic()
    with testing.simulated_time() as moving:
        began, chunk = moving.now, writes_a_chunk(service)
        with service.failing(chunk, "died"), pytest.raises(testing.Died):
            append(service)
        with pytest.raises(zapz.LockedError):
            append(service)
        report = zapz.recover(service.store(ROOT))
        assert not report.clean
        assert moving.now - began > lease.LEASE
    assert time.monotonic() - started < lease.LEASE / 2
    assert days(service) == 1


def test_time_is_what_it_was_afterwards() -> None:
    before = [clock.now, lease.RENEWALS, settling._POLL, *(module.time for module in testing.TIMED)]
    with testing.simulated_time(), testing.simulated_time(testing.Clock(5.0)) as inner:
        assert clock.now() == inner.time() == 5.0
        settling.time.sleep(2)
        assert inner.monotonic() == 7.0
    assert [clock.now, lease.RENEWALS, settling._POLL, *(module.time for module in testing.TIMED)] == before


def test_rights_and_tags(service: testing.ObjectService) -> None:
    service.denied = {"put_new", "put_over", "put"}
    with pytest.raises(zapz.StoreError) as caught:
        append(service)
    assert caught.value.denied
    service.denied = set()
    assert service.overwrite("a", b"1") != service.overwrite("a", b"1")
    same = testing.ObjectService(unique_tags=False)
    assert same.overwrite("a", b"1") == same.overwrite("b", b"1")


@pytest.mark.parametrize("fault", testing.FAULTS)
def test_files_fail_as_requests_do(fault: testing.Fault, tmp_path: Path) -> None:
    """At every operation of an append: the day is there, or it is not; and the next append finds its way."""
    target, before = tmp_path / "cube.zarr", tmp_path / "before.zarr"
    zapz.append(target, DAYS[0], workers=1)
    shutil.copytree(target, before)
    count = testing.file_operations(target, lambda: zapz.append(target, DAYS[1], workers=1))
    assert count > 40
    for number in range(0, count, 3):
        shutil.rmtree(target)
        shutil.copytree(before, target)
        with testing.failing_files(target, number, fault), contextlib.suppress(zapz.ZapzError, testing.Died):
            zapz.append(target, DAYS[1], workers=1)
        assert zapz.append(target, DAYS[1], workers=1).length == 2, number
        assert not (target / ".zapz").exists()


def test_a_dead_process_changes_no_file(tmp_path: Path) -> None:
    with testing.failing_files(tmp_path, 0, "died"):
        for _ in range(2):
            with pytest.raises(testing.Died):
                os.mkdir(tmp_path / "a")
        os.mkdir(tmp_path.with_name("elsewhere"))
    assert list(tmp_path.iterdir()) == []
    with testing.failing_files(tmp_path, 0, "lost", errno.ENOSPC), pytest.raises(OSError, match="space"):
        os.mkdir(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with testing.failing_files(tmp_path, 0, "refused"), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        os.mkdir(tmp_path / "c")
    assert not (tmp_path / "c").exists()
