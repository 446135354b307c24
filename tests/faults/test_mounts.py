"""Real processes on real mounts: a folder mounted through FUSE (bindfs), where the lock is a turn with a lease, and ext4 and xfs in files.

Writers are killed, stopped for longer than their lease and continued, cloned, or only slow. Whatever happens: what was reported as appended
is there once and whole, nothing else is, both views of the metadata agree, and nothing is left. NFS is left out: it needs a client in the
kernel. Moments are drawn from seeds that failures name; the scheduler of the machine does the rest.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.mounts import Child, MissingError, Nursery, bound, call, command, looped
from kit.trees import tree
from kit.volumes import amount, volume

pytestmark = [
    pytest.mark.skipif(os.environ.get("ZAPZ_MOUNTS") != "1", reason="ZAPZ_MOUNTS=1 is not set: nothing is mounted"),
    # zarr-python says so of format 3. All threads share one list of filters, so that no thread can change it for itself.
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part"),
]
LEASE = 0.5
"""Of writers that stop."""
OK, REFUSED, STORE, LOCKED, CONFLICT, KILLED = 0, 3, 6, 7, 8, -signal.SIGKILL
GAP = "does not replace an open file in one step"
ELSEWHERE = {"host": "elsewhere", "boot": "- - -", "process": 1, "since": "2026-11-21T00:00:00+00:00"}
DURABILITIES = ("full", "process")


@pytest.fixture
def room() -> Iterator[Path]:
    """Give a folder for mounts: not pytest's, which it removes later, and would complain about mounts that a killed run has left."""
    with tempfile.TemporaryDirectory(prefix="zapz-mounts-") as name:
        yield Path(name)


@pytest.fixture
def disk(room: Path) -> Iterator[Callable[[str], Path]]:
    """Give what mounts a fresh file system of a kind."""
    with contextlib.ExitStack() as stack:

        def mount(kind: str) -> Path:
            try:
                if kind == "bindfs":
                    return stack.enter_context(bound(room / "source", room / kind))
                return stack.enter_context(looped(room / f"memory-{kind}", room / kind, kind))
            except MissingError as missing:
                pytest.skip(str(missing))

        yield mount


@pytest.fixture
def fuse(disk: Callable[[str], Path]) -> Path:
    """Give a folder that is mounted through FUSE."""
    return disk("bindfs")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Give what forks processes of this machine."""
    with Nursery() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Give what writes a configuration."""

    def write(**more: Any) -> Path:
        settings = {"workers": 1, "label_chunk": "keep", "label_order": "any", "durability": "process", **more}
        path = tmp_path / f"{'-'.join(map(str, [*more.values(), 'zapz']))}.json"
        path.write_text(json.dumps(settings))
        return path

    return write


# -- slices and what becomes of them -----------------------------------------------------------------------------------


@functools.cache
def documents(zarr_format: int) -> dict[str, bytes]:
    """Return the metadata of a slice of one step: ``time``, ``v`` (misaligned chunks) and ``w`` (aligned)."""
    with tempfile.TemporaryDirectory() as path:
        cubes.write_group(path, zarr_format=zarr_format)
        options: dict[str, Any] = {"zarr_format": zarr_format, "fill": -1}
        cubes.write_array(path, "time", np.zeros(1, "i8"), dims=["time"], chunks=[3], **options)
        cubes.write_array(path, "v", np.zeros((1, 4), "i4"), dims=["time", "x"], chunks=[3, 2], **options)
        cubes.write_array(path, "w", np.zeros((1, 4), "i4"), dims=["time", "x"], chunks=[1, 4], **options)
        cubes.consolidate(path, zarr_format=zarr_format)
        found = cubes.files(path)
    return {key: data for key, data in found.items() if key.rpartition("/")[2].startswith((".z", "zarr"))}


