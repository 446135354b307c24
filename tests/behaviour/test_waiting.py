"""Waiting for slices: until they are there and complete, never longer than was said, and without holding the target.

A finished slice is put in place bit by bit by a thread, as its writer would do; what is appended equals the finished one, whatever zapz
saw on the way. A slice whose documents change while it is copied is refused, and the target stays byte for byte as it was.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kit import cubes
from kit.command_line import cli
from kit.trees import differ, tree

import zapz
from zapz.execution import run as execution
from zapz.sources import readiness
from zapz.storage import waiting

FAST: dict[str, Any] = {"durability": "process", "workers": 1, "label_chunk": "keep"}
POLL: dict[str, Any] = {"interval": 0.05, "timeout": 20}
SHORT: dict[str, Any] = {"interval": 0.05, "timeout": 0.15}
SHAPES: dict[str, Any] = {"shape": (10, 8), "chunks": (3, 5, 8), "time_chunk": 3}

# -- slices that come bit by bit ---------------------------------------------------------------------------------------


class Room:
    """A target with one slice in it, and finished slices that have not come yet."""

    def __init__(self, place: Path, stock: Path, zarr_format: int) -> None:
        self.place, self._stock, self.zarr_format = place, stock, zarr_format
        self.target, self.expected = place / "cube.zarr", place / "expected.zarr"
        for target in (self.target, self.expected):
            shutil.copytree(stock / "cube.zarr", target)
        self.old = tree(self.target)

    def finished(self, start: int) -> Path:
        """Give a whole slice, of a test's own."""
        path = self.place / f"finished{start}.zarr"
        if not path.exists():
            shutil.copytree(self._stock / f"{start}.zarr", path)
        return path

    def became(self, *finished: Path) -> None:
        """Assert that the target is what appending these slices gives, and that nothing else remains."""
        for part in finished:
            zapz.append(self.expected, part, **FAST)
        assert tree(self.target) == tree(self.expected), differ(tree(self.target), tree(self.expected))

    def untouched(self) -> None:
        """Assert that the target is as it was."""
        assert tree(self.target) == self.old, differ(tree(self.target), self.old)


Rooms = Callable[..., Room]


@pytest.fixture(scope="module")
def room_of(tmp_path_factory: pytest.TempPathFactory) -> Rooms:
    """Give rooms of either format; what is in them is made once."""
    stocks: dict[int, Path] = {}

    def get(place: Path, zarr_format: int) -> Room:
        if zarr_format not in stocks:
            stock = stocks[zarr_format] = tmp_path_factory.mktemp("stock")
            for start in range(0, 15, 3):
                cubes.make_slice(stock / f"{start}.zarr", start=start, zarr_format=zarr_format, **SHAPES)
            zapz.append(stock / "cube.zarr", stock / "0.zarr", **FAST)
        return Room(place, stocks[zarr_format], zarr_format)

    return get


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def room(request: pytest.FixtureRequest, room_of: Rooms, tmp_path: Path) -> Room:
    """Give a room of either format."""
    return room_of(tmp_path, request.param)


@contextmanager
def meanwhile(work: Callable[[], None], after: float = 0.2) -> Iterator[None]:
    """Do something in another thread a little later."""
    problems: list[BaseException] = []

    def run() -> None:
        time.sleep(after)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - judged by the test
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if problems:
        raise problems[0]


def kind_of(name: str) -> int:
    """Say when a writer like xarray writes a file: documents, then chunks, then what consolidates, then a marker."""
    last = name.rpartition("/")[2]
    return {".zmetadata": 2, "_SUCCESS": 3}.get(last, last not in {".zgroup", ".zattrs", ".zarray", "zarr.json"})


def write_slowly(finished: Path, place: Path) -> None:
    """Write a slice as xarray does, resting between the files."""
    contents = cubes.files(finished)
    for name in sorted(contents, key=lambda name: (kind_of(name), name.count("/"), name)):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(contents[name])
        time.sleep(0.04)


def document(place: Path, array: str = "data") -> Path:
    """Return an array's document."""
    return place / array / (".zarray" if (place / ".zgroup").exists() else "zarr.json")


def cut(path: Path, share: float) -> None:
    """Keep only the beginning of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def lengthen(place: Path, array: str, steps: int) -> None:
    """Let an array claim another length."""
    meta = json.loads(document(place, array).read_text())
    meta["shape"][0] = steps
    document(place, array).write_text(json.dumps(meta))


def emptied(place: Path) -> None:
    """Leave the folder, and nothing in it."""
    shutil.rmtree(place)
    place.mkdir()


def root_of(place: Path) -> Path:
    """Return the root's document."""
    return next(path for path in (place / "zarr.json", place / ".zgroup") if path.exists())


