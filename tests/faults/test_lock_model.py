"""The protocol of turns, in a model of its own (``lock_model``): whatever happens in whatever order, nothing is lost and nothing is left.

At any moment the document only grows, by one value at a time, and the chunks that it tells of are there. In every state, if all writers
died in it and one more process came to recover: what a writer was told it has appended is in the document, what was decided is, and nothing
remains of anything else. The search goes through all orders, so the deaths of all who write are in it.
"""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Iterator
from dataclasses import fields
from functools import cache

import pytest
from kit.lock_model import (
    DONE,
    FAILED,
    HEAD,
    LOCKED,
    OK,
    ROOT,
    STALE,
    TURN,
    UNKNOWN,
    Disk,
    Found,
    Op,
    Rules,
    World,
    Writer,
    act,
    alone,
    holding,
)
from kit.volumes import VOLUME, amount, volume

ALL = Rules()
NEW = holding(doc=())
STARTS = {
    "new": NEW,
    "stale chunk": holding(doc=(), c0=STALE),
    "stale second chunk": holding(doc=(), c1=STALE),
    "one value": holding(doc=("V",), c0="V"),
}
BEFORE = {
    "not decided": (NEW, "create head/turn/X/txn/X/commit"),
    "decided": (NEW, "link head/turn/X/txn/X/doc"),
    "decided, with a chunk to replace": (STARTS["stale chunk"], "link head/turn/X/txn/X/chunk"),
}
"""What a writer X has left that died before it could do something."""
OVER = ", and its turn was ended"


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What a search remembers has no cycles, and looking for them takes a third of the time."""
    gc.disable()
    yield
    gc.enable()


@cache
def left(name: str) -> Disk:
    """Return a dataset, perhaps with what a dead writer has left."""
    if name in STARTS:
        return STARTS[name]
    start, before = BEFORE[name.removesuffix(OVER)]
    disk = next(disk for disk, op in alone(Writer("X"), start) if str(op).startswith(before))
    if name.endswith(OVER):
        disk, answer, _ = act(
            disk, Op("rename", "head/turn/X", "head/ended-0-X"), (disk.folder(TURN) or ROOT, disk.folder(HEAD) or ROOT)
        )
        assert answer == DONE
    return disk


def two(
    rules: Rules = ALL, start: str = "new", *, remembered: bool = False, spoiled: bool = False, tidies: bool = False
) -> World:
    """Return a world in which A and B write."""
    writers = Writer("A", rules, spoiled=spoiled, tidies=tidies), Writer("B", rules, tidies=tidies)
    return World(writers, left(start), remembered=remembered)


def without(*names: str) -> Rules:
    """Return the protocol without some of its conditions."""
    return Rules(**dict.fromkeys(names, False))


def require_peace(found: Found, *, spoiled: bool) -> None:
    """Require that nothing is wrong, and that what can be expected to happen is among what was found."""
    assert not found.problem, str(found)
    mine = FAILED if spoiled else OK
    assert {(mine, OK), (UNKNOWN, OK), (mine, UNKNOWN)} <= found.told
    assert not any(OK in told[:1] for told in found.told) or not spoiled


@pytest.mark.parametrize("spoiled", [False, True])
@pytest.mark.parametrize("remembered", [False, True])
def test_all_orders_of_two(remembered: bool, spoiled: bool) -> None:
    found = two(remembered=remembered, spoiled=spoiled).search()
    require_peace(found, spoiled=spoiled)
    assert found.states > 20_000


def test_nobody_takes_over() -> None:
    """Then who comes too late is told so, and both have what they were told."""
    found = World((Writer("A", ends=0), Writer("B", ends=0)), NEW).search()
    assert not found.problem, str(found)
    assert found.told == {(OK, OK), (OK, LOCKED), (LOCKED, OK)}


@volume
@pytest.mark.parametrize("tidies", [False, True])
@pytest.mark.parametrize("spoiled", [False, True])
@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("start", STARTS)
def test_all_orders_of_two_more(start: str, remembered: bool, spoiled: bool, tidies: bool) -> None:
    """With chunks that are there already, and writers who remove what those have left who wait."""
    require_peace(two(start=start, remembered=remembered, spoiled=spoiled, tidies=tidies).search(), spoiled=spoiled)


@volume
@pytest.mark.parametrize("spoiled", [False, True])
@pytest.mark.parametrize("remembered", [False, True])
@pytest.mark.parametrize("start", BEFORE)
def test_all_orders_of_two_after_a_death(start: str, remembered: bool, spoiled: bool) -> None:
    """One of them may stop while it takes over what the dead one has left, and the other one takes over from it."""
    require_peace(two(start=start, remembered=remembered, spoiled=spoiled).search(), spoiled=spoiled)


ALONE = [
    ("enters_empty_only", "new", {}),
    ("ends_by_its_name", "new", {}),
    ("empties_first", "new", {"remembered": True}),
    ("newest_first", "decided" + OVER, {"remembered": True}),
    ("way_first", "decided" + OVER, {"remembered": True}),
    ("moves_files", "new", {}),
    ("unlinks_moved", "not decided" + OVER, {}),
    ("repeats", "new", {"remembered": True}),
    ("applies_from_way", "new", {"remembered": True}),
    ("creates_in_way", "new", {}),
    ("removes_into_way", "new", {"remembered": True, "spoiled": True}),
    ("decides_inside", "new", {"remembered": True, "spoiled": True}),
    ("doc_last", "stale chunk", {}),
]
"""Conditions without each of which something goes wrong, and where."""
TOGETHER = [
    (("journal_first", "undo_reads_doc"), "new", {}),
    (("cleans_into_way", "doubts"), "new", {"remembered": True, "spoiled": True}),
    (("decides_from_way", "looks"), "decided", {"remembered": True}),
    (("decides_from_way", "cleans_into_way"), "decided, with a chunk to replace" + OVER, {"remembered": True}),
]
"""Conditions of which one is enough."""
SPARE = [
    "cleans_into_way",
    "decides_from_way",
    "decides_once",
    "journal_first",
    "undo_reads_doc",
    "doubts",
    "checks_doc",
    "looks",
]
"""Conditions without which nothing goes wrong here, as long as all others hold: the fence keeps out whoever they would stop.

