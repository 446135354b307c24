"""Appends to an object service where the process dies, requests fail, and answers are lost: every request, one by one.

The real code runs over a double of the service. Whatever happens, readers see the dataset of before or of after; who is told success finds
it there; recovery, by another machine and as often as one likes, makes it whole; and work goes on, and leaves nothing behind.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.object_stories import (
    DOCUMENTS,
    NEIGHBOURS,
    ROOT,
    SETTINGS,
    STORIES,
    Answer,
    Bench,
    Crash,
    Fault,
    Lost,
    Meddling,
    Story,
    Told,
    documents_of,
    equal,
    lock_of,
    look,
    make_story,
    report,
)
from kit.objects import World
from kit.volumes import amount, volume

import zapz
from zapz.testing import Died, Request

TIGHT = ("misaligned-v2", "stale-v3", "create-v3")


@pytest.fixture(scope="module")
def story_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Story]:
    """Give stories by name, each made once."""

    def make(name: str) -> Story:
        with pytest.MonkeyPatch.context() as patch:
            return make_story(tmp_path_factory.mktemp("slices"), name, World(patch))

    return cache(make)


@pytest.fixture
def bench_of(story_of: Callable[[str], Story], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    def make(name: str, **kind: Any) -> Bench:
        bench = Bench(World(monkeypatch), story_of(name), **kind)
        lock_of(monkeypatch, bench.world)
        bench.reset(name)
        return bench

    return make


def both(names: tuple[str, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", names)


# -- crashes -----------------------------------------------------------------------------------------------------------


def crash_everywhere(bench: Bench, name: str) -> int:
    """Die at every changing request of an append, then recover, or append again; return how many requests there are."""
    story = bench.story
    counting = Crash()
    told = bench.append(story.slices, "A", counting)
    assert told.code == (5 if story.damaged else 0), str(told)
    reached = []
    for at in range(1, counting.count + 2):
        bench.reset(f"{name}, dead at change {at} of {counting.count}")
        told = bench.append(story.slices, "A", Crash(at))
        crashed = bench.world.service.snapshot()
        if bench.visible() < told.slices:
            bench.wrong(f"{told}: a reader sees state {bench.visible()}")
        reached.append(bench.recovered())
        if reached[-1] < told.slices:
            bench.wrong(f"{told}: recovered to state {reached[-1]}")
        bench.goes_on(reached[-1])
        bench.world.service.restore(crashed)
        if not (bench.lock and f"{ROOT}/.zapz/lock" in crashed):
            bench.finishes(-1)
    if reached != sorted(reached) or set(reached) != set(range(1 if story.damaged else len(story.states))):
        bench.wrong(f"{name}: one decision divides before from after: {reached}")
    return counting.count


@both((*TIGHT, "holes-v2", "levels-v2", "derived-v3"))
def test_a_crash_of_a_small_append(name: str, bench_of: Callable[..., Bench]) -> None:
    """At every request that changes something; ``-m volume`` does so for all stories."""
    bench = bench_of(name)
    assert crash_everywhere(bench, name) >= 9
    report(bench)


@volume
@both(STORIES)
def test_a_crash_at_every_change(name: str, bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(name)
    crash_everywhere(bench, name)
    report(bench)


def crash_in_recovery(bench: Bench, name: str) -> int:
    """Die at every change of an append, then at every change of the recovery; return the number of pairs."""
    pairs = 0
    changes = bench.count(lambda fault: bench.append(bench.story.slices, "A", fault), Crash())
    for at in range(1, changes + 1):
        bench.reset(name)
        bench.append(bench.story.slices, "A", Crash(at))
        crashed = bench.world.service.snapshot()
        steps = bench.count(lambda fault: bench.recover("B", fault), Crash())
        undisturbed = bench.settled()
        for second in range(1, steps + 1):
            bench.world.service.restore(crashed)
            bench.label = f"{name}, dead at change {at} of {changes}, and at change {second} of {steps} of the recovery"
            bench.recover("B", Crash(second))
            if bench.recovered() != undisturbed:
                bench.wrong(f"state {bench.settled()}, and {undisturbed} without the second crash")
            bench.goes_on(bench.settled())
            pairs += 1
    return pairs


@both(TIGHT)
def test_a_crash_in_the_recovery_from_every_crash(name: str, bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(name)
    assert crash_in_recovery(bench, name) > 10
    report(bench)


# -- requests that fail ------------------------------------------------------------------------------------------------

AGAIN = ("409", "500", "503", "429", "connection", "timeout")
ANSWERS = ("412", "403", *AGAIN)


def failing(bench: Bench, fault: Answer) -> Told:
    """Append with a fault, and say what is wrong with what is told, what is visible, and what recovery makes of it."""
    story, last = bench.story, len(bench.story.states) - 1
    told = bench.append(story.slices, "A", fault)
    state = bench.visible()
    if told.code not in {0, 6, 8}:
        bench.wrong(f"{told}")
    if told.code == 0 and bench.settled() != last:
        bench.wrong(f"told success in state {bench.settled()}")
    if state > told.slices and "committed" not in told.message:
        bench.wrong(f"{told}: a reader sees state {state}")
    if told.code and told.slices == last and "committed" not in told.message:
        bench.wrong(f"{told}: everything is appended")
    if state < told.slices:
        bench.wrong(f"{told}: a reader sees only state {state}")
    number = bench.recovered()
    unknown = "next run" in told.message  # it could not be found out, and the message says so
    wanted = {told.slices + 1} if "is committed" in told.message else {told.slices, told.slices + unknown}
    if number not in wanted:
        bench.wrong(f"{told}: recovered to state {number}")
    bench.finishes(number)
    return told


def fail_everywhere(bench: Bench, name: str, *, every: bool) -> Counter[int]:
    """Let every request fail, in every way or in one after the other; return how often which exit code was told."""
    codes: Counter[int] = Counter()
    number = bench.count(lambda fault: bench.append(bench.story.slices, "A", fault), Fault())
    for at in range(1, number + 1):
        answers = ANSWERS if every else ("412", "403", AGAIN[at % len(AGAIN)])
        faults = [Answer(at, answer, forever=forever) for answer in answers for forever in (False, True)]
        for fault in (*faults, *(Lost(at, "connection", forever=forever) for forever in (False, True))):
            what = f"{type(fault).__name__} {fault.answer}{' for ever' if fault.forever else ''}"
            bench.reset(f"{name}, {bench.tries} tries, request {at} of {number}: {what}")
            codes[failing(bench, fault).code] += 1
    return codes


@pytest.mark.parametrize(("name", "tries"), [("misaligned-v3", 1), ("create-v3", 2)])
def test_a_request_of_a_small_append_fails(name: str, tries: int, bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(name, tries=tries)
    codes = fail_everywhere(bench, name, every=False)
    assert codes.keys() >= {0, 6}
    report(bench)


@volume
@pytest.mark.parametrize(
    ("name", "tries"),
    [*((name, 2) for name in (*TIGHT, "several-v3")), *((name, 1) for name in STORIES if "damaged" not in name)],
)
def test_every_request_fails(name: str, tries: int, bench_of: Callable[..., Bench]) -> None:
    """Exit code 6 or 8, or success that is one; what is told is what recovery finds."""
    bench = bench_of(name, tries=tries)
    fail_everywhere(bench, name, every=name in TIGHT)
    report(bench)


# -- services without conditions ---------------------------------------------------------------------------------------


@both(("misaligned-v2", "create-v3", "stale-v2"))
@pytest.mark.parametrize("kind", ["lock", "bare"])
def test_a_crash_where_nothing_is_replaced_on_a_condition(name: str, kind: str, bench_of: Callable[..., Bench]) -> None:
    """With a lock object, which stays until it is unlocked; and where not even creation is exclusive, and one writes alone."""
    bench = bench_of(name, **{kind: True})
    assert crash_everywhere(bench, name) >= 9
    report(bench)


@volume
@both(tuple(name for name in STORIES if name not in TIGHT))
@pytest.mark.parametrize("kind", ["lock", "bare"])
def test_every_crash_where_nothing_is_replaced_on_a_condition(
    name: str, kind: str, bench_of: Callable[..., Bench]
) -> None:
    bench = bench_of(name, **{kind: True})
    crash_everywhere(bench, name)
    report(bench)


@both(("misaligned-v2", "create-v3", "several-v3"))
@pytest.mark.parametrize("lock", [False, True])
def test_a_second_writer_at_every_change(name: str, lock: bool, bench_of: Callable[..., Bench]) -> None:
    """It is refused while it is the first one's turn, else both appends are there; a reader is never in between."""
    bench = bench_of(name, lock=lock)
    story, codes = bench.story, Counter[int]()
    changes = bench.count(lambda fault: bench.append(story.slices, "A", fault), Crash())
    for at in range(1, changes + 1):
        bench.reset(f"{name}, a second writer before change {at} of {changes}")
        told: list[Told] = []
        second = Meddling(at, lambda told=told: told.append(bench.append([story.more], "B", lock_wait=0.0)))
        first = bench.append(story.slices, "A", second)
        codes[told[0].code] += 1
        seen = look(bench.world.service.objects)[0]
        if told[0].code == 7 and (first.code or bench.settled() != len(story.states) - 1):
            bench.wrong(f"the second was refused, the first {first}, state {bench.settled()}")
        if told[0].code == 0 and not any(equal(seen, end) for end in story.ends):
            bench.wrong(f"the second was appended, the first {first}: a reader sees something else")
    assert codes[7] >= changes - 2 - len(story.slices)
    assert codes.keys() <= {0, 7}
    report(bench)


