"""zarr-python's stores in memory as targets: threads that share one, conditions, a crash at every change, and names."""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes, objects
from kit.open_places import Custom, Dying, Memory, Slow, in_memory, values
from zarr.storage import MemoryStore

import zapz
from zapz import testing
from zapz.storage.adapters import slice_store, target_store
from zapz.storage.objects.store import ObjectStore
from zapz.txn.objects import lease, session


def test_conditions_hold_among_threads() -> None:
    """Of many that create, one does; of many that add one to what they have read, none is lost; a tag of no state fits none."""
    memory: dict[str, Any] = {}
    created = []

    def work() -> None:
        store = target_store(Slow(memory))
        assert isinstance(store, ObjectStore)
        created.append(store.create("one", [threading.current_thread().name.encode()]) is not None)
        for _ in range(10):
            while True:
                data, tag = store.read_tagged("count")
                if store.replace("count", b"%d" % (int(data) + 1), tag, mine=False) is not None:
                    break

    Memory(memory)["count"] = b"0"
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert created.count(True) == 1
    assert Memory(memory)["count"] == b"80"


@pytest.mark.parametrize("kind", [MemoryStore, Slow])
def test_threads_of_one_memory_are_kept_apart(kind: type[MemoryStore], tmp_path: Path) -> None:
    """Each has a store object of its own on the same memory; every slice is there once, and whole."""
    memory: dict[str, Any] = {}
    slices = [[objects.write_line(tmp_path / f"{w}{n}", [10 * w + n] * 3, "xy") for n in range(5)] for w in (1, 2)]
    failures: list[BaseException] = []

    def write(mine: list[Path]) -> None:
        try:
            for path in mine:
                zapz.append(kind(memory), path, lock_wait=60)
        except BaseException as error:  # noqa: BLE001 - judged by the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=[mine]) for mine in slices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    line = objects.read_line({f"cube/{key}": data for key, data in Memory(memory).items()}, "cube")
    assert line is not None
    groups = [line[i : i + 3] for i in range(0, len(line), 3)]
    assert sorted(groups) == sorted((10 * w + n,) * 3 for w in (1, 2) for n in range(5))


@pytest.fixture
def dead_writer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """From now on locks are taken in the name of a process that has ended; the call ends that."""
    monkeypatch.setattr(lease, "RENEWALS", 0)
    with subprocess.Popen(["true"]) as process:
        process.wait()
    honest = session.me

    def me() -> Any:
        held = honest()
        return type(held)(host=held.host, boot=held.boot, process=process.pid, since=held.since)

    monkeypatch.setattr(session, "me", me)
    yield lambda: monkeypatch.setattr(session, "me", honest)
    Dying.left = 10**9


def test_memory_survives_a_crash_at_every_change(tmp_path: Path, dead_writer: Callable[[], None]) -> None:
    """Readers see the old values or the new ones; the next append recovers, and all is as if nothing had happened."""
    first, second, third = ([1, 2, 3, 4, 5], [6, 7, 8], [9, 10])
    paths = [objects.write_line(tmp_path / str(i), line, "xy") for i, line in enumerate((first, second, third))]
    old, new = tuple(first), (*first, *second)
    seen = set()
    for changes in itertools.count():
        memory: dict[str, Any] = {}
        Dying.left = 10**9
        zapz.append(Dying(memory), paths[0])
        Dying.left = changes
        try:
            zapz.append(Dying(memory), paths[1])
        except testing.Died:
            died = True
        else:
            died = False
        found = tuple(values(MemoryStore(memory))["x"].tolist())
        assert found in {old, new}
        seen.add(found)
        Dying.left = 10**9
        recovered = zapz.recover(Dying(memory))
        zapz.append(Dying(memory), paths[1:] if not (found == new or recovered.rolled_forward) else paths[2:])
        cubes.same({"x": values(MemoryStore(memory))["x"]}, {"x": np.array([*new, *third], "<i4")})
        if not died:
            break
    assert changes > 5
    assert seen == {old, new}
    dead_writer()


def test_requests_for_many_objects_are_under_way_together() -> None:
    place = in_memory(wrap=Custom)
    keys = [f"k{number}" for number in range(100)]
    for key in keys:
        place.content[key] = b"x"
    store = slice_store(place.thing)
    assert store is not None
    assert len(store.read_many(keys)) == 100
    assert 32 < place.thing.most <= 64


def test_memory_is_never_taken_for_what_lay_at_its_address_before() -> None:
    """Slices without labels are known again by their place: a name is given once, though memory is used again."""
    names = set()
    for _ in range(50):
        store = slice_store(MemoryStore())
        assert store is not None
        names.add(store.uri)
    assert len(names) == 50
