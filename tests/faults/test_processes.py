"""Real processes of the command line: stopped by signals at any moment, racing for one lock, and read by others while they write.

A crew of processes is started once, each with zapz imported; what a signal may end is forked from one of them. Moments are drawn from
the seed that a failure names; the scheduler of the machine does the rest, so a seed narrows a failure down but need not repeat it.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing as mp
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from kit import cubes
from kit.command_line import cli
from kit.crash_states import Case, become, look, make_case, nearest, recovered, report, tree_of, where_in
from kit.trees import without_ours
from kit.volumes import amount, volume

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SETTINGS = 'durability = "process"\nworkers = 1\nlabel_chunk = "keep"\nlabel_units = "keep"\n'
MEANWHILE = 0
"""In a list of signals: run the same command here while the process is stopped."""

LONG = 300.0
"""Seconds that hundreds of appends may take while readers, and other tests, use all processors."""

# -- a crew of processes -----------------------------------------------------------------------------------------------


def attend(pipe: Connection, barrier: Barrier) -> None:
    """Be one of the crew: do what is asked for, until there is nothing more."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from zapz import api  # noqa: F401 - warm
    from zapz.cli import app as cli  # noqa: F401 - warm

    with suppress(EOFError):
        while True:
            function, arguments, together = pipe.recv()
            if together:
                barrier.wait()
            try:
                pipe.send(function(*arguments))
            except Exception:  # noqa: BLE001 - codecs raise what they like
                pipe.send(AssertionError(traceback.format_exc()))


