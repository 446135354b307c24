"""``force_new`` among others: writers that wait, tools that know of no lock, readers, signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zarr
from kit import cubes
from kit.crash_states import change_a_document, look, tree_of
from kit.faulty_runs import SOURCE
from kit.lock_holders import held
from kit.replaced_cubes import NEXT, OLD, Place
from kit.trees import differ, tree

import zapz
from zapz.errors import ConflictError, LockedError
from zapz.storage.local import exchange


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give a target of four steps, and two slices for another one."""
    return Place(tmp_path)


@contextmanager
def before_the_exchange(do: Callable[[], Any]) -> Iterator[None]:
    """Do something right before the folders are exchanged (the second time; the first one is the trial)."""
    real, calls = exchange.swap, [0]

    def swap(a: str, b: str) -> None:
        calls[0] += 1
        if calls[0] == 2:
            do()
        real(a, b)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "swap", swap)
        yield


def test_live_writer(place: Place) -> None:
    with held(place.target) as process:
        was = tree(place.around)
        with pytest.raises(LockedError, match=f"process {process.pid}"):
            place.renew()
        assert differ(tree(place.around), was) == ""


def test_writer_that_waits_goes_on_with_the_new_target(place: Place) -> None:
    """At no moment can it take the old target's lock, or the new one's; then it appends to the new one."""
    waiting: list[subprocess.Popen[bytes]] = []
    code = "import sys, zapz; zapz.append(sys.argv[1], sys.argv[2], lock_wait=60)"

    def start() -> None:
        arguments = [sys.executable, "-c", code, str(place.target), str(place.slices[1])]
        waiting.append(subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": SOURCE}))
        time.sleep(1.5)
        assert waiting[0].poll() is None
        with pytest.raises(LockedError):
            zapz.append(place.around / NEXT, place.slices[1])

    with before_the_exchange(start):
        place.renew(place.slices[0])
    assert waiting[0].wait(60) == 0
    cubes.same(cubes.read(place.target), cubes.joined(place.values, cubes.axes_of(nested=True)))
    assert place.names() == ["cube.zarr"]


def test_signal_right_after_the_exchange(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old target is removed first."""
    expected = place.fresh(1)
    real = exchange.Successor.take_place

    def take_place(self: exchange.Successor) -> None:
        real(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(exchange.Successor, "take_place", take_place)
    with pytest.raises(KeyboardInterrupt):
        place.renew()
    assert differ(tree_of(look(place.around)), expected) == ""


def test_cancelled(place: Place) -> None:
    stop = threading.Event()
    with pytest.raises(zapz.CancelledError):
        place.renew(on_progress=lambda *_: stop.set(), cancel=stop)
    assert place.untouched() == ""


def test_lock_is_held_until_the_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever name it is asked by, before the exchange and while the old target is removed: nobody else gets it."""
    asked: list[str] = []
    real = os.rmdir

    def rmdir(path: Any, **options: Any) -> None:
        if NEXT in str(path):
            for name in ("cube.zarr", NEXT):
                head = place.around / name / ".zapz/head"
                if head.exists():
                    with pytest.raises(LockedError):
                        zapz.append(place.around / name, place.slices[0])
                    asked.append(name)
        real(path, **options)

    monkeypatch.setattr(os, "rmdir", rmdir)
    place.renew()
    assert set(asked) == {"cube.zarr", NEXT}


def test_another_tool_writes_meanwhile(place: Place) -> None:
    """What it wrote stays, and the old target with it."""

    def interfere(*_: Any) -> None:
        change_a_document(place.target, "data/.zattrs")

    with pytest.raises(ConflictError, match="another program changed the target"):
        zapz.append(place.target, place.slices, force_new=True, on_progress=interfere)
    assert place.untouched() == "other: cube.zarr/data/.zattrs"


def test_another_tool_writes_at_the_last_moment(place: Place) -> None:
    """After the last look: the old target is replaced, but all of it is kept."""
    with before_the_exchange(lambda: change_a_document(place.target, "data/.zattrs")):
        report = place.renew()
    kept = next(place.around.glob("cube.zarr.kept-*"))
    assert str(kept) in report.notes[0]
    theirs = tree(kept)
    assert json.loads(theirs.pop("data/.zattrs"))["theirs"] == "precious"
    was = {k.partition("/")[2] or ".": v for k, v in tree_of(place.before).items() if k.startswith("cube.zarr")}
    assert differ(theirs, {k: v for k, v in was.items() if k != "data/.zattrs"}) == ""


def test_readers_see_the_old_target_or_the_new_one(tmp_path: Path) -> None:
    """A reader that opens it again and again, consolidated, never finds it missing, or a mixture."""
    place = Place(tmp_path, old={**OLD, "zarr_format": 3})
    stop, seen, wrong = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            try:
                with cubes.quiet():
                    group = zarr.open_consolidated(str(place.target), mode="r")
                seen.add(tuple(sorted((name, member.shape) for name, member in group.arrays())))
            except Exception as error:  # noqa: BLE001 - whatever it is, a reader would see it
                wrong.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(15):
            place.renew(place.slices[0])
            zapz.append(place.target, place.old, force_new=True, label_chunk="keep")
    finally:
        stop.set()
        reader.join()
    old = (("data", (4, 2)), ("time", (4,)))
    new = (("data", (2, 3, 2)), ("time", (2,)))
    assert not wrong
    assert seen == {old, new}
