"""Damaged journals, decisions, locks and metadata: recovered right or refused, never a traceback, never a loss.

Each case is drawn from a number that a failure names: a file, a kind of damage (flipped bits, a cut, bytes moved, repeated, zeroed or
overwritten), and what is run. What a refusal must leave is compared byte by byte; what a success must have made is read by zarr-python.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
from kit import cubes
from kit.crash_states import Case, State, become, crashed_states, look, make_case, nearest, outcome, report, tree_of
from kit.trees import Tree, differ, without_ours
from kit.volumes import amount, volume

import zapz

DOCUMENTS = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
OLD, NEW = slice(0, 2), slice(2, None)
"""Steps of the target before an append, and those that it brings; a slice has as many as the target had."""
PRECIOUS: State = {".": (None, 0), "precious": (b"precious", 0)}

# -- damage ------------------------------------------------------------------------------------------------------------


def damaged(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return a kind of damage, and the damaged bytes; they differ from the sound ones."""
    size = len(data)
    while True:
        kind = draw.choice(["flip", "flip", "flip", "flips", "cut", "move", "repeat", "zeros", "overwrite", "digit"])
        a, b = sorted((draw.randrange(size + 1), draw.randrange(size + 1)))
        new = bytearray(data)
        if kind in {"flip", "flips"}:
            for _ in range(1 if kind == "flip" else draw.randint(2, 6)):
                new[draw.randrange(size)] ^= 1 << draw.randrange(8)
        elif kind == "cut":
            del new[draw.choice([a, b]) :]
        elif kind == "move":
            at = draw.randrange(size + 1)
            new[at:at] = data[a : min(b, a + 40)]
        elif kind == "repeat":
            new[b:b] = data[a:b]
        elif kind == "zeros":
            new[a:b] = bytes(b - a)
        elif kind == "overwrite":
            at, length = draw.randrange(size), draw.randint(1, 8)
            new[at : at + length] = draw.randbytes(length)
        else:  # a digit of a number becomes another one: the JSON stays whole
            digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
            if digits:
                new[draw.choice(digits)] = draw.randrange(48, 58)
        if new != data:
            return kind, bytes(new)


@dataclass(frozen=True)
class Damage:
    """A damaged state, and how it came about."""

    key: str
    label: str
    state: State


def drawn(state: State, keys: list[str], draw: random.Random, label: str) -> Damage:
    """Damage one of these files."""
    key = draw.choice(keys)
    kind, data = damaged(state[key][0] or b"\0", draw)
    at = next((i for i, (a, b) in enumerate(zip(data, state[key][0] or b"", strict=False)) if a != b), len(data))
    at = max(0, at - 30)
    return Damage(key, f"{label}, {key}: {kind}: …{data[at : at + 80]!r}…", {**state, key: (data, 0)})


class Place:
    """A target, and beside it something that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "cube.zarr"
        self.slice = folder / "slice.zarr"
        self._outside = folder / "outside"
        become(self._outside, PRECIOUS)
        self._beside = {"cube.zarr", "slice.zarr", "outside"}
        self._folder = folder

    def run(self, state: State, call: Callable[[], Any]) -> tuple[int, str, Tree, list[str]]:
        """Put a state in place and call something; return exit code, message, what is there now, and what is wrong."""
        become(self.target, state)
        try:
            code, message = outcome(call)
        except Exception as error:  # noqa: BLE001 - it is counted
            return 1, "", {}, [f"not an error of ours: {type(error).__name__}: {error}"]
        wrong = []
        if look(self._outside) != PRECIOUS or not set(os.listdir(self._folder)) <= self._beside:
            wrong.append("something outside the target was touched")
        return code, message, tree_of(look(self.target)), wrong


def without_lock(found: Tree) -> Tree:
    """Return a tree without the lock, and without the journal's folder if it holds nothing else."""
    rest = {key: data for key, data in found.items() if key != ".zapz/head"}
    return rest if any(key.startswith(".zapz/") for key in rest) else {k: v for k, v in rest.items() if k != ".zapz"}


# -- journals, decisions and locks of crashed targets ------------------------------------------------------------------


@dataclass(frozen=True)
class Crashes:
    """States of crashed targets, each with what recovery makes of it."""

    case: Case
    states: list[State]
    settled: list[Tree]

    @classmethod
    def of(cls, place: Path, name: str) -> Crashes:
        """Crash a scenario after each change; keep the states that have a journal."""
        case = make_case(place, name)
        target = place / "crash.zarr"
        states = [s for s in crashed_states(case, target) if any(k.endswith("/journal") for k in s)]
        settled = []
        for state in states:
            become(target, state)
            zapz.recover(target)
            settled.append(tree_of(look(target)))
        become(target, {})
        return cls(case, states, settled)


def journal_files(state: State) -> list[str]:
    """Return the files of a crashed target that recovery rests on: journal, decision, ballots and lock."""
    names = {"journal", "decision", "commit", "abort", "head"}
    return [k for k in state if k.startswith(".zapz/") and k.rpartition("/")[2] in names and state[k][0]]


