"""zapz inside of other programs: stopped anywhere, called back, in threads, with slices that lie, planned here and executed there.

Tables of what a program may do, and what must hold whatever it does. Slices and plans are in ``test_embedded_slices``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.embedding import CHUNKED, OwnError, Slice, day, labels
from kit.trees import tree
from zarr.storage import MemoryStore

import zapz


def length(target: Path) -> int:
    return zapz.info(target).dims["time"] if target.exists() else 0


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("zapz")]


class Ledger:
    """Context managers that give slices, and what became of them."""

    def __init__(self) -> None:
        self.entered: list[int] = []
        self.left: list[int] = []

    @contextlib.contextmanager
    def manager(self, number: int) -> Iterator[Slice]:
        self.entered.append(number)
        try:
            yield day(number, 2)
        finally:
            self.left.append(number)


# -- stopped ----------------------------------------------------------------------------------------------------------


class Looks:
    """Says that it is set once it has been looked at so often."""

    def __init__(self, number: int) -> None:
        self._left = number

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_wherever_it_is_cancelled_slices_are_whole_and_everything_is_closed(
    prefetch: int, workers: int, tmp_path: Path
) -> None:
    lengths = set()
    for looks in itertools.count():
        target, ledger = tmp_path / f"{looks}.zarr", Ledger()
        items = (ledger.manager(number) for number in (0, 2, 4))
        cancelled = True
        try:
            zapz.append(target, items, cancel=Looks(looks), prefetch=prefetch, workers=workers, **CHUNKED)
            cancelled = False
        except zapz.CancelledError:
            assert not (target / ".zapz").exists()
        assert sorted(ledger.left) == sorted(ledger.entered) == sorted(set(ledger.entered))
        assert items.gi_frame is None or not ledger.entered
        assert not ours()
        lengths.add(length(target))
        assert length(target) in {0, 2, 4, 6}
        if not cancelled:
            break
    assert lengths == {0, 2, 4, 6}
    assert labels(target) == [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a target to copy and the two slices that follow."""
    folder = tmp_path_factory.mktemp("three")
    for number, name in enumerate(("target", "slice", "next")):
        zapz.append(folder / f"{name}.zarr", day(2 * number, 2), **CHUNKED)
    return folder


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("form", ["paths", "generator", "managers"])
@pytest.mark.parametrize("callback", ["on_slice", "on_progress"])
@pytest.mark.parametrize("kind", [OwnError, KeyboardInterrupt, SystemExit, StopIteration, GeneratorExit])
def test_what_a_callback_raises_travels_unchanged(
    kind: type[BaseException], callback: str, form: str, prefetch: int, three: Path, tmp_path: Path
) -> None:
    target, ledger, calls, error = tmp_path / "target.zarr", Ledger(), itertools.count(), kind("mine")
    shutil.copytree(three / "target.zarr", target)
    items: Any = {
        "paths": [three / "slice.zarr", three / "next.zarr"],
        "generator": (day(n, 2) for n in (2, 4)),
        "managers": [ledger.manager(2), ledger.manager(4)],
    }[form]

    def fail(*_: Any) -> None:
        if callback == "on_slice" or next(calls) == 1:
            raise error

    with pytest.raises(kind) as caught:
        zapz.append(target, items, prefetch=prefetch, **{callback: fail})
    assert caught.value is error
    assert labels(target) == ([0, 1, 2, 3] if callback == "on_slice" else [0, 1])
    assert not (target / ".zapz").exists()
    assert ledger.left == ledger.entered
    assert not ours()


@pytest.mark.parametrize("workers", [1, 2])
def test_cancelling_is_noticed_between_chunks(workers: int, tmp_path: Path) -> None:
    target, cancel, done = tmp_path / "target.zarr", threading.Event(), []
    zapz.append(target, day(0), **CHUNKED)
    before = tree(target)

    def progress(number: int, of: int) -> None:
        done.append((number, of))
        cancel.set()

    with pytest.raises(zapz.CancelledError):
        zapz.append(target, day(1, 64), cancel=cancel, on_progress=progress, workers=workers)
    assert tree(target) == before
    assert max(done) < (64, 0)
    assert not ours()


def test_cancelling_ends_a_wait_for_a_slice(tmp_path: Path) -> None:
    cancel = threading.Event()
    threading.Timer(0.2, cancel.set).start()
    with pytest.raises(zapz.CancelledError):
        zapz.append(tmp_path / "target.zarr", tmp_path / "none.zarr", cancel=cancel, slice_polling={"timeout": 60})


