"""``force_new`` cut short by a crash, at every change on storage, or by storage that fails, at every operation.

As in ``test_every_fault``, an append runs once in this process, and after every change the whole folder around the target is taken down as
a value: what a process killed at that moment leaves behind. The exchange of the two folders is one of those changes. Each such state is put
back and recovered: the target is then the old one or the new one, byte for byte, and nothing else lies beside it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kit.crash_states import LOST, Failing, State, become, look, outcome, recorded, report, tree_of, ways
from kit.faulty_runs import SOURCE
from kit.lock_holders import held
from kit.replaced_cubes import NEXT, OLD, Place
from kit.trees import Tree, differ
from kit.volumes import volume

import zapz
from zapz.errors import JournalError, LockedError
from zapz.storage.local import exchange
from zapz.testing import SYNCS, Act
from zapz.testing import watched_files as watched_os

KINDS: dict[str, dict[str, Any]] = {
    "small": {
        "old": {**OLD, "chunks": (4, 2), "time_chunk": 4},
        "slices": 1,
        "shape": (2,),
        "chunks": (2, 2),
        "nested": False,
    },
    "2-to-3": {},
    "3-to-2": {"old": {**OLD, "zarr_format": 3, "nested": True}, "zarr_format": 2, "nested": False},
    "foreign": {},
    "register": {},
    "refused": {},
}
"""How the scenarios differ: a target of four steps is replaced by one slice, and perhaps another slice follows; or the first is damaged."""


class Case(Place):
    """A target that is replaced, and all that may be found afterwards."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.settings = {"register": True} if kind == "register" else {}
        super().__init__(folder, **KINDS[kind])
        if kind == "register":
            zapz.append(self.target, self.old, label_order="any", on_existing="skip", **self.settings)
        if kind == "foreign":
            (self.target / "data" / "9.9").write_bytes(b"stale")
            (self.target / "readme").write_bytes(b"theirs")
        self.before = look(self.around)
        self.allowed = [plain(tree_of(self.before))]
        if kind == "refused":
            chunk = max((self.slices[0] / "data").rglob("c/*/*/*"))
            chunk.write_bytes(chunk.read_bytes()[:-1])
            return
        for number in range(1, len(self.slices) + 1):
            become(self.around, self.before)
            assert self.append(number) == (0, "")
            self.allowed.append(plain(tree_of(look(self.around))))
        assert all(a != b for a, b in zip(self.allowed, self.allowed[1:], strict=False))
        become(self.around, self.before)

    def append(self, number: int = 2) -> tuple[int, str]:
        """Replace the target; return exit code and message."""
        return outcome(lambda: self.renew(*self.slices[:number], **self.settings))

    def recover(self) -> tuple[int, str]:
        """Recover, if there is a target; return exit code and message."""
        return outcome(lambda: zapz.recover(self.target))

    def which(self, *, locked: bool = False) -> int:
        """Return which of the allowed trees is there, a lock that could not be removed aside; -1 if none."""
        found = plain(tree_of(look(self.around)))
        if locked and not self.settings:
            found = {key: value for key, value in found.items() if not key.startswith("cube.zarr/.zapz")}
        return self.allowed.index(found) if found in self.allowed else -1

    def nearest(self) -> str:
        """Say how what is there differs from all that is allowed."""
        found = plain(tree_of(look(self.around)))
        return " | ".join(differ(found, expected) for expected in self.allowed)

    def settled(self) -> list[str]:
        """Recover twice; say what is wrong."""
        code, message = self.recover()
        if code or self.which() < 0:
            return [f"recovered: exit {code}, {message} {self.nearest()}"]
        once = look(self.around)
        again = zapz.recover(self.target)
        return [] if again.clean and look(self.around) == once else ["recovering twice is not recovering once"]


def plain(found: Tree) -> Tree:
    """Return a tree without the part of a name that is made up."""
    return {re.sub(r"\.kept-[0-9a-f]{16}", ".kept", key): value for key, value in found.items()}


