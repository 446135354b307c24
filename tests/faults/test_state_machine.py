"""A state machine against a model of NumPy arrays: whatever happens to a target, in whatever order, readers see what the model allows.

Appends, crashes at any operation, recoveries, second writers, other tools, left-over files and refused slices follow one another at random.
The model holds every cube that the target may be: exactly one in peace; after a crash the old one and the new ones, until
a reader has seen one of them, for from then on only that one or a later one will do. Everything that depends on where
the target lies is behind ``Place``.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from kit import cubes
from kit.machine_slices import BAD, HEIGHT, HOLE, RECIPES, ROWS, WIDTH, Part, Recipe, Slices
from kit.places import DOCUMENTS, KEPT, Crash, LocalPlace, ObjectPlace, Place
from kit.trees import Tree, differ, without_ours
from kit.volumes import amount, volume

import zapz
from zapz.errors import ConflictError, LockedError, NotFoundError, SliceError
from zapz.storage.local import durability

NAMES = ["data", "time", "y"]
SETTINGS = st.fixed_dictionaries(
    {"label_chunk": st.sampled_from(["keep", 2, 4, 1024]), "durability": st.sampled_from(["process", "full"])}
)
KILLS = st.tuples(st.integers(0, 99), st.booleans())
"""After how many hundredths of an append the process dies, more or less, and whether half of a change is done then."""
LATE = st.tuples(st.integers(60, 99), st.booleans())
"""The same, when all chunks are likely to have been written."""


# -- the model -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Cube:
    """What a target may hold; without a history it does not exist."""

    history: tuple[int, ...] = ()
    """Numbers of the parts appended."""
    labels: tuple[int, ...] = ()
    values: cubes.Values = field(default_factory=lambda: np.empty((0, HEIGHT, WIDTH), "<i8"))
    fill: int = 0

    def plus(self, *parts: Part) -> Cube:
        """Return the cube with parts appended; the first slice gives it its marker."""
        return Cube(
            self.history + tuple(p.number for p in parts),
            tuple(chain(self.labels, *(p.labels for p in parts))),
            np.concatenate([self.values, *(p.values for p in parts)]),
            self.fill if self.history else parts[0].fill,
        )

    def steps_to(self, parts: Sequence[Part]) -> list[Cube]:
        """Return the cube with none, one, ... and all of the parts appended."""
        return [self, *(self.plus(*parts[: n + 1]) for n in range(len(parts)))]

    def follows(self, other: Cube) -> bool:
        """Return whether this cube is the other one, or has grown out of it."""
        return self.history[: len(other.history)] == other.history

    def shows(self, seen: dict[str, cubes.Values] | None) -> bool:
        """Return whether this is what a reader has seen."""
        if seen is None or not self.history:
            return seen is None and not self.history
        data = np.where(self.values == HOLE, self.fill, self.values)
        wanted = {"time": np.array(self.labels), "data": data, "y": ROWS}
        return all(np.array_equal(seen[name], wanted[name]) for name in NAMES)


class Machine(RuleBasedStateMachine):
    """One target after another, the cubes that it may be, and everything that may happen to it."""

    def __init__(self, place: Callable[[Path], Place], slices: Slices, zarr_format: int) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="zapz-machine-"))
        self.place, self.slices, self.zarr_format = place(self.folder), slices, zarr_format
        self.number = 0
        self.start_anew()

    def teardown(self) -> None:
        self.place.close()
        shutil.rmtree(self.folder)

    def start_anew(self) -> None:
        self.place.renew()
        self.allowed = [Cube()]
        self.kept = False  # another tool has appended after a crash: what would have gone over it may lie aside
        self.pending = False  # killed, and not recovered since
        self.foreign = False  # and another tool has appended since
        self.command: tuple[list[Part], list[Cube]] | None = None  # the append that was killed, and what it began from
        self.parts: dict[int, Part] = {}
        self.files: dict[str, bytes] = {}
        self.trees: dict[tuple[int, ...], Tree] = {}  # trees to be restored, by history
        self.last: tuple[Tree, Any] = ({}, None)

    # -- what is there

    @property
    def cube(self) -> Cube:
        """What a reader sees: the invariant has found it."""
        return self.allowed[0]

    def read(self, *, consolidated: bool) -> dict[str, cubes.Values]:
        with cubes.quiet():
            group = zarr.open_group(self.place.zarr_store(), mode="r", use_consolidated=consolidated)
            return {name: np.asarray(group[name][...]) for name in NAMES}

    @invariant()
    def readers_see_what_is_allowed(self) -> None:
        found = self.place.snapshot()
        visible = without_ours(found)
        if visible != self.last[0]:
            there = (".zmetadata" if self.zarr_format == 2 else "zarr.json") in visible
            self.last = visible, self.read(consolidated=True) if there else None
        seen = next((cube for cube in self.allowed if cube.shows(self.last[1])), None)
        assert seen is not None, f"allowed: {[c.history for c in self.allowed]}; a reader sees {self.last[1]}"
        self.allowed = [seen, *(cube for cube in self.allowed if cube is not seen and cube.follows(seen))]
        assert self.files.items() <= found.items(), "another tool's file is gone"
        if not self.pending:
            self.allowed = [seen]
            self.nothing_is_left_over(found)

    def nothing_is_left_over(self, found: Tree) -> None:
        ours = self.place.left(found)
        hidden = [
            k for k in without_ours(found) if k.rpartition("/")[2].startswith(".") and Path(k).name not in DOCUMENTS
        ]
        assert not ours + hidden, f"left over: {ours + hidden}"

    # -- what is done

    def make(self, recipes: Sequence[Recipe], start: int | None = None) -> list[Part]:
        """Make slices that follow the target, whatever it is, or one that begins with the label ``start``."""
        last = max((cube.labels[-1] for cube in self.allowed if cube.labels), default=0)
        parts = []
        for recipe in recipes:
            self.number += 1
            first = last + recipe.gap if start is None else start
            part = self.slices.make(self.folder / f"slice{self.number}.zarr", self.number, recipe, first)
            self.parts[part.number] = part
            last = part.labels[-1]
            parts.append(part)
        return parts

    def perform(
        self, action: Callable[[], Any], done: list[Cube], midway: list[Cube], kill: tuple[int, bool] | None = None
    ) -> Any:
        """Do something that turns the target into one of ``done``; killed, it may also be one of ``midway``."""
        before = self.place.snapshot()
        deadly = self.place.crash_after(1 + kill[0] * self.place.changes // 100, torn=kill[1]) if kill else None
        with deadly or nullcontext(Crash()) as crash:
            try:
                result = action()
            except ConflictError:
                assert self.foreign, "a conflict, and nobody else has written"
                result, done = None, [self.cube]
        if crash.happened:
            if not self.pending:
                self.trees = {self.cube.history: before}
            self.pending = True
            self.allowed = [*self.allowed, *midway, *done]
            return None
        self.end(done)
        return result

    def end(self, done: list[Cube]) -> None:
        """Peace: the target is one of ``done``, and nothing else."""
        assert self.foreign or self.kept or KEPT not in self.place.snapshot()
        self.kept = self.kept or self.foreign
        restored, self.trees = self.trees, {}
        self.pending = self.foreign = False
        self.command = None
        self.allowed = [cube for cube in done if any(cube.follows(old) for old in self.allowed)]
        self.readers_see_what_is_allowed()
        wanted = restored.get(self.cube.history)
        if wanted is not None and self.place.exact:
            found = self.place.snapshot()
            assert found == wanted, f"not as it was before the crash: {differ(found, wanted)}"

    def append(
        self, parts: Sequence[Part], options: dict[str, Any], kill: tuple[int, bool] | None = None,
        *, bases: list[Cube] | None = None, lazily: bool = False,
    ) -> Any:  # fmt: skip
        """Append, or try to; look at the report if there is one."""
        bases = list({cube.history: cube for cube in self.allowed}.values()) if bases is None else bases
        paths = [p.path for p in parts]

        def action() -> Any:
            return zapz.append(
                self.place.target,
                iter(paths) if lazily else paths,
                **{"zarr_format": self.zarr_format, "workers": 1, **self.place.settings, **options},
            )

        report = self.perform(
            action,
            [base.plus(*parts) for base in bases],
            [cube for base in bases for cube in base.steps_to(parts)],
            kill,
        )
        if self.pending:
            self.command = list(parts), bases
        elif report is not None:
            assert report.appended + report.already == len(parts)
            assert report.length == len(self.cube.labels)
        return report

    # -- rules: appends and crashes

    @rule(recipes=st.lists(RECIPES, min_size=1, max_size=3), options=SETTINGS, lazily=st.booleans())
    def append_slices(self, recipes: list[Recipe], options: dict[str, Any], lazily: bool) -> None:
        report = self.append(self.make(recipes), options, lazily=lazily)
        assert report is None or report.appended == len(recipes)

    @rule(recipes=st.lists(RECIPES, min_size=1, max_size=2), options=SETTINGS, kill=KILLS)
    def append_and_crash(self, recipes: list[Recipe], options: dict[str, Any], kill: tuple[int, bool]) -> None:
        self.append(self.make(recipes), options, kill)

    @rule()
    def recover(self) -> None:
        self.perform(self.recovered, list(self.allowed), [])
        found = self.place.snapshot()
        assert self.recovered()
        assert self.place.snapshot() == found

    def recovered(self) -> bool:
        """Recover; return whether there was nothing to do."""
        try:
            return zapz.recover(self.place.target).clean
        except NotFoundError:
            assert not self.place.snapshot()
            return True

    @precondition(lambda self: self.pending)
    @rule(kill=KILLS)
    def recover_and_crash(self, kill: tuple[int, bool]) -> None:
        self.perform(self.recovered, list(self.allowed), [], (kill[0] // 3, kill[1]))

    @precondition(lambda self: self.command is not None)
    @rule(options=SETTINGS, kill=st.none() | KILLS)
    def run_again(self, options: dict[str, Any], kill: tuple[int, bool] | None) -> None:
        assert self.command is not None
        parts, bases = self.command
        self.append(parts, options, kill, bases=bases)

    @precondition(lambda self: not self.pending and any(n in self.parts for n in self.cube.history))
    @rule(data=st.data())
    def append_what_is_there(self, data: st.DataObject) -> None:
        there = [n for n in self.cube.history if n in self.parts]
        before = self.place.snapshot()
        report = zapz.append(self.place.target, self.parts[data.draw(st.sampled_from(there))].path)
        assert (report.appended, report.already, report.length) == (0, 1, len(self.cube.labels))
        assert self.place.snapshot() == before

    @precondition(lambda self: not self.pending and len(self.cube.labels) >= 12)
    @rule()
    def take_a_new_target(self) -> None:
        self.start_anew()

    # -- rules: others

    @rule(recipe=RECIPES)
    def second_writer(self, recipe: Recipe) -> None:
        (other,) = self.make([recipe])
        refused = []

        def intrude(_done: int, _total: int) -> None:
            if not refused:
                before = self.place.snapshot()
                with pytest.raises(LockedError):
                    zapz.append(self.place.target, other.path)
                assert self.place.snapshot() == before
                refused.append(True)

        report = self.append(self.make([recipe]), {"on_progress": intrude})
        assert refused or report is None

    def other_tool_appends(self, steps: int, seed: int) -> Part:
        """Append as a program that knows nothing of zapz: resize what the consolidated metadata show, write, consolidate."""
        self.number += 1
        old = len(self.cube.labels)
        labels = tuple(self.cube.labels[-1] + 1 + n for n in range(steps))
        values = cubes.values_of((steps, HEIGHT, WIDTH), "<i8", 100 + seed)
        with cubes.quiet():
            group = zarr.open_group(self.place.zarr_store(), mode="r+", use_consolidated=True)
            for name, rows in (("time", np.array(labels)), ("data", values)):
                array = group[name]
                array.resize((old + steps, *array.shape[1:]))
                array[old:] = rows
            zarr.consolidate_metadata(self.place.zarr_store(), zarr_format=self.zarr_format)
        return Part(self.number, labels, values)

    @precondition(lambda self: self.cube.history)
    @rule(steps=st.integers(1, 3), seed=st.integers(0, 3))
    def other_tool(self, steps: int, seed: int) -> None:
        self.allowed = [self.cube.plus(self.other_tool_appends(steps, seed))]
        self.foreign = self.pending
        self.command, self.trees = None, {}

    @precondition(lambda self: not self.pending and self.cube.history)
    @rule(recipe=RECIPES, kill=LATE, steps=st.integers(1, 3), seed=st.integers(0, 3))
    def other_tool_after_a_late_crash(self, recipe: Recipe, kill: tuple[int, bool], steps: int, seed: int) -> None:
        """What had been decided by then must not go over what they write."""
        self.append(self.make([recipe]), {}, kill)
        self.readers_see_what_is_allowed()
        self.other_tool(steps, seed)
        self.readers_see_what_is_allowed()
        self.recover()

    @precondition(lambda self: not self.pending and self.cube.history)
    @rule(recipe=RECIPES, steps=st.integers(1, 3), seed=st.integers(0, 3), late=st.booleans())
    def other_tool_during_an_append(self, recipe: Recipe, steps: int, seed: int, late: bool) -> None:
        theirs: list[Part] = []

        def intrude(done: int, total: int) -> None:
            if not theirs and (done == total or not late):
                theirs.append(self.other_tool_appends(steps, seed))

        with pytest.raises(ConflictError):
            zapz.append(self.place.target, self.make([recipe])[0].path, on_progress=intrude, workers=1)
        self.allowed = [self.cube.plus(*theirs)]

    @precondition(lambda self: not self.pending and self.cube.history)
    @rule(name=st.sampled_from(["data", "time"]), further=st.integers(0, 2))
    def stale_chunk(self, name: str, further: int) -> None:
        """Bytes that another tool has left beyond the shape: a chunk that would be read, if it were not replaced."""
        with cubes.quiet():
            array = zarr.open_group(self.place.zarr_store(), mode="r")[name]
        beyond = -(-array.shape[0] // (array.shards or array.chunks)[0]) + further
        pattern = re.compile(rf"{name}/(c[./])?(\d+)((?:[./]\d+)*)")
        for key, data in self.place.snapshot().items():
            if data is not None and (match := pattern.fullmatch(key)):
                self.place.put(f"{name}/{match[1] or ''}{beyond}{match[3]}", data)
                return

    @precondition(lambda self: not self.pending and self.cube.history)
    @rule(recipe=RECIPES, options=SETTINGS)
    def hole_over_a_stale_chunk(self, recipe: Recipe, options: dict[str, Any]) -> None:
        """A slice that has no chunk where somebody else's lies."""
        self.stale_chunk("data", 0)
        self.append(self.make([recipe._replace(hole="all", steps=5)]), options)

    @precondition(lambda self: self.cube.history and len(self.files) < 2)
    @rule(key=st.sampled_from(["notes.txt", "data/notes.txt", "time/more/notes.txt"]))
    def unrelated_file(self, key: str) -> None:
        self.files[key] = b"keep me"
        self.place.put(key, b"keep me")
        for before in self.trees.values():
            before.update({key: b"keep me"} | ({"time/more": None} if "more" in key else {}))

    @precondition(lambda self: not self.pending and self.cube.history)
    @rule(recipe=RECIPES, kind=st.sampled_from(BAD), good=st.lists(RECIPES, max_size=1), known=st.booleans())
    def refused_slice(self, recipe: Recipe, kind: str, good: list[Recipe], known: bool) -> None:
        """A slice that may not follow; a good one before it stays, unless both are known and metadata tell that the later one may not."""
        parts = self.make(good)
        before, cube = self.place.snapshot(), self.cube.plus(*parts)
        recipe = recipe._replace(kind=kind if kind in {"grid", "static", "dtype"} else "good")
        start = cube.labels[-1] + 1
        if kind == "overlap":
            recipe, start = recipe._replace(steps=max(2, recipe.steps)), cube.labels[-1]
        elif kind == "before":
            start = cube.labels[0] - 9
        elif kind == "changed":
            recipe, start = recipe._replace(steps=1, hole="none" if HOLE in cube.values[-1] else "all"), cube.labels[-1]
        (bad,) = self.make([recipe], start)
        paths = [*(p.path for p in parts), bad.path]
        with pytest.raises(SliceError):
            zapz.append(self.place.target, paths if known else iter(paths))
        told = known and kind not in {"static", "changed"}
        assert (parts and not told) or self.place.snapshot() == before
        self.allowed = [self.cube if told else cube]

    @precondition(lambda self: self.cube.history)
    @rule()
    def other_readers(self) -> None:
        assert self.pending or self.cube.shows(self.read(consolidated=False))
        with cubes.quiet(), xarray.open_zarr(self.place.zarr_store(), consolidated=True) as seen:
            data, time = seen["data"].to_numpy(), seen["time"].to_numpy()
        np.testing.assert_array_equal(data, np.where(self.cube.values == HOLE, np.nan, self.cube.values))
        days = np.array(self.cube.labels) * np.timedelta64(1, "D")
        np.testing.assert_array_equal(time, np.datetime64("2020-01-01") + days)


# -- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Slices:
    return Slices(tmp_path_factory.mktemp("slices"))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here loses power: syncs are called for, and do nothing."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(durability, "_syncfs", lambda: None, raising=False)


def run(
    place: Callable[[Path], Place], slices: Slices, zarr_format: int, *, examples: int, steps: int, fixed: bool = True
) -> None:
    """Run a machine; a failure prints its steps as a program, the shortest one if there are few."""
    run_state_machine_as_test(
        lambda: Machine(place, slices, zarr_format),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=fixed,
            database=None,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink] if steps < 20 else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


PLACES = pytest.mark.parametrize("place", [LocalPlace, ObjectPlace])


@PLACES
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_few_steps(place: Callable[[Path], Place], zarr_format: int, slices: Slices) -> None:
    run(place, slices, zarr_format, examples=4, steps=15)


@volume
@PLACES
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_many_steps(place: Callable[[Path], Place], zarr_format: int, slices: Slices) -> None:
    """50 times 50 steps each; in a long run, which is not the same twice, 2,500 times 300."""
    examples, steps = amount(ci=50, long=2500), amount(ci=50, long=300)
    run(place, slices, zarr_format, examples=examples, steps=steps, fixed=examples == 50)
