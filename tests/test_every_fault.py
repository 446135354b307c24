"""Every operation on storage, one by one: a crash after each, a crash in the recovery from each, a failure of each.

Nothing is sampled here. An append runs once in this process, and after every single change the whole target is taken down as a value
(every write in two halves, so that torn ones are among them): what a process killed at that moment leaves behind. Each of these states is
put back, hard links included, and recovered. Operations that fail, or succeed with their answer lost, are made to in the same place.
``test_crashes`` and ``test_processes`` kill real processes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cubes
import pytest
from test_transactions import Tree, differ, equal, other_tool_appends, values, without_ours
from volumes import amount, volume

import zapz
from zapz.errors import ZapzError
from zapz.testing import CHANGES, LOOKS, SYNCS, watched_files

# -- states of a folder ------------------------------------------------------------------------------------------------

State = dict[str, tuple[bytes | None, int]]
"""Bytes (None for a folder) by relative path, and a number that the names of one file share; empty if there is nothing."""


def look(root: Path | str) -> State:
    """Return the state of a folder."""
    found: State = {}
    shared: dict[int, int] = {}

    def visit(folder: str, prefix: str) -> None:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                key = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    found[key] = (None, 0)
                    visit(entry.path, f"{key}/")
                else:
                    status = entry.stat(follow_symlinks=False)
                    with open(entry.path, "rb", buffering=0) as file:
                        data = file.read()
                    number = shared.setdefault(status.st_ino, len(shared) + 1) if status.st_nlink > 1 else 0
                    found[key] = (data, number)

    if os.path.isdir(root):
        found["."] = (None, 0)
        visit(str(root), "")
    return found


def become(root: Path | str, state: State) -> None:
    """Make a folder hold a state, whatever it holds now."""
    here = look(root)
    gone = [key for key, entry in here.items() if entry[1] or state.get(key) != entry]
    for key in reversed(gone):
        path = root if key == "." else os.path.join(root, key)
        (os.rmdir if here[key][0] is None else os.unlink)(path)
        del here[key]
    first: dict[int, str] = {}
    for key, (data, number) in state.items():
        path = root if key == "." else os.path.join(root, key)
        if key in here:
            continue
        if data is None:
            os.mkdir(path)
        elif number in first:
            os.link(first[number], path)
        else:
            with open(path, "wb", buffering=0) as file:
                file.write(data)
            if number:
                first[number] = path


def tree_of(state: State) -> Tree:
    """Return a state without its numbers."""
    return {key: data for key, (data, _) in state.items()}


# -- operations on storage ---------------------------------------------------------------------------------------------


def recorded(root: Path, run: Callable[[], Any]) -> list[State]:
    """Return the states that a crash of ``run`` can leave in ``root``: before it, and after each change; each state once."""
    states = [look(root)]

    def act(name: str, do: Callable[[], Any]) -> Any:
        answer = do()
        if name in CHANGES and (found := look(root)) != states[-1]:
            states.append(found)
        return answer

    with watched_files(root, act):
        run()
    return states


# -- scenarios ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Slices to append, and what the target is before, between and after them."""

    slices: tuple[Path, ...]
    settings: dict[str, Any]
    states: tuple[Tree, ...]
    before: State
    zarr_format: int

    def append(self, target: Path) -> tuple[int, str]:
        """Append, and return exit code and message."""
        return outcome(lambda: zapz.append(target, list(self.slices), **self.settings))


def outcome(run: Callable[[], Any]) -> tuple[int, str]:
    """Return exit code and message of a call; any exception but zapz's own is passed on."""
    try:
        run()
    except ZapzError as error:
        return error.exit_code, "\n".join([str(error), *getattr(error, "__notes__", ())])
    return 0, ""


KINDS: dict[str, dict[str, Any]] = {
    "create": {"old": 0},
    "aligned": {"aligned": True},
    "misaligned": {},
    "sharded": {"chunks": (1, 2), "shards": (3, 2)},
    "stale": {"aligned": True},
    "attributes": {"settings": {"attrs_update_mode": "update"}},
    "nested": {"nested": True},
    "create-nested": {"nested": True, "old": 0},
    "many-slices": {"steps": 1, "new": 3},
    "many-arrays": {"extra": 5},
}
"""How the scenarios differ. By default 2 steps are followed by 2 others, in chunks of 3."""

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
    *("many-arrays-v2", "many-arrays-v3"),
)
TIGHT = ("misaligned-v2", "stale-v3", "create-v3")
VARIANTS = amount(ci=1, long=20)
"""In a long run every scenario comes with this many lengths and chunk lengths."""


def make_slices(place: Path, spec: dict[str, Any], zarr_format: int, variant: int) -> list[Path]:
    """Write the slices of a scenario."""
    steps = spec.get("steps", 2) + variant % 4
    chunk = steps if "aligned" in spec else 3 + variant // 4
    options = {"shape": (2,), "static": False, "zarr_format": zarr_format, "chunks": (chunk, 2), "time_chunk": chunk}
    options |= {key: spec[key] for key in ("chunks", "shards", "nested") if key in spec}
    slices = [place / f"s{n}.zarr" for n in range(spec.get("old", 1) + spec.get("new", 1))]
    for number, path in enumerate(slices):
        cubes.make_slice(path, start=number * steps, steps=steps, root_attrs={"history": f"slice {number}"}, **options)
        for extra in range(spec.get("extra", 0)):
            data = cubes.values_of((steps,), "<i2", seed=number * 10 + extra)
            cubes.write_array(path, f"v{extra}", data, dims=["time"], chunks=[chunk], zarr_format=zarr_format)
        cubes.consolidate(path, zarr_format=zarr_format)
    return slices


