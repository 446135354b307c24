"""Writers that stand still at an operation while others take their turn, and then go on: what they do then must not land.

The real code on a folder that counts as a network's: each writer runs in a thread that stops before an operation of its choice. A lease
counts as run out at once, and nobody stops of his own accord, which is harsher than what may happen. ``test_lock_model`` goes through the
moments within an operation.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from kit import cubes
from kit.crash_states import become, look, report
from kit.volumes import amount, volume

import zapz
from zapz.storage import clock
from zapz.storage.local import lease_lock, lock, rights, turn
from zapz.testing import CHANGES, watched_files

LEASE = 0.02
DAMAGED, RECOVERS = 0, -1


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "file_system", lambda _folder: "nfs4")
    monkeypatch.setattr(lease_lock, "_POLL", 0.004)
    monkeypatch.setattr(turn, "LEASE", LEASE)
    monkeypatch.setattr(turn, "TOUCHES", 1e-4)
    monkeypatch.setattr(clock, "now", lambda: 0.0)


@dataclass
class Writer:
    """One that appends in a thread of its own."""

    number: int
    """Value and label of its slice."""
    run: Callable[[], Any]
    pauses: list[int]
    """Numbers of the operations before which it stops."""
    count: int = 0
    ended: str = ""
    """How it ended."""
    going: threading.Event = field(default_factory=threading.Event)
    still: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def go(self) -> None:
        """Let it go on, until it stops or ends."""
        self.still.clear()
        self.going.set()
        if self.thread is None:
            self.thread = threading.Thread(target=self._all, daemon=True)
            self.thread.start()
        assert self.still.wait(30), "a writer hangs"

    def _all(self) -> None:
        _here.writer = self
        try:
            self.run()
            self.ended = "OK"
        except zapz.ZapzError as error:
            self.ended = f"{type(error).__name__}: {error}"
        except BaseException as error:  # noqa: BLE001 - judged by the test
            self.ended = f"bug: {error!r}"
        self.still.set()

    def step(self) -> None:
        """Stop, if it is to stop here."""
        if self.count in self.pauses:
            self.going.clear()
            self.still.set()
            self.going.wait()
        self.count += 1


_here = threading.local()


def act(name: str, do: Callable[[], Any]) -> Any:
    """Carry out an operation; the writer that is at it may stop before."""
    writer: Writer | None = getattr(_here, "writer", None)
    if writer is not None and name in CHANGES:
        writer.step()
    return do()


@dataclass(frozen=True)
class Scene:
    """A target, slices for it, and what it is like."""

    place: Path
    settings: dict[str, Any]

    @property
    def target(self) -> Path:
        """The target."""
        return self.place / "cube.zarr"

    def writer(self, number: int, pauses: list[int]) -> Writer:
        """Return one that appends its slice. That of number 0 is damaged, which is seen late: it undoes what it has done."""
        slice_ = self.place / ("damaged.zarr" if number == DAMAGED else f"{number}.zarr")
        return Writer(number, lambda: zapz.append(self.target, slice_, lock_wait=20, **self.settings), pauses)

    def helper(self) -> Writer:
        """Return one that only recovers."""
        return Writer(RECOVERS, lambda: zapz.recover(self.target, lock_wait=20), [])


def chunks_of_v(dataset: Path) -> list[Path]:
    """Return the files of chunks of ``v``."""
    return sorted(p for p in (dataset / "v").rglob("*") if p.is_file() and not p.name.startswith((".z", "zarr")))


def make_scene(place: Path, kind: str) -> Scene:
    """Make slices of two steps, whose values are their numbers; the target has the first."""
    zarr_format = 2 if kind.endswith("2") else 3
    for number in range(4):
        path = place / f"{number}.zarr"
        cubes.write_group(path, zarr_format=zarr_format)
        labels = np.array([2 * number, 2 * number + 1], "i4")
        more: dict[str, Any] = {"shards": [4, 2]} if kind.startswith("sharded") else {}
        chunks = {"aligned": 2, "sharded": 1}.get(kind[:-1], 3)
        cubes.write_array(path, "time", labels, dims=["time"], chunks=[chunks], zarr_format=zarr_format)
        data = np.repeat(labels[:, None], 2, 1)
        cubes.write_array(path, "v", data, dims=["time", "x"], chunks=[chunks, 2], zarr_format=zarr_format, **more)
        cubes.consolidate(path, zarr_format=zarr_format)
    shutil.copytree(place / "1.zarr", place / "damaged.zarr")
    chunks_of_v(place / "damaged.zarr")[-1].write_bytes(b"")
    settings: dict[str, Any] = {"workers": 1, "label_chunk": "keep", "durability": "process"}
    if kind.startswith("create"):
        return Scene(place, settings)
    zapz.append(place / "cube.zarr", place / "0.zarr", **settings)
    return Scene(place, settings)


KINDS = ("misaligned2", "misaligned3", "aligned3", "sharded3", "create2")


def wrong(scene: Scene, writers: list[Writer]) -> list[str]:
    """Say what is wrong once all writers have ended, or are still for ever."""
    problems = [f"{w.number}: {w.ended}" for w in writers if w.ended.startswith(("bug", "JournalError"))]
    try:
        zapz.recover(scene.target, lock_wait=20)
    except zapz.NotFoundError:
        return [
            *problems,
            *(f"told OK, but nothing is there: {w.number}" for w in writers if w.ended == "OK" and w.number > 0),
        ]
    if not scene.target.exists() or not list(scene.target.iterdir()):
        return [
            *problems,
            *(f"told OK, but nothing is there: {w.number}" for w in writers if w.ended == "OK" and w.number > 0),
        ]
    root: Any = zarr.open_consolidated(scene.target, mode="r")
    labels, values = root["time"][...].tolist(), root["v"][...]
    problems += [
        f"told OK and lost: {w.number}, {labels}"
        for w in writers
        if w.ended == "OK" and w.number > 0 and 2 * w.number not in labels
    ]
    if sorted(set(labels)) != labels or any(
        2 * (n // 2) not in labels or 2 * (n // 2) + 1 not in labels for n in labels
    ):
        problems.append(f"labels {labels}")
    if len(values) != len(labels) or (values != np.array(labels)[:, None]).any():
        problems.append(f"labels {labels}, values {values[:, 0].tolist()}")
    if left := sorted(
        p.relative_to(scene.target).as_posix() for p in scene.target.rglob(".*") if not p.name.startswith(".z")
    ):
        problems.append(f"left: {left[:5]}")
    waiting = [p for p in (scene.target / ".zapz").rglob("*") if "wait-" not in str(p) and p.name != "head"]
    if waiting:
        problems.append(f"left: {waiting[:5]}")
    array: Any = zarr.open_array(scene.target / "v", mode="r")
    if len(found := chunks_of_v(scene.target)) > -(-len(labels) // (array.shards or array.chunks)[0]):
        problems.append(f"chunks beyond the shape: {found[-2:]}")
    return [f"{p} (ended: {[w.ended[:60] for w in writers]})" for p in problems]


def play(scene: Scene, before: Any, writers: list[Writer], order: list[int]) -> list[str]:
    """Let writers go on in an order; say what is wrong afterwards."""
    become(scene.target, before)
    with watched_files(scene.target, act):
        for index in order:
            if not writers[index].ended:
                writers[index].go()
    return wrong(scene, writers)


@pytest.fixture
def scene_of(tmp_path: Path) -> Callable[[str], tuple[Scene, Any]]:
    def make(kind: str) -> tuple[Scene, Any]:
        scene = make_scene(tmp_path, kind)
        return scene, look(scene.target)

    return make


FIRST = {"appends": 1, "undoes": DAMAGED}
THEN = {"another one appends": 2, "recovery": RECOVERS}


def count_from(scene: Scene, before: Any, number: int) -> int:
    """Return how many changes an undisturbed run makes."""
    writer = scene.writer(number, [])
    assert play(scene, before, [writer], [0]) == []
    assert writer.ended.startswith("ChunkError" if number == DAMAGED else "OK"), writer.ended
    return writer.count


def one_stops(scene: Scene, before: Any, first: int, then: int, *, stride: int = 1) -> list[str]:
    """One writer stops before each operation, another one takes over and ends, the first one goes on."""
    problems: list[str] = []
    told: set[str] = set()
    for at in range(0, count_from(scene, before, first), stride):
        second = scene.helper() if then == RECOVERS else scene.writer(then, [])
        writers = [scene.writer(first, [at]), second]
        problems += [f"stopped before change {at}: {p}" for p in play(scene, before, writers, [0, 1, 0])]
        told.add(writers[0].ended.partition(":")[0])
        if second.ended != "OK" and not (then == RECOVERS and second.ended.startswith("NotFoundError")):
            problems.append(f"stopped before change {at}: the second {second.ended}")
    if not {"ConflictError", "ChunkError" if first == DAMAGED else "OK"} <= told:
        problems.append(f"no variety: {told}")
    return problems


@pytest.fixture
def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system have no links between files, as SMB and exFAT."""

    def refuse(*_args: Any, **_options: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=volume)])