def crash_damaged(crashes: Crashes, place: Place, draw: random.Random, label: str) -> tuple[str, list[str]]:
    """Damage a file of the journal and run recovery, or the append; return what came of it and what is wrong."""
    number = draw.randrange(len(crashes.states))
    state, case = crashes.states[number], crashes.case
    damage = drawn(state, journal_files(state), draw, label)
    append = draw.random() < 0.3
    if append:
        code, message, found, wrong = place.run(damage.state, lambda: case_append(case, place))
    else:
        code, message, found, wrong = place.run(damage.state, lambda: zapz.recover(place.target))
    name = damage.key.rpartition("/")[2]
    if code == 9:
        if without_lock(found) != without_lock(tree_of(damage.state)):
            wrong.append(f"refused, and touched: {differ(found, tree_of(damage.state))}")
        if name not in {"journal", "decision"}:
            wrong.append(f"refused for {name}: {message}")
    elif code == 0:
        expected = case.states[-1] if append else crashes.settled[number]
        rest = never_begun(state) if name == "journal" else {}
        hidden = {k: v for k, v in rest.items() if "/." in f"/{k}" and not k.endswith(DOCUMENTS)}
        if found not in (expected, {**expected, **hidden} if append else rest):
            wrong.append(f"recovered wrongly: {nearest(case, found)}")
    elif code == 4 and append and not case.states[0]:  # chunks without metadata are no dataset to append to
        if name != "journal" or found != never_begun(state):
            wrong.append(f"exit 4: {message}")
    elif code != 1:
        wrong.append(f"exit {code}: {message}")
    return f"{name} {code}", [f"{damage.label}: after change {number}: {problem}" for problem in wrong]


def case_append(case: Case, place: Place) -> None:
    """Append the slices of a scenario."""
    zapz.append(place.target, list(case.slices), **case.settings)


def never_begun(state: State) -> Tree:
    """Return what may remain if the journal's last record is torn, and nothing was decided: all but the journal.

    Nobody crashes so. Chunks that the append had created lie beyond the shape then, where no reader looks, and nothing is lost.
    """
    decided = any(key.endswith("/decision") for key in state)
    return {} if decided else without_ours(tree_of(state))


# -- metadata ----------------------------------------------------------------------------------------------------------


Reading = dict[str, np.ndarray[Any, Any] | None]


def reading(path: Path, part: slice, *, consolidated: bool = False) -> Reading | None:
    """Read a part of each array with zarr-python, labels as instants.

    None for values that it cannot read (chunks that are not what the metadata say), None for all if it refuses the metadata.
    """
    import zarr

    found: Reading = {}
    drop_what_may_be_ignored(path / "zarr.json")
    try:
        with cubes.quiet():
            group = zarr.open_group(str(path), mode="r", use_consolidated=consolidated)
            arrays = {name: group[name] for name in ("data", "time")}
            for name, array in arrays.items():
                found[name] = None
                with contextlib.suppress(Exception):
                    found[name] = instants(np.asarray(array[part]), dict(array.attrs))
    except Exception:  # noqa: BLE001 - whatever it finds illegal
        return None
    return found


def drop_what_may_be_ignored(document: Path) -> None:
    """Drop unknown members that the specification lets a reader ignore: zarr-python refuses them in a group."""
    with contextlib.suppress(ValueError, OSError, AttributeError):
        meta = json.loads(document.read_bytes())
        known = {"zarr_format", "node_type", "attributes", "consolidated_metadata"}
        ignored = [k for k, v in meta.items() if k not in known and v.get("must_understand") is False]
        if ignored:
            document.write_text(json.dumps({k: v for k, v in meta.items() if k not in ignored}))


