"""Precautions on local storage that no other test would miss: each test fails if one of them, named in ``mutations``, is taken away.

Syncs, locks, decisions, what is not removed, and in which order. ``test_missing_remote_faults`` is about object services.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit import cubes
from kit.crash_states import State, become, look, recorded
from kit.objects import read_line, write_line
from kit.power_judge import Judge, states

import zapz
from zapz.errors import ConflictError, LockedError
from zapz.storage import clock as clocks
from zapz.storage import holder, waiting
from zapz.storage.layout import HEAD, decision_key
from zapz.storage.local import durability, lock, turn, turn_folders
from zapz.storage.local.durability import Syncer
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Holder
from zapz.storage.waiting import Wait
from zapz.txn import journal
from zapz.txn.local import recovery, transaction

SETTINGS: dict[str, Any] = {"workers": 1, "label_chunk": "keep"}


def values_of(target: Path) -> tuple[int, ...] | None:
    """Return what a reader sees."""
    return read_line({f"cube/{key}": data for key, (data, _) in look(target).items() if data is not None}, "cube")


class Lines:
    """A local target of five steps in chunks of four, and a slice that follows."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "cube.zarr"
        self.slice = write_line(folder / "slice.zarr", range(5, 11))
        zapz.append(self.target, write_line(folder / "start.zarr", range(5)), **SETTINGS)
        self.store = LocalStore(self.target)

    def append(self) -> None:
        """Append the slice."""
        zapz.append(self.target, self.slice, **SETTINGS)

    def values(self) -> tuple[int, ...] | None:
        """Return what a reader sees."""
        return values_of(self.target)

    def crashed(self, decided: bool) -> State:
        """Return the state just before, or just after, the decision, and leave the target as it was."""
        before = look(self.target)
        states = recorded(self.target, self.append)
        become(self.target, before)
        number = next(n for n, state in enumerate(states) if any(key.endswith("/decision") for key in state))
        return states[number if decided else number - 1]


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    return Lines(tmp_path)


def no_links(patch: pytest.MonkeyPatch) -> None:
    """Make a file system that cannot link."""

    def link(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links")

    patch.setattr(os, "link", link)


# -- durability --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "expected"), [(None, ["full"]), (errno.ENOTSUP, ["full", "fsync"])])
def test_full_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None, expected: list[str]) -> None:
    """On macOS ``fsync`` alone leaves data in the drive's cache."""
    calls: list[str] = []

    def full(*_: int) -> int:
        calls.append("full")
        if answer is not None:
            raise OSError(answer, "not here")
        return 0

    monkeypatch.setattr(durability, "_FULL_SYNC", 51)
    monkeypatch.setattr(fcntl, "fcntl", full)
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    durability.sync_path(str(tmp_path))
    assert calls == expected


def test_syncfs_of_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder below the target is on another device, ``syncfs`` would not reach it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a").write_text("a")
    synced: list[int] = []
    monkeypatch.setattr(durability, "_syncfs", lambda: lambda _: pytest.fail("syncfs"))
    monkeypatch.setattr(durability, "file_system", lambda _: "ext4")
    monkeypatch.setattr(durability, "_waiting", lambda: 0)
    monkeypatch.setattr(os, "fsync", synced.append)
    syncer = Syncer(str(tmp_path), durable=True, whole=True)
    syncer._devices = {"": 1, "other": 2}
    syncer.start()
    syncer.files(["other/a"])
    syncer.stop()
    assert len(synced) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