@pytest.mark.parametrize("then", THEN)
def test_a_writer_that_stands_still_where_there_are_no_links(
    then: str, stride: int, scene_of: Callable[[str], tuple[Scene, Any]], without_links: None
) -> None:
    report(one_stops(*scene_of("misaligned2"), FIRST["appends"], THEN[then], stride=stride))


@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("first", FIRST)
def test_a_writer_that_stands_still(first: str, then: str, scene_of: Callable[[str], tuple[Scene, Any]]) -> None:
    report(one_stops(*scene_of("misaligned2"), FIRST[first], THEN[then]))


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=volume)])
def test_a_creation_that_stands_still(stride: int, scene_of: Callable[[str], tuple[Scene, Any]]) -> None:
    """Not even a folder of it lands: the next one would not take what it finds for a place where nothing is."""
    scene, before = scene_of("create2")[0], {".": (None, 0)}
    problems = one_stops(scene, before, FIRST["appends"], RECOVERS, stride=stride)
    for at in range(0, count_from(scene, before, 1), stride):
        writers = [scene.writer(1, [at]), scene.helper(), scene.writer(2, [])]
        problems += [f"stopped before change {at}: {p}" for p in play(scene, before, writers, [0, 1, 0, 2])]
        if writers[2].ended != "OK" and writers[0].ended != "OK":
            problems.append(f"stopped before change {at}: then {writers[2].ended}")
    report(problems)