UNFINISHED: dict[str, tuple[Callable[[Path], Any], int, set[int], str]] = {
    "absent": (shutil.rmtree, 6, {6}, ""),
    "empty-folder": (emptied, 4, {3, 4, 6}, ""),
    "half-a-document": (lambda place: cut(document(place), 0.5), 4, {3, 4}, "data"),
    "empty-document": (lambda place: cut(document(place), 0), 4, {3, 4}, "data"),
    "half-a-root": (lambda place: cut(root_of(place), 0.5), 4, {3, 4}, ""),
    "variable-lacks": (lambda place: shutil.rmtree(place / "data"), 3, {3}, "data"),
    "lengths-differ": (lambda place: lengthen(place, "time", 1), 3, {3}, "time"),
}
"""How a slice may look before it is finished; the exit code without waiting; those after waiting in vain; a word of the message."""


def put(finished: Path, place: Path) -> None:
    """Put a finished slice in place: at once if there is nothing, else file by file."""
    aside = place.with_name("aside")
    shutil.copytree(finished, aside)
    if not place.exists() or not any(place.iterdir()):
        aside.replace(place)
        return
    for name in cubes.files(aside):
        (aside / name).replace(place / name)


# -- it comes, or it does not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["flag", "table"])
def test_slice_that_comes_later(how: str, room: Room) -> None:
    """The whole slice turns up after a while: ``--wait`` on the command line, ``slice_polling`` in Python."""
    part, place = room.finished(3), room.place / "later.zarr"
    (room.place / "zapz.toml").write_text("slice_polling = {interval = 0.05, timeout = 0.1}\n")
    started = time.monotonic()
    with meanwhile(lambda: part.rename(place)):
        if how == "flag":  # of the table, the flag changes the timeout, not the interval
            said = cli("append", "-c", room.place / "zapz.toml", room.target, place, "--wait", "20")
            assert said.code == 0, said
        else:
            assert zapz.append(room.target, place, slice_polling=POLL, **FAST).appended == 1
    assert 0.2 <= time.monotonic() - started < 1.5
    room.became(place)


@pytest.mark.parametrize("how", ["flag", "table"])
def test_slice_that_never_comes(how: str, tmp_path: Path) -> None:
    """Exit code 6 after the time that was asked for; the message says how long it waited; nothing is touched."""
    place, config = tmp_path / "never.zarr", tmp_path / "zapz.toml"
    config.write_text("slice_polling = {interval = 0.05, timeout = 0.4}\n" if how == "table" else "")
    more = ["--wait", "0.4"] if how == "flag" else []
    started = time.monotonic()
    said = cli("append", "-c", config, tmp_path / "cube.zarr", place, *more)
    assert 0.4 <= time.monotonic() - started < 1.5
    assert said.code == 6, said
    assert str(place) in said.err
    assert re.search(r"0\.4\d* s", said.err), said.err
    assert tree(tmp_path).keys() == {".", "zapz.toml"}


def test_polling_true(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """``slice_polling = true`` looks every two seconds (which do not pass here)."""
    part, place = room.finished(3), room.place / "later.zarr"
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            put(part, place)

    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: sum(pauses), sleep=sleep))
    source = readiness.open_slice(place, zapz.Config(slice_polling=True))
    assert source.dataset.lengths("time")
    assert len(pauses) >= 3
    assert pauses == [2] * len(pauses)


BAD = [
    "{interval = 0}",
    "{interval = -1}",
    "{timeout = -1}",
    "{interval = 'often'}",
    "{interval = true}",
    "{timeout = nan}",
    "{interval = inf}",
    "{intervall = 1}",
    "{interval = 1, until = 3}",
    "[1, 60]",
    "'yes'",
    "5",
]


@pytest.mark.parametrize("setting", [*BAD, "--wait=-1", "--wait=soon", "--wait=nan"])
def test_bad_settings(setting: str, tmp_path: Path) -> None:
    """Exit code 2, before anything is touched; the message names the setting."""
    cubes.make_slice(tmp_path / "s.zarr", **SHAPES)
    (tmp_path / "zapz.toml").write_text("" if setting.startswith("--") else f"slice_polling = {setting}\n")
    more = [setting] if setting.startswith("--") else []
    said = cli("append", "-c", tmp_path / "zapz.toml", tmp_path / "cube.zarr", tmp_path / "s.zarr", *more)
    assert said.code == 2, said
    assert more or "slice_polling" in said.err
    assert not (tmp_path / "cube.zarr").exists()