# -- another tool ------------------------------------------------------------------------------------------------------


def annotate(objects: dict[str, bytes], *, consolidated: bool) -> None:
    """Change the attributes of ``data`` as a tool does that knows nothing of zapz."""
    old = f"{ROOT}/data/.zattrs" in objects
    key = "data/.zattrs" if old else "data/zarr.json"
    document = json.loads(objects[f"{ROOT}/{key}"])
    (document if old else document["attributes"])["note"] = "mine"
    changed = {key: json.dumps(document).encode()}
    if consolidated:
        root = ".zmetadata" if old else "zarr.json"
        whole = json.loads(objects[f"{ROOT}/{root}"])
        if old:
            whole["metadata"][key] = document
        else:
            whole["consolidated_metadata"]["metadata"]["data"] = document
        changed[root] = json.dumps(whole).encode()
    for name, data in changed.items():
        objects[f"{ROOT}/{name}"] = data


@both(("misaligned-v2", "misaligned-v3", "several-v3"))
@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize("crash", [False, True])
def test_another_tool_changes_a_document(
    name: str, consolidated: bool, crash: bool, bench_of: Callable[..., Bench]
) -> None:
    """At every change of an append, which goes on or dies there: its note stays, whatever is told, and work goes on."""
    bench = bench_of(name)
    service, codes, later = bench.world.service, Counter[int](), Counter[int]()
    changes = bench.count(lambda fault: bench.append(bench.story.slices, "A", fault), Crash())

    def meddle() -> None:
        changed = dict(service.objects)
        annotate(changed, consolidated=consolidated)
        for path, data in changed.items():
            if service.objects[path] != data:
                service.overwrite(path, data)
        if crash:
            raise Died

    for at in range(1, changes + 1):
        bench.reset(f"{name}, another tool at change {at} of {changes}")
        fault = Crash(at) if crash else Meddling(at, meddle)
        told = bench.append(bench.story.slices, "A", fault)
        if crash:
            try:
                meddle()
            except Died:
                told = bench.recover("B")
        codes[told.code] += 1
        if told.code not in {0, 8}:
            bench.wrong(f"{told}")
        if bench.recover("B").code not in {0, 8}:
            bench.wrong("recovery fails")
        bench.nothing_to_recover()
        notes = [path for path, data in documents_of(service.objects).items() if b'"note"' in data]
        if len(notes) != 1 + consolidated:
            bench.wrong(f"{told}: the note is gone, or only in {notes}")
        if told.code == 0 and bench.visible() < told.slices:
            bench.wrong(f"{told}: a reader sees state {bench.visible()}")
        further = bench.append([bench.story.more], "D")
        later[further.code] += 1
        if b'"note"' not in documents_of(service.objects)[notes[0]]:
            bench.wrong(f"{told}, one more append: {further}: the note is gone")
    assert codes.keys() >= {0, 8}
    assert later.keys() <= {0, 4}  # 4 where it came between two documents, and arrays have become of different length
    report(bench)