class Crew:
    """Processes that have imported zapz."""

    def __init__(self, size: int) -> None:
        context = mp.get_context("spawn")
        self._barrier = context.Barrier(size)
        ends = [context.Pipe() for _ in range(size)]
        self._pipes = [here for here, _ in ends]
        self._processes = [
            context.Process(target=attend, args=(there, self._barrier), daemon=True) for _, there in ends
        ]
        for process in self._processes:
            process.start()

    def start(self, member: int, function: Callable[..., Any], *arguments: Any, together: bool = False) -> None:
        """Let a member call a function, at the same instant as all others if ``together``."""
        self._pipes[member].send((function, arguments, together))

    def result(self, member: int, seconds: float = 60) -> Any:
        """Return what a member's call returned."""
        assert self._pipes[member].poll(seconds), "a process hangs"
        answer = self._pipes[member].recv()
        if isinstance(answer, AssertionError):
            raise answer
        return answer

    def call(self, member: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Let a member call a function, and wait for it."""
        self.start(member, function, *arguments)
        return self.result(member)

    def at_once(self, function: Callable[..., Any], arguments: Sequence[Sequence[Any]]) -> list[Any]:
        """Let all members call a function at the same instant, each with its own arguments."""
        for member, own in enumerate(arguments):
            self.start(member, function, *own, together=True)
        return [self.result(member) for member in range(len(arguments))]

    def stop(self) -> None:
        """End all processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            process.kill()
            process.join()


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Give four processes."""
    made = Crew(4)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def settings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a configuration file."""
    path = tmp_path_factory.mktemp("settings") / "zapz.toml"
    path.write_text(SETTINGS)
    return path


# -- signals -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    """Exit code; negative: the signal that killed it."""
    err: str
    meanwhile: int | None
    """Exit code of the same command, run while the process was stopped."""
    seconds: float


def signalled(arguments: Sequence[str], signals: Sequence[tuple[float, int]]) -> Ended:
    """Fork a process that runs the command line, and send it signals, each so many seconds after what came before."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as err:
        wanted = set(signal.valid_signals())
        before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        child = os.fork()
        if child == 0:
            be_the_command(arguments, err.fileno(), before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        meanwhile = None
        status = None
        for delay, number in signals:
            time.sleep(delay)
            if number == MEANWHILE:
                _, status = os.waitpid(child, os.WUNTRACED)
                meanwhile = cli(*arguments).code
            if status is None or os.WIFSTOPPED(status):
                os.kill(child, number)
        code = waited(child) if status is None or os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        err.seek(0)
        return Ended(code, err.read().decode(), meanwhile, seconds)


def be_the_command(arguments: Sequence[str], err: int, mask: set[signal.Signals]) -> None:
    """Be the process that ``zapz`` starts; does not return."""
    from zapz.__main__ import main

    code = 1
    try:
        os.dup2(err, 1)
        os.dup2(err, 2)
        sys.argv = ["zapz", *arguments]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:  # outside of the command: Python itself ends this way
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001 - what Python does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def waited(child: int, seconds: float = 30) -> int:
    """Return a child's exit code; that of a child that hangs is None, and it is killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the command does not end")


def drawn(moment: random.Random, length: float) -> list[tuple[float, int]]:
    """Draw signals for a command that takes ``length`` seconds."""
    first = moment.uniform(0, 1.1 * length)
    kind = moment.choice(["kill", "stop", *["end"] * 3, *["twice"] * 3])
    if kind == "kill":
        return [(first, signal.SIGKILL)]
    if kind == "stop":
        return [(first, signal.SIGSTOP), (0, MEANWHILE), (moment.uniform(0, 0.002), signal.SIGCONT)]
    signals = [(first, int(moment.choice(SIGNALS)))]
    if kind == "twice":
        signals.append((moment.uniform(0, 0.3 * length), int(moment.choice([*SIGNALS, signal.SIGKILL]))))
    return signals


def wrong_end(case: Case, target: Path, ended: Ended, signals: Sequence[tuple[float, int]]) -> list[str]:
    """Say what is wrong with how a command ended, and with what is there after recovery."""
    sent = {int(number) for _, number in signals}
    allowed = {0, *(-s for s in sent), *(128 + s for s in sent & {int(s) for s in SIGNALS})}
    problems = []
    state = look(target)
    visible = without_ours(tree_of(state))
    at = where_in(case, visible, state)
    if ended.code not in allowed:
        problems.append(f"exit {ended.code}: {ended.err}")
    if "Traceback" in ended.err:
        problems.append(f"a traceback: {ended.err}")
    if ended.code >= 0 and len(signals) == 1 and at < 0 and "run `zapz recover`" not in ended.err:
        problems.append(f"exit {ended.code}, torn: {nearest(case, visible)}")
    if MEANWHILE in sent and (ended.code, ended.meanwhile) not in {(0, 0), (0, 7), (7, 0)}:
        problems.append(f"stopped, then exit {ended.code}; the other one meanwhile {ended.meanwhile}: {ended.err}")
    problems += recovered(target)
    found = tree_of(look(target))
    reached = where_in(case, found, state)
    if reached < max(0, at) or (ended.code == 0 and reached != len(case.states) - 1):
        problems.append(f"exit {ended.code}: recovered: {nearest(case, found)}")
    return problems


def stop_by_signals(name: str, number: int, crew: Crew, place: Path, config: Path) -> list[str]:
    """Stop so many commands at random moments; say what is wrong."""
    case = make_case(place, name)
    target = place / "target.zarr"
    arguments = ["append", "-c", str(config), str(target), *map(str, case.slices)]
    lengths = []
    for _ in range(6):
        become(target, case.before)
        lengths.append(crew.call(0, signalled, arguments, []).seconds)
    problems: list[str] = []
    codes: dict[int, int] = {}
    for attempt in range(number):
        seed = f"{name}-{attempt}"
        signals = drawn(random.Random(seed), sorted(lengths)[2])
        become(target, case.before)
        ended = crew.call(0, signalled, arguments, signals)
        codes[ended.code] = codes.get(ended.code, 0) + 1
        problems += [f"{seed}, {signals}: {problem}" for problem in wrong_end(case, target, ended, signals)]
    if number >= 50 and len(codes) < 6:
        problems.append(f"the signals did not meet the command: exit codes {codes}")
    return problems


@volume
@pytest.mark.parametrize("name", ["many-slices-v2", "create-v3", "misaligned-v2", "many-slices-v3"])
def test_signals_at_any_moment(name: str, crew: Crew, tmp_path: Path, settings_file: Path) -> None:
    """Killed, stopped and continued, ended once or twice: exit code as the shell expects, never torn, and recovery settles it."""
    number = amount(ci=300, long=10_000) // 4
    report(stop_by_signals(name, number, crew, tmp_path, settings_file))


def test_some_signals(crew: Crew, tmp_path: Path, settings_file: Path) -> None:
    """A few of them."""
    report(stop_by_signals("misaligned-v3", 20, crew, tmp_path, settings_file))


# -- races for the lock ------------------------------------------------------------------------------------------------


def racer(delay: float, pause: float, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the command line after a delay, and pause between opening the lock and locking it; return code, report, messages."""
    lock = fcntl.flock

    def slow(*given: Any) -> None:
        time.sleep(pause)
        lock(*given)

    time.sleep(delay)
    with mock.patch("fcntl.flock", slow if pause else lock):
        said = cli(*arguments, "--json")
    return said.code, json.loads(said.out) if said.out else {}, said.err


def race(name: str, number: int, crew: Crew, place: Path, config: Path) -> list[str]:
    """Let all processes append the same next slice, two of them one more, so many times; say what is wrong."""
    case = make_case(place, name)
    problems: list[str] = []
    target = place / "target.zarr"
    reached = len(case.slices)
    outcomes = {"appended": 0, "already": 0, "refused": 0}
    for attempt in range(number):
        if reached == len(case.slices):
            become(target, case.before)
            reached = 0
        draw = random.Random(f"{name}-{attempt}")
        spread, pause = draw.choice([0, 0, 0.001, 0.005, 0.02]), draw.choice([0, 0, 0.01, 0.03])
        command = ("append", "-c", str(config), str(target))
        waits = [(draw.uniform(0, spread), draw.uniform(0, pause)) for _ in range(4)]
        parts = [list(map(str, case.slices[reached : reached + 1 + member % 2])) for member in range(4)]
        found = crew.at_once(racer, [(*wait, *command, *part) for wait, part in zip(waits, parts, strict=True)])
        for (code, said, err), part in zip(found, parts, strict=True):
            if (
                code not in {0, 7}
                or "Traceback" in err
                or (code == 0 and said["appended"] + said["already"] < len(part))
            ):
                problems.append(f"{name}-{attempt}: exit {code}: {err} {said}")
            outcomes["refused"] += code == 7
            for kind in ("appended", "already"):
                outcomes[kind] += said.get(kind, 0)
        total = sum(said.get("appended", 0) for _, said, _ in found)
        now = tree_of(look(target))
        reached += total
        if not 1 <= total <= 2 or reached >= len(case.states) or now != case.states[reached]:
            problems.append(f"{name}-{attempt}: {total} appends: {found}: {nearest(case, now)}")
            reached = len(case.slices)
    if number >= 50 and not all(outcomes.values()):
        problems.append(f"no race at all: {outcomes}")
    return problems


@volume
@pytest.mark.parametrize("name", ["many-slices-v2", "many-slices-v3", "create-v2", "misaligned-v3"])
def test_race_for_the_next_slice(name: str, crew: Crew, tmp_path: Path, settings_file: Path) -> None:
    """Exactly one appends it; the others are refused with exit code 7, or find it there already."""
    report(race(name, amount(ci=1_000, long=100_000) // 4, crew, tmp_path, settings_file))


def test_some_races(crew: Crew, tmp_path: Path, settings_file: Path) -> None:
    """A few of them."""
    report(race("many-slices-v3", 20, crew, tmp_path, settings_file))


# -- readers -----------------------------------------------------------------------------------------------------------


READERS = 3


def expected_values(steps: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return what a cube of so many steps holds; no value is a fill value."""
    labels = np.arange(steps, dtype=np.int64)
    return {"time": labels, "data": (1 + labels[:, None] * 10 + np.arange(3)).astype("<f4")}


def read_along(target: str, done: str, steps: int) -> tuple[int, list[int], list[str]]:
    """Read whole arrays by consolidated metadata until ``done`` exists; return number of readings, lengths, what was wrong."""
    import zarr

    whole = expected_values(steps)
    lengths: list[int] = [0]
    problems: list[str] = []
    count = 0
    while not os.path.exists(done) and len(problems) < 5:
        count += 1
        try:
            group = zarr.open_group(target, mode="r", use_consolidated=True)
            found = {name: np.asarray(group[name][...]) for name in whole}
        except Exception:  # noqa: BLE001 - a reading that fails is what is looked for
            problems.append(traceback.format_exc())
            continue
        length = len(found["data"])
        for name, values in found.items():
            if len(values) != length or not np.array_equal(values, whole[name][: len(values)]):
                problems.append(f"{name} of {length} steps: {values.tolist()}")
        if not lengths[-1] <= length <= steps or not length:
            problems.append(f"{length} steps after {lengths[-1]}")
        lengths.append(length)
        Path(f"{done}.{os.getpid()}").touch()
    return count, sorted(set(lengths)), problems


def write_along(config: str, target: str, slices: Sequence[str], done: str, one_call: bool) -> list[str]:
    """Append slices, all in one call or one by one, when all readers have begun, and say when it is done."""
    deadline = time.monotonic() + 30
    while len(os.listdir(Path(done).parent)) < 1 + READERS and time.monotonic() < deadline:
        time.sleep(0.001)
    try:
        for part in [list(slices)] if one_call else [[s] for s in slices]:
            said = cli("append", "-q", "-c", config, target, *part)
            if said.code:
                return [f"the writer: exit {said.code}: {said.err}"]
    finally:
        Path(done).touch()
    return []


def read_while_writing(zarr_format: int, slices: int, readings: int, crew: Crew, place: Path, config: Path) -> None:
    """Read in three processes while a fourth appends so many slices, again and again until there were enough readings."""
    paths = [place / f"s{n}.zarr" for n in range(slices)]
    whole = expected_values(slices)
    for number, path in enumerate(paths):
        cube = whole["data"][number : number + 1]
        options: dict[str, Any] = {"data": cube, "shape": (3,), "chunks": (5, 3), "time_chunk": 4, "static": False}
        cubes.make_slice(path, start=number, steps=1, zarr_format=zarr_format, **options)
    problems: list[str] = []
    seen: set[int] = set()
    count = 0
    while count < readings and not problems:
        round_ = place / f"round{count}"
        round_.mkdir()
        target, done = str(round_ / "cube.zarr"), str(round_ / "done")
        assert cli("append", "-q", "-c", config, target, paths[0]).code == 0
        for member in range(READERS):
            crew.start(member, read_along, target, done, slices)
        crew.start(READERS, write_along, str(config), target, [str(p) for p in paths[1:]], done, count % 2 == 0)
        for member in range(READERS):
            read, lengths, wrong = crew.result(member, LONG)
            count += read
            seen |= set(lengths)
            problems += wrong
        problems += crew.result(READERS, LONG)
        become(round_ / "cube.zarr", {})
    assert problems or len(seen) > slices / 10, f"readers did not see the cube grow: {sorted(seen)}"
    assert not problems, f"after {count} readings: {len(problems)} problems\n" + "\n".join(problems[:4])


@volume
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_readers_while_hundreds_of_slices_come(
    zarr_format: int, crew: Crew, tmp_path: Path, settings_file: Path
) -> None:
    """Every reading is one of the lengths that the writer made, with its values; none goes backwards."""
    read_while_writing(zarr_format, 200, amount(ci=20_000, long=1_000_000) // 2, crew, tmp_path, settings_file)


def test_readers_while_slices_come(crew: Crew, tmp_path: Path, settings_file: Path) -> None:
    """The same, shorter."""
    read_while_writing(2, 60, 100, crew, tmp_path, settings_file)