They are there for other tools that write, for what the model takes for granted, and to give up early.
"""


def test_every_condition_is_looked_at() -> None:
    assert {name for name, *_ in ALONE} | set(SPARE) == {field.name for field in fields(Rules)}


@pytest.mark.parametrize(
    ("names", "start", "how"),
    [*((name, *rest) for (name, *rest) in TOGETHER), *(((name,), *rest) for (name, *rest) in ALONE)],
)
def test_a_condition_is_needed(names: tuple[str, ...], start: str, how: dict[str, bool]) -> None:
    found = two(without(*names), start, **how).search()
    assert found.problem, f"nothing is wrong without {names}"
    assert found.schedule


@volume
@pytest.mark.parametrize("name", SPARE)
@pytest.mark.parametrize("remembered", [False, True])
def test_a_condition_that_others_make_up_for(name: str, remembered: bool) -> None:
    starts = ["new", "decided" + OVER] if VOLUME == "brief" else ["new", "stale chunk", "decided", "decided" + OVER]
    for start, spoiled in itertools.product(starts, [False, True]):
        require_peace(two(without(name), start, remembered=remembered, spoiled=spoiled).search(), spoiled=spoiled)


def walks(number: int, seed: int) -> None:
    """Let three write, in random orders; some of them die."""
    chance = random.Random(seed)
    worlds = [
        World(
            (Writer("A", spoiled=spoiled, tidies=tidies), Writer("B", tidies=tidies), Writer("C", tidies=tidies)),
            left(start),
            remembered=remembered,
        )
        for start, remembered, spoiled, tidies in itertools.product(
            (*STARTS, *BEFORE), (False, True), (False, True), (False, True)
        )
    ]
    told: set[tuple[str, ...]] = set()
    for _ in range(number):
        found = chance.choice(worlds).walk(chance)
        assert not found.problem, str(found)
        told |= found.told
    assert any(each.count(OK) == 3 for each in told)
    assert any(UNKNOWN in each and OK in each for each in told)


def test_three_at_random() -> None:
    walks(300, seed=1)


@volume
def test_three_at_random_by_the_thousand() -> None:
    walks(amount(10_000, 1_000_000), seed=2)