def changes_past_the_turn(scene: Scene, run: Callable[[], Any], patch: pytest.MonkeyPatch) -> tuple[list[str], int]:
    """Return what a run makes or removes in the target itself, and how much it puts in place out of its turn's folder, or back."""
    past: list[str] = []
    through = 0

    def outside(path: Any) -> str:
        name = os.path.relpath(path, scene.target) if isinstance(path, str | os.PathLike) else "."
        return "" if name.startswith(("..", ".zapz")) or name == "." else name

    def seen(kind: str, honest: Callable[..., Any]) -> Callable[..., Any]:
        def do(path: Any, *rest: Any, **options: Any) -> Any:
            nonlocal through
            if kind in {"link", "rename", "replace"}:
                places = [place for place in (path, rest[0]) if outside(place)]
                inside = [place for place in (path, rest[0]) if f"{os.sep}way{os.sep}" in str(place)]
                through += len(places) == len(inside) == 1
                past.extend(f"{kind} {path} {rest[0]}" for _ in places[: len(places) != len(inside)])
            elif outside(path) and (kind != "open" or rest[0] & os.O_CREAT):
                past.append(f"{kind} {outside(path)}")
            return honest(path, *rest, **options)

        return do

    for kind in ("open", "mkdir", "unlink", "link", "rename", "replace"):
        patch.setattr(os, kind, seen(kind, getattr(os, kind)))
    run()
    patch.undo()
    return past, through