# -- others at work ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["generator", "manager"])
def test_who_makes_slices_may_append_to_the_target_meanwhile(who: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"

    def generator() -> Iterator[Slice]:
        for number in (0, 2):
            yield day(number)
            zapz.append(target, day(number + 1))

    @contextlib.contextmanager
    def manager(number: int) -> Iterator[Slice]:
        zapz.append(target, day(number))
        yield day(number + 1)
        zapz.append(target, day(number + 2))

    zapz.append(target, generator() if who == "generator" else [manager(0), manager(3)])
    assert labels(target) == list(range(4 if who == "generator" else 6))


def _at_once(*jobs: Callable[[], Any]) -> list[Any]:
    found: list[Any] = [None] * len(jobs)

    def run(place: int, job: Callable[[], Any]) -> None:
        try:
            found[place] = job()
        except zapz.ZapzError as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=job) for job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("memory", [False, True])
def test_threads_with_one_target_append_each_slice_once(memory: bool, tmp_path: Path) -> None:
    target: Any = MemoryStore() if memory else tmp_path / "target.zarr"
    zapz.append(target, day(0))
    job = lambda: zapz.append(target, (day(n) for n in range(1, 6)), prefetch=2, lock_wait=60)  # noqa: E731
    reports = _at_once(job, job, job)
    assert sum(report.appended for report in reports) == 5
    assert sum(report.already for report in reports) == 10
    assert zapz.info(target).dims["time"] == 6
    assert memory or labels(target) == list(range(6))


def test_threads_with_targets_of_their_own_do_not_meet(tmp_path: Path) -> None:
    targets = [tmp_path / f"{n}.zarr" for n in range(4)]
    _at_once(*(lambda t=t: zapz.append(t, (day(n) for n in range(5)), prefetch=1, workers=2) for t in targets))
    assert [labels(target) for target in targets] == [list(range(5))] * 4


# -- the door ---------------------------------------------------------------------------------------------------------

WRONG: dict[str, Callable[[Path], Any]] = {
    "on_slice is no callable": lambda t: zapz.append(t, day(0), on_slice=5),  # type: ignore[arg-type]
    "cancel is a function": lambda t: zapz.append(t, day(0), cancel=lambda: False),  # type: ignore[arg-type]
    "slices are bytes": lambda t: zapz.append(t, b"abc"),
    "slices are nothing": lambda t: zapz.append(t, None),
    "a slice is a list": lambda t: zapz.append(t, [[day(0)]]),
    "a slice source returns nothing": lambda t: zapz.append(t, [1], slice_source=lambda _: None),
    "a map of nothing": lambda t: zapz.append_map(t, day),
    "a map by nothing": lambda t: zapz.append_map(t, None, [0]),  # type: ignore[arg-type]
    "a map with two functions": lambda t: zapz.append_map(t, day, [0], slice_source=day),
    "a plan of many": lambda t: zapz.plan(t, [day(0), day(1)]),
    "a plan that is text": lambda _: zapz.execute("{}"),  # type: ignore[arg-type]
    "no target": lambda _: zapz.append(None, day(0)),
    "a target that is a slice": lambda t: zapz.append(day(0), t),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_sense_is_refused_at_the_door(case: str, tmp_path: Path) -> None:
    with pytest.raises((zapz.ConfigError, zapz.SliceError)):
        WRONG[case](tmp_path / "target.zarr")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["target", "slice"])
def test_an_empty_text_is_not_the_current_folder(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    if what == "slice":
        zapz.append(here, day(0))
    before = tree(here)
    with pytest.raises(zapz.ZapzError):
        zapz.append(*{"target": ("", day(0)), "slice": (tmp_path / "t.zarr", "")}[what])
    assert tree(here) == before
    assert not (tmp_path / "t.zarr").exists()


@pytest.mark.parametrize(
    "place", ["{}", "{}/", "file://{}", "local://{}", "simplecache::file://{}", "{}/../target.zarr"]
)
def test_the_target_is_no_slice_of_itself_however_it_is_named(place: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    zapz.append(target, day(0))
    before = tree(target)
    with pytest.raises(zapz.SliceError, match="same"):
        zapz.append(target, place.format(target))
    assert tree(target) == before


def test_errors_travel_between_processes_with_their_notes() -> None:
    error = zapz.SliceError("what", where="where", expected="a", found="b", hint="do")
    error.add_note("Closing failed as well.")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), getattr(copy, "__notes__", [])) == (type(error), str(error), error.__notes__)


