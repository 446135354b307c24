"""Power fails at any moment, with any of the unsynced writes lost: recovery gives the dataset of before or of after, and what an
append or a recovery has said stays true.

The real append runs on a real folder while every operation on ``os`` is recorded; ``power`` says which disks a failure may leave
behind at every point of that log. Each such disk is made, recovered (or the append is run again), and judged: the tree is, byte for
byte, one that is allowed; nothing of ``.zapz`` remains; recovering twice is recovering once.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kit.power_judge import SEED, Judge, states
from kit.power_stories import KINDS, RECOVERED, overwritten_story
from kit.volumes import amount, volume

FEW_PLAIN = 8
FEW_OTHERS = 8
"""Disks of each story that are made by default: all kept or all lost, and mixtures."""
SMALL = ("refused", "new-refused", "foreign")
"""Stories after which there are not so many different disks."""


# -- states and their judgement ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge_() -> Iterator[Judge]:
    """Give a judge with a place in memory, if there is one."""
    memory = "/dev/shm"
    place = tempfile.mkdtemp(prefix="zapz-power-", dir=memory if os.access(memory, os.W_OK) else None)
    yield Judge(Path(place))
    shutil.rmtree(place)


@pytest.mark.parametrize("name", KINDS)
def test_power_fails(name: str, judge_: Judge) -> None:
    """A few disks of every story."""
    story = judge_.story(name)
    rng = random.Random(f"{SEED} {name}")
    plain = list(states(story, rng, 1, thorough=False))
    judge_.all(story, iter(rng.sample(plain, min(FEW_PLAIN, len(plain)))))
    judge_.all(story, itertools.islice(states(story, rng, 1000, thorough=False), len(plain), len(plain) + FEW_OTHERS))


@pytest.mark.parametrize("name", RECOVERED)
def test_power_fails_in_recovery(name: str, judge_: Judge) -> None:
    """A few disks of one recovery of each of these stories."""
    rng = random.Random(f"{SEED} {name} recovered")
    story = judge_.recovery(name, rng)
    judge_.all(story, itertools.islice(states(story, rng, 100), FEW_OTHERS))


@pytest.mark.parametrize("name", ["new-v2", "aligned-v2"])
def test_power_fails_in_recovery_from_an_unsynced_journal(name: str, judge_: Judge) -> None:
    """The process was killed before the journal was synced: recovery reads it, but the disk may never have had it."""
    written = next(i for i, op in enumerate(judge_.story(name).ops) if op.kind == "sync")
    rng = random.Random(f"{SEED} {name} journal")
    story = judge_.recovery(name, rng, killed=written)
    judge_.all(story, itertools.islice(states(story, rng, 100), 100))


def test_power_fails_while_files_are_kept(judge_: Judge) -> None:
    """What a recovery keeps because another tool has written over a committed append is kept whole."""
    rng = random.Random(f"{SEED} overwritten")
    story = overwritten_story(judge_.story("aligned-v2"), judge_.bench)
    judge_.all(story, itertools.islice(states(story, rng, 1000), 200))


@volume
@pytest.mark.parametrize("name", KINDS)
def test_power_fails_by_the_thousand(name: str, judge_: Judge) -> None:
    """Every single thing lost, every single thing kept, and thousands of mixtures, at every point of every story."""
    story = judge_.story(name)
    wanted = amount(ci=2_000, long=78_000)
    judge_.count = 0
    judge_.all(story, states(story, random.Random(f"{SEED} {name} volume"), wanted))
    assert judge_.count >= wanted or name in SMALL


@volume
@pytest.mark.parametrize("name", RECOVERED)
def test_power_fails_in_recovery_by_the_thousand(name: str, judge_: Judge) -> None:
    """The same for recoveries after the process was killed, or the power had failed, anywhere."""
    rng = random.Random(f"{SEED} {name} recovered, volume")
    wanted = amount(ci=1_400, long=60_000)
    judge_.count = 0
    while judge_.count < wanted:
        story = judge_.recovery(name, rng)
        judge_.all(story, itertools.islice(states(story, rng, 50), 60))


LEFT_OUT = {
    "new-v2: all": "",
    "new-v2: the name of the target": "^$",
    "new-v2: the journal": "/journal$",
    "new-v2: chunks": "/data/[0-9.]+$",
    "new-v2: folders of arrays": "/(data|time)$",
    "misaligned-v2: what is staged": "/0000[0-9]+$",
    "misaligned-v2: the decision, and its name": "/(commit|txn/[0-9a-f]+)$",
    "three-slices: folders of arrays": "/(data|time)$",
    "refused: folders of arrays": "/(data|time)$",
    "no-links: copies": "/data/[.][^/]+$",
}
"""Story, and the files and folders whose syncs are left out of its log."""


@pytest.mark.parametrize("case", LEFT_OUT)
def test_syncs_left_out_are_noticed(case: str, judge_: Judge) -> None:
    """The model and the judge find what is wrong if the disk never got these syncs."""
    story = judge_.story(case.partition(":")[0])
    names = {op.handle: op.path for op in story.ops if op.kind in {"open", "create"}}
    left = [op for op in story.ops if op.kind != "sync" or not re.search(LEFT_OUT[case], names[op.handle])]
    assert len(left) < len(story.ops)
    assert judge_.problems(story, states(replace(story, ops=left), random.Random(SEED), 3000), most=1)
