"""Appends to an object service (the double in ``objects``): what the target is before, between and after them, and what goes wrong on the way.

A story is a handful of slices. A bench puts the service back to the story's beginning, lets some request fail or the process die, and then looks
at what readers see, recovers as another machine, appends again, appends one more slice, and removes what was left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zarr
from zarr.core.buffer import cpu

import zapz
from kit import cubes, pyramids
from kit.level_definition import defined
from kit.objects import World
from zapz import api
from zapz.storage.objects import lock as object_lock
from zapz.storage.objects.store import ObjectStore
from zapz.testing import MUTATIONS, AnswerError, Died, Request
from zapz.txn.objects import head as heads

ROOT = "bucket/cube"
SETTINGS: dict[str, Any] = {
    "workers": 1,
    "label_chunk": "keep",
    "label_units": "keep",
    "levels": {"proof": False},  # the cells of the first levels are random
}
DOCUMENTS = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json", ".zlevels"}
NEIGHBOURS = {
    "bucket/cub": b"1",
    "bucket/cube2/.zgroup": b"2",
    "bucket/cube.zapz/note": b"3",
    "bucket/.zapz/head": b"4",
}
"""Objects that are not the target's."""

CONSOLIDATED = {".zmetadata", "zarr.json"}
"""Names of documents that a reader opens first."""

Objects = dict[str, bytes]


# -- what a target is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """A state of a target; without values there is no target."""

    documents: Objects
    values: dict[str, cubes.Values] | None


def inside(objects: Mapping[str, bytes]) -> Objects:
    """Return the dataset's objects by key, and what lies among them."""
    prefix = f"{ROOT}/"
    keys = (path[len(prefix) :] for path in objects if path.startswith(prefix))
    return {key: objects[prefix + key] for key in keys if not key.startswith(".zapz/")}


def documents_of(objects: Mapping[str, bytes]) -> Objects:
    return {key: data for key, data in inside(objects).items() if key.rpartition("/")[2] in DOCUMENTS}


_READ: dict[frozenset[Any], tuple[dict[str, cubes.Values] | None, frozenset[str]]] = {}


def look(objects: Mapping[str, bytes]) -> tuple[dict[str, cubes.Values] | None, frozenset[str]]:
    """Return what a reader of consolidated metadata sees, and all keys that a dataset of this shape may have."""
    here = inside(objects)
    state = frozenset(here.items())
    if state not in _READ:
        _READ[state] = _look(here)
    return _READ[state]


def _look(here: Objects) -> tuple[dict[str, cubes.Values] | None, frozenset[str]]:
    levels = sorted({top for key in here if (top := key.partition("/")[0]).endswith(".zarr")})
    opened = {f"{level}/{name}" for level in levels[:1] for name in CONSOLIDATED} or CONSOLIDATED
    if not here.keys() & opened:
        return None, frozenset()
    store = zarr.storage.MemoryStore({key: cpu.Buffer.from_bytes(data) for key, data in here.items()}, read_only=True)
    values: dict[str, cubes.Values] = {}
    keys = {key for key in here if key.rpartition("/")[2] in DOCUMENTS}
    with cubes.quiet():
        for root in levels or [""]:
            group = zarr.open_group(store, mode="r", path=root, use_consolidated=True)
            for name, member in group.members(max_depth=None):
                if isinstance(member, zarr.Array):
                    path = f"{root}/{name}" if root else name
                    values[path] = member[...]
                    keys |= {f"{path}/{key}" for key in member._async_array._iter_shard_keys()}
    if levels:
        steps, axes = len(values["0.zarr/time"]), pyramids.axes_of(len(levels))
        values = {path: array[:steps] if path in axes else array for path, array in values.items()}
    return values, frozenset(keys)