def test_syncfs_of_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 5.8 ``syncfs`` does not report that a write has failed."""
    found = []
    for release in ("5.7.19-x", "5.8.0", "6.1.0-rc1"):
        durability._syncfs.cache_clear()
        monkeypatch.setattr(os, "uname", lambda release=release: SimpleNamespace(sysname="Linux", release=release))
        found.append(durability._syncfs() is not None)
    durability._syncfs.cache_clear()
    assert found == [False, True, True]


@pytest.mark.parametrize("links", [True, False])
def test_decision_is_exclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    store = LocalStore(tmp_path)
    for name in ("commit", "abort"):
        store.create(name, [name.encode()])
    if not links:
        no_links(monkeypatch)
    assert store.publish("abort", "decision")
    assert not store.publish("commit", "decision")
    assert store.read("decision") == b"abort"
    assert store.read("commit") == b"commit"


def test_space_is_reserved(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without links, copies are made before the decision: after it, a full disk is no trouble any more."""
    no_links(monkeypatch)
    honest = os.open

    def full(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & os.O_CREAT and any((lines.target / ".zapz/txn").glob("*/decision")):
            raise OSError(errno.ENOSPC, "full")
        return honest(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", full)
    lines.append()
    assert lines.values() == tuple(range(11))


@pytest.mark.parametrize("name", ["misaligned-v2"])
def test_power_fails_in_recovery_from_an_unsynced_decision(name: str, tmp_path: Path) -> None:
    """The process was killed before the decision's name was synced: nothing may rest on it until it is."""
    judge = Judge(tmp_path)
    decided = next(
        n for n, op in enumerate(judge.story(name).ops) if op.kind == "link" and op.other.endswith("/decision")
    )
    rng = random.Random(f"{name} decision")
    story = judge.recovery(name, rng, killed=decided + 1)
    judge.all(story, itertools.islice(states(story, rng, 50), 50))


def test_copy_that_was_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without links, what lies beside a document is used only if it is whole."""
    store = LocalStore(tmp_path)
    store.create("txn/t/000001", [b"whole"])
    (tmp_path / ".t.000001").write_bytes(b"who")
    no_links(monkeypatch)
    store.install("txn/t/000001", "document")
    assert store.read("document") == b"whole"


# -- locks -------------------------------------------------------------------------------------------------------------


def test_lock_file_goes_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the file that is removed may be the one that somebody else has just locked."""
    held: list[bool] = []
    honest = os.unlink

    def unlink(path: Any, **options: Any) -> None:
        if os.fspath(path).endswith("/head"):
            other = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append(False)
            except BlockingIOError:
                held.append(True)
            os.close(other)
        honest(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    with LocalStore(tmp_path).hold(HEAD, Wait()):
        pass
    assert held == [True]


def test_lock_on_a_removed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the holder removes its file, and somebody else makes and locks another one."""
    honest, theirs = fcntl.flock, []

    def locked(descriptor: int, how: int) -> None:
        if not theirs:
            os.unlink(tmp_path / HEAD)
            theirs.append(os.open(tmp_path / HEAD, os.O_RDWR | os.O_CREAT))
            honest(theirs[0], fcntl.LOCK_EX)
        honest(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", locked)
    with pytest.raises(LockedError), LocalStore(tmp_path).hold(HEAD, Wait()):
        pass
    os.close(theirs[0])


def networked(patch: pytest.MonkeyPatch, clock: list[float]) -> None:
    """Make a file system that several machines may share, and a clock that moves when somebody sleeps."""

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    patch.setattr(lock, "is_networked", lambda _: True)
    patch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=sleep))
    patch.setattr(clocks, "now", lambda: clock[0])


@pytest.mark.parametrize("end", ["/000003", "way/1", "/commit"])
def test_lease_that_was_not_renewed(lines: Lines, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """After half a lease without a touch the owner stops by himself: nothing more is decided or removed."""
    clock = [1000.0]
    networked(monkeypatch, clock)
    honest, late = os.open, []

    def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        descriptor = honest(path, flags, *rest, **options)
        if not late and flags & os.O_CREAT and os.fspath(path).endswith(end):
            late.append(path)
            clock[0] += turn.LEASE / 2 + 1
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(ConflictError, match="lock"):
        lines.append()
    assert late
    assert lines.values() == tuple(range(5))


WHO = {
    "itself": ("m s p", True, False),
    "a process that has ended": ("m s p", False, True),
    "on a machine of another image": ("n s p", False, True),
    "before the machine was started anew, or of its clone": ("m t p", False, False),
    "of a machine that does not say when it was started": ("m - p", False, False),
    "of another container": ("m s q", False, False),
    "of a container that does not say which": ("m s -", False, False),
}
"""Boot, whether the process number is one of a living process; whether it is certainly dead."""


@pytest.mark.parametrize("name", WHO)
def test_who_is_dead(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "_boot", lambda: "m s p")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    boot, lives, dead = WHO[name]
    held = Holder(host="any", boot=boot, process=os.getpid() if lives else ended.pid, since="")
    assert holder.is_dead(held) == dead


def test_who_is_dead_where_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then two machines look the same."""
    monkeypatch.setattr(holder, "_boot", lambda: "- - -")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not holder.is_dead(Holder(host=os.uname().nodename, boot="- - -", process=ended.pid, since=""))


def test_process_number_that_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that began at another time is another one; where that is not known, it may be the same."""
    mine = holder.me()
    ticks, _, clock = mine.started.partition(" ")
    assert ticks.isdecimal()
    assert not holder.is_dead(mine)
    assert holder.is_dead(replace(mine, started=f"1 {clock}"))
    assert not holder.is_dead(replace(mine, started="1 time:[1]"))
    assert not holder.is_dead(replace(mine, started="-"))
    monkeypatch.setattr(holder, "started", lambda _: "-")
    assert not holder.is_dead(mine)


# -- local transactions ------------------------------------------------------------------------------------------------


def test_somebody_else_decides(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    before = look(lines.target)

    def decided(store: LocalStore, intent: journal.Intent) -> list[str]:
        store.create(decision_key(intent.id), [journal.decision(intent.id, "abort")])
        return []

    monkeypatch.setattr(transaction, "changed_documents", decided)
    with pytest.raises(ConflictError, match="another process aborted this transaction"):
        lines.append()
    assert look(lines.target) == before


def test_replacement_that_is_not_written(lines: Lines) -> None:
    """A fault of ours must not become a commit that cannot be applied."""
    plan = zapz.plan(lines.target, lines.slice, **SETTINGS)
    store = lines.store
    before = look(lines.target)
    with store.hold(HEAD, Wait()):
        with pytest.raises(AssertionError), transaction.begin(store, plan, "t"):
            pass
        store.remove_folder(recovery.TRANSACTIONS)
    assert look(lines.target) == before


def test_folders_that_were_there(tmp_path: Path) -> None:
    """An empty folder where chunks would go is somebody's: rolling back leaves it, and removes those that it made."""
    target = tmp_path / "cube.zarr"
    for number in range(2):
        cubes.make_slice(tmp_path / f"{number}", start=number * 3, chunks=(1, 4, 6), static=False, zarr_format=3)
    zapz.append(target, tmp_path / "0", **SETTINGS)
    (target / "data" / "c" / "3").mkdir()
    (tmp_path / "1" / "data" / "c" / "2" / "0" / "0").write_bytes(b"short")
    before = look(target)
    with pytest.raises(zapz.ChunkError):
        zapz.append(target, tmp_path / "1", **SETTINGS)
    assert look(target) == before


def test_folder_with_a_file_of_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the append has made is removed only if nothing else has been put there."""
    target = tmp_path / "cube.zarr"
    for number in range(2):
        cubes.make_slice(tmp_path / f"{number}", start=number * 3, chunks=(1, 4, 6), static=False, zarr_format=3)
    zapz.append(target, tmp_path / "0", **SETTINGS)
    before = look(target)

    def meanwhile(*_: int) -> None:
        (target / "data" / "c" / "3" / "note.txt").write_text("precious")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zapz.append(target, tmp_path / "1", on_progress=meanwhile, **SETTINGS)
    assert look(target) == {**before, "data/c/3": (None, 0), "data/c/3/note.txt": (b"precious", 0)}


def test_missing_chunk_over_a_stale_one(tmp_path: Path) -> None:
    target, late = tmp_path / "cube.zarr", write_line(tmp_path / "late.zarr", range(4))
    zapz.append(target, write_line(tmp_path / "start.zarr", range(4)), **SETTINGS)
    (target / "x" / "1").write_bytes(b"\7" * 16)
    (late / "x" / "0").unlink()
    zapz.append(target, late, **SETTINGS)
    assert values_of(target) == (0, 1, 2, 3, -1, -1, -1, -1)


def test_undo_finds_a_decision(lines: Lines) -> None:
    """Whoever undoes, and finds it decided meanwhile, finishes."""
    become(lines.target, lines.crashed(decided=True))
    (name,) = recovery.pending(lines.store)
    intent = recovery.read_intent(lines.store, name)
    assert intent is not None
    recovery.undo(lines.store, intent)
    assert lines.values() == tuple(range(11))


def test_order_of_documents(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boundary chunks become visible first, then arrays, then consolidated metadata."""
    replaced: list[str] = []
    honest = os.replace

    def replace(a: Any, b: Any) -> None:
        replaced.append(os.path.relpath(b, lines.target))
        honest(a, b)

    monkeypatch.setattr(os, "replace", replace)
    lines.append()
    assert replaced == ["x/1", "x/.zarray", ".zmetadata"]


def test_journal_goes_first(lines: Lines) -> None:
    """A journal without its decision would be undone, or would stand in the way of another tool's next append."""
    found = [{key.rpartition("/")[2] for key in state} for state in recorded(lines.target, lines.append)]
    decided = next(n for n, names in enumerate(found) if "decision" in names)
    assert all("decision" in names for names in found[decided:] if "journal" in names)
    assert any("journal" not in names for names in found[decided:] if "decision" in names)


@pytest.mark.parametrize("decided", [False, True])
def test_recovery_says_what_it_did(lines: Lines, decided: bool) -> None:
    """And it decides against what it undoes before it removes anything."""
    become(lines.target, lines.crashed(decided=decided))
    done: list[zapz.Recovery] = []
    found = recorded(lines.target, lambda: done.append(zapz.recover(lines.target)))
    assert (len(done[0].rolled_forward), len(done[0].rolled_back)) == ((1, 0) if decided else (0, 1))
    after = [state for state in found if any(key.endswith("/decision") for key in state)]
    assert (b"abort" in b"".join(data or b"" for data, _ in after[0].values())) != decided
    assert "x/2" in after[0]


@pytest.mark.parametrize("decided", [False, True])
def test_nothing_happens_before_the_lock(lines: Lines, decided: bool) -> None:
    """Somebody is in the middle of an append: nobody else touches anything."""
    become(lines.target, lines.crashed(decided=decided))
    other = LocalStore(lines.target)
    with other.hold(HEAD, Wait()):
        before = look(lines.target)
        with pytest.raises(LockedError):
            lines.append()
        with pytest.raises(LockedError):
            zapz.recover(lines.target)
        assert look(lines.target) == before


def test_journal_elsewhere(lines: Lines) -> None:
    """With the other setting, the lock would be another one too."""
    become(lines.target, lines.crashed(decided=False))
    before = look(lines.target.parent)
    for run in (zapz.append, zapz.plan):
        with pytest.raises(ConflictError, match="where another setting puts it"):
            run(lines.target, lines.slice, journal="beside", **SETTINGS)
        assert look(lines.target.parent) == before


def test_undo_with_a_lock_that_is_lost(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the lock now decides what becomes of the append: no ballot, no decision, nothing removed."""
    become(lines.target, lines.crashed(decided=False))
    store = LocalStore(lines.target)
    (name,) = recovery.pending(store)
    intent = recovery.read_intent(store, name)
    assert intent is not None
    before = look(lines.target)

    def lost() -> None:
        raise ConflictError("the lock may be another process's by now")

    monkeypatch.setattr(store, "check_lock", lost)
    with pytest.raises(ConflictError, match="lock"):
        recovery.undo(store, intent)
    assert look(lines.target) == before


def test_turn_that_changed_hands_before_it_was_ended(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a dead process's turn and its end, a living one began another: that one keeps it."""
    clock = [1000.0]
    networked(monkeypatch, clock)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    told = {**holder.describe_me(), "lease": turn.LEASE, "started": "-"}
    turns = lines.target / HEAD / "turn"

    def begin(name: str, process: int) -> None:
        (turns / name).mkdir(parents=True)
        (turns / name / "owner").write_text(json.dumps({**told, "process": process}))

    begin("dead", dead.pid)
    honest, ended = turn_folders.end, []

    def end(path: str, token: str) -> None:
        if not ended:
            ended.append(token)
            honest(path, token)
            begin("fresh", os.getppid())
        honest(path, token)

    monkeypatch.setattr(turn_folders, "end", end)
    with pytest.raises(LockedError, match=str(os.getppid())):
        lines.append()
    assert ended == ["dead"]
    assert [path.name for path in turns.iterdir()] == ["fresh"]