@contextmanager
def watched(root: Path, act: Act) -> Iterator[None]:
    """Let ``act`` carry out every operation below ``root``, the exchange of folders included."""
    real = exchange.swap
    with watched_os(root, act), pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchange, "swap", lambda a, b: act("rename", lambda: real(a, b)))
        yield


def cases(place: Path, kind: str) -> tuple[Case, list[State]]:
    """Return a scenario and every state that a crash of it can leave."""
    case = Case(place, kind)
    states = recorded(case.around, case.append, watched)
    assert case.which() == len(case.allowed) - 1, case.nearest()
    return case, states


# -- crashes -----------------------------------------------------------------------------------------------------------


def seen(state: State) -> str:
    """Return the document that a reader opens first, as it is found at the target."""
    root = [state.get(f"cube.zarr/{name}", (b"-", 0))[0] for name in (".zmetadata", "zarr.json")]
    return str(root)


def crash_everywhere(kind: str, place: Path, again: int = 1) -> list[str]:
    """Recover from every crash, and run again after every ``again``-th; say what is wrong."""
    case, states = cases(place, kind)
    problems: list[str] = []
    reached: list[int] = []
    readers = {seen({k: (v, 0) for k, v in found.items()}) for found in case.allowed}
    for number, state in enumerate(states):
        where = f"{kind}, after change {number} of {len(states) - 1}"
        if seen(state) not in readers:
            problems.append(f"{where}: a reader sees something else")
        become(case.around, state)
        problems += [f"{where}: {problem}" for problem in case.settled()]
        reached.append(case.which())
        if number % again:
            continue
        become(case.around, state)
        code, message = case.append()
        if code != (5 if kind == "refused" else 0) or case.which() != len(case.allowed) - 1:
            problems.append(f"{where}: run again: exit {code}, {message} {case.nearest()}")
    if reached != sorted(reached) or set(reached) != set(range(len(case.allowed))):
        problems.append(f"{kind}: one moment divides old from new: {reached}")
    return problems


def test_crash_after_every_change(tmp_path: Path) -> None:
    """The target is exactly the old one or exactly the new one, for readers at once, and byte for byte after recovery."""
    report(crash_everywhere("small", tmp_path, again=5))


@volume
@pytest.mark.parametrize("kind", KINDS)
def test_crash_after_every_change_of_all_kinds(kind: str, tmp_path: Path) -> None:
    """The same for targets with files of others, with a register, of other formats, and for a slice that is refused."""
    report(crash_everywhere(kind, tmp_path))


def crash_again(case: Case, states: list[State]) -> list[str]:
    """Let the recovery from each of these states crash after any of its changes, and recover again; say what is wrong."""
    problems: list[str] = []
    for number, state in enumerate(states):
        become(case.around, state)
        again = recorded(case.around, case.recover, watched)
        expected = case.which()
        for second, other in enumerate(again):
            become(case.around, other)
            wrong = case.settled()
            if wrong or case.which() != expected:
                problems.append(f"state {number}, after change {second} of {len(again) - 1} of recovery: {wrong}")
    return problems


def test_crash_in_recovery(tmp_path: Path) -> None:
    """Recovery itself crashes after any of its changes, where it has most to do: right before the exchange, and right after."""
    case, states = cases(tmp_path, "small")
    after = next(number for number, state in enumerate(states) if "cube.zarr/.zapz/fresh" in state)
    report(crash_again(case, states[after - 1 : after + 1]))


@volume
@pytest.mark.parametrize(("kind", "every"), [("small", 1), ("2-to-3", 9), ("foreign", 9), ("refused", 2)])
def test_crash_in_recovery_from_every_crash(kind: str, every: int, tmp_path: Path) -> None:
    """All pairs, or those of every so many crashes; recovered again, all is as if recovery had not crashed."""
    case, states = cases(tmp_path, kind)
    report(crash_again(case, states[::every]))


