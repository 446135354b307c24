"""Whatever is waited for, the caller can end the wait, and so can a signal that is held back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kit.small_days import LONG, day, locked

import zapz
from zapz import interrupts
from zapz.storage import waiting
from zapz.storage.local import lock
from zapz.storage.local.store import LocalStore
from zapz.storage.objects import lock as object_lock
from zapz.storage.waiting import Wait

SOON = 0.3
"""Seconds after which a wait is cancelled."""


@contextmanager
def cancelled_soon() -> Iterator[threading.Event]:
    """Give what is set a little later."""
    event = threading.Event()
    timer = threading.Timer(SOON, event.set)
    timer.start()
    yield event
    timer.cancel()


def place(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return where a target is."""
    if kind == "a lease":
        monkeypatch.setattr(lock, "is_networked", lambda _: True)
    return f"memory://{tmp_path.name}/cube.zarr" if kind == "objects" else str(tmp_path / "cube.zarr")


@pytest.mark.parametrize("kind", ["flock", "a lease", "objects"])
def test_waiting_for_the_lock_is_cancelled(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = place(kind, tmp_path, monkeypatch)
    zapz.append(target, [day(0)])
    with locked(target):
        started = time.monotonic()
        with cancelled_soon() as cancel, pytest.raises(zapz.CancelledError, match=r"cube\.zarr"):
            zapz.append(target, [day(2)], lock_wait=LONG, cancel=cancel)
        assert SOON / 2 < time.monotonic() - started < 5
    assert zapz.append(target, [day(2)]).length == 3


@pytest.mark.parametrize("kind", ["flock", "a lease", "objects"])
def test_a_lock_that_becomes_free_is_taken(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = place(kind, tmp_path, monkeypatch)
    zapz.append(target, [day(0)])
    with locked(target):
        later = threading.Thread(
            target=zapz.append, args=(target, [day(2)]), kwargs={"lock_wait": LONG, "cancel": threading.Event()}
        )
        later.start()
        time.sleep(SOON)
        assert later.is_alive()
    later.join()
    assert zapz.info(target).dims["time"] == 3


def test_waiting_for_a_lock_object_is_cancelled(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    holder = {"host": "elsewhere", "boot": "- - -", "process": 1, "since": "2026-11-21T00:00:00+00:00"}
    store.create("lock", [json.dumps(holder).encode()])
    with (
        cancelled_soon() as cancel,
        pytest.raises(zapz.CancelledError),
        object_lock.hold(store, "lock", Wait(LONG, cancel.is_set)),
    ):
        pass
    assert store.size("lock") is not None


def test_waiting_for_a_slice_is_cancelled(tmp_path: Path) -> None:
    started = time.monotonic()
    with cancelled_soon() as cancel, pytest.raises(zapz.CancelledError, match=r"later\.zarr"):
        zapz.append(
            tmp_path / "cube.zarr",
            tmp_path / "later.zarr",
            slice_polling={"interval": 0.05, "timeout": LONG},
            cancel=cancel,
        )
    assert time.monotonic() - started < 5
    assert not (tmp_path / "cube.zarr").exists()


def test_a_signal_that_is_held_back_ends_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts._state, "held", 15)
    with pytest.raises(interrupts.Stopped):
        Wait(LONG).begin("here").pause(LONG)


def test_how_long_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No longer than was asked for, and in one go if nobody can cancel it."""
    pauses: list[float] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return sum(pauses)

        @staticmethod
        def sleep(seconds: float) -> None:
            pauses.append(seconds)

    monkeypatch.setattr(waiting, "time", Clock)
    deadline = Wait(2.0).at_least(1.0).begin("here")
    assert deadline.left == 2.0
    deadline.pause(1.5)
    assert pauses == [1.5]
    assert not deadline.is_over()
    deadline.pause(1.5)
    assert deadline.is_over()
    assert deadline.left == 0.0
    pauses.clear()
    Wait(0.0, lambda: False).begin("here").pause(1.0)
    assert sum(pauses) == pytest.approx(1.0)
    assert max(pauses) <= 0.1 + 1e-9
