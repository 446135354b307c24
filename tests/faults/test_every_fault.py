"""Every operation on storage, one by one: a crash after each, a crash in the recovery from each, a failure of each.

Nothing is sampled here. An append runs once in this process, and after every single change the whole target is taken down as a value
(every write in two halves, so that torn ones are among them): what a process killed at that moment leaves behind. Each of these states is
put back, hard links included, and recovered. Operations that fail, or succeed with their answer lost, are made to in the same place.
``test_crashes`` and ``test_processes`` kill real processes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import cubes
from kit.crash_states import (
    LOST,
    Case,
    Failing,
    become,
    change_a_document,
    crashed_states,
    look,
    nearest,
    outcome,
    recorded,
    recovered,
    report,
    tree_of,
    ways,
    where_in,
)
from kit.scenarios import equal, other_tool_appends, values
from kit.trees import differ, without_ours
from kit.volumes import amount, volume

import zapz
from zapz.testing import SYNCS, watched_files

# -- states of a folder ------------------------------------------------------------------------------------------------


# -- operations on storage ---------------------------------------------------------------------------------------------


# -- scenarios ---------------------------------------------------------------------------------------------------------


NAMES = (
    *("create-v2", "create-v3", "aligned-v2", "aligned-v3", "misaligned-v2", "misaligned-v3", "sharded-v3", "stale-v2"),
    *(
        "stale-v3",
        "attributes-v2",
        "attributes-v3",
        "nested-v2",
        "create-nested-v3",
        "many-slices-v2",
        "many-slices-v3",
    ),
    *("many-arrays-v2", "many-arrays-v3", "levels-v2", "levels-v3", "create-levels-v2", "create-levels-v3"),
    *("derived-v2", "derived-v3"),
)
TIGHT = ("misaligned-v2", "stale-v3", "create-v3")
VARIANTS = amount(ci=1, long=20)
"""In a long run every scenario comes with this many lengths and chunk lengths."""


# -- crashes -----------------------------------------------------------------------------------------------------------


def crash_everywhere(case: Case, target: Path, label: str) -> list[str]:
    """Recover, and run again, from every crash; say what is wrong."""
    problems: list[str] = []
    reached: list[int] = []
    readings: dict[int, int] = {}
    whole: list[Any] = []
    for state in case.states:
        become(target, {key: (data, 0) for key, data in state.items()})
        whole.append(values(target, zarr_format=case.zarr_format) if state else None)
    states = crashed_states(case, target)
    for number, state in enumerate(states):
        where = f"{label}, after change {number} of {len(states) - 1}"
        visible = hash(frozenset(without_ours(tree_of(state)).items()))
        become(target, state)
        if visible not in readings:
            seen = values(target, zarr_format=case.zarr_format) if state else None
            readings[visible] = sum(equal(seen, expected) for expected in whole)
        if not readings[visible]:
            problems.append(f"{where}: a reader sees a mixture")
        problems += [f"{where}: {problem}" for problem in recovered(target)]
        found = tree_of(look(target))
        reached.append(where_in(case, found, state))
        if reached[-1] < 0:
            problems.append(f"{where}: recovered: {nearest(case, found)}")
        become(target, state)
        code, message = case.append(target)
        if code or tree_of(look(target)) != case.states[-1]:
            problems.append(f"{where}: run again: exit {code}, {message} {nearest(case, tree_of(look(target)))}")
    if reached != sorted(reached) or set(reached) != set(range(len(case.states))):
        problems.append(f"{label}: one decision divides before from after: {reached}")
    return problems


@volume
@pytest.mark.parametrize("name", NAMES)
def test_crash_after_every_change(name: str, case_of: Callable[[str, int], Case], tmp_path: Path) -> None:
    """Recovered, and recovered twice, a target is as before or as after; readers see the one or the other; running again works."""
    for variant in range(VARIANTS):
        report(crash_everywhere(case_of(name, variant), tmp_path / "cube.zarr", f"{name}/{variant}"))


@pytest.mark.parametrize("name", ["misaligned-v2", "levels-v2", "derived-v3"])
def test_crash_after_every_change_of_a_small_append(
    name: str, case_of: Callable[[str, int], Case], tmp_path: Path
) -> None:
    """The same for two scenarios; and the recorder does see what happens."""
    case, target = case_of(name, 0), tmp_path / "cube.zarr"
    report(crash_everywhere(case, target, name))
    states = crashed_states(case, target)
    assert len(states) > 30
    assert any(key.endswith("/decision") for state in states for key in state)
    assert any(number for state in states for _, number in state.values()), "no hard link was seen"


@volume
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("name", TIGHT)
def test_crash_in_recovery_from_every_crash(
    name: str, half: int, case_of: Callable[[str, int], Case], tmp_path: Path
) -> None:
    """All pairs: recovery itself crashes after any of its changes; recovered again, all is as if it had not."""
    target = tmp_path / "cube.zarr"
    problems: list[str] = []
    for variant in range(VARIANTS):
        case = case_of(name, variant)
        states = crashed_states(case, target)
        for number in range(half, len(states), 2):
            if not states[number]:
                continue
            become(target, states[number])
            again = recorded(target, lambda: zapz.recover(target))
            expected = where_in(case, tree_of(again[-1]), states[number])
            for second, state in enumerate(again):
                become(target, state)
                wrong = recovered(target)
                found = tree_of(look(target))
                if wrong or where_in(case, found, state) != expected:
                    where = f"{name}/{variant}, after change {number}, after change {second} of recovery"
                    problems.append(f"{where}: {wrong} {nearest(case, found)}")
    report(problems)


# -- another tool between crash and recovery ---------------------------------------------------------------------------


THEIRS: dict[str, tuple[str, Callable[[Path, Case], None]]] = {
    "document-v2": ("misaligned-v2", lambda target, _: change_a_document(target, "data/.zattrs")),
    "document-v3": ("misaligned-v3", lambda target, _: change_a_document(target, "data/zarr.json")),
    "append-v2": ("aligned-v2", lambda target, case: other_tool_appends(target, 3, zarr_format=case.zarr_format)),
    "append-v3": ("misaligned-v3", lambda target, case: other_tool_appends(target, 1, zarr_format=case.zarr_format)),
}


@volume
@pytest.mark.parametrize("name", THEIRS)
def test_another_tool_between_every_crash_and_recovery(
    name: str, case_of: Callable[[str, int], Case], tmp_path: Path
) -> None:
    """What it wrote stays, byte for byte; what was visible stays; exit code 8 if the append cannot be finished or undone.

    ``kept`` may remain then, with what a committed append would have put there.
    """
    scenario, change = THEIRS[name]
    target = tmp_path / "cube.zarr"
    problems: list[str] = []
    for variant in range(VARIANTS):
        case = case_of(scenario, variant)
        states = crashed_states(case, target)
        whole = values(target, zarr_format=case.zarr_format)
        for number, state in enumerate(states):
            where = f"{name}/{variant}, after change {number}"
            become(target, state)
            crashed = tree_of(look(target))
            change(target, case)
            theirs = tree_of(look(target))
            written = {k: v for k, v in without_ours(theirs).items() if v is not None and v != crashed.get(k)}
            old, seen = cubes.read(target), values(target, zarr_format=case.zarr_format)
            code, message = outcome(lambda: zapz.recover(target))
            found = tree_of(look(target))
            if code not in {0, 8}:
                problems.append(f"{where}: exit {code}, {message}")
            lost = [key for key in written if found.get(key) != written[key]]
            if lost:
                problems.append(f"{where}: exit {code}: theirs was changed or removed: {lost}")
            new = cubes.read(target)
            for array, had in old.items():
                if array not in new or new[array][: len(had)].tobytes() != had.tobytes():
                    problems.append(f"{where}: exit {code}: {array} has lost values")
            now = values(target, zarr_format=case.zarr_format)
            if not (equal(now, seen) or equal(now, whole)):
                problems.append(f"{where}: exit {code}: readers of consolidated metadata see a mixture")
            left = {key for key in found if key.startswith(".zapz/") and not key.startswith(".zapz/kept")}
            if left or outcome(lambda: zapz.recover(target))[0] or tree_of(look(target)) != found:
                problems.append(f"{where}: not settled: {sorted(left)[:3]}")
    report(problems)


# -- operations that fail ----------------------------------------------------------------------------------------------


def wrong_after(case: Case, target: Path, failing: Failing) -> list[str]:
    """Append with a failing operation to a target as it was before, recover, and say what is wrong."""
    become(target, case.before)
    with watched_files(target, failing):
        code, message = case.append(target)
    failed = look(target)
    visible = without_ours(tree_of(failed))
    problems = []
    committed = code == 0 or "committed" in message
    if code not in {0, 6}:
        problems.append(f"exit {code}, {message}")
    if code == 0 and visible != case.states[-1]:
        problems.append(f"told success: {differ(visible, case.states[-1])}")
    if code == 0 and failing.names[failing.at - 1] in SYNCS:
        problems.append("told success, although what it rests on was not made durable")
    if not committed and where_in(case, visible, failed) < 0 and "next run" not in message:
        problems.append(f"{message}: not rolled back: {nearest(case, visible)}")
    problems += recovered(target)
    found = tree_of(look(target))
    if where_in(case, found, failed) < committed:
        problems.append(f"exit {code}, {message}: recovered: {nearest(case, found)}")
    return problems


def fail_everywhere(case: Case, target: Path, label: str, *, only: tuple[str, ...] = ()) -> list[str]:
    """Let every operation fail in every way; say what is wrong."""
    counting = Failing(0, "EIO")
    become(target, case.before)
    with watched_files(target, counting):
        case.append(target)
    problems = []
    for at, name in enumerate(counting.names, 1):
        for how in set(only) & set(ways(name, at)) if only else ways(name, at):
            wrong = wrong_after(case, target, Failing(at, how))
            problems += [f"{label}: {name}, operation {at} of {len(counting.names)}, {how}: {p}" for p in wrong]
    return problems


@volume
@pytest.mark.parametrize("name", NAMES)
def test_every_operation_fails(name: str, case_of: Callable[[str, int], Case], tmp_path: Path) -> None:
    """Exit code 6, or success that is one; nothing remains after recovery, of which twice is once."""
    for variant in range(VARIANTS):
        report(fail_everywhere(case_of(name, variant), tmp_path / "cube.zarr", f"{name}/{variant}"))


@pytest.mark.parametrize("how", ["EIO", LOST])
def test_every_operation_of_a_small_append_fails(how: str, case_of: Callable[[str, int], Case], tmp_path: Path) -> None:
    """The same for one scenario, in two ways."""
    report(fail_everywhere(case_of("aligned-v2", 0), tmp_path / "cube.zarr", "aligned-v2", only=(how,)))


def test_states_come_back(tmp_path: Path) -> None:
    """What these tests stand on: a state put back over another one is the same state, hard links included."""
    cubes.make_slice(tmp_path / "a", shape=(2,), static=False)
    os.link(tmp_path / "a/.zgroup", tmp_path / "a/other")
    state = look(tmp_path / "a")
    assert state["other"][1] == state[".zgroup"][1] > 0
    (tmp_path / "b/data/0.0").mkdir(parents=True)
    (tmp_path / "b/.zgroup").write_bytes(b"other")
    become(tmp_path / "b", state)
    assert look(tmp_path / "b") == state
    assert os.path.samefile(tmp_path / "b/other", tmp_path / "b/.zgroup")
    become(tmp_path / "b", {})
    assert not (tmp_path / "b").exists()
    shutil.rmtree(tmp_path / "a")
    assert look(tmp_path / "a") == {}