def test_what_a_crash_left_is_told(tmp_path: Path) -> None:
    """A dry run and ``info`` say it, and change nothing, exactly where recovery has something to say."""
    case, states = cases(tmp_path, "small")
    told = set()
    for number, state in enumerate(states):
        become(case.around, state)
        left = zapz.info(case.target).journal
        code, _ = outcome(lambda: case.renew(dry_run=True))
        assert look(case.around) == state, f"after change {number}"
        done = zapz.recover(case.target)
        assert bool(left) == (code == 8) >= (not done.clean), f"after change {number}: {left}, exit {code}, {done}"
        told |= {line.partition(": ")[2] for line in left if done.rolled_back or done.rolled_forward}
    assert {"a new target, not yet in place", "in place, the old target not yet removed"} <= told


def test_killed_process(tmp_path: Path) -> None:
    """The same for a real process that ends without a word: right after the exchange, and right before."""
    code = (
        "import os, sys, zapz; from zapz.storage.local import exchange; real = exchange.swap; count = []\n"
        "def swap(a, b):\n"
        "    count.append(a)\n"
        "    if len(count) == 2 and sys.argv[1] == 'before': os._exit(9)\n"
        "    real(a, b)\n"
        "    if len(count) == 2: os._exit(9)\n"
        "exchange.swap = swap\n"
        "zapz.append(sys.argv[2], sys.argv[3:], force_new=True)"
    )
    case = Case(tmp_path, "foreign")
    for when, expected in (("before", 0), ("after", 1)):
        become(case.around, case.before)
        arguments = [sys.executable, "-c", code, when, str(case.target), *map(str, case.slices)]
        assert subprocess.run(arguments, env={**os.environ, "PYTHONPATH": SOURCE}, check=False).returncode == 9
        assert case.which() < 0
        done = zapz.recover(case.target)
        assert (case.which(), len(done.rolled_forward), len(done.notes)) == (expected, expected, expected)


# -- between crash and recovery ----------------------------------------------------------------------------------------


def left_before(states: list[State], present: str, absent: str) -> State:
    """Return the first state with one key, and without another."""
    return next(state for state in states if present in state and absent not in state)


def test_writer_in_what_a_crash_left(tmp_path: Path) -> None:
    """Somebody appends to the abandoned folder itself: it is left alone. (Its lock is no longer the target's own.)"""
    case, states = cases(tmp_path, "small")
    become(case.around, left_before(states, f"{NEXT}/.zapz/head", "nothing"))
    (case.around / NEXT / ".zapz/head").unlink()
    with held(case.around / NEXT), pytest.raises(LockedError):
        zapz.recover(case.target)
    assert zapz.recover(case.target).rolled_back
    assert case.which() == 0


def test_another_tool_writes_into_what_a_crash_left(tmp_path: Path) -> None:
    """A file in the abandoned folder is kept, and named; the next ``force_new`` goes through."""
    case, states = cases(tmp_path, "small")
    for state in (s for s in states if f"{NEXT}/.zapz/head" in s):
        become(case.around, state)
        (case.around / NEXT / "theirs").write_bytes(b"theirs")
        done = zapz.recover(case.target)
        kept = next(case.around.glob("cube.zarr.kept-*"))
        assert "theirs" in done.notes[0]
        assert os.listdir(kept) == ["theirs"]
        assert case.names() == ["cube.zarr", kept.name]


