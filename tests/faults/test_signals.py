"""A signal at every operation on storage, before it and after it: the command ends with 0, or as signals end it, and what it says is so.

In this process, where Python calls the handler at once: no moment is left to chance. ``test_processes`` sends signals to real processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import Said, cli
from kit.crash_states import Case, become, look, make_case, nearest, recovered, report, tree_of, where_in
from kit.trees import without_ours
from kit.volumes import volume

from zapz.testing import watched_files

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed scandir iterator:ResourceWarning"
)  # the signal comes before it is used
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NAMES = ("create-v2", "create-v3", "misaligned-v2", "misaligned-v3", "sharded-v3", "stale-v2", "many-slices-v3")


def append(case: Case, target: Path, at: int, number: int, *, after: bool) -> tuple[Said, int]:
    """Append with a signal at the operation ``at``; return how it ended, and how many operations there were."""
    count = 0

    def act(_name: str, do: Callable[[], Any]) -> Any:
        nonlocal count
        mine = count == at
        count += 1
        if mine and not after:
            os.kill(os.getpid(), number)
        answer = do()
        if mine and after:
            os.kill(os.getpid(), number)
        return answer

    become(target, case.before)
    with watched_files(target, act):
        said = cli("append", "-c", target.parent / "zapz.toml", target, *case.slices)
    return said, count


def wrong_end(case: Case, target: Path, said: Said, number: int) -> list[str]:
    """Say what is wrong with how a command ended."""
    problems = []
    state = look(target)
    at = where_in(case, without_ours(tree_of(state)), state)
    if said.code not in {0, 128 + number}:
        problems.append(f"exit {said.code}: {said.err}")
    if at < 0 or tree_of(state) not in (*case.states, {".": None}):
        problems.append(f"exit {said.code}, not settled: {nearest(case, tree_of(state))}")
    if said.code == 0 and at != len(case.states) - 1:
        problems.append(f"exit 0, but state {at}")
    problems += recovered(target)
    if look(target) != state and at >= 0:
        problems.append("recovery found something to do")
    return problems


def everywhere(name: str, place: Path, numbers: tuple[int, ...]) -> list[str]:
    """Send each signal before and after each operation; say what is wrong."""
    case = make_case(place, name)
    (place / "zapz.toml").write_text('workers = 1\nlabel_chunk = "keep"\n')
    target = place / "target.zarr"
    said, count = append(case, target, -1, 0, after=False)
    assert said.code == 0, said.err
    assert count > 40
    problems = []
    for number in numbers:
        for at in range(count):
            for after in (False, True):
                said, _ = append(case, target, at, number, after=after)
                where = f"{signal.Signals(number).name} {'after' if after else 'before'} operation {at} of {count}"
                problems += [f"{where}: {problem}" for problem in wrong_end(case, target, said, number)]
    return problems


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", NAMES[:1])
def test_a_signal_at_every_operation(name: str, tmp_path: Path) -> None:
    report(everywhere(name, tmp_path, SIGNALS[:1]))


@volume
@pytest.mark.parametrize("name", NAMES)
def test_all_signals_at_every_operation(name: str, tmp_path: Path) -> None:
    report(everywhere(name, tmp_path, SIGNALS))


def test_slices_after_a_signal_are_not_appended(tmp_path: Path) -> None:
    """The slice that was decided when it came is finished; the run ends before the next one."""
    case, target = make_case(tmp_path, "many-slices-v3"), tmp_path / "target.zarr"
    sent: list[str] = []

    def act(name: str, do: Callable[[], Any]) -> Any:
        if name == "replace" and not sent:
            sent.append(name)
            os.kill(os.getpid(), signal.SIGTERM)
        return do()

    (tmp_path / "zapz.toml").write_text('workers = 1\nlabel_chunk = "keep"\n')
    become(target, case.before)
    with watched_files(target, act):
        said = cli("append", "-c", tmp_path / "zapz.toml", target, *case.slices)
    assert said.code == 143, said
    assert tree_of(look(target)) == case.states[1]


def interrupted(case: Case, target: Path, at: int) -> tuple[str, int]:
    """Append through the library, interrupted after the operation ``at``; return how it ended, and how many operations there were."""
    count = 0

    def act(_name: str, do: Callable[[], Any]) -> Any:
        nonlocal count
        answer = do()
        count += 1
        if count == at + 1:
            raise KeyboardInterrupt
        return answer

    become(target, case.before)
    with watched_files(target, act):
        try:
            case.append(target)
        except KeyboardInterrupt:
            return "interrupted", count
    return "ended", count


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_of_the_library(tmp_path: Path) -> None:
    """Nothing holds it back there: the rest is recovered, and what was decided is visible already."""
    case, target = make_case(tmp_path, "misaligned-v2"), tmp_path / "target.zarr"
    _, count = interrupted(case, target, -1)
    problems = []
    for at in range(count):
        how, _ = interrupted(case, target, at)
        state = look(target)
        seen = where_in(case, without_ours(tree_of(state)), state)
        problems += [f"after operation {at}: {problem}" for problem in recovered(target)]
        found = where_in(case, tree_of(look(target)), state)
        if found < max(0, seen) or how != "interrupted" or seen < 0:
            problems.append(f"after operation {at}: {how}, {seen}, recovered to {found}")
    report(problems)