# -- it is there, and not complete -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "zarr_format"), [*((s, 2) for s in UNFINISHED), *((s, 3) for s in ("half-a-document", "half-a-root"))]
)
def test_unfinished_slice(state: str, zarr_format: int, room_of: Rooms, tmp_path: Path) -> None:
    """Refused at once without waiting; refused after waiting in vain; appended if it is finished meanwhile."""
    room = room_of(tmp_path, zarr_format)
    spoil, at_once, in_vain, word = UNFINISHED[state]
    part, place = room.finished(3), room.place / "s.zarr"
    shutil.copytree(part, place)
    spoil(place)
    for polling, codes in ((False, {at_once}), (SHORT, in_vain)):
        started = time.monotonic()
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(room.target, place, slice_polling=polling, **FAST)
        assert caught.value.exit_code in codes, caught.value
        assert word in str(caught.value)
        assert str(place) in str(caught.value)
        assert polling is False or time.monotonic() - started >= SHORT["timeout"] or state == "variable-lacks"
        room.untouched()
    if state != "variable-lacks":  # that one is complete in itself: it is refused without waiting on
        with meanwhile(lambda: put(part, place)):
            assert zapz.append(room.target, place, slice_polling=POLL, **FAST).appended == 1
        room.became(part)


def test_zip_that_is_being_written(room: Room) -> None:
    """A zip has its list of contents at the end: half of one is no Zarr yet."""
    part, place = room.finished(3), room.place / "s.zip"
    with zipfile.ZipFile(room.place / "whole", "w") as archive:
        for name, data in cubes.files(part).items():
            archive.writestr(name, data)
    whole = (room.place / "whole").read_bytes()
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(zapz.ZapzError):
        zapz.append(room.target, place, **FAST)
    with meanwhile(lambda: place.write_bytes(whole)):
        assert zapz.append(room.target, place, slice_polling=POLL, **FAST).appended == 1
    room.became(part)


SIGNS: dict[str, dict[str, Any]] = {"marker": {"slice_ready": "_SUCCESS"}, "chunks": {"slice_complete": "chunks"}}
"""What tells that a slice is complete."""


@pytest.mark.parametrize("sign", SIGNS)
def test_slice_that_is_written_slowly(sign: str, room: Room) -> None:
    """Metadata first, then chunks, what consolidates at the end: the finished slice is appended, never half of it."""
    part, place = room.finished(3), room.place / "s.zarr"
    if sign == "marker":
        cubes.consolidate(part, zarr_format=room.zarr_format)
        (part / "_SUCCESS").write_bytes(b"")
    with meanwhile(lambda: write_slowly(part, place), 0.1):
        assert zapz.append(room.target, place, slice_polling=POLL, **SIGNS[sign], **FAST).appended == 1
    room.became(part)
    assert "_SUCCESS" not in tree(room.target)


# -- markers and chunks ------------------------------------------------------------------------------------------------


def test_slice_that_never_comes_to_rest(room: Room) -> None:
    """Its metadata change at every look: refused when the time is over, not waited for without end."""
    part, started = room.finished(3), time.monotonic()

    def write() -> None:
        for number in range(60):
            with_attribute("data", number)(part)
            time.sleep(0.03)

    with meanwhile(write, 0):
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(room.target, part, slice_polling={"interval": 0.1, "timeout": 0.3}, **FAST)
        assert time.monotonic() - started < 1.5
    assert caught.value.exit_code in {3, 4}
    room.untouched()


@pytest.mark.parametrize("marker", ["_SUCCESS", "state/done"])
def test_marker(marker: str, room: Room) -> None:
    """Without it, a slice is refused, at once or after waiting; with it, it is appended."""
    part = room.finished(3)
    for polling in (False, SHORT):
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(room.target, part, slice_ready=marker, slice_polling=polling, **FAST)
        assert caught.value.exit_code == 3, caught.value
        assert marker in str(caught.value)
        room.untouched()
    (part / marker).parent.mkdir(exist_ok=True)
    (part / marker).write_bytes(b"")
    assert zapz.append(room.target, part, slice_ready=marker, **FAST).appended == 1
    room.became(part)


@pytest.mark.parametrize("marker", ["../done", "a/../../done", "/tmp/done", "..", "", "a\\b", "a\0b", "a//b", "./a"])
def test_bad_marker(marker: str, tmp_path: Path) -> None:
    """A marker that may lie elsewhere is a wrong setting (2), even if there is such a file."""
    (tmp_path / "done").write_bytes(b"")
    cubes.make_slice(tmp_path / "s.zarr", **SHAPES)
    (tmp_path / "s.zarr/a").mkdir()
    for name in ("s.zarr", "not-there.zarr"):
        with pytest.raises(zapz.ConfigError) as caught:
            zapz.append(tmp_path / "cube.zarr", tmp_path / name, slice_ready=marker)
        assert "slice_ready" in str(caught.value)
    assert not (tmp_path / "cube.zarr").exists()