def instants(labels: np.ndarray[Any, Any], attributes: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return labels as text that does not depend on units; as they are if they are no times."""
    units, calendar = str(attributes.get("units")).lower(), attributes.get("calendar", "standard")
    if " since " not in units:
        return labels
    return np.array([str(t) for t in np.ravel(cftime.num2date(labels, units, calendar))])


def same(a: Reading | None, b: Reading | None) -> bool:
    """Whether two readings are the same; values that cannot be read are the same as themselves alone."""
    if a is None or b is None:
        return False
    return all((a[k] is None) == (b[k] is None) and (a[k] is None or np.array_equal(a[k], b[k])) for k in a)


@dataclass(frozen=True)
class Healthy:
    """A target and a slice that may follow it."""

    case: Case
    slice: State
    old: Reading
    new: Reading

    @classmethod
    def of(cls, place: Path, name: str) -> Healthy:
        """Make them."""
        case = make_case(place, name)
        become(place / "old.zarr", case.before)
        old, new = reading(place / "old.zarr", OLD), reading(case.slices[0], OLD)
        become(place / "old.zarr", {})
        assert old is not None
        assert new is not None
        return cls(case, look(case.slices[0]), old, new)


def metadata_damaged(healthy: Healthy, place: Place, draw: random.Random, label: str) -> tuple[str, list[str]]:
    """Damage a document of target or slice, and append; return what came of it and what is wrong."""
    of_target = draw.random() < 0.6
    sound = healthy.case.before if of_target else healthy.slice
    damage = drawn(sound, [key for key in sound if key.rpartition("/")[2] in DOCUMENTS], draw, label)
    state, part = (damage.state, healthy.slice) if of_target else (healthy.case.before, damage.state)
    become(place.slice, part)
    settings = healthy.case.settings
    code, message, found, wrong = place.run(state, lambda: zapz.append(place.target, place.slice, **settings))
    if tree_of(look(place.slice)) != tree_of(part):
        wrong.append("the slice was touched")
    if code in {3, 4, 5}:
        if found != tree_of(state):
            wrong.append(f"refused, and touched: {differ(found, tree_of(state))}")
    elif code == 0:
        if found != healthy.case.states[-1]:
            wrong += wrong_success(healthy, place, state, of_target=of_target)
    elif code != 1:
        wrong.append(f"exit {code}: {message}")
    whose = "target" if of_target else "slice"
    return f"{whose} {code}", [f"{damage.label} of the {whose}: {problem}" for problem in wrong]


def wrong_success(healthy: Healthy, place: Place, state: State, *, of_target: bool) -> list[str]:
    """Say what is wrong with an append that succeeded although a document was damaged, as an independent reader sees it."""
    after = [
        (reading(place.target, OLD, consolidated=c), reading(place.target, NEW, consolidated=c)) for c in (False, True)
    ]
    old, new = healthy.old, healthy.new
    if of_target:
        become(place.target, state)
        old = reading(place.target, OLD) or old
    else:
        found = reading(place.slice, OLD)
        if found is None:
            return ["success, although zarr-python refuses the slice"]
        new = found
    if any(first is None for first, _ in after):
        return ["success, although zarr-python refuses the target then"]
    return [
        f"success, but {how} reading gives {first} and {rest}, not {old} and {new}"
        for how, (first, rest) in zip(("plain", "consolidated"), after, strict=True)
        if not same(first, old) or not same(rest, new)
    ]


# -- tests -------------------------------------------------------------------------------------------------------------

JOURNALS = ("misaligned-v2", "stale-v3", "create-v2", "sharded-v3")
METADATA = ("misaligned-v2", "aligned-v3", "aligned-v2", "sharded-v3")


def go_through(
    draw_one: Callable[[random.Random, str], tuple[str, list[str]]], name: str, numbers: range
) -> dict[str, int]:
    """Go through numbered cases; return how often each outcome came, and fail with what is wrong."""
    problems: list[str] = []
    outcomes: dict[str, int] = {}
    for number in numbers:
        label = f"{name}-{number}"
        what, wrong = draw_one(random.Random(label), label)
        outcomes[what] = outcomes.get(what, 0) + 1
        problems += wrong
        if len(problems) > 50:
            break
    report(problems)
    return outcomes


def damage_journals(name: str, numbers: range, folder: Path) -> dict[str, int]:
    """Damage journals of crashed targets."""
    (folder / "made").mkdir()
    (folder / "run").mkdir()
    crashes, place = Crashes.of(folder / "made", name), Place(folder / "run")
    return go_through(lambda draw, label: crash_damaged(crashes, place, draw, label), f"journal-{name}", numbers)


def damage_metadata(name: str, numbers: range, folder: Path) -> dict[str, int]:
    """Damage metadata of healthy targets and slices."""
    (folder / "made").mkdir()
    (folder / "run").mkdir()
    healthy, place = Healthy.of(folder / "made", name), Place(folder / "run")
    return go_through(lambda draw, label: metadata_damaged(healthy, place, draw, label), f"metadata-{name}", numbers)


@volume
@pytest.mark.parametrize("name", JOURNALS)
def test_damaged_journals(name: str, tmp_path: Path) -> None:
    """Exit code 9 and nothing touched, or recovered as if nothing had been damaged."""
    number = amount(ci=12_000, long=3_000_000) // len(JOURNALS)
    outcomes = damage_journals(name, range(number), tmp_path)
    assert min(outcomes.get(k, 0) for k in ("journal 9", "decision 9", "head 0", "journal 0")) > number / 1000, outcomes


@volume
@pytest.mark.parametrize("name", METADATA)
def test_damaged_metadata(name: str, tmp_path: Path) -> None:
    """Refused with nothing touched, or what an independent reader finds there is the old followed by the new."""
    number = amount(ci=8_000, long=2_000_000) // len(METADATA)
    outcomes = damage_metadata(name, range(number), tmp_path)
    assert min(outcomes.get(f"{w} {c}", 0) for w in ("target", "slice") for c in (0, 3, 4)) > number / 1000, outcomes


def test_some_damage(tmp_path: Path) -> None:
    """A few of each."""
    for function, name in ((damage_journals, "misaligned-v3"), (damage_metadata, "misaligned-v3")):
        (tmp_path / function.__name__).mkdir()
        function(name, range(100), tmp_path / function.__name__)
