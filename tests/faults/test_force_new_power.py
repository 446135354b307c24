"""Power fails while a target is replaced: recovery gives the old one or the new one, with nothing beside it (see ``test_power_loss``)."""

from __future__ import annotations

import itertools
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kit import cubes, power, power_judge, power_stories
from kit.power import Choice, Image, Item, Op, recording, unwatched
from kit.power_judge import SEED, Judge, states
from kit.power_stories import TARGET, Bench, Story, Tree, image_of, tell
from kit.volumes import amount, volume

import zapz
from zapz.errors import ZapzError
from zapz.storage.local import exchange

OLD: dict[str, Any] = {"zarr_format": 3, "shape": (2,), "chunks": (2, 2), "static": False}
NEW: dict[str, Any] = {"zarr_format": 2, "shape": (2, 2), "chunks": (2, 1, 2), "static": False}
STORIES = ("replaced", "two-slices", "refused")
LEFT_OUT = {
    "everything": "",
    "the exchange": "^$",
    "the mark": "/fresh$",
    "chunks": "/data/[0-9.]+$",
    "what remains": "zapz-new$",
}
"""Files and folders whose syncs are left out."""


class Disk(power.Disk):
    """A disk on which an exchange of two folders is done or not done."""

    def _by_name(self, op: Op) -> None:
        if op.kind != "exchange":
            super()._by_name(op)
            return
        (here, name), (there, other) = self._place(op.path), self._place(op.other)
        a, b = here.live[name], there.live[other]
        here.put(name, b)
        there.put(other, a)
        self.pairs = [*getattr(self, "pairs", ()), ((here.number, name), (there.number, other))]

    def after(self, items: Sequence[Item], choice: Choice) -> Image:
        """Return what is on disk, without what no exchange can leave: one folder under both names, or under none."""
        found = {item.key: item for item in items}
        for one, two in getattr(self, "pairs", ()):
            if one in found and two in found:
                a, b = found[one], found[two]
                node = a.options[choice.get(one, a.kept)]
                if (exchanged := node is not a.options[0]) == (b.options[choice.get(two, b.kept)] is b.options[0]):
                    choice = {**choice, two: b.kept if exchanged else 0}
        return super().after(items, choice)


def story_of(name: str, place: Path) -> Story:
    """Record a replacement."""
    place.mkdir()
    bench = Bench(place)
    slices = [place / f"s{number}.zarr" for number in range(3)]
    for number, path in enumerate(slices):
        cubes.make_slice(path, start=number * 2, steps=2, **(NEW if number else OLD))
    if name == "refused":
        chunk = slices[1] / "data" / "0.1.0"
        chunk.write_bytes(chunk.read_bytes()[:-1])
    settings = {"workers": 1, "label_chunk": "keep"}
    with unwatched():
        zapz.append(bench.target, slices[0], **settings)
    base, versions = image_of(Path(bench.disk)), [bench.look()]
    new = slices[1:] if name == "two-slices" else slices[1:2]
    real = exchange.swap
    with recording(bench.disk, seed=name) as ops, pytest.MonkeyPatch.context() as patch:

        def swap(a: str, b: str) -> None:
            real(a, b)
            inside = (path.removeprefix(f"{bench.disk}/") for path in (a, b))
            ops.append(Op("exchange", *inside))

        def told(_: Any) -> None:
            versions.append(ours_aside(bench.look()))
            tell(ops, len(versions) - 1, len(new))

        patch.setattr(exchange, "swap", swap)
        try:
            zapz.append(bench.target, new, on_slice=told, force_new=True, **settings)
        except ZapzError as error:
            assert (name, error.exit_code) == ("refused", 5), error
            tell(ops, 0, 0)
    assert bench.look() == versions[-1]
    final = None if name == "refused" else versions[-1]
    settings["force_new"] = True
    changes: dict[str, Any] = {"slices": [str(s) for s in new], "settings": settings, "refuse_links": None}
    return Story(name=name, base=base, ops=ops, start=0, versions=versions, final=final, **changes)


def ours_aside(found: Tree) -> Tree:
    return {key: value for key, value in found.items() if not key.startswith(f"{TARGET}/.zapz")}


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """Give a judge of disks on which folders can be exchanged."""
    place = tempfile.mkdtemp(prefix="zapz-power-")
    for module in (power, power_stories, power_judge):
        monkeypatch.setattr(module, "Disk", Disk)
    yield Judge(Path(place))
    shutil.rmtree(place)


def story(judge: Judge, name: str) -> Story:
    """Return a story."""
    return story_of(name, Path(judge.bench.disk).parent / name)


@pytest.mark.parametrize("name", STORIES)
def test_power_fails(name: str, judge: Judge) -> None:
    """Some disks of every story."""
    judge.all(told := story(judge, name), itertools.islice(states(told, random.Random(SEED), 1000), 150))


@volume
@pytest.mark.parametrize("name", STORIES)
def test_power_fails_by_the_thousand(name: str, judge: Judge) -> None:
    """All that tell most, and thousands of mixtures."""
    judge.all(told := story(judge, name), states(told, random.Random(f"{SEED} {name}"), amount(ci=1200, long=60_000)))


@pytest.mark.parametrize("what", LEFT_OUT)
def test_syncs_left_out_are_noticed(what: str, judge: Judge) -> None:
    """The model and the judge find what is wrong if the disk never got these syncs."""
    import re

    whole = story(judge, "replaced")
    names = {op.handle: op.path for op in whole.ops if op.kind in {"open", "create"}}
    left = [op for op in whole.ops if op.kind != "sync" or not re.search(LEFT_OUT[what], names[op.handle])]
    assert len(left) < len(whole.ops)
    assert judge.problems(whole, states(replace(whole, ops=left), random.Random(SEED), 3000), most=1)