# -- damage ------------------------------------------------------------------------------------------------------------


def damaged_object(rnd: random.Random, data: bytes, other: bytes) -> bytes:
    """Flip bits of an object, cut it, or join it with a part of another one."""
    at = rnd.randrange(len(data))
    kind = rnd.choice(["flip", "flip", "cut", "splice", "double", "zeros"])
    if kind == "flip":
        broken = bytearray(data)
        for _ in range(rnd.choice([1, 1, 2, 8])):
            broken[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
        return bytes(broken)
    tails = {"cut": b"", "splice": other[rnd.randrange(len(other)) :], "double": data, "zeros": bytes(len(data) - at)}
    return data[:at] + tails[kind]


def damaged_after_a_crash(bench: Bench, name: str, seeds: range) -> Counter[int]:
    """Damage the head or a decision of an append that died somewhere; recover, and say what is wrong."""
    service, codes = bench.world.service, Counter[int]()
    changes = bench.count(lambda fault: bench.append(bench.story.slices, "A", fault), Crash())
    crashed = []
    for at in range(2, changes + 1):
        bench.reset(name)
        bench.append(bench.story.slices, "A", Crash(at))
        crashed.append(service.snapshot())
    pool = [data for objects in crashed for path, data in objects.items() if path.startswith(f"{ROOT}/.zapz/")]
    for seed in seeds:
        rnd = random.Random(seed)
        before = dict(rnd.choice(crashed))
        path = rnd.choice([path for path in before if path.startswith(f"{ROOT}/.zapz/")])
        before[path] = damaged_object(rnd, before[path], rnd.choice(pool))
        service.restore(before)
        service.log.clear()
        bench.label = f"{name}, seed {seed}, {path}"
        told = bench.recover("B")
        codes[told.code] += 1
        if told.code not in {0, 4, 9}:
            bench.wrong(f"{told}")
        if told.code and {k: v for k, v in service.objects.items() if before.get(k) != v}:
            bench.wrong(f"{told}: refused, and something was written")
        if told.code == 0 and bench.settled() < 0:
            bench.wrong(f"{told}: neither before nor after")
        if outside := [r for r in service.log if r.changes and not r.path.startswith(f"{ROOT}/")]:
            bench.wrong(f"{told}: {outside[0]}")
        if any(service.objects.get(path) != data for path, data in NEIGHBOURS.items()):
            bench.wrong(f"{told}: the neighbours were touched")
    return codes


def test_damage(bench_of: Callable[..., Bench]) -> None:
    """Flips, cuts and splices of head and decision."""
    bench = bench_of("misaligned-v2")
    codes = damaged_after_a_crash(bench, "misaligned-v2", range(500))
    assert codes[9] > 100
    report(bench)


@volume
@both(("several-v3", "create-v2"))
def test_damage_by_the_thousand(name: str, bench_of: Callable[..., Bench]) -> None:
    bench = bench_of(name)
    number = amount(ci=2500, long=250_000)
    damaged_after_a_crash(bench, name, range(1000, 1000 + number))
    report(bench)


# -- how many requests -------------------------------------------------------------------------------------------------

FIXED = {"look ours": 1, "list root": 1, "get ours": 2, "put ours": 3, "delete ours": 1, "put root": 1, "get above": 3}
"""What a call with one slice asks for, whatever the slice (the target lies in one folder, the bucket), and:"""
ROOT_DOCUMENTS = {2: 6, 3: 2}
"""Reading those documents that a root of this format may have, one of them again at the end."""
PER_ARRAY = {2: {"get array": 4, "put array": 1}, 3: {"get array": 2, "put array": 1}}
LATER = {"get ours": 1, "put ours": 2, "put root": 1, "delete ours": 1}
"""What every further slice of a call asks for, whatever the slice."""


def kind_of(request: Request) -> str:
    """Say what a request is for."""
    if request.path.rpartition("/")[0] == ROOT.rpartition("/")[0] and request.path != ROOT:
        return f"{request.kind.partition('_')[0]} above"
    key = request.path.removeprefix(ROOT).removeprefix("/")  # the head may also lie beside the target
    name = key.rpartition("/")[2]
    what = "array" if "/" in key else "root"
    what = "ours" if key.startswith(".zapz/") else what if name in DOCUMENTS or not key else "chunk"
    return f"{request.kind.partition('_')[0]} {what}"


def write_days(folder: Path, zarr_format: int, chunk: int, number: int) -> list[Path]:
    """Write slices of two steps each: one by zarr-python, the others like it with other labels."""
    folder.mkdir()
    first = folder / "0.zarr"
    cubes.make_slice(
        first, steps=2, shape=(4,), static=False, zarr_format=zarr_format, chunks=(chunk, 2), time_chunk=chunk
    )
    paths = [folder / f"{n}.zarr" for n in range(number)]
    for n, path in enumerate(paths[1:], 1):
        shutil.copytree(first, path)
        (labels,) = (p for p in (path / "time/0", path / "time/c/0") if p.exists())
        days = np.frombuffer(labels.read_bytes(), "<i8").copy()
        days[:2] += 2 * n
        labels.write_bytes(days.tobytes())
    return paths


@pytest.mark.parametrize(("zarr_format", "chunk", "number"), [(2, 2, 65), (2, 3, 65), (3, 2, 65), (3, 3, 200)])
def test_requests_are_counted(
    zarr_format: int, chunk: int, number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They grow with the slice and with nothing else: after 5 appends as after 200, and fewer for each further slice of a call."""
    world, counts = World(monkeypatch), list[Counter[str]]()
    days = write_days(tmp_path / "days", zarr_format, chunk, number + 2)

    def counted(*_: Any) -> None:
        counts.append(Counter(kind_of(request) for request in world.service.log))
        world.service.log.clear()

    for day in days[:number]:
        zapz.append(world.store(), day, **SETTINGS)
        counted()
    boundary = 3 * (chunk == 3)  # of the labels, and two of data
    chunks = {
        "put chunk": 3,
        "look chunk": boundary,
        "get chunk": boundary + (2 if chunk == 2 else 3),
    }  # and the first labels and the last ones
    first = (
        Counter({**FIXED, "get root": ROOT_DOCUMENTS[zarr_format]})
        + Counter(PER_ARRAY[zarr_format])
        + Counter(PER_ARRAY[zarr_format])
        + Counter(chunks)
    )
    assert counts[5] == counts[number - 3] == first
    counts.clear()
    zapz.append(world.store(), days[number:], on_slice=counted, **SETTINGS)
    counted()
    again = 2 if zarr_format == 2 else 1  # documents read per array: v2 has its attributes apart
    later = Counter({**LATER, "get root": 3 if zarr_format == 2 else 1}) + Counter(
        {"get array": 2 * again, "put array": 2, "put chunk": 3}
    )
    assert counts[0] + counts[2] == first + Counter({"delete ours": 1})
    assert counts[1] == later - Counter({"delete ours": 1})