@pytest.mark.parametrize("array", ["data", "time", "y"])
def test_missing_chunk(array: str, room: Room) -> None:
    """``slice_complete = "chunks"``: refused with what is missing, or appended when it has come; the default takes it."""
    part, place = room.finished(3), room.place / "s.zarr"
    shutil.copytree(part, place)
    chunk = max(name for name in cubes.files(part) if name.startswith(f"{array}/") and kind_of(name) == 1)
    (place / chunk).unlink()
    for polling in (False, SHORT):
        with pytest.raises(zapz.SliceError) as caught:
            zapz.append(room.target, place, slice_complete="chunks", slice_polling=polling, **FAST)
        assert caught.value.exit_code == 3
        assert array in str(caught.value)
        room.untouched()
    if array == "data":
        other = room.place / "other.zarr"
        shutil.copytree(room.target, other)
        assert zapz.append(other, place, **FAST).appended == 1
    with meanwhile(lambda: put(part, place)):
        assert zapz.append(room.target, place, slice_complete="chunks", slice_polling=POLL, **FAST).appended == 1
    room.became(part)


# -- the target meanwhile ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [False, True], ids=["there", "new"])
def test_lock_is_free_while_waiting(new: bool, room: Room) -> None:
    """Another append to the same target passes meanwhile, or creates it; the waiting one builds on what it finds then."""
    if new:
        shutil.rmtree(room.target)
    first, second = room.finished(0) if new else room.finished(3), room.finished(6)
    place = room.place / "s.zarr"
    seen: list[set[str]] = []

    def other() -> None:
        seen.append(set(tree(room.target)))
        zapz.append(room.target, first, **FAST)  # lock_wait = 0
        seen.append({name for name in tree(room.target) if name.startswith(".zapz")})
        time.sleep(0.1)
        put(second, place)

    with meanwhile(other):
        assert zapz.append(room.target, place, slice_polling=POLL, **FAST).appended == 1
    assert seen == [set() if new else set(room.old), set()]
    room.became(*[first][new:], second)


def test_generator(room: Room) -> None:
    """Slices may be computed one by one: whoever computes them may append to the same target in between."""
    parts = {start: room.finished(start) for start in (3, 6, 9, 12)}

    def days() -> Iterator[Path]:
        for start in (3, 9):
            zapz.append(room.target, parts[start], **FAST)
            assert ".zapz" not in tree(room.target)
            yield parts[start + 3]

    report = zapz.append(room.target, days(), **FAST)
    assert (report.appended, report.length) == (2, 15)
    room.became(*parts.values())


# -- it changes while it is copied -------------------------------------------------------------------------------------


def with_attribute(name: str, value: int = 1) -> Callable[[Path], Any]:
    """Return what changes the attributes of an array, or of the root."""

    def change(place: Path) -> None:
        v2 = (place / ".zgroup").exists()
        path = place / name / (".zattrs" if v2 else "zarr.json")
        meta = json.loads(path.read_text()) if path.exists() else {}
        (meta if v2 else meta["attributes"])["changed"] = value
        (place / "aside").write_text(json.dumps(meta))
        (place / "aside").replace(path)

    return change


def consolidated(place: Path) -> None:
    cubes.consolidate(place, zarr_format=2 if (place / ".zgroup").exists() else 3)


def another_array(place: Path) -> None:
    shutil.copytree(place / "data", place / "more")


CHANGES: Mapping[str, Callable[[Path], Any]] = {
    "attributes": with_attribute("data"),
    "labels' attributes": with_attribute("time"),
    "root attributes": with_attribute(""),
    "length": lambda place: lengthen(place, "data", 4),
    "half a document": lambda place: cut(document(place), 0.5),
    "document removed": lambda place: document(place).unlink(),
    "consolidated": consolidated,
    "slice removed": shutil.rmtree,
    "another array": another_array,
}
"""What a writer of the slice may do while it is copied."""


@pytest.mark.parametrize("name", CHANGES)
def test_slice_that_changes_during_the_copy(name: str, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused (3), whatever changes, before the first chunk or after the last; an old target stays as it was, a new one
    does not appear."""
    honest, change = execution.run, CHANGES[name]
    for target, early in ((room.target, True), (room.target, False), (room.place / "new.zarr", False)):
        place = room.place / "s.zarr"
        shutil.copytree(room.finished(3), place)

        def run(*arguments: Any, place: Path = place, early: bool = early, **options: Any) -> Any:
            if early:
                change(place)
                return honest(*arguments, **options)
            result = honest(*arguments, **options)
            change(place)
            return result

        monkeypatch.setattr(execution, "run", run)
        with pytest.raises(zapz.ZapzError) as caught:
            zapz.append(target, place, **FAST)
        assert caught.value.exit_code in ({3, 6} if name == "slice removed" else {3}), caught.value
        assert str(place) in str(caught.value)
        room.untouched()
        assert not (room.place / "new.zarr").exists()
        shutil.rmtree(place, ignore_errors=True)
