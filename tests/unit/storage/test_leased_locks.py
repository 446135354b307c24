"""Locks where ``flock`` is missing or not to be relied on: a linked file with a lease."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.trees import tree

import zapz
from zapz.cli.demo import write_slice
from zapz.errors import ConflictError, FormatError, LockedError
from zapz.operations.target_state import TargetReader
from zapz.storage.holder import describe_me
from zapz.storage.layout import HEAD
from zapz.storage.local import lease_lock, turn, turn_folders
from zapz.storage.local import lock as locks
from zapz.storage.open import open_store
from zapz.storage.waiting import Wait

LEASE = 0.6
ELSEWHERE = {"host": "elsewhere", "boot": "- - -", "process": 1, "since": "2026-11-21T00:00:00+00:00"}


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "LEASE", LEASE)
    monkeypatch.setattr(lease_lock, "_POLL", 0.02)


@pytest.fixture(params=["a network's file system", "no flock"])
def without_flock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two reasons for the other kind of lock."""
    if request.param == "no flock":

        def refuse(descriptor: int, operation: int) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
    else:
        monkeypatch.setattr(locks, "file_system", lambda folder: "nfs4")


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"{day}.zarr" for day in range(3)]
    for day, path in enumerate(made):
        write_slice(path, day)
    return made


def other_holds(target: Path, content: dict[str, object]) -> Path:
    """Let somebody else hold a target's lock: with a lease, or, without one, with ``flock`` on a machine that has it."""
    lock = target / HEAD
    owner = lock / "turn" / "theirs" / "owner" if "lease" in content else lock
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps(content))
    return lock


def test_append_and_nothing_remains(without_flock: None, days: list[Path], tmp_path: Path) -> None:
    zapz.append(tmp_path / "a.zarr", days)
    assert not (tmp_path / "a.zarr" / ".zapz").exists()
    with pytest.MonkeyPatch.context() as honest:
        honest.undo()
        zapz.append(tmp_path / "b.zarr", days)
    assert tree(tmp_path / "a.zarr") == tree(tmp_path / "b.zarr")


def test_one_at_a_time(without_flock: None, days: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    with open_store(target).hold(HEAD, Wait()), pytest.raises(LockedError, match=str(os.getpid())):
        zapz.append(target, days[1])
    assert zapz.append(target, days[1]).appended == 1


def test_waiting_for_its_end(without_flock: None, days: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    began = threading.Event()

    def hold() -> None:
        with open_store(target).hold(HEAD, Wait()):
            began.set()
            time.sleep(3 * LEASE)  # it is touched all the while, so nobody may take over

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait()
    started = time.monotonic()
    assert zapz.append(target, days[1], lock_wait=20).appended == 1
    assert time.monotonic() - started > 2 * LEASE
    thread.join()


def test_a_lease_that_runs_out_is_taken_over(without_flock: None, days: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    other_holds(target, ELSEWHERE | {"lease": LEASE})
    with pytest.raises(LockedError, match="elsewhere"):
        zapz.append(target, days[1])
    assert zapz.append(target, days[1], lock_wait=3 * LEASE).appended == 1
    assert not (target / ".zapz").exists()


def test_a_dead_process_of_this_machine_is_taken_over_at_once(
    without_flock: None, days: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    other_holds(target, {**describe_me(), "process": child, "lease": 1e9})
    assert zapz.append(target, days[1]).appended == 1


def test_a_lock_without_lease_is_never_taken_over(without_flock: None, days: list[Path], tmp_path: Path) -> None:
    """The server of a network's file system may hold it with ``flock``, which cannot be seen from here."""
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    other_holds(target, ELSEWHERE)
    with pytest.raises(LockedError, match="elsewhere"):
        zapz.append(target, days[1], lock_wait=2 * LEASE)


def test_flock_leaves_a_leased_lock_alone(days: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    lock = other_holds(target, ELSEWHERE | {"lease": LEASE})
    with pytest.raises(LockedError, match="elsewhere"):
        zapz.append(target, days[1], lock_wait=0.1)
    found = zapz.info(target).lock
    assert found is not None
    assert found.host == "elsewhere"
    shutil.rmtree(lock)
    assert zapz.append(target, days[1]).appended == 1


def test_a_lock_that_becomes_a_turn_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on a mount: who looked then ended with an error of Python's."""
    target = tmp_path / "cube.zarr"
    target.mkdir()
    lock = other_holds(target, ELSEWHERE | {"lease": LEASE})
    answers = [False]
    monkeypatch.setattr(locks, "is_folder", lambda path: answers.pop() if answers else os.path.isdir(path))
    found = locks.holder(str(target / HEAD))
    assert found is not None
    assert found.host == "elsewhere"
    shutil.rmtree(lock)
    assert locks.holder(str(target / HEAD)) is None


def lose_the_lock(target: Path) -> None:
    """Somebody else takes the lock over."""
    (mine,) = (target / HEAD / "turn").iterdir()
    turn_folders.end(str(target / HEAD), mine.name)


def stall(target: Path) -> None:
    """Nothing is heard of the file system for a while."""
    time.sleep(LEASE)


@pytest.mark.parametrize("trouble", [lose_the_lock, stall])
def test_who_lost_the_lock_stops(
    trouble: Callable[[Path], None],
    without_flock: None,
    days: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])
    before = zapz.info(target).dims
    if trouble is stall:
        monkeypatch.setattr(turn, "TOUCHES", 0.1)
    done: list[bool] = []
    store = open_store(target)
    honest = type(store).create

    def late(self: object, key: str, parts: object, *rest: object) -> object:
        if not done and key.startswith("sst/"):
            done.append(True)
            trouble(target)
            time.sleep(LEASE / 2)
        return honest(self, key, parts, *rest)

    monkeypatch.setattr(type(store), "create", late)
    with pytest.raises(ConflictError, match="aborted: this process may have lost its lock"):
        zapz.append(target, days[1], workers=1)
    assert zapz.info(target).dims == before


def test_no_links(without_flock: None, days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then exclusive creation decides."""

    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    zapz.append(tmp_path / "cube.zarr", days[0])
    monkeypatch.setattr(os, "link", refuse)
    zapz.append(tmp_path / "cube.zarr", days[1])
    with open_store(tmp_path / "cube.zarr").hold(HEAD, Wait()), pytest.raises(LockedError):
        zapz.append(tmp_path / "cube.zarr", days[2])
    assert not (tmp_path / "cube.zarr" / ".zapz").exists()


def test_touching_ends(without_flock: None, days: list[Path], tmp_path: Path) -> None:
    """No thread is left behind, and nothing touches what is no longer ours."""
    before = set(threading.enumerate())
    zapz.append(tmp_path / "cube.zarr", days[0])
    assert set(threading.enumerate()) <= before


def test_what_is_read_once_the_lock_is_lost_proves_nothing(
    without_flock: None, days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a mixture, which is nobody's fault."""
    target = tmp_path / "cube.zarr"
    zapz.append(target, days[0])

    def mixture(*_args: object) -> None:
        lose_the_lock(target)
        raise FormatError("the target's variables differ in length")

    monkeypatch.setattr(TargetReader, "look", mixture)
    with pytest.raises(ConflictError, match="aborted: this process may have lost its lock"):
        zapz.append(target, days[1])
