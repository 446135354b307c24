"""States of a disk that lost power, and the judge of what recovery makes of them."""

from __future__ import annotations

import contextlib
import random
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zapz
from kit.power import BARRIERS, Choice, Disk, Image, Item, combinations, every, sample, singles, unwatched
from kit.power_stories import TARGET, Bench, Story, recovery_of, story_of
from kit.trees import differ

SEED = 20260


EMPTY = {TARGET: None}


FEW = 64
"""So many choices at one point are all gone through."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A disk after a power failure."""

    image: Image
    lowest: int
    highest: int
    """Versions that are allowed."""
    cut: int
    items: list[Item]
    choice: Choice

    def explain(self, story: Story) -> str:
        """Say how the disk came about."""
        op = story.ops[self.cut - 1] if self.cut else "the start"
        ways = []
        for item in self.items:
            option = self.choice.get(item.key, item.kept)
            if option != item.kept:
                value = item.options[option]
                torn = f"{len(value)} bytes" if isinstance(value, bytes) else "absent" if value is None else "there"
                ways.append(f"{item.where}: {'lost' if option == 0 else torn}")
        return f"{story.name}, power fails after operation {self.cut} ({op}); " + ("; ".join(ways) or "all kept")


def drawn(items: list[Item], cut: int, story: Story, rng: random.Random, extra: int | None) -> Iterator[Choice]:
    """Yield choices at one point: the plain ones (extra is None: those that tell most too), or ``extra`` at random."""
    if extra:
        yield from (sample(items, rng) for _ in range(extra))
        return
    yield {}
    yield {item.key: 0 for item in items}
    if extra is None and (cut == len(story.ops) or story.ops[cut].kind in BARRIERS):
        yield from combinations(items) if every(items) <= FEW else singles(items)


def states(story: Story, rng: random.Random, wanted: int, *, thorough: bool = True) -> Iterator[State]:
    """Yield about as many different disks as are wanted, first those that tell most."""
    seen: set[int] = set()
    extra: int | None = None if thorough else 0
    while len(seen) < wanted:
        before = len(seen)
        disk = Disk.of(story.base)
        for cut in range(len(story.ops) + 1):
            if cut:
                disk.do(story.ops[cut - 1])
            if cut < story.start or (cut and story.ops[cut - 1].kind == "open"):
                continue
            items = disk.pending()
            lowest, highest = disk.told or (0, len(story.versions) - 1)
            for choice in drawn(items, cut, story, rng, extra):
                image = disk.after(items, choice)
                key = hash((lowest, highest, frozenset(image.items())))
                if key not in seen:
                    seen.add(key)
                    yield State(image=image, lowest=lowest, highest=highest, cut=cut, items=items, choice=choice)
        if extra and len(seen) - before < extra:
            return  # there are hardly any others
        extra = 1 + (wanted - len(seen)) // (len(story.ops) + 1)


def recorded(image: Image) -> bool:
    """Return whether a complete journal is on a disk."""
    journals = (what[1] for path, what in image.items() if what is not None and path.endswith("/journal"))
    return any(b'"ready"' in journal and journal.endswith(b"}") for journal in journals)


def judge(bench: Bench, story: Story, state: State, *, again: bool) -> str:
    """Recover from a power failure, or run the append again; say what is wrong with the result."""
    bench.make(state.image)
    allowed = story.versions[state.lowest : state.highest + 1]
    try:
        if again and story.final is not None:
            zapz.append(bench.target, story.slices, **story.settings)
            found, allowed = bench.look(), [story.final]
        else:
            if TARGET in state.image:
                with contextlib.suppress(*story.may_raise):
                    zapz.recover(bench.target)
            found = bench.look()
            if TARGET in found and not (zapz.recover(bench.target).clean and bench.look() == found):
                return "recovering twice is not recovering once"
    except Exception:  # noqa: BLE001 - whatever it finds illegal
        return traceback.format_exc(limit=-2)
    if found in allowed or ({} in allowed and found == EMPTY and not recorded(state.image)):
        return ""
    litter = {path for path in found if path.startswith(f"{TARGET}/.zapz/kept/") and "/." in path[len(TARGET) + 6 :]}
    if {path: content for path, content in found.items() if path not in litter} in allowed and litter:
        return ""  # a temporary file beside what is kept, which stays in any case
    return f"against {state.lowest}: {differ(found, allowed[0])}; against the last: {differ(found, allowed[-1])}"


class Judge:
    """Goes through states and collects what is wrong."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.bench = Bench(place)
        self._stories: dict[str, Story] = {}
        self.count = 0

    def story(self, name: str) -> Story:
        """Return a story, recorded once."""
        if name not in self._stories:
            self._stories[name] = story_of(name, self._place / name)
        return self._stories[name]

    def recovery(self, name: str, rng: random.Random, killed: int | None = None) -> Story:
        """Return the story of some recovery, or of one after the process was killed at that operation."""
        return recovery_of(self.story(name), rng, self.bench, killed)

    def problems(self, story: Story, found: Iterator[State], most: int = 3) -> list[str]:
        """Judge states, every other one by running the append again, both ways once success was told; return what is wrong with the first ones."""
        problems: list[str] = []
        ways = (
            (state, again)
            for number, state in enumerate(found)
            for again in ((False, True) if state.lowest else (number % 2 == 1,))
        )
        with unwatched(story.refuse_links):
            for state, again in ways:
                self.count += 1
                problem = judge(self.bench, story, state, again=again)
                self.bench.clear()
                if problem:
                    way = "append run again" if again else "recovered"
                    problems.append(f"{state.explain(story)}; {way}: {problem}")
                    if len(problems) == most:
                        break
        self.bench.finish()
        return problems

    def all(self, story: Story, found: Iterator[State]) -> None:
        """Assert that nothing is wrong with these states."""
        problems = self.problems(story, found)
        assert not problems, "\n\n".join(problems)