def make_slice(place: Path, label: int, *, mark: int | None = None, zarr_format: int = 3) -> Path:
    """Write a slice of one step, whose values tell its mark, by default its label."""
    mark = label if mark is None else mark
    path = place / f"{label}-{mark}-{zarr_format}.zarr"
    v = np.array([[mark, mark], [-1, -1], [-1, -1]], "<i4").tobytes()
    chunks = {"time": {"0": np.array([label, -1, -1], "<i8").tobytes()}}
    chunks |= {"v": {"0.0": v, "0.1": v}, "w": {"0.0": np.full(4, 2 * mark, "<i4").tobytes()}}
    for key, data in documents(zarr_format).items():
        (path / key).parent.mkdir(parents=True, exist_ok=True)
        (path / key).write_bytes(data)
    for name, keys in chunks.items():
        for key, data in keys.items():
            file = path / name / (key if zarr_format == 2 else f"c/{key.replace('.', '/')}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    return path


def content(target: Path) -> dict[int, int]:
    """Return labels with their marks; both views of the metadata agree, no label comes twice, and all values are whole."""
    consolidated, plain = (cubes.read(target, consolidated=way) for way in (True, False))
    cubes.same(consolidated, plain)
    labels, v, w = (plain[name] for name in ("time", "v", "w"))
    assert len(set(labels.tolist())) == len(labels) == len(v) == len(w), labels
    assert (v == v[:, :1]).all(), v
    assert (w == 2 * v).all(), (v, w)
    return dict(zip(labels.tolist(), v[:, 0].tolist(), strict=True))


def left(target: Path) -> list[str]:
    """Return what should not be in a target: all names that begin with a dot, and chunks beyond the shape."""
    found = [p.relative_to(target).as_posix() for p in target.rglob("*")]
    hidden = [f for f in found if any(part.startswith(".") and not part.startswith(".z") for part in f.split("/"))]
    ours = [f for f in found if ".zapz" in f.split("/")]
    chunks = [f for f in found if f.startswith(("v/", "w/", "time/")) and f.rpartition("/")[2].isdigit()]
    files = {f for f in chunks if (target / f).is_file()}
    steps = len(cubes.read(target)["time"])
    blocks = range(-(-steps // 3))
    expected = {f"time/c/{n}" for n in blocks} | {f"v/c/{n}/{x}" for n in blocks for x in (0, 1)}
    expected |= {f"w/c/{n}/0" for n in range(steps)}
    return sorted({*hidden, *ours, *(files ^ expected)})


def settle(nursery: Nursery, target: Path, lease: float = LEASE) -> None:
    """Recover; wait until the leases of the dead are over, and recover again; then nothing is left."""
    for attempt in range(2):
        words = ("recover", target, "--lock-wait", 60)  # a busy machine is no fault
        said = nursery.run(command(*words, lease=lease, first="mounts.clock_stands_still()"))
        assert said.code == OK, said
        if not attempt and (target / ".zapz").exists():
            time.sleep(1.2 * lease)
    deadline = time.monotonic() + 20
    while found := left(target):  # what FUSE has hidden goes a moment after its process has ended
        assert all(".fuse_hidden" in each for each in found), found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def allowed(child: Child, *codes: int) -> None:
    """Check how a process ended."""
    assert child.code in codes, child
    assert "Traceback" not in child.err + child.out, child


def is_unknown(child: Child) -> bool:
    """Return whether a process that failed has said that its append is committed, or may be."""
    return any(words in child.err for words in ("may be committed", "is committed"))


def in_parallel(do: Callable[..., None], rounds: Sequence[Sequence[Any]]) -> None:
    """Play rounds, some at a time: most of the time of each is waiting."""
    with ThreadPoolExecutor(6) as pool:
        played = [(each, pool.submit(do, *each)) for each in rounds]
    failed = [(each, error) for each, done in played if (error := done.exception()) is not None]
    if failed:
        told = "\n".join(f"{each}: {type(error).__name__}: {error}" for each, error in failed[:4])
        raise AssertionError(f"{len(failed)} of {len(rounds)} rounds\n{told}") from failed[0][1]


# -- six writers -------------------------------------------------------------------------------------------------------

WRITERS = 6


class Race:
    """Writers that append slices of their own, one by one, until they are told to end."""

    def __init__(self, nursery: Nursery, target: Path, config: Path, place: Path) -> None:
        self.over = threading.Event()
        self.appends: dict[int, Child] = {}
        """By labels."""
        self.running: dict[int, Child] = {}
        """By process numbers."""
        self._nursery = nursery
        self._target = target
        self._config = config
        self._place = place

    def write(self, writer: int) -> None:
        """Be a writer."""
        label = writer
        while not self.over.is_set():
            slice_ = make_slice(self._place, label)
            words = ("append", "-q", "-c", self._config, "--lock-wait", 100, self._target, slice_)
            child = self._nursery.start(command(*words, lease=LEASE))
            self.appends[label] = self.running[child.pid] = child
            try:
                child.ended()
            finally:
                self.running.pop(child.pid)
                shutil.rmtree(slice_)
            label += WRITERS

    def victim(self, draw: random.Random) -> Child | None:
        """Return a process that runs, rather often the one that has the turn."""
        if draw.random() < 0.5:
            with contextlib.suppress(OSError, ValueError):
                for owner in self._target.glob(".zapz/head/turn/*/owner"):
                    if found := self.running.get(json.loads(owner.read_bytes())["process"]):
                        return found
        running = list(self.running.values())
        return draw.choice(running) if running else None

    def disturb(self, kills: int, stops: int, seed: str) -> None:
        """Kill and stop so many at random moments; those that are stopped go on when their leases are over."""
        draw = random.Random(seed)
        quota = [signal.SIGKILL] * kills + [signal.SIGSTOP] * stops
        draw.shuffle(quota)
        stopped: list[tuple[float, Child]] = []
        while quota or stopped:
            time.sleep(draw.uniform(0, 0.12))
            for due, child in [each for each in stopped if each[0] < time.monotonic()]:
                child.signal(signal.SIGCONT)
                stopped.remove((due, child))
            victim = self.victim(draw)
            if not quota or victim is None or victim in [child for _, child in stopped]:
                continue
            number = quota.pop()
            victim.signal(number)
            if number == signal.SIGSTOP:
                stopped.append((time.monotonic() + draw.uniform(1.2, 2.5) * LEASE, victim))


def race(nursery: Nursery, target: Path, config: Path, kills: int, stops: int) -> None:
    """Let six writers race, and look at what has become of it."""
    place = config.parent
    seed = f"race-{kills}-{stops}"
    final = make_slice(place, 0)
    running = Race(nursery, target, config, place)
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(running.write, 1 + number) for number in range(WRITERS)]
        try:
            running.disturb(kills, stops, seed)
        finally:
            running.over.set()
        for writer in writers:
            writer.result()
    last = nursery.run(command("append", "-c", config, "--lock-wait", 60, target, final))
    allowed(last, OK)
    settle(nursery, target)
    there = content(target)
    assert there.pop(0) == 0
    assert all(mark == label for label, mark in there.items()), there
    for label, child in running.appends.items():
        unknown = is_unknown(child)
        allowed(child, OK, KILLED, CONFLICT, *([STORE] if unknown else []))
        if child.code == OK:
            assert label in there, (seed, label, child)
        elif child.code == CONFLICT and not unknown:
            assert label not in there, (seed, label, child)
    assert set(there) <= set(running.appends), (seed, there)


def test_six_writers(fuse: Path, nursery: Nursery, config: Callable[..., Path]) -> None:
    race(nursery, fuse / "cube.zarr", config(), kills=12, stops=4)


@volume
@pytest.mark.parametrize("durability", DURABILITIES)
def test_six_writers_and_hundreds_of_kills(
    durability: str, fuse: Path, nursery: Nursery, config: Callable[..., Path]
) -> None:
    kills = amount(ci=300, long=10_000) // 2
    race(nursery, fuse / "cube.zarr", config(durability=durability), kills=kills, stops=kills // 4)


# -- machines that look alike ------------------------------------------------------------------------------------------


def clone(folder: Path, name: str) -> Nursery:
    """Return what forks processes of a machine of its own: another start, but the same host name and machine id."""
    boot = folder / f"boot-{name}"
    boot.write_text(f"{uuid.uuid4()}\n")
    become = f"mount --bind {boot} /proc/sys/kernel/random/boot_id && hostname worker"
    call("unshare", "-m", "-u", "sh", "-c", become)
    return Nursery("unshare", "-m", "-u", "sh", "-c", f'{become} && exec "$@"', "sh")


def container(_folder: Path, _name: str) -> Nursery:
    """Return what forks processes with numbers of their own."""
    name_space = ("unshare", "-p", "-f", "--kill-child", "--mount-proc")
    call(*name_space, "true")
    return Nursery(*name_space)


MACHINES = {"clones": clone, "containers": container}


def machines(stack: contextlib.ExitStack, kind: str, place: Path) -> list[Nursery]:
    """Start two machines that look alike."""
    try:
        made = [MACHINES[kind](place, name) for name in ("A", "B")]
    except MissingError as missing:
        pytest.skip(str(missing))
    return [stack.enter_context(each) for each in made]


def begin_cube(nursery: Nursery, target: Path, config: Path) -> None:
    """Make a target of one step."""
    allowed(nursery.run(command("append", "-c", config, target, make_slice(config.parent, 0))), OK)


def both_append(pair: Sequence[Nursery], target: Path, config: Path, place: Path, seed: str) -> None:
    """Let two writers, both only slow, append the same label with other values, or one of them recover: one of them wins."""
    draw = random.Random(seed)
    label = max(content(target)) + 1
    slices = [make_slice(place, label, mark=2 * label + n) for n in (1, 2)]
    wait = draw.choice([(), ("--lock-wait", "60")])
    texts = [
        command("append", "-c", config, *wait, target, slice_, first=f"mounts.slow({draw.uniform(0.005, 0.03)})")
        for slice_ in slices
    ]
    if recovers := draw.random() < 0.2:
        texts[1] = command("recover", *wait, target)
    first = draw.randrange(2)
    started: dict[int, Child] = {}
    for each in (first, 1 - first):
        started[each] = pair[each].start(texts[each])
        time.sleep(draw.uniform(0, 0.15))
    codes = [started[each].ended() for each in (0, 1)]
    for each in (0, 1):
        allowed(started[each], OK, *([] if wait else [LOCKED]), *([] if recovers else [REFUSED]))
    winners = [each for each in ((0,) if recovers else (0, 1)) if codes[each] == OK]
    assert len(winners) == 1 or (recovers and codes == [LOCKED, OK]), (seed, started)
    found = content(target)
    assert found.pop(label, None) == (2 * label + 1 + winners[0] if winners else None), (seed, found, started)
    assert set(found) == set(range(label)), (seed, found)
    for slice_ in slices:
        shutil.rmtree(slice_)


CHAINS = 4
"""So many cubes grow at the same time."""


def play_alike(kind: str, fuse: Path, config: Path, rounds: int) -> None:
    """Play so many rounds with two machines that look alike."""
    with contextlib.ExitStack() as stack:
        pair = machines(stack, kind, config.parent)

        def grow(chain: int) -> None:
            target, place = fuse / f"cube{chain}.zarr", config.parent / f"slices{chain}"
            place.mkdir()
            allowed(pair[chain % 2].run(command("append", "-c", config, target, make_slice(place, 0))), OK)
            for number in range(chain, rounds, CHAINS):
                both_append(pair, target, config, place, f"{kind}-{number}")
            settle(pair[0], target)

        in_parallel(grow, [(chain,) for chain in range(min(CHAINS, rounds))])


@pytest.mark.parametrize("kind", MACHINES)
def test_machines_that_look_alike(kind: str, fuse: Path, config: Callable[..., Path]) -> None:
    """None of them takes the other one's process for a dead one: the number of a process and the host name tell nothing."""
    play_alike(kind, fuse, config(label_order="increasing"), rounds=4)


@volume
@pytest.mark.parametrize("kind", MACHINES)
def test_machines_that_look_alike_hundreds_of_times(kind: str, fuse: Path, config: Callable[..., Path]) -> None:
    play_alike(kind, fuse, config(label_order="increasing"), rounds=amount(ci=200, long=5_000))


# -- an owner that wakes up while another one takes over ---------------------------------------------------------------

SHORT = 0.2
"""The lease of an owner that is stopped before its decision."""
OWNER = "mounts.clock_stands_still(); mounts.before_commit(mounts.stop)"
THEN = ("owner first", "owner first, waiter killed", "together", "waiter killed meanwhile")
"""What happens when the owner goes on at a moment at which the waiter stands still."""


class Scene:
    """A cube of one step, to be copied, or none yet; and slices for it."""

    def __init__(self, nursery: Nursery, fuse: Path, config: Path, *, creates: bool = False) -> None:
        self._config = config
        self._nursery = nursery
        self._fuse = fuse
        self._model = None if creates else config.with_suffix(".zarr")
        self._numbers = iter(range(1 << 30))
        self._slices = {label: make_slice(config.parent, label) for label in (1, 2, 3)}
        fuse.mkdir(exist_ok=True)
        if self._model is not None:
            begin_cube(nursery, self._model, config)

    def _fresh(self) -> Path:
        """Return a new copy of the cube, or where it will be."""
        target = self._fuse / f"cube{next(self._numbers)}.zarr"
        if self._model is not None:
            shutil.copytree(self._model, target)
        return target

    def _append(self, target: Path, label: int) -> tuple[object, ...]:
        return ("append", "-q", "-c", self._config, target, self._slices[label])

    def _owner(self, target: Path, first: str) -> Child:
        """Return one that has stopped where it should."""
        for _ in range(20):
            started = self._nursery.start(command(*self._append(target, 1), lease=SHORT, first=first))
            if started.is_stopped():
                return started
        raise AssertionError(f"no owner stops where it should: {started}")

    def changes(self) -> tuple[int, int]:
        """Return how many changes an owner makes that nothing disturbs, and one that takes over before another one's decision."""
        nothing: dict[int, object] = {}
        last = "print(mounts.changes())"
        alone = self._nursery.run(
            command(*self._append(self._fresh(), 1), first=f"mounts.at_changes({nothing})", last=last)
        )
        allowed(alone, OK)
        target = self._fresh()
        owner = self._owner(target, OWNER)
        words = (*self._append(target, 2), "--lock-wait", 100)
        waiter = self._nursery.run(command(*words, first=f"mounts.at_changes_after_look({nothing})", last=last))
        allowed(waiter, OK)
        self._finish(target, owner, waiter, alone=True)
        return int(alone.out), int(waiter.out)

    def play(self, at: int, then: str, first: str = OWNER, recovers: bool = False) -> None:
        """Let the owner go on when a waiter is about to make that change.

        Args:
            at: The number of the change; the first is to end the owner's turn.
            then: What happens then.
            first: Lets the owner stop somewhere else than before its decision, or die later.
            recovers: Whether the waiter does no more than that.
        """
        target = self._fresh()
        owner = self._owner(target, first)
        turns = list(target.glob(".zapz/head/turn/*"))
        words = ("recover", target) if recovers else self._append(target, 2)
        stops = f"mounts.at_changes_after_look({{{at}: mounts.stop}})"
        waiter = self._nursery.start(command(*words, "--lock-wait", 100, first=stops))
        stopped = waiter.is_stopped()  # else it has ended: the moment after its last change
        lost = not any(turn.exists() for turn in turns)
        owner.signal(signal.SIGCONT)
        if then.startswith("owner first"):
            owner.ended()
        waiter.signal(signal.SIGKILL if "killed" in then else signal.SIGCONT)
        waiter.ended()
        missing = recovers and "no such dataset" in waiter.err
        allowed(waiter, *([KILLED] if stopped and "killed" in then else [OK, *([STORE] if missing else [])]))
        self._finish(target, owner, waiter, alone=lost and first == OWNER, recovers=recovers)

    def _finish(self, target: Path, owner: Child, waiter: Child, *, alone: bool, recovers: bool = False) -> None:
        """Look at what has become of it, and append once more; ``alone``: the owner had lost its turn before its decision."""
        owner.signal(signal.SIGCONT)
        owner.ended()
        unknown = not alone and (is_unknown(owner) or owner.code == KILLED)
        allowed(owner, *([CONFLICT] if alone else [OK, CONFLICT, LOCKED, *([STORE, KILLED] if unknown else [])]))
        if self._model is not None:
            settle(self._nursery, target, lease=SHORT)
        words = (*self._append(target, 3), "--lock-wait", 100)
        # A busy machine may stand still for half of that lease, which this one must not take for its end.
        last = self._nursery.run(command(*words, lease=SHORT, first="mounts.clock_stands_still()"))
        assert last.code == OK, (last, owner, waiter)
        settle(self._nursery, target, lease=SHORT)
        found = content(target)
        assert all(mark == label for label, mark in found.items()), (found, owner, waiter)
        base = {3} if self._model is None else {0, 3}
        told = {*base, *([1] if owner.code == OK else []), *([2] if waiter.code == OK and not recovers else [])}
        assert told <= set(found), (found, owner, waiter)
        possible = {*base, *([] if recovers else [2]), *([1] if owner.code == OK or unknown else [])}
        assert set(found) <= possible, (found, owner, waiter)
        shutil.rmtree(target)


STOPS = (
    *(
        (f"mounts.before_touching({end!r}, mounts.stop)")
        for end in (".zarr/zarr.json", "/v/c/0/0", "/w/c/1/0", "/decision")
    ),
    "mounts.before_reading('.zarr/w/zarr.json', mounts.stop)",
)
"""Where an owner stops that has just looked whether its turn is over: it has decided when it replaces the first two of these files, but not yet
before the next two; and in the midst of reading what the target is like."""


@pytest.mark.parametrize("durability", DURABILITIES)
def test_an_owner_that_wakes_up(durability: str, fuse: Path, nursery: Nursery, config: Callable[..., Path]) -> None:
    """At some moments of a waiter that takes over; and at others of its own, when the waiter has ended."""
    scene = Scene(nursery, fuse, config(durability=durability))
    _, whole = scene.changes()
    moments = [0, 1, 2, *random.Random(durability).sample(range(3, whole), 3)]
    rounds = [(at, THEN[n % len(THEN)], OWNER, False) for n, at in enumerate(moments)]
    for stop in STOPS if durability == "process" else ():
        first = f"mounts.clock_stands_still(); {stop}"
        rounds += [(1 << 30, "together", first, recovers) for recovers in (False, True)]
    in_parallel(scene.play, rounds)


@volume
def test_an_owner_that_wakes_up_at_any_moment(fuse: Path, nursery: Nursery, config: Callable[..., Path]) -> None:
    """At every moment; durabilities and ways to go on take turns."""
    scenes = [Scene(nursery, fuse / durability, config(durability=durability)) for durability in DURABILITIES]
    ways = [(scene, then) for then in THEN for scene in scenes]
    moments, number = max(scene.changes()[1] for scene in scenes), amount(ci=4, long=len(ways))
    rounds = [(at, *ways[(3 * at + way) % len(ways)]) for at in range(moments) for way in range(number)]
    in_parallel(lambda at, scene, then: scene.play(at, then), rounds)


def stops_anywhere(scene: Scene, number: int, seed: str) -> None:
    """Let owners stop before any of their changes, and some of them die soon after they went on; half never look at their clocks."""
    owners, whole = scene.changes()
    rounds: list[tuple[int, str, str, bool]] = []
    for attempt in range(number):
        draw = random.Random(f"{seed}-{attempt}")
        at = draw.randrange(owners)
        dies = f", {at + draw.randrange(1, 6)}: mounts.die" if draw.random() < 0.3 else ""
        first = f"mounts.at_changes({{{at}: mounts.stop{dies}}})"
        if draw.random() < 0.5:
            first += "; mounts.clock_stands_still()"
        rounds.append((draw.randrange(whole), draw.choice(THEN), first, draw.random() < 0.3))

    in_parallel(scene.play, rounds)


@volume
@pytest.mark.parametrize("creates", [False, True])
@pytest.mark.parametrize("durability", DURABILITIES)
def test_an_owner_that_stops_anywhere(
    durability: str, creates: bool, fuse: Path, nursery: Nursery, config: Callable[..., Path]
) -> None:
    """Not only before its decision; it appends, or it makes the target."""
    scene = Scene(nursery, fuse, config(durability=durability), creates=creates)
    stops_anywhere(scene, amount(ci=240, long=40_000) // 4, f"anywhere-{durability}-{creates}")


def goes_on_afterwards(scene: Scene, moments: Sequence[int], ways: Sequence[tuple[bool, bool]]) -> None:
    """Stop an owner before each of these changes and let it go on when another one has ended, which appends or only recovers.

    Args:
        scene: Where.
        moments: Numbers of the changes.
        ways: Whether the other one only recovers, and whether the owner dies after that one change.
    """
    rounds = []
    for at in moments:
        for recovers, dies in ways:
            acts = f"{{{at}: mounts.stop{f', {at + 1}: mounts.die' if dies else ''}}}"
            first = f"mounts.clock_stands_still(); mounts.at_changes({acts})"
            rounds.append((1 << 30, "together", first, recovers))
    in_parallel(scene.play, rounds)


def test_a_creation_that_wakes_up(fuse: Path, nursery: Nursery, config: Callable[..., Path]) -> None:
    """Neither what it makes then, nor what it has open, keeps others from making the target."""
    goes_on_afterwards(Scene(nursery, fuse, config(), creates=True), range(19, 31), [(True, False)])


@volume
@pytest.mark.parametrize("creates", [False, True])
def test_an_owner_that_goes_on_afterwards(
    creates: bool, fuse: Path, nursery: Nursery, config: Callable[..., Path]
) -> None:
    """From any moment; or it does one thing and dies: nothing is left even so."""
    ways = [(creates, False), (False, True), (not creates, False), (True, True)]
    scene = Scene(nursery, fuse, config(), creates=creates)
    owners, _ = scene.changes()
    goes_on_afterwards(scene, range(owners), ways[: amount(ci=4, long=4)])


# -- readers -----------------------------------------------------------------------------------------------------------


def read_while_writing(
    readers: Nursery, writers: Nursery, target: Path, config: Path, *, slices: int, zarr_format: int
) -> tuple[dict[str, int], bool]:
    """Read in two processes while a third appends; return what the readers counted, and whether the writer warned."""
    place = config.parent
    first, *paths = [make_slice(place, label, zarr_format=zarr_format) for label in range(slices)]
    begun = writers.run(command("append", "-c", config, "--json", target, first))
    allowed(begun, OK)
    notes = [any(GAP in note for note in json.loads(begun.out)["notes"])]
    ready, done = [place / f"{target.name}.ready{n}" for n in range(2)], place / f"{target.name}.done"
    reading = [
        readers.start(f"from kit import mounts; mounts.read_along({str(target)!r}, {str(path)!r}, {str(done)!r})")
        for path in ready
    ]
    try:
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in ready):
            assert time.monotonic() < deadline, reading
            time.sleep(0.01)
        said = writers.run(command("append", "-c", config, target, *paths))
    finally:
        done.touch()
    allowed(said, OK)
    notes.append(any(line.startswith("note: ") and GAP in line for line in (said.out + said.err).splitlines()))
    assert notes[0] == notes[1], (begun, said)
    counted: dict[str, int] = {}
    for reader in reading:
        assert reader.ended() == OK, reader
        told = json.loads(reader.out)
        assert told.pop("wrong") == [], reader
        for name, number in told.items():
            counted[name] = counted.get(name, 0) + number
        if counted["failed"]:
            assert "Traceback" not in reader.err, reader
    assert content(target) == {label: label for label in range(slices)}
    assert counted["readings"] > 0, counted
    return counted, notes[0]


def check_readers(
    readers: Nursery, writers: Nursery, place: Path, config: Path, *, slices: int, formats: Sequence[int]
) -> None:
    """Torn or failed readings happen only where the append says so; there it does say so, and elsewhere it does not."""
    for zarr_format in formats:
        target = place / f"cube{zarr_format}.zarr"
        counted, warned = read_while_writing(readers, writers, target, config, slices=slices, zarr_format=zarr_format)
        assert warned == (place.name == "bindfs"), counted
        assert warned or counted["failed"] == counted["torn"] == 0, counted


@pytest.fixture(scope="module")
def readers() -> Iterator[Nursery]:
    """Give what forks processes that read with zarr-python."""
    with Nursery(warm=("zarr", "numpy")) as running:
        yield running


PLACES = ("bindfs", "ext4", "xfs")


@pytest.mark.parametrize("kind", PLACES)
def test_readers(
    kind: str, disk: Callable[[str], Path], nursery: Nursery, readers: Nursery, config: Callable[..., Path]
) -> None:
    """They open consolidated metadata again and again while slices come."""
    check_readers(readers, nursery, disk(kind), config(label_order="increasing"), slices=15, formats=[3])


@volume
@pytest.mark.parametrize("kind", PLACES)
def test_readers_while_hundreds_of_slices_come(
    kind: str, disk: Callable[[str], Path], nursery: Nursery, readers: Nursery, config: Callable[..., Path]
) -> None:
    settings = config(label_order="increasing")
    slices = amount(ci=400, long=10_000)
    check_readers(readers, nursery, disk(kind), settings, slices=slices, formats=[2, 3])


# -- kills -------------------------------------------------------------------------------------------------------------


def kill_appends(nursery: Nursery, place: Path, config: Path, number: int) -> None:
    """Kill an append at a moment, recover, and append again; half of the moments are changes of files, half any instants."""
    target, model = place / "cube.zarr", config.parent / "model.zarr"
    slices = [make_slice(config.parent, label) for label in (1, 2)]
    begin_cube(nursery, model, config)
    words = ("append", "-q", "-c", config, target, *slices)
    shutil.copytree(model, target)
    states = [tree(target)]
    first = "mounts.at_changes({})"
    for count in (1, 2):
        started = time.monotonic()
        whole = nursery.run(command(*words[: 5 + count], first=first, last="print(mounts.changes())"))
        length = time.monotonic() - started
        allowed(whole, OK)
        states.append(tree(target))
    shutil.rmtree(target)
    shutil.copytree(model, target)
    changes = int(nursery.run(command(*words, first=first, last="print(mounts.changes())")).out)
    for attempt in range(number):
        draw = random.Random(f"{place.name}-{attempt}")
        shutil.rmtree(target)
        shutil.copytree(model, target)
        at = draw.randrange(changes)
        if attempt % 2:
            killed = nursery.run(command(*words, first=f"mounts.at_changes({{{at}: mounts.die}})"))
            assert killed.code == KILLED, (at, killed)
        else:
            killed = nursery.start(command(*words))
            time.sleep(draw.uniform(0, 1.2 * length))
            killed.signal(signal.SIGKILL)
            killed.ended()
            allowed(killed, KILLED, OK)
        settle(nursery, target, lease=SHORT)
        found = tree(target)
        assert found in states, (attempt, at, killed, sorted(found))
        assert found == states[2] or killed.code == KILLED, (attempt, at, killed, sorted(found))
        again = nursery.run(command(*words))
        allowed(again, OK)
        assert tree(target) == states[2], (attempt, at, killed, again)


@pytest.mark.parametrize("kind", PLACES)
def test_kills(kind: str, disk: Callable[[str], Path], nursery: Nursery, config: Callable[..., Path]) -> None:
    """Before or after each slice, byte for byte, and nothing else is left."""
    kill_appends(nursery, disk(kind), config(label_order="increasing"), number=8)


@volume
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("kind", PLACES)
def test_hundreds_of_kills(
    kind: str, durability: str, disk: Callable[[str], Path], nursery: Nursery, config: Callable[..., Path]
) -> None:
    settings = config(label_order="increasing", durability=durability)
    kill_appends(nursery, disk(kind), settings, number=amount(ci=400, long=60_000) // 6)


# -- waiters that are killed -------------------------------------------------------------------------------------------


def killed_waiters(
    writers: Nursery, waiters: Nursery, target: Path, config: Path, moments: Sequence[int | None]
) -> None:
    """Kill waiters while somebody else, on another machine, has the turn: before that change, or when one has made itself known."""
    begin_cube(writers, target, config)
    slice_ = make_slice(config.parent, 1)
    owner = target / ".zapz/head/turn/theirs/owner"
    owner.parent.mkdir(parents=True)
    owner.write_text(json.dumps(ELSEWHERE | {"lease": 1e6}))
    words = ("append", "-q", "-c", config, "--lock-wait", 100, target, slice_)
    refused = writers.run(command("append", "-q", "-c", config, target, slice_))
    allowed(refused, LOCKED)
    assert "elsewhere" in refused.err
    for moment in moments:
        before = set(target.glob(".zapz/head/wait-*/*/owner"))
        if moment is None:
            killed = waiters.start(command(*words, lease=LEASE))
            deadline = time.monotonic() + 60
            while set(target.glob(".zapz/head/wait-*/*/owner")) <= before:
                assert time.monotonic() < deadline, killed
                time.sleep(0.005)
            killed.signal(signal.SIGKILL)
        else:
            killed = waiters.start(command(*words, lease=LEASE, first=f"mounts.at_changes({{{moment}: mounts.die}})"))
        assert killed.ended() == KILLED, killed
    assert list(target.glob(".zapz/head/wait-*")), "nobody has waited"
    shutil.rmtree(owner.parent)
    words = ("append", "-q", "-c", config, "--lock-wait", 60, target, slice_)
    allowed(writers.run(command(*words, lease=LEASE, first="mounts.clock_stands_still()")), OK)
    settle(writers, target)
    assert content(target) == {0: 0, 1: 1}


def test_killed_waiters(fuse: Path, nursery: Nursery, config: Callable[..., Path]) -> None:
    killed_waiters(nursery, nursery, fuse / "cube.zarr", config(), [*range(9), None, None])


def test_killed_waiters_of_another_machine(fuse: Path, nursery: Nursery, config: Callable[..., Path]) -> None:
    """Nobody can tell whether they are dead, until a lease is over."""
    with contextlib.ExitStack() as stack:
        waiters, _ = machines(stack, "containers", config().parent)
        killed_waiters(nursery, waiters, fuse / "cube.zarr", config(), [*range(0, 9, 2), None])
