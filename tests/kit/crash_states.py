"""States that a crash leaves in a folder, cases to make them from, and operations on storage that fail."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import zapz
from kit import cubes, pyramids
from kit.trees import Tree, differ, without_ours
from zapz.errors import ZapzError
from zapz.testing import CHANGES, LOOKS, Act, watched_files

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


Watching = Callable[[Path, Act], AbstractContextManager[Any]]
"""Lets a function carry out every operation below a folder, with the operation's name."""


def recorded(root: Path, run: Callable[[], Any], watched: Watching = watched_files) -> list[State]:
    """Return the states that a crash of ``run`` can leave in ``root``: before it, and after each change; each state once.

    Args:
        root: The folder.
        run: What is done.
        watched: Lets a function carry out every operation below a folder.
    """
    states = [look(root)]

    def act(name: str, do: Callable[[], Any]) -> Any:
        answer = do()
        if name in CHANGES and (found := look(root)) != states[-1]:
            states.append(found)
        return answer

    with watched(root, act):
        run()
    return states


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
    "levels": {"levels": True},
    "create-levels": {"levels": True, "old": 0},
    "derived": {"levels": True, "derived": True, "settings": {"levels": {"proof": False}}},
}
"""How the scenarios differ. By default 2 steps are followed by 2 others, in chunks of 3."""


def make_slices(place: Path, spec: dict[str, Any], zarr_format: int, variant: int) -> list[Path]:
    """Write the slices of a scenario."""
    steps = spec.get("steps", 2) + variant % 4
    chunk = steps if "aligned" in spec else 3 + variant // 4
    options = {"shape": (2,), "static": False, "zarr_format": zarr_format, "chunks": (chunk, 2), "time_chunk": chunk}
    options |= {key: spec[key] for key in ("chunks", "shards", "nested") if key in spec}
    slices = [place / f"s{n}.zarr" for n in range(spec.get("old", 1) + spec.get("new", 1))]
    if "levels" in spec:
        slices = [path.with_suffix(".levels") for path in slices]
        for number, path in enumerate(slices):
            shapes = ((4,), (2,), (1,))
            pyramids.make_levels(path, shapes=shapes, start=number * steps, steps=steps, consolidated=True, **options)
        return [path / "0.zarr" if number and "derived" in spec else path for number, path in enumerate(slices)]
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


def report(problems: list[str]) -> None:
    """Fail with the first few problems."""
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:8])


def change_a_document(target: Path, key: str) -> None:
    """Add an attribute, as a tool does that knows nothing of zapz and of consolidated metadata."""
    path = target / key
    meta = json.loads(path.read_bytes()) if path.exists() else {}
    (meta if key.endswith(".zattrs") else meta.setdefault("attributes", {}))["theirs"] = "precious"
    path.write_text(json.dumps(meta))


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