@pytest.mark.parametrize("where", ["cube.zarr", NEXT])
def test_damaged_mark(where: str, tmp_path: Path) -> None:
    """A mark that cannot be read, where there is more than it: exit code 9, nothing is touched."""
    case, states = cases(tmp_path, "small")
    for state in (s for s in states if f"{where}/.zapz/fresh" in s and f"{NEXT}/.zapz/head" in s):
        become(case.around, state)
        mark = case.around / where / ".zapz/fresh"
        mark.write_bytes(mark.read_bytes()[:-1] + b"?")
        was = tree_of(look(case.around))
        with pytest.raises(JournalError):
            zapz.recover(case.target)
        ours = ("cube.zarr/.zapz", f"{NEXT}/.zapz/head")  # the lock is taken, and given back
        found = {k: v for k, v in tree_of(look(case.around)).items() if not k.startswith(ours)}
        assert differ(found, {k: v for k, v in was.items() if not k.startswith(ours)}) == ""


def test_old_target_changed_after_a_crash(tmp_path: Path) -> None:
    """Right after the exchange the old target's documents are not what they were: all of it is kept."""
    case, states = cases(tmp_path, "small")
    become(case.around, left_before(states, "cube.zarr/.zapz/fresh", "nothing"))
    (case.around / NEXT / "data/.zattrs").write_bytes(b'{"theirs": "precious"}')
    was = {k: v for k, v in tree_of(look(case.around / NEXT)).items() if not k.startswith(".zapz")}
    (note,) = zapz.recover(case.target).notes
    kept = next(case.around.glob("cube.zarr.kept-*"))
    assert str(kept) in note
    assert differ(tree_of(look(kept)), was) == ""


def test_target_removed_after_a_crash(tmp_path: Path) -> None:
    """Somebody removes the old target while a new one lies beside it: an append makes one, and removes what was left."""
    case, states = cases(tmp_path, "small")
    state = next(s for s in reversed(states) if f"{NEXT}/zarr.json" in s and "cube.zarr/.zmetadata" in s)
    become(case.around, {key: entry for key, entry in state.items() if not key.startswith("cube.zarr")})
    assert zapz.append(case.target, case.slices, workers=1).recovered.rolled_back
    assert case.which() == 1, case.nearest()


# -- operations that fail ----------------------------------------------------------------------------------------------


def wrong_after(case: Case, failing: Failing) -> list[str]:
    """Replace the target with a failing operation, recover, and say what is wrong."""
    become(case.around, case.before)
    with watched(case.around, failing):
        code, message = case.append()
    problems: list[str] = []
    failed = case.which(locked=True)
    if code not in {0, 6}:
        problems.append(f"exit {code}, {message}")
    if code == 0 and failed != len(case.allowed) - 1:
        problems.append(f"told success: {case.nearest()}")
    if code == 0 and failing.names[failing.at - 1] in SYNCS:
        problems.append("told success, although what it rests on was not made durable")
    if failed < 0 and "run `zapz recover`" not in message and "or `zapz recover`" not in message:
        problems.append(f"{message}: neither old nor new: {case.nearest()}")
    problems += case.settled()
    if case.which() == 0 and ("in place" in message or code == 0):
        problems.append(f"exit {code}, {message}: the old one is back")
    return problems


def fail_everywhere(kind: str, place: Path, only: tuple[str, ...] = ()) -> list[str]:
    """Let every operation fail in every way; say what is wrong."""
    case = Case(place, kind)
    counting = Failing(0, "EIO")
    with watched(case.around, counting):
        case.append()
    problems = []
    for at, name in enumerate(counting.names, 1):
        for how in set(only) & set(ways(name, at)) if only else ways(name, at):
            wrong = wrong_after(case, Failing(at, how))
            problems += [f"{kind}: {name}, operation {at} of {len(counting.names)}, {how}: {p}" for p in wrong]
    return problems


@pytest.mark.parametrize("how", ["EIO", LOST])
def test_every_operation_fails(how: str, tmp_path: Path) -> None:
    """Exit code 6, or success that is one; old or new after recovery, and nothing beside it."""
    report(fail_everywhere("small", tmp_path, only=(how,)))


@volume
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "refused"])
def test_every_operation_fails_in_every_way(kind: str, tmp_path: Path) -> None:
    """The same for all kinds, and all errors."""
    report(fail_everywhere(kind, tmp_path))