def equal(a: dict[str, cubes.Values] | None, b: dict[str, cubes.Values] | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(a[n].shape == b[n].shape and (a[n] == b[n]).all() for n in a)


# -- stories -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Story:
    """Slices to append, and what the target is before, between and after them."""

    slices: tuple[Path, ...]
    """What is appended in one call."""
    corrected: tuple[Path, ...]
    """The same, where one of them is damaged; else the very same."""
    more: Path
    """A slice that may follow whatever has become of the others."""
    before: Objects
    states: tuple[Known, ...]
    ends: tuple[dict[str, cubes.Values], ...]
    """Values after one more append, for each of the states."""
    stale: frozenset[str]
    """Paths among the chunks, beyond the shape, where something lies that is nobody's."""
    foreign: Objects
    """What lies at those of them that no append of the story reaches."""

    @property
    def damaged(self) -> bool:
        return self.slices != self.corrected


KINDS: dict[str, dict[str, Any]] = {
    "create": {"old": 0},
    "create-nested": {"old": 0, "nested": True},
    "aligned": {"chunk": 2},
    "misaligned": {},
    "sharded": {"chunks": (1, 2), "shards": (3, 2)},
    "stale": {"chunk": 2, "stale": (1, 2, 9)},
    "holes": {"chunk": 2, "stale": (1, 9), "holes": True},
    "holes-misaligned": {"holes": True},
    "several": {"steps": 1, "new": 3},
    "nested": {"nested": True},
    "damaged": {"chunks": (1, 2), "damaged": True},
    "levels": {"levels": True},
    "create-levels": {"levels": True, "old": 0},
    "derived": {"levels": True, "derived": True},
}
"""How stories differ. By default 2 steps are followed by 2 others, in chunks of 3."""
STORIES = (
    *("create-v2", "create-v3", "create-nested-v2", "aligned-v2", "aligned-v3", "misaligned-v2", "misaligned-v3"),
    *("sharded-v3", "stale-v2", "stale-v3", "holes-v2", "holes-v3", "holes-misaligned-v2", "several-v2", "several-v3"),
    *(
        "nested-v2",
        "nested-v3",
        "damaged-v2",
        "damaged-v3",
        "levels-v2",
        "levels-v3",
        "create-levels-v2",
        "create-levels-v3",
        "derived-v2",
        "derived-v3",
    ),
)


def write_slice(path: Path, number: int, spec: dict[str, Any], zarr_format: int) -> dict[str, cubes.Values]:
    """Write the n-th slice of a story and return its values."""
    steps, chunk = spec.get("steps", 2), spec.get("chunk", 3)
    options: dict[str, Any] = {"shape": (2,), "static": False, "chunks": (chunk, 2), "time_chunk": chunk}
    options |= {key: spec[key] for key in ("chunks", "shards", "nested") if key in spec}
    if spec.get("holes"):
        data = cubes.values_of((steps, 2), "<i4", number)
        data[...] = -7 if number else data
        options |= {"data": data, "fill": -7, "write_empty": False}
        if zarr_format == 3:
            options["attrs"] = {"_FillValue": -7}
    if spec.get("levels"):
        shapes = ((4,), (2,), (1,))
        options |= {"start": number * steps, "steps": steps, "zarr_format": zarr_format, "consolidated": True}
        values = pyramids.make_levels(path, **(options | {"shapes": shapes}))
        if "derived" in spec and number:
            fine = values["0.zarr/data"]
            for level in (1, 2):
                factors = (1, 1 << level)
                values[f"{level}.zarr/data"] = defined(fine, factors, "mean", missing=lambda v: v != v, rounding="zero")  # noqa: PLR0124 - NaN
        return values
    return cubes.make_slice(
        path, start=number * steps, steps=steps, zarr_format=zarr_format, consolidated=True, **options
    )


def make_story(folder: Path, name: str, world: World) -> Story:
    """Make a story; what the target is after each slice is what NumPy says, and the documents that an undisturbed append writes."""
    kind, _, version = name.rpartition("-v")
    spec, old = KINDS[kind], KINDS[kind].get("old", 1)
    new = spec.get("new", 1)
    paths = [folder / f"{name}-{n}.zarr" for n in range(old + new + 1)]
    parts = [write_slice(path, n, spec, int(version)) for n, path in enumerate(paths)]
    paths = [path / "0.zarr" if "derived" in spec and n else path for n, path in enumerate(paths)]
    world.service.restore(dict(NEIGHBOURS))
    for path in paths[:old]:
        zapz.append(world.store(), path, **SETTINGS)
    key = "c/{}/0" if version == "3" else "{}.0"
    stale = {f"{ROOT}/data/{key.format(n)}": b"stale" * (3 + n) for n in spec.get("stale", ())}
    world.service.restore(world.service.snapshot() | stale)
    before, states, ends = world.service.snapshot(), [], []
    axes = pyramids.axes_of() if spec.get("levels") else cubes.axes_of(nested=spec.get("nested", False))
    for done in range(old, old + new + 1):
        if done > old:
            zapz.append(world.store(), paths[done - 1], **SETTINGS)
        values = cubes.joined(parts[:done], axes) if done else None
        states.append(Known(documents_of(world.service.objects), values))
        ends.append(cubes.joined([*parts[:done], parts[-1]], axes))
        assert equal(look(world.service.objects)[0], values)
    slices = corrected = tuple(paths[old:-1])
    if spec.get("damaged"):
        slices = (folder / f"{name}-damaged.zarr",)
        write_slice(slices[0], old, spec, int(version))
        chunk = slices[0] / "data" / key.format(1)
        chunk.write_bytes(chunk.read_bytes()[:-1])
    foreign = {path: data for path, data in stale.items() if path.endswith(key.format(9))}
    return Story(slices, corrected, paths[-1], before, tuple(states), tuple(ends), frozenset(stale), foreign)


# -- faults ------------------------------------------------------------------------------------------------------------


class Fault:
    """Something that goes wrong with the k-th request, counted from 1; this one never does, and counts."""

    def __init__(self, at: int = 0, *, forever: bool = False) -> None:
        self.at = at
        self.forever = forever
        self.count = 0

    def counts(self, request: Request) -> bool:
        return True

    def hits(self, request: Request) -> bool:
        if self.counts(request):
            self.count += 1
            return self.at > 0 and (self.count >= self.at if self.forever else self.count == self.at)
        return False

    def before(self, request: Request) -> None:
        self.hits(request)

    def after(self, request: Request) -> None:
        pass


class Crash(Fault):
    """The process dies before its k-th changing request."""

    dead = False

    def counts(self, request: Request) -> bool:
        return request.changes

    def before(self, request: Request) -> None:
        self.dead = self.dead or self.hits(request)
        if self.dead:
            raise Died


class Answer(Fault):
    """The service answers something else instead of doing what it was asked."""

    def __init__(self, at: int, answer: str, *, forever: bool = False) -> None:
        super().__init__(at, forever=forever)
        self.answer = answer

    def before(self, request: Request) -> None:
        if self.hits(request):
            raise answered(self.answer)


class Lost(Answer):
    """The service does what it was asked, and the answer is lost."""

    def before(self, request: Request) -> None:
        pass

    def after(self, request: Request) -> None:
        super().before(request)


def answered(name: str) -> Exception:
    if name.isdigit():
        return AnswerError(int(name))
    return {"connection": ConnectionResetError, "timeout": TimeoutError}[name](name)


class Meddling(Fault):
    """Something else happens before the k-th changing request."""

    def __init__(self, at: int, action: Callable[[], None]) -> None:
        super().__init__(at)
        self.action = action

    def counts(self, request: Request) -> bool:
        return request.changes

    def before(self, request: Request) -> None:
        if self.hits(request):
            self.action()


# -- benches -----------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What became of a call: exit code (-1: the process died, 1: a traceback), message, and slices reported as done."""

    code: int = 0
    message: str = ""
    slices: int = 0

    def __str__(self) -> str:
        return f"exit {self.code}, {self.slices} slices done, {self.message!r}"


@dataclass
class Bench:
    """A service at the beginning of a story."""

    world: World
    story: Story
    lock: bool = False
    """Whether the service cannot replace on a condition, so that there is a lock object."""
    bare: bool = False
    """Whether it cannot even create on one: nobody else writes, the user says."""
    tries: int = 2
    """How often a request is sent before it counts as failed."""
    problems: list[str] = field(default_factory=list)
    label: str = ""

    def reset(self, label: str) -> None:
        service = self.world.service
        service.conditional = not (self.lock or self.bare)
        service.exclusive = not self.bare
        service.restore(self.story.before)
        self.label = label

    def wrong(self, what: str) -> None:
        self.problems.append(f"{self.label}: {what}")

    def store(self) -> ObjectStore:
        store = ObjectStore(self.world.service, ROOT, f"testing://{ROOT}", single_writer=self.bare)
        store.pauses = (0.0,) * (self.tries - 1)
        store.at_once = 1
        return store

    def call(self, action: Callable[[ObjectStore], Any], host: str, fault: Fault | None = None) -> Told:
        """Do something on a machine of its own, with a fault."""
        service, outer = self.world.service, getattr(self.world.here, "host", "")
        hooks = service.before, service.after
        fault = fault or Fault()
        told = Told()
        service.before, service.after, self.world.here.host = fault.before, fault.after, host
        try:
            action(self.store())
        except zapz.ZapzError as error:
            told = Told(error.exit_code, "\n".join([str(error), *getattr(error, "__notes__", ())]))
        except Died:
            told = Told(-1, "dead")
        except Exception as error:  # noqa: BLE001 - it is counted
            told = Told(1, repr(error))
            self.wrong(f"a traceback: {error!r}")
        finally:
            (service.before, service.after), self.world.here.host = hooks, outer
        return told

    def append(self, slices: Sequence[Path], host: str, fault: Fault | None = None, **more: Any) -> Told:
        """Append, waiting for others as long as it takes unless told otherwise."""
        done: list[Any] = []
        options = {"on_slice": done.append, **SETTINGS, "lock_wait": 0.0 if self.lock else 1000.0, **more}
        told = self.call(lambda store: zapz.append(store, list(slices), **options), host, fault)
        told.slices = len(done)
        return told

    def recover(self, host: str, fault: Fault | None = None) -> Told:
        return self.call(zapz.recover, host, fault)

    def count(self, action: Callable[[Fault], Any], fault: Fault) -> int:
        """Return how many requests of the kind that the fault counts something takes."""
        action(fault)
        return fault.count

    # -- what is there

    def visible(self) -> int:
        """Return which state of the story a reader sees; -1 if none."""
        seen = look(self.world.service.objects)[0]
        return next((n for n, known in enumerate(self.story.states) if equal(seen, known.values)), -1)

    def settled(self) -> int:
        """Return which state the target is in, documents included; -1 if in none."""
        number = self.visible()
        documents = documents_of(self.world.service.objects)
        return number if number >= 0 and documents == self.story.states[number].documents else -1

    def head(self) -> heads.Head:
        data = self.world.service.objects.get(f"{ROOT}/.zapz/head")
        return heads.Head() if data is None else heads.decode(data, "head")

    # -- what must hold

    def recovered(self) -> int:
        """Recover as another machine, twice; return the state."""
        if f"{ROOT}/.zapz/lock" in self.world.service.objects:
            if (told := self.recover("Z")).code != 7:
                self.wrong(f"recovery under a lock: {told}")
            if (told := self.call(api.unlock, "Z")).code:
                self.wrong(f"unlocking: {told}")
        if (told := self.recover("B")).code:
            self.wrong(f"recovery: {told}")
        self.nothing_to_recover()
        number = self.settled()
        if number < 0:
            self.wrong(f"recovered: state {self.visible()} of values, and documents of another")
        return number

    def nothing_to_recover(self) -> None:
        again = Fault()
        again.counts = lambda request: request.kind in MUTATIONS  # type: ignore[method-assign]
        told = self.recover("C", again)
        if told.code or again.count:
            self.wrong(f"recovering twice: {told}, {again.count} changes")
        if self.head().intent is not None:
            self.wrong("recovered, and the head is not free")

    def goes_on(self, number: int) -> None:
        """Append one more slice to the n-th state; hours later, remove what was left."""
        told = self.append([self.story.more], "D")
        if told.code or not equal(look(self.world.service.objects)[0], self.story.ends[number]):
            self.wrong(f"one more append to state {number}: {told}")
        self.world.clock.now += 4 * 3600
        if (told := self.call(api.vacuum, "E")).code:
            self.wrong(f"vacuum: {told}")
        objects = self.world.service.objects
        seen, keys = look(objects)
        if not equal(seen, self.story.ends[number]):
            self.wrong(f"vacuum has changed state {number}")
        kept = {f"{ROOT}/{key}" for key in keys} | {f"{ROOT}/.zapz/head"} | self.story.stale | NEIGHBOURS.keys()
        if left := objects.keys() - kept:
            self.wrong(f"left over: {sorted(left)[:4]}")
        foreign = self.story.foreign | NEIGHBOURS
        if changed := [path for path, data in foreign.items() if objects.get(path) != data]:
            self.wrong(f"somebody else's objects: {changed}")

    def finishes(self, number: int) -> None:
        """Append again what may or may not be there, then one more slice."""
        told = self.append(self.story.corrected, "D")
        if told.code or self.settled() != len(self.story.states) - 1:
            self.wrong(f"appended again to state {number}: {told}, state {self.settled()}")
        self.goes_on(len(self.story.states) - 1)


def report(bench: Bench) -> None:
    """Fail with the first few problems."""
    problems = bench.problems
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems[:8])


def lock_of(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """Let lock objects be held by other machines, and waited for in no time."""
    monkeypatch.setattr(
        object_lock,
        "describe_me",
        lambda: {"host": getattr(world.here, "host", "A"), "boot": "- - -", "process": 1, "since": "2026"},
    )
