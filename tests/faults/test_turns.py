"""Writers that stall and wake up, writers that break leases, on an object service: every interleaving of two, and three at random.

The real code runs over a double of the service; each writer is a thread that stops before every request that changes something, until
it is told to go on. At any moment a reader sees the dataset of before or of after some of the appends, whole; whoever was told "appended"
is in it; and one more append at the end succeeds.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.objects import World, read_line, write_line
from kit.volumes import amount, volume

import zapz
from zapz.testing import Died, Request
from zapz.txn.objects.lease import Lease

ROWS = {"A": tuple(range(100, 106)), "B": tuple(range(200, 209)), "C": (300, 301), "D": (400, 401, 402, 403)}
LENGTHS = (3, 4, 5, 8)
SETTINGS = {"workers": 1, "label_chunk": "keep", "label_units": "keep", "lock_wait": 1000.0}


class Writer:
    """One append in a thread of its own, which waits before every changing request until it is told to go on."""

    def __init__(self, world: World, name: str, source: Path) -> None:
        self.name = name
        self.state = "ready"
        self.error: BaseException | None = None
        self._world = world
        self._source = source
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._killed = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self._world.here.host = f"host-{self.name}"
        self._world.here.writer = self
        self._go.acquire()
        try:
            zapz.append(self._world.store(), self._source, **SETTINGS)
            self.state = "appended"
        except (zapz.ZapzError, Died) as error:
            self.state, self.error = "refused", error
        except BaseException as error:  # noqa: BLE001 - judged by the test
            self.state, self.error = "broken", error
        finally:
            self._stopped.release()

    def pause(self) -> None:
        """Called in the writer's thread: wait for permission."""
        self._stopped.release()
        self._go.acquire()
        if self._killed:
            raise Died

    def step(self) -> bool:
        """Let the writer run to its next changing request (or sleep), return whether it still runs."""
        if self.state not in {"ready", "running"}:
            return False
        if self.state == "ready":
            self.state = "running"
            self._thread.start()
        self._go.release()
        self._stopped.acquire()
        return self.state == "running"

    def run(self, steps: int | None = None) -> bool:
        """Let it take so many steps; return whether it still runs."""
        alive = self.state in {"ready", "running"}
        for _ in itertools.count() if steps is None else range(steps):
            alive = self.step()
            if not alive:
                break
        return alive

    def kill(self) -> None:
        """Let it die where it stands."""
        self._killed = True
        while self.step():
            pass


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    rows = ROWS | {f"start-{n}": tuple(range(n)) for n in LENGTHS}
    return {
        f"{name} {arrays}": write_line(folder / f"{name}-{arrays}.zarr", rows[name], arrays)
        for name in rows
        for arrays in ("x", "xy")
    }


def legal(start: int, names: str) -> set[tuple[int, ...]]:
    """All datasets that some of the appends, in any order, can make."""
    base = tuple(range(start))
    orders = (order for k in range(len(names) + 1) for order in itertools.permutations(names, k))
    return {base + tuple(row for name in order for row in ROWS[name]) for order in orders}


