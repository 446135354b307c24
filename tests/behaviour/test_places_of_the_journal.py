"""Lock and journal inside the target or beside it, and the commands that look after them: ``unlock``, ``vacuum``, ``info``, ``recover``.

With ``journal = "beside"`` nothing of ours is ever inside the target, at no moment of an append, a refusal, a crash or a recovery; two
writers with different settings find one another out; and what lies at ``TARGET.zapz`` and is not ours is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit import cubes
from kit.command_line import cli
from kit.faulty_runs import Reply, Server
from kit.scenarios import Scenario
from kit.sync_log import Log
from kit.trees import differ, times, tree, without_ours
from kit.volumes import volume

import zapz

Make = Callable[[str], Scenario]
FAST: dict[str, Any] = {"durability": "process", "workers": 1}
PLACES = ("inside", "beside")
CHANGES = ("mkdir", "link", "replace", "rename", "unlink", "rmdir", "ftruncate", "write")


def place_of(target: Path, place: str) -> Path:
    """Return where lock and journal lie."""
    return target / ".zapz" if place == "inside" else target.with_name(target.name + ".zapz")


def other(place: str) -> str:
    """Return the other setting."""
    return PLACES[1 - PLACES.index(place)]


@contextmanager
def at_operation(number: int, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Do something just before the ``number``-th operation that changes files (0: never); give the operations' names."""
    seen: list[str] = []

    def wrap(name: str, honest: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if name != "open" or arguments[1] & os.O_CREAT:
                seen.append(name)
                if len(seen) == number:
                    work()
            return honest(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        for name in (*CHANGES, "open"):
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield seen


def interrupted(server: Server, scenario: Scenario, target: Path, place: str, *, after_decision: bool = False) -> Reply:
    """Kill an append to a fresh target before its decision, or just after it."""
    scenario.fresh(target)
    settings = {**scenario.settings, "journal": place}
    shutil.copytree(target, target.with_name("count.zarr")) if target.exists() else None
    log = server.run("append", target.with_name("count.zarr"), scenario.slice, settings=settings)["log"]
    shutil.rmtree(target.with_name("count.zarr"))
    decision = next(n for n, line in enumerate(log, 1) if line.startswith("link") and line.endswith("/decision"))
    reply = server.run("append", target, scenario.slice, settings=settings, kill=decision + 2 * after_decision - 1)
    assert reply["signal"] == signal.SIGKILL
    return reply


# -- beside: nothing inside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["misaligned-v2", "misaligned-v3", "new-v2", "new-v3"])
def test_nothing_inside_at_any_moment(
    name: str, scenario_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before any operation nor afterwards; then nothing is left beside the target either."""
    scenario = scenario_of(name)
    target = scenario.fresh(tmp_path / "cube.zarr")
    seen: set[str] = set()
    honest = os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> int:
        seen.update(str(p) for p in (*target.glob(".zapz*"), *tmp_path.glob("*.zapz/*")))
        return honest(path, *arguments, **options)

    monkeypatch.setattr(os, "open", opened)
    report = zapz.append(target, scenario.slice, journal="beside", **scenario.settings)
    monkeypatch.undo()
    assert report.appended == 1
    assert seen
    assert {str(Path(path).parent) for path in seen} == {f"{target}.zapz"}
    assert os.listdir(tmp_path) == ["cube.zarr"]
    assert tree(target) == scenario.new


@pytest.mark.parametrize("kind", ["0.0.0", ".zarray"])
@pytest.mark.parametrize("name", ["misaligned-v2", "new-v2"])
def test_refusal(name: str, kind: str, scenario_of: Make, tmp_path: Path) -> None:
    """A refused slice leaves the folder that holds the target as it was."""
    scenario = scenario_of(name)
    target = scenario.fresh(tmp_path / "cube.zarr")
    part = shutil.copytree(scenario.slice, tmp_path / "bad.zarr")
    (part / "data" / kind).write_bytes(b"short")
    before = tree(tmp_path)
    with pytest.raises(zapz.ZapzError):
        zapz.append(target, part, journal="beside", **FAST)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["misaligned-v3", "new-v2"])
def test_killed_anywhere(name: str, scenario_of: Make, server: Server, tmp_path: Path) -> None:
    """Killed at any operation: nothing inside the target; recovered, nothing beside it, and it is as before or after."""
    scenario = scenario_of(name)
    settings = {**scenario.settings, "journal": "beside"}
    folder = tmp_path / "count"
    folder.mkdir()
    count = server.run("append", scenario.fresh(folder / "cube.zarr"), scenario.slice, settings=settings)["ops"]
    problems = []
    for point in sorted({*range(1, count + 1, max(1, count // 10)), count}):
        folder = tmp_path / str(point)
        folder.mkdir()
        target = scenario.fresh(folder / "cube.zarr")
        server.run("append", target, scenario.slice, settings=settings, kill=point)
        inside = [key for key in tree(target) if key.startswith(".zapz")]
        left = os.listdir(folder)
        if target.exists() or f"{target.name}.zapz" in left:
            reply = server.run("recover", target, settings={"journal": "beside"})
            found = tree(target)
            empty = not scenario.old and found == {".": None}  # killed before anything said who made it
            if inside or not (reply["code"] in {0, 6} and (found in (scenario.old, scenario.new) or empty)):
                problems.append(f"{point}: {inside} {reply['code']} {reply['message']} {differ(found, scenario.old)}")
            if f"{target.name}.zapz" in os.listdir(folder):
                problems.append(f"{point}: left beside it: {sorted(tree(place_of(target, 'beside')))}")
        again = server.run("append", target, scenario.slice, settings=settings)
        if again["code"] or tree(target) != scenario.new or os.listdir(folder) != ["cube.zarr"]:
            problems.append(f"{point}: run again: {again['message']} {differ(tree(target), scenario.new)}")
    assert not problems, "\n".join(problems[:5])


@pytest.mark.parametrize("name", ["misaligned-v2", "new-v2"])
def test_order_of_syncs(
    name: str, one_by_one: None, scenario_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durable before the first chunk: the journal, its folders, and the folder that names them; before the decision: all
    that is staged."""
    scenario = scenario_of(name)
    target = scenario.fresh(tmp_path / "cube.zarr")
    log = Log(monkeypatch, tmp_path)
    first: list[int] = []
    honest = os.open

    def watched(path: Any, flags: int, *rest: int, **options: int) -> int:
        if not first and f"{target}/data/" in str(path) and flags & os.O_CREAT:
            first.append(len(log.lines))
        return honest(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", watched)
    zapz.append(target, scenario.slice, journal="beside", **scenario.settings)
    synced = log.synced_before(first[0])
    assert log.at("sync", "/journal") < first[0]
    assert {".", "cube.zarr.zapz", "cube.zarr.zapz/txn"} <= synced
    assert any(path.startswith("cube.zarr.zapz/txn/") and path.count("/") == 2 for path in synced)
    synced = log.synced_before(log.at("link", "/decision"))
    assert (
        len([p for p in synced if p.startswith("cube.zarr.zapz/txn/") and p[-1].isdigit() and p.count("/") == 3]) >= 3
    )
    assert {"cube.zarr", "cube.zarr/data", "cube.zarr/time"} <= synced


@pytest.mark.parametrize("spelling", ["{}/", "{}//", "{}/.", "./{}", "../{here}/{}"])
def test_spelling_of_the_target(
    spelling: str, scenario_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trailing slash, or a way around, does not move the journal into the target."""
    scenario = scenario_of("misaligned-v2")
    scenario.fresh(tmp_path / "cube.zarr")
    monkeypatch.chdir(tmp_path)
    seen: set[str] = set()
    zapz.append(
        spelling.format("cube.zarr", here=tmp_path.name),
        scenario.slice,
        journal="beside",
        on_progress=lambda *_: seen.update(os.listdir(tmp_path)),
        **scenario.settings,
    )
    assert seen == {"cube.zarr", "cube.zarr.zapz"}
    assert os.listdir(tmp_path) == ["cube.zarr"]
    assert tree(tmp_path / "cube.zarr") == scenario.new


# -- two settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("after_decision", [False, True], ids=["undecided", "decided"])
@pytest.mark.parametrize("name", ["misaligned-v2", "new-v2"])
def test_crash_is_noticed_with_the_other_setting(
    name: str, after_decision: bool, place: str, scenario_of: Make, server: Server, tmp_path: Path
) -> None:
    """Exit code 8, a message that names the setting, and nothing is touched; with the right setting it carries on."""
    scenario = scenario_of(name)
    target = tmp_path / "cube.zarr"
    interrupted(server, scenario, target, place, after_decision=after_decision)
    before = tree(tmp_path)
    for command in (
        lambda **s: zapz.append(target, scenario.slice, **FAST, **s),
        lambda **s: zapz.recover(target, **s),
    ):
        with pytest.raises(zapz.ZapzError) as caught:
            command(journal=other(place))
        assert caught.value.exit_code == 8, caught.value
        assert "journal" in str(caught.value)
        assert place in str(caught.value)
        assert tree(tmp_path) == before
    said = cli("recover", target, "--journal", place)
    assert said.code == 0, said
    assert tree(target) == (scenario.new if after_decision else scenario.old)
    zapz.append(target, scenario.slice, journal=other(place), **scenario.settings)
    assert tree(target) == scenario.new
    assert os.listdir(tmp_path) == ["cube.zarr"]


WRITERS = {"inside-beside": ("inside", "beside"), "beside-inside": ("beside", "inside"), "link": ("beside", "beside")}
"""Settings of two writers; with "link" the second one knows the target by another name."""


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=volume)])
@pytest.mark.parametrize("new", [False, True], ids=["there", "new"])
@pytest.mark.parametrize("kind", WRITERS)
def test_two_writers(kind: str, new: bool, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second starts at any operation of the first (at every one in a ``volume`` run): whoever is told "appended" is
    in the target, once; the other one is told why not; and nothing else is left."""
    parts = [tmp_path / f"{n}.zarr" for n in range(3)]
    for number, part in enumerate(parts):
        cubes.make_slice(part, start=2 * number, steps=2, shape=(10, 8), chunks=(3, 5, 8), static=False)
    if not new:
        zapz.append(tmp_path / "start.zarr", parts[0], **FAST)
    codes: list[int] = []

    def write(place: str, name: Path, part: Path) -> None:
        try:
            zapz.append(name, part, journal=place, label_order="any", **FAST)
            codes.append(0)
        except zapz.ZapzError as error:
            codes.append(error.exit_code)

    number = total = 0
    while number <= total:
        folder = tmp_path / f"at{number}"
        folder.mkdir()
        names = [folder / "cube.zarr", folder / ("link.zarr" if kind == "link" else "cube.zarr")]
        if not new:
            shutil.copytree(tmp_path / "start.zarr", names[0])
        if kind == "link":
            names[1].symlink_to(names[0])
        codes.clear()
        with at_operation(number, lambda: write(WRITERS[kind][1], names[1], parts[2]), monkeypatch) as seen:  # noqa: B023
            write(WRITERS[kind][0], names[0], parts[1])
        if number:
            assert set(codes) <= {0, 4, 6, 7, 8}, (number, codes)
            check_both(names[0], parts, codes, number, new=new)
        total = total or len(seen)
        assert set(os.listdir(folder)) <= {"cube.zarr", "link.zarr"}, (number, codes)
        shutil.rmtree(folder)
        number += every


def check_both(target: Path, parts: Sequence[Path], codes: Sequence[int], number: int, *, new: bool) -> None:
    """Assert that the target holds what the writers (the second one first) were told."""
    written = [part for part, code in zip((parts[2], parts[1]), codes, strict=True) if code == 0]
    assert written or new, (number, codes)
    expected = sorted(label for part in [*([] if new else parts[:1]), *written] for label in cubes.read(part)["time"])
    found = cubes.read(target, consolidated=True) if target.exists() else {"time": []}
    assert sorted(found["time"]) == expected, (number, codes, found["time"])
    rows = {
        label: row
        for part in parts
        for label, row in zip(cubes.read(part)["time"], cubes.read(part)["data"], strict=True)
    }
    for label, row in zip(found["time"], found["data"] if expected else [], strict=True):
        assert (rows[label] == row).all(), (number, codes, label)


# -- what lies there already -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "link", "link-to-nowhere", "dataset", "photos", "slice"])
@pytest.mark.parametrize("name", ["misaligned-v2", "new-v2"])
def test_something_else_lies_there(kind: str, name: str, scenario_of: Make, tmp_path: Path) -> None:
    """``TARGET.zapz`` is somebody else's, or the slice itself: what is in it stays; files and links are refused, by name."""
    scenario = scenario_of(name)
    target = scenario.fresh(tmp_path / "here/cube.zarr")
    target.parent.mkdir(exist_ok=True)
    place, outside = place_of(target, "beside"), tmp_path / "outside"
    outside.mkdir()
    if kind == "file":
        place.write_bytes(b"mine")
    elif kind.startswith("link"):
        place.symlink_to(outside / "nowhere" if kind == "link-to-nowhere" else outside)
    elif kind == "photos":
        place.mkdir()
        (place / "photo.jpg").write_bytes(b"holiday")
    else:
        shutil.copytree(scenario.slice, place)
    before = tree(tmp_path)
    try:
        zapz.append(target, place if kind == "slice" else scenario.slice, journal="beside", **scenario.settings)
    except zapz.ZapzError as error:
        assert error.exit_code in {3, 4, 6, 8, 9}, error
        assert place.name in str(error)
        assert tree(tmp_path) == before
    else:
        assert kind in {"dataset", "photos", "slice"}
        assert tree(target) == scenario.new
        shutil.rmtree(target)
        there = {key: value for key, value in before.items() if not key.startswith("here/cube.zarr/")}
        assert tree(tmp_path) == {key: value for key, value in there.items() if key != "here/cube.zarr"}


# -- unlock, vacuum, info ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_while_somebody_appends(place: str, scenario_of: Make, tmp_path: Path) -> None:
    """``unlock`` and ``vacuum`` refuse (7) and name the holder; ``info`` shows it, to people and to programs."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    seen: list[Any] = []

    def look(done: int, total: int) -> None:
        if done < total or seen:
            return
        before = tree(tmp_path)
        for command in ("unlock", "vacuum", "recover"):
            seen.append(cli(command, target, "--journal", place))
        seen.append(cli("info", target, "--journal", place))
        seen.append(cli("info", target, "--journal", place, "--json"))
        assert tree(tmp_path) == before

    zapz.append(target, scenario.slice, journal=place, on_progress=look, **scenario.settings)
    *refused, human, machine = seen
    for said in refused:
        assert said.code == 7, said
        assert f"found process {os.getpid()} on" in said.err
    offered = ["--lock-wait 600" in said.err for said in refused]  # by commands that have it
    assert offered == [False, True, True]
    assert "Wait until that process ends, or end it." in refused[0].err
    assert f"process {os.getpid()}" in human.out
    assert json.loads(machine.out)["lock"]["process"] == os.getpid()
    assert tree(target) == scenario.new
    assert json.loads(cli("info", target, "--journal", place, "--json").out)["lock"] is None
    assert os.listdir(tmp_path) == ["cube.zarr"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("after_decision", [False, True], ids=["undecided", "decided"])
def test_after_a_crash(after_decision: bool, place: str, scenario_of: Make, server: Server, tmp_path: Path) -> None:
    """``info`` shows the journal and touches nothing; ``unlock`` takes the dead lock away and nothing else; then the
    next append carries on."""
    scenario = scenario_of("misaligned-v2")
    target = tmp_path / "cube.zarr"
    interrupted(server, scenario, target, place, after_decision=after_decision)
    before = tree(tmp_path)
    stamps = times(tmp_path)
    found = json.loads(cli("info", target, "--journal", place, "--json").out)
    assert found["lock"] is None
    assert len(found["journal"]) == 1
    assert "recover" in cli("info", target, "--journal", place).out
    assert times(tmp_path) == stamps
    said = cli("unlock", target, "--journal", place)
    assert said.code == 0, said
    gone = before.keys() - tree(tmp_path).keys()
    assert {Path(key).name for key in gone} <= {"head"}
    assert tree(tmp_path) == {key: value for key, value in before.items() if key not in gone}
    assert json.loads(cli("unlock", target, "--journal", place, "--json").out) is not None
    zapz.append(target, scenario.slice, journal=place, **scenario.settings)
    assert tree(target) == scenario.new
    assert os.listdir(tmp_path) == ["cube.zarr"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["unlock", "vacuum", "recover", "info"])
def test_nothing_to_do(command: str, place: str, scenario_of: Make, tmp_path: Path) -> None:
    """Nothing is touched, and it is no error; without a target, or with a wrong setting, it is (6, 2)."""
    target = scenario_of("misaligned-v2").fresh(tmp_path / "cube.zarr")
    before, stamps = tree(tmp_path), times(tmp_path)
    for more in ([], ["--json"]):
        said = cli(command, target, "--journal", place, *more)
        assert said.code == 0, said
    assert cli(command, tmp_path / "no.zarr", "--journal", place).code == 6
    assert cli(command, target, "--journal", "aside").code == 2
    assert tree(tmp_path) == before
    if command != "vacuum":  # it takes the lock for a moment
        assert times(tmp_path) == stamps


CHANGED: dict[str, Sequence[str]] = {
    "everything": ("data/.zarray", "time/.zarray", ".zmetadata"),
    "one-array": ("data/.zarray",),
    "attributes": ("data/.zattrs",),
}
"""Documents that another tool wrote between a crash after the decision and the recovery."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("changed", CHANGED)
def test_vacuum(changed: str, place: str, scenario_of: Make, server: Server, tmp_path: Path) -> None:
    """A committed append that another tool wrote over before anything of it was visible is kept aside (8) until ``zapz
    vacuum``; the target stays as the other tool left it, and can be appended to."""
    scenario = scenario_of("misaligned-v2")
    target = tmp_path / "cube.zarr"
    interrupted(server, scenario, target, place, after_decision=True)
    for document in CHANGED[changed]:
        (target / document).write_bytes((target / document).read_bytes() + b"\n")
    theirs = without_ours(tree(target))
    said = cli("recover", target, "--journal", place)
    assert said.code == 8, said
    assert without_ours(tree(target)) == theirs, differ(tree(target), theirs)
    assert (place_of(target, place) / "kept").is_dir()
    assert zapz.vacuum(target, journal=place).removed > 0
    assert tree(tmp_path).keys() == {".", *(f"cube.zarr/{key}" for key in theirs if key != "."), "cube.zarr"}
    assert zapz.vacuum(target, journal=place).removed == 0
    assert zapz.append(target, scenario.slice, journal=place, **scenario.settings).length == 4