def make_case(place: Path, name: str, variant: int = 0) -> Case:
    """Make a scenario below ``place``."""
    kind, _, version = name.rpartition("-v")
    spec, old = KINDS[kind], KINDS[kind].get("old", 1)
    slices = make_slices(place, spec, int(version), variant)
    settings = {"workers": 1, "label_chunk": "keep", **spec.get("settings", {})}
    target = place / "cube.zarr"
    if old:
        zapz.append(target, slices[:old], durability="process", **settings)
    if kind == "stale":
        for key in ("data/1.0", "time/1", "data/2.0") if version == "2" else ("data/c/1/0", "time/c/1", "data/c/2/0"):
            (target / key).parent.mkdir(parents=True, exist_ok=True)
            (target / key).write_bytes(b"stale" * 3)
    before = look(target)
    states = [tree_of(before)]
    for path in slices[old:]:
        zapz.append(target, path, durability="process", **settings)
        states.append(tree_of(look(target)))
    assert states[0] != states[-1]
    return Case(tuple(slices[old:]), settings, tuple(states), before, int(version))


@pytest.fixture(scope="module")
def case_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Case]:
    """Give scenarios by name and variant, each made once."""
    return cache(lambda name, variant: make_case(tmp_path_factory.mktemp(name), name, variant))


def crashed_states(case: Case, target: Path) -> list[State]:
    """Return every state that a crash of the append can leave."""
    become(target, case.before)
    states = recorded(target, lambda: case.append(target))
    assert tree_of(states[-1]) == case.states[-1]
    return states


def where_in(case: Case, found: Tree, crashed: State) -> int:
    """Return which of the scenario's states a recovered target is in; -1 if in none.

    Where the process died before the first record nothing says who made an empty folder: it may stay.
    """
    if found in case.states:
        return case.states.index(found)
    empty = without_ours(tree_of(crashed)) == {".": None} == found
    return 0 if empty and not case.states[0] else -1


def nearest(case: Case, found: Tree) -> str:
    """Say how a target differs from all that it may be."""
    return " | ".join(differ(found, state) for state in case.states)


def recovered(target: Path) -> list[str]:
    """Recover twice; say what is wrong."""
    code, message = outcome(lambda: zapz.recover(target)) if target.exists() else (0, "")
    if code:
        return [f"recovery: exit {code}, {message}"]
    once = look(target)
    if once and not zapz.recover(target).clean:
        return ["recovering twice: something was left to do"]
    return [] if look(target) == once else ["recovering twice is not recovering once"]


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


def report(problems: list[str]) -> None:
    """Fail with the first few problems."""
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:8])


@volume
@pytest.mark.parametrize("name", NAMES)
def test_crash_after_every_change(name: str, case_of: Callable[[str, int], Case], tmp_path: Path) -> None:
    """Recovered, and recovered twice, a target is as before or as after; readers see the one or the other; running again works."""
    for variant in range(VARIANTS):
        report(crash_everywhere(case_of(name, variant), tmp_path / "cube.zarr", f"{name}/{variant}"))


def test_crash_after_every_change_of_a_small_append(case_of: Callable[[str, int], Case], tmp_path: Path) -> None:
    """The same for one scenario; and the recorder does see what happens."""
    case, target = case_of("misaligned-v2", 0), tmp_path / "cube.zarr"
    report(crash_everywhere(case, target, "misaligned-v2"))
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


def change_a_document(target: Path, key: str) -> None:
    """Add an attribute, as a tool does that knows nothing of zapz and of consolidated metadata."""
    path = target / key
    meta = json.loads(path.read_bytes()) if path.exists() else {}
    (meta if key.endswith(".zattrs") else meta.setdefault("attributes", {}))["theirs"] = "precious"
    path.write_text(json.dumps(meta))


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

NUMBERS = ("ENOSPC", "EIO", "EACCES", "EROFS", "EMFILE", "ETIMEDOUT")
LOST = "lost"
"""The operation is carried out, and then answers EIO."""


class Failing:
    """The k-th operation fails, or loses its answer."""

    def __init__(self, at: int, how: str) -> None:
        self.at = at
        self.how = how
        self.names: list[str] = []

    def __call__(self, name: str, do: Callable[[], Any]) -> Any:
        """Carry out an operation."""
        self.names.append(name)
        if len(self.names) != self.at:
            return do()
        if self.how == LOST:
            answer = do()
            if name in {"create", "open"}:
                os.close(answer)
        number = errno.EIO if self.how == LOST else getattr(errno, self.how)
        raise OSError(number, os.strerror(number))


def ways(name: str, at: int) -> tuple[str, ...]:
    """Return how an operation is made to fail: changes and syncs in every way, reading in one after the other."""
    return (*NUMBERS, LOST) if name not in LOOKS else (NUMBERS[at % len(NUMBERS)],)


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