class Bench:
    """A world with a target, to be set back to its beginning many times."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        slices: dict[str, Path],
        start: int,
        *,
        arrays: str = "x",
        unique_tags: bool = True,
    ) -> None:
        self.world = World(monkeypatch, unique_tags=unique_tags)
        self.start = start
        self.everywhere = False
        """Whether writers also stop before requests that change nothing."""
        self._slices = {name: slices[f"{name} {arrays}"] for name in ROWS}
        zapz.append(self.world.store(), slices[f"start-{start} {arrays}"], **SETTINGS)
        self._beginning = self.world.service.snapshot()
        self.world.service.before = self._before
        self.world.clock.slept = lambda seconds: self._pause()
        self.writers: list[Writer] = []

    def _pause(self) -> None:
        writer = getattr(self.world.here, "writer", None)
        if writer is not None:
            writer.pause()

    def _before(self, request: Request) -> None:
        writer = getattr(self.world.here, "writer", None)
        if writer is not None and writer._killed:
            raise Died
        if request.changes or self.everywhere:
            self._pause()

    def reset(self) -> None:
        for writer in self.writers:
            writer.kill()
        self.writers = []
        self.world.service.restore(self._beginning)

    def writer(self, name: str) -> Writer:
        writer = Writer(self.world, name, self._slices[name])
        self.writers.append(writer)
        return writer

    def read(self) -> tuple[int, ...] | None:
        return read_line(self.world.service.objects)

    def finish(self, names: str) -> list[str]:
        """Append C, and say what is wrong with the result."""
        problems = [f"{w.name}: {w.error!r}" for w in self.writers if w.state == "broken"]
        told = [w.name for w in self.writers if w.state == "appended"]
        last = self.writer("C")
        last.run()
        found = self.read()
        if last.state != "appended":
            problems.append(f"the last append: {last.error!r}")
        if found not in legal(self.start, names):
            problems.append(f"finally {found}")
        problems += [f"{name} was told success" for name in [*told, "C"] if not set(ROWS[name]) <= set(found or ())]
        return problems


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, slices: dict[str, Path]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(start: int, **kind: Any) -> Bench:
        made.append(Bench(monkeypatch, slices, start, **kind))
        return made[-1]

    yield make
    for each in made:
        each.reset()


def steps_of(bench: Bench, name: str) -> int:
    bench.reset()
    writer = bench.writer(name)
    count = 0
    while writer.step():
        count += 1
    assert writer.state == "appended", repr(writer.error)
    return count


def two_writers(bench: Bench, *, stride: int) -> tuple[int, list[str]]:
    """A stops before its k-th request, B takes over and runs j steps, A wakes up and runs i, B ends, A ends, C appends."""
    whole = steps_of(bench, "A")
    allowed = legal(bench.start, "AB")
    cases, problems = 0, []
    for k in range(0, whole + 1, stride):
        for j in itertools.count():
            unfinished = False
            for i in range(0, whole - k + 2, stride):
                bench.reset()
                a, b = bench.writer("A"), bench.writer("B")
                seen = []
                a.run(k)
                unfinished = b.run(j)
                seen.append(bench.read())
                a.run(i)
                seen.append(bench.read())
                b.run()
                seen.append(bench.read())
                a.run()
                seen.append(bench.read())
                cases += 1
                wrong = [f"a reader saw {found}" for found in seen if found not in allowed]
                wrong += bench.finish("ABC")
                problems += [f"start {bench.start}, k {k}, j {j}, i {i}: {each}" for each in wrong]
            if not unfinished:
                break
    return cases, problems


@pytest.mark.parametrize("unique_tags", [True, False])
def test_one_that_stalls_and_one_that_takes_over(bench: Callable[..., Bench], unique_tags: bool) -> None:
    """Some interleavings; ``-m volume`` goes through all."""
    cases, problems = two_writers(bench(5, unique_tags=unique_tags), stride=4)
    assert cases > 50
    assert not problems, "\n".join(problems[:5])


@volume
@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("unique_tags", [True, False])
@pytest.mark.parametrize(("start", "arrays"), [*((n, "x") for n in LENGTHS), (5, "xy")])
def test_every_interleaving_of_two(
    bench: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    start: int,
    arrays: str,
    unique_tags: bool,
    checked: bool,
) -> None:
    """With the owner looking at its lease before each request, and with the fences alone."""
    if not checked:
        monkeypatch.setattr(Lease, "check", lambda self: None)
    cases, problems = two_writers(bench(start, arrays=arrays, unique_tags=unique_tags), stride=1)
    assert cases > 500
    assert not problems, f"{len(problems)} of {cases}\n" + "\n".join(problems[:5])


def three_writers(bench: Bench, seed: int) -> list[str]:
    """Three writers, one step at a time, the next one chosen at random, some of them dying; leases run out in no time."""
    rnd = random.Random(seed)
    bench.reset()
    allowed = legal(bench.start, "ABD")
    if rnd.random() < 0.3:  # somebody else's garbage beyond the shape
        bench.world.service.overwrite(f"bucket/cube/x/{-(-bench.start // 4)}", b"\7" * 16)
    alive = {name: bench.writer(name) for name in "ABD"}
    priority = {name: rnd.random() for name in alive}
    while alive:
        name = max(alive, key=lambda each: priority[each])
        if rnd.random() < 0.15:
            priority[name] = rnd.random()
        if rnd.random() < 0.01:
            alive.pop(name).kill()
        elif not alive[name].step():
            del alive[name]
        if bench.read() not in allowed:
            return [f"seed {seed}: a reader saw {bench.read()}"]
    return [f"seed {seed}: {each}" for each in bench.finish("ABDC")]


@pytest.mark.parametrize("start", [5])
def test_three_writers(bench: Callable[..., Bench], start: int) -> None:
    made = bench(start)
    problems = [problem for seed in range(60) for problem in three_writers(made, seed)]
    assert not problems, "\n".join(problems[:5])


@volume
@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("unique_tags", [False, True])
@pytest.mark.parametrize("start", LENGTHS)
def test_three_writers_at_random(bench: Callable[..., Bench], start: int, unique_tags: bool, everywhere: bool) -> None:
    """They stop before changing requests, or before every one; tags are digests of the content, as S3's are, or unique."""
    made = bench(start, unique_tags=unique_tags)
    made.everywhere = everywhere
    problems = [p for seed in range(amount(ci=10_000, long=1_000_000) // 16) for p in three_writers(made, seed)]
    assert not problems, "\n".join(problems[:5])
