"""A process killed at any of its operations on storage: recovery gives the bytes of before or of after, and readers
never see a mixture."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit.command_line import cli
from kit.faulty_runs import SOURCE, Server
from kit.scenarios import Scenario, equal, neither, values
from kit.trees import differ, tree, without_ours

SCENARIOS = dict.fromkeys(
    (
        "new-v2",
        "new-v3",
        "aligned-v2",
        "aligned-v3",
        "misaligned-v2",
        "misaligned-v3",
        "sharded-v3",
        "stale-v2",
        "stale-v3",
        "levels-v2",
    ),
    12,
)
"""Scenarios, and at how many points, spread over the append, each is killed; ``test_every_fault`` goes through all points."""


def points(number: int, wanted: int) -> list[int]:
    """Return kill points spread over ``number`` operations."""
    return (
        sorted({1 + i * (number - 1) // (wanted - 1) for i in range(wanted)})
        if number > wanted
        else list(range(1, number + 1))
    )


def settled(found: dict[str, object], scenario: Scenario, after_crash: dict[str, object]) -> str:
    """Return "old" or "new" if a recovered target is as before or as after; otherwise say what differs."""
    if found == scenario.new:
        return "new"
    if found == scenario.old:
        return "old"
    if not scenario.old and found == {".": None} == after_crash:
        return "old"  # killed before the first record: nothing says who made the empty folder
    return neither(found, scenario)


def run_again(server: Server, scenario: Scenario, target: Path, copy: Path, point: int) -> list[str]:
    """Run the append again on a copy of a crashed target; say what is wrong with the result."""
    if target.exists():
        shutil.copytree(target, copy, symlinks=True)
    reply = server.run("append", copy, scenario.slice, settings=scenario.settings)
    found = tree(copy)
    shutil.rmtree(copy, ignore_errors=True)
    return (
        []
        if reply["code"] == 0 and found == scenario.new
        else [f"{point}: run again: {reply['message']} {differ(found, scenario.new)}"]
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_operation(
    name: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Recovered, and recovered twice, a target is as before or as after; the decision divides the two; the append can
    be run again."""
    scenario = scenario_of(name)
    count = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)[
        "ops"
    ]
    old = values(scenario.before, zarr_format=scenario.zarr_format) if scenario.old else None
    new = values(tmp_path / "count.zarr", zarr_format=scenario.zarr_format)
    outcomes: list[str] = []
    problems: list[str] = []
    readings: dict[int, str] = {}
    for point in points(count, SCENARIOS[name]):
        target = scenario.fresh(tmp_path / f"{point}.zarr")
        reply = server.run(
            "append", target, scenario.slice, settings=scenario.settings, kill=point, torn=point % 2 == 0
        )
        assert reply["signal"] == signal.SIGKILL
        crashed = tree(target)
        visible = hash(frozenset(without_ours(crashed).items()))
        if visible not in readings:
            seen = values(target, zarr_format=scenario.zarr_format) if crashed else None
            readings[visible] = "old" if equal(seen, old) else "new" if equal(seen, new) else "a mixture"
        if readings[visible] == "a mixture":
            problems.append(f"{point}: a reader sees a mixture")
        if point % 2:
            problems += run_again(server, scenario, target, tmp_path / "again.zarr", point)
        if not crashed:
            outcomes.append("old")
            continue
        reply = server.run("recover", target)
        outcome = settled(tree(target), scenario, without_ours(crashed))
        if reply["code"] != 0 or outcome not in {"old", "new"}:
            problems.append(f"{point}: recovered: {reply['message']} {outcome}")
        outcomes.append(outcome)
        if target.exists() and not point % 2:
            once = tree(target)
            reply = server.run("recover", target)
            if not reply["clean"] or tree(target) != once:
                problems.append(f"{point}: recovering twice is not recovering once")
        shutil.rmtree(target, ignore_errors=True)
    assert not problems, "\n".join(problems[:8])
    assert outcomes == sorted(outcomes, reverse=True), "one decision divides before from after"
    assert {"old", "new"} == set(outcomes)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("misaligned-v2", 0.4),
        ("misaligned-v2", 0.7),
        ("sharded-v3", 0.8),
        ("new-v3", 0.4),
        ("stale-v3", 0.65),
        ("levels-v2", 0.7),
    ],
)
def test_killed_in_recovery(
    name: str, share: float, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Recovery killed at any of its operations, run again, ends as if it had never been killed."""
    scenario = scenario_of(name)
    count = server.run("append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings)[
        "ops"
    ]
    crashed = scenario.fresh(tmp_path / "crashed.zarr")
    server.run("append", crashed, scenario.slice, settings=scenario.settings, kill=int(count * share))
    whole = tmp_path / "whole.zarr"
    shutil.copytree(crashed, whole)
    steps = server.run("recover", whole)["ops"]
    expected = tree(whole)
    assert expected in (scenario.old, scenario.new)
    for point in range(1, steps + 1, 2):
        target = tmp_path / f"{point}.zarr"
        shutil.copytree(crashed, target)
        assert server.run("recover", target, kill=point, torn=True)["signal"] == signal.SIGKILL
        if target.exists():
            reply = server.run("recover", target)
            assert reply["code"] == 0, reply["message"]
        found = tree(target)
        assert found == expected or (not expected and found == {".": None}), f"{point}: {differ(found, expected)}"


@pytest.mark.parametrize("number", ["EXDEV", "EOPNOTSUPP"])
def test_killed_where_no_link_can_be_made(
    number: str, scenario_of: Callable[[str], Scenario], server: Server, tmp_path: Path
) -> None:
    """Arrays on another file system (EXDEV), or one without links: replacements are copies, and a torn copy is never
    put in place.

    Where the file system has no links at all, refusing the target is an answer too.
    """
    scenario = scenario_of("misaligned-v2")
    count = server.run(
        "append", scenario.fresh(tmp_path / "count.zarr"), scenario.slice, settings=scenario.settings, nolink=number
    )["ops"]
    assert tree(tmp_path / "count.zarr") in ((scenario.new,) if number == "EXDEV" else (scenario.new, scenario.old))
    problems = []
    for point in range(1, count + 1, 1 if number == "EXDEV" else 2):
        target = scenario.fresh(tmp_path / f"{point}.zarr")
        server.run("append", target, scenario.slice, settings=scenario.settings, nolink=number, kill=point, torn=True)
        reply = server.run("recover", target, nolink=number)
        found = tree(target)
        if reply["code"] != 0 or found not in (scenario.old, scenario.new):
            problems.append(f"{point}: {reply['message']} {neither(found, scenario)}")
        shutil.rmtree(target)
    assert not problems, "\n".join(problems[:8])


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.35, 0.45, 0.6])
def test_real_process_killed_after_a_delay(
    delay: float, scenario_of: Callable[[str], Scenario], tmp_path: Path
) -> None:
    """The command itself, killed at some moment of a slow append."""
    scenario = scenario_of("misaligned-v3")
    target = scenario.fresh(tmp_path / "cube.zarr")
    with subprocess.Popen(
        [sys.executable, "-m", "zapz", "append", str(target), str(scenario.slice), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": SOURCE},
    ) as process:
        time.sleep(delay)
        process.kill()
    assert cli("recover", target).code == 0
    assert tree(target) in (scenario.old, scenario.new)


_PAUSED = """
import os, select, signal, sys
real = os.{name}
left = [{skip}]
def paused(*args, **kwargs):
    if {target!r} in str(args[{argument}]):
        left[0] -= 1
        if left[0] == 0:
            reading, writing = os.pipe()
            os.set_blocking(writing, False)
            signal.set_wakeup_fd(writing)
            print("here", flush=True)
            select.select([reading], [], [], 20)  # until there is a signal, whatever its handler does
    return real(*args, **kwargs)
os.{name} = paused
from zapz.__main__ import main
main()
"""


def stopped(
    scenario: Scenario, target: Path, number: int, *, name: str, argument: int = 0, skip: int = 1, part: str = ""
) -> tuple[int, str]:
    """Run the command, send a signal when it arrives at an operation, and return exit code and message."""
    script = _PAUSED.format(name=name, argument=argument, skip=skip, target=part or str(target))
    with subprocess.Popen(
        [sys.executable, "-c", script, "append", str(target), str(scenario.slice), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    return process.returncode, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("name", ["misaligned-v2", "new-v3"])
def test_signal_during_the_copying_rolls_back(
    name: str, number: int, code: int, scenario_of: Callable[[str], Scenario], tmp_path: Path
) -> None:
    """Ctrl-C, SIGTERM and a closed terminal while chunks are written: exit code as the shell expects, nothing
    remains."""
    scenario = scenario_of(name)
    target = scenario.fresh(tmp_path / "cube.zarr")
    found, err = stopped(scenario, target, number, name="open", part=f"{target}/data/", skip=2)
    assert found == code
    assert "rolled back" in err
    assert "Traceback" not in err
    assert tree(target) == scenario.old


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_after_the_decision_finishes_first(
    number: int, code: int, scenario_of: Callable[[str], Scenario], tmp_path: Path
) -> None:
    """What was decided is made visible before the process ends."""
    scenario = scenario_of("misaligned-v3")
    target = scenario.fresh(tmp_path / "cube.zarr")
    found, err = stopped(scenario, target, number, name="replace", argument=1, skip=2)
    assert found == code
    assert "Traceback" not in err
    assert tree(target) == scenario.new