# -- many slices ------------------------------------------------------------------------------------------------------

MANY = """
import os, sys, threading, tracemalloc, numpy, zapz
tracemalloc.start()
def slices(first, last):
    for n in range(first, last):
        yield {"time": ("time", [float(n)]), "v": (("time", "x"), numpy.full((1, 10_000), n, "f8"))}
def append(first, last): return zapz.append("t.zarr", slices(first, last), durability="process", prefetch=int(sys.argv[1]))
append(0, 20)
memory, files = tracemalloc.get_traced_memory()[0], len(os.listdir("/dev/fd"))
tracemalloc.reset_peak()
append(20, 140)
assert tracemalloc.get_traced_memory()[1] - memory < 120 * 15_000, tracemalloc.get_traced_memory()
assert len(os.listdir("/dev/fd")) == files
assert [t for t in threading.enumerate() if t.name.startswith("zapz")] == []
"""


@pytest.mark.parametrize("prefetch", [0, 3])
def test_many_slices_take_no_memory_and_leave_nothing_open(prefetch: int, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    subprocess.run([sys.executable, "-c", MANY, str(prefetch)], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert not list((tmp_path / "temporary").iterdir())


# -- the command line around a program's functions ----------------------------------------------------------------------

MINE = """
import contextlib, dask, dask.array, numpy
def fail():
    raise ValueError("boom")
def called(name):
    fail()
def noted(name):
    error = ValueError("boom")
    error.add_note("a note")
    raise error
def nothing(name):
    return None
@contextlib.contextmanager
def entered(name):
    fail()
    yield name
@contextlib.contextmanager
def left(name):
    yield name
    fail()
def computed(name):
    lazy = dask.array.from_delayed(dask.delayed(fail)(), (1, 3), float)
    return {"time": ("time", [0.0]), "v": (("time", "x"), lazy)}
"""


EACH = """
import contextlib, io, json, runpy, sys
said = []
for name in sys.argv[1:]:
    sys.argv = ["zapz", "append", f"{name}.zarr", "slice.zarr", "-c", f"{name}.toml"]
    errors, code = io.StringIO(), None
    with contextlib.redirect_stderr(errors):
        try:
            runpy.run_module("zapz", run_name="__main__")
        except SystemExit as end:
            code = end.code
    said.append([name, code, errors.getvalue()])
print(json.dumps(said))
"""
"""Run the command line once for each name: importing dask for each is what takes time."""


def test_the_command_line_names_the_function_that_fails(tmp_path: Path) -> None:
    names = ["called", "noted", "nothing", "entered", "left", "computed"]
    (tmp_path / "mine.py").write_text(MINE)
    for name in names:
        (tmp_path / f"{name}.toml").write_text(f'slice_source = "mine:{name}"')
    zapz.append(tmp_path / "slice.zarr", day(0))
    command = [sys.executable, "-c", EACH, *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert [name for name, _, _ in said] == names
    for name, code, errors in said:
        assert code == 3, (name, code, errors)
        assert "mine:" in errors or "mine.py" in errors, (name, errors)
        assert "Traceback" not in errors, (name, errors)
    assert done.stderr == ""


def test_nobody_reading_the_messages_stops_no_append(tmp_path: Path) -> None:
    names = [f"{n}.zarr" for n in range(4)]
    for number, name in enumerate(names):
        zapz.append(tmp_path / name, day(number))
    end, begin = os.pipe()
    os.close(end)
    command = [sys.executable, "-m", "zapz", "append", "target.zarr", *names]
    done = subprocess.run(command, cwd=tmp_path, stdout=begin, stderr=subprocess.PIPE, text=True, check=False)
    os.close(begin)
    assert "Traceback" not in done.stderr
    assert labels(tmp_path / "target.zarr") == [0, 1, 2, 3]


@pytest.mark.parametrize("slices", [["one.zarr"], ["one.zarr", "two.zarr"]])
def test_slices_alone_are_answered_with_the_way_to_name_the_configured_target(
    slices: list[str], tmp_path: Path
) -> None:
    (tmp_path / "c.toml").write_text('target_dir = "target.zarr"')
    command = [sys.executable, "-m", "zapz", "append", *slices, "-c", "c.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "zapz append - " in done.stderr