GROUP = 12346
GIVES = {"nothing": 0o755, "its group": 0o2755, "a list": 0o755}
LIST = struct.pack(
    "<I" + 5 * "HHI", 2, 1, 7, 2**32 - 1, 2, 5, 12345, 4, 5, 2**32 - 1, 0x10, 5, 2**32 - 1, 0x20, 0, 2**32 - 1
)
"""Access control list: the owner may do all, user 12345 and the group may read, others nothing."""


@pytest.mark.parametrize("gives", GIVES)
@pytest.mark.parametrize("kind", ["misaligned3", "create2"])
def test_nothing_is_made_at_its_place(
    kind: str, gives: str, scene_of: Callable[[str], tuple[Scene, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a former owner makes there would stay: all comes out of the turn's folder, with what its place gives to new files."""
    scene, _ = scene_of(kind)
    scene.target.mkdir(exist_ok=True)
    giving = [scene.target, *(path for path in scene.target.rglob("*") if path.is_dir())]
    (scene.target / ".zapz").mkdir(exist_ok=True)  # it gives nothing
    for folder in giving:
        if os.geteuid() == 0:
            os.chown(folder, -1, GROUP)
        folder.chmod(GIVES[gives])
        if gives == "a list":
            try:
                os.setxattr(folder, rights.DEFAULT, LIST)
            except OSError as error:
                pytest.skip(f"no access control lists here: {error}")
    with monkeypatch.context() as patch:
        past, through = changes_past_the_turn(
            scene, lambda: zapz.append(scene.target, scene.place / "1.zarr", **scene.settings), patch
        )
    assert past == []
    assert through > 4
    made = [path for path in scene.target.rglob("*") if path.name not in {".zapz", "head"}]
    assert all(path.stat().st_mode & 0o2000 for path in made if path.is_dir()) == (gives == "its group")
    assert all(bool(os.listxattr(path)) for path in made if path.is_dir()) == (gives == "a list")
    new = scene.target / ("v/c/1/0" if kind == "misaligned3" else "v/0.0")
    assert (rights.ACCESS in os.listxattr(new)) == (gives == "a list")
    assert (new.stat().st_gid == scene.target.stat().st_gid) == (gives == "its group" or os.geteuid() != 0)


@volume
@pytest.mark.parametrize("then", THEN)
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_that_stands_still_anywhere(
    kind: str, first: str, then: str, scene_of: Callable[[str], tuple[Scene, Any]]
) -> None:
    report(one_stops(*scene_of(kind), FIRST[first], THEN[then]))


def three_at_random(scene: Scene, before: Any, number: int, seed: str) -> list[str]:
    """Three writers stop and go on at random moments; some never do."""
    most = count_from(scene, before, 1)
    problems = []
    for attempt in range(number):
        draw = random.Random(f"{seed}-{attempt}")
        numbers = (draw.choice([1, DAMAGED]), 2, 3)
        writers = [scene.writer(n, sorted(draw.sample(range(2 * most), 3))) for n in numbers]
        order = [draw.randrange(3) for _ in range(draw.randrange(4, 14))]
        problems += [f"{seed}-{attempt}: {p}" for p in play(scene, before, writers, order)]
    return problems


@pytest.mark.parametrize("kind", ["misaligned3"])
def test_three_writers(kind: str, scene_of: Callable[[str], tuple[Scene, Any]]) -> None:
    report(three_at_random(*scene_of(kind), number=25, seed=kind))


@volume
@pytest.mark.parametrize("kind", KINDS)
def test_three_writers_by_the_hundred(kind: str, scene_of: Callable[[str], tuple[Scene, Any]]) -> None:
    report(three_at_random(*scene_of(kind), number=amount(ci=100, long=10_000), seed=f"{kind}+"))
