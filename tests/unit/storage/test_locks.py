"""Locks: one writer at a time, a holder that is named, a wait that ends, and a dead holder that holds nothing."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kit import cubes
from kit.command_line import cli
from kit.faulty_runs import Server
from kit.lock_holders import held
from kit.scenarios import Scenario
from kit.trees import tree, without_ours

import zapz
from zapz.errors import LockedError


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    """Give processes that append at the same time."""
    running = [Server() for _ in range(6)]
    yield running
    for one in running:
        one.stop()


@pytest.mark.parametrize("command", ["append", "recover"])
def test_held_lock(command: str, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """Exit code 7; the message names host, process and since when; nothing is touched; afterwards it works."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    with held(target) as process:
        was = tree(target)
        said = cli(command, target, *([scenario.slice] if command == "append" else []))
        assert said.code == 7, said
        assert f"process {process.pid}" in said.err
        assert socket.gethostname() in said.err
        assert datetime.now(UTC).date().isoformat()[:7] in said.err
        assert str(target) in said.err
        assert tree(target) == was
        found = zapz.info(target)
        assert found.lock is not None
        assert found.lock.process == process.pid
        assert f"process {process.pid}" in cli("info", target).out
    assert tree(target) == scenario.old
    assert cli("append", target, scenario.slice).code == 0
    assert tree(target) == scenario.new


def test_no_user_names_in_the_lock(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """Host, boot, process and time, nothing else."""
    target = scenario_of("misaligned-v2").fresh(tmp_path / "cube.zarr")
    with held(target):
        assert set(json.loads((target / ".zapz/head").read_bytes())) == {"host", "boot", "process", "since"}


def test_dry_run_takes_no_lock(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """It works beside a holder."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    with held(target):
        said = cli("append", target, scenario.slice, "--dry-run")
        assert said.code == 0, said


def test_lock_wait(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A wait ends in time, and succeeds if the holder leaves meanwhile."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    with held(target) as process:
        started = time.monotonic()
        with pytest.raises(LockedError):
            zapz.append(target, scenario.slice, lock_wait=0.3)
        assert 0.3 <= time.monotonic() - started < 5
        assert process.stdin is not None
        timer = threading.Timer(0.3, process.kill)
        timer.start()
        assert cli("append", target, scenario.slice, "--lock-wait", "20").code == 0
        timer.join()
    assert tree(target) == scenario.new


def test_killed_holder_holds_nothing(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """Its lock file is there still, its lock is not."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    with held(target) as process:
        process.kill()
        process.wait(10)
        assert (target / ".zapz/head").exists()
        assert zapz.info(target).lock is None
        assert cli("append", target, scenario.slice).code == 0
        assert tree(target) == scenario.new


def test_recover_tidies_a_dead_lock(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A holder killed before it wrote anything else leaves its lock file: ``zapz recover`` removes it."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    with held(target) as process:
        process.kill()
        process.wait(10)
        assert cli("recover", target).code == 0
        assert tree(target) == scenario.old


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}', b"\xff\xfe", bytes(5000)])
def test_lock_file_of_any_content(content: bytes, scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """A lock file that says nothing sensible: a held one is respected, a free one is no obstacle."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    (target / ".zapz").mkdir()
    (target / ".zapz/head").write_bytes(content)
    with (target / ".zapz/head").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = cli("append", target, scenario.slice)
        assert said.code == 7, said
        assert "Traceback" not in said.err
    assert cli("append", target, scenario.slice).code == 0
    assert tree(target) == scenario.new


@pytest.mark.parametrize("new", [False, True])
def test_race_with_waiting(new: bool, servers: list[Server], tmp_path: Path) -> None:
    """Many processes append at once and wait for one another: all get in, and the length is the sum. Every one brings
    other labels, any order."""
    target = tmp_path / "cube.zarr"
    parts = [tmp_path / f"s{n}.zarr" for n in range(6)]
    steps = [2 + n % 2 for n in range(len(parts))]
    for number, part in enumerate(parts):
        cubes.make_slice(part, start=100 * number, steps=steps[number], shape=(10, 8), chunks=(3, 5, 8))
    if not new:
        zapz.append(target, parts[0])
    replies: dict[int, dict[str, object]] = {}

    def run(number: int) -> None:
        replies[number] = servers[number].run(
            "append", target, parts[number], settings={"lock_wait": 60, "label_order": "any", "durability": "process"}
        )

    chosen = range(0 if new else 1, len(parts))
    threads = [threading.Thread(target=run, args=(n,)) for n in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [replies[n]["code"] for n in chosen] == [0] * len(chosen), [r["message"] for r in replies.values()]
    found = cubes.read(target, consolidated=True)
    assert sorted(found["time"].tolist()) == sorted(100 * n + i for n in range(len(parts)) for i in range(steps[n]))
    expected = {
        label: row
        for part in parts
        for label, row in zip(cubes.read(part)["time"].tolist(), cubes.read(part)["data"], strict=True)
    }
    for label, row in zip(found["time"].tolist(), found["data"], strict=True):
        assert (expected[label] == row).all()
    assert ".zapz" not in tree(target)


def test_race_without_waiting(scenario_of: Callable[[str], Scenario], servers: list[Server], tmp_path: Path) -> None:
    """Of many at once at least one wins; every other one wins later, or is told who holds the lock and changed
    nothing."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    for _ in range(5):
        before = len(cubes.read(target)["time"])
        parts = []
        for number in range(4):
            part = tmp_path / f"s{before}-{number}.zarr"
            cubes.make_slice(part, start=1000 * (number + 1) + before, steps=1, shape=(10, 8))
            parts.append(part)
        replies: list[dict[str, object]] = []
        threads = [
            threading.Thread(
                target=lambda s=s, p=p, replies=replies: replies.append(
                    s.run("append", target, p, settings={"label_order": "any", "durability": "process"})
                )
            )
            for s, p in zip(servers[:4], parts, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        codes = [reply["code"] for reply in replies]
        assert set(codes) <= {0, 7}, [reply["message"] for reply in replies]
        assert 0 in codes
        assert len(cubes.read(target, consolidated=True)["time"]) == before + codes.count(0)
    assert without_ours(tree(target)) == tree(target)


def test_race_of_creation_and_refusal(servers: list[Server], tmp_path: Path) -> None:
    """One process fails to create the target, and removes the folder that it made, while others wait: they still
    create it."""
    good, bad = tmp_path / "good.zarr", tmp_path / "bad.zarr"
    cubes.make_slice(good, shape=(10, 8))
    cubes.make_slice(bad, shape=(10, 8))
    (bad / "data/0.0.0").write_bytes(b"short")
    for round_ in range(8):
        target = tmp_path / f"cube{round_}.zarr"
        replies: dict[int, dict[str, object]] = {}

        def run(number: int, target: Path = target, replies: dict[int, dict[str, object]] = replies) -> None:
            replies[number] = servers[number].run(
                "append",
                target,
                good if number == 0 else bad,
                settings={"lock_wait": 60, "durability": "process", "on_existing": "refuse"},
            )

        threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert replies[0]["code"] == 0, replies[0]["message"]
        assert {replies[1]["code"], replies[2]["code"]} <= {3, 5}, (replies[1]["message"], replies[2]["message"])
        assert len(cubes.read(target)["time"]) == 3


def test_two_appends_in_one_process(scenario_of: Callable[[str], Scenario], tmp_path: Path) -> None:
    """The lock keeps threads apart too: inside an append, another one of the same process finds it held."""
    scenario = scenario_of("misaligned-v2")
    target = scenario.fresh(tmp_path / "cube.zarr")
    seen: list[int] = []

    def meanwhile(done: int, total: int) -> None:
        if done == total:
            with pytest.raises(LockedError) as caught:
                zapz.append(target, scenario.slice)
            seen.append(caught.value.exit_code)
            assert str(os.getpid()) in str(caught.value)

    zapz.append(target, scenario.slice, on_progress=meanwhile, **scenario.settings)
    assert seen == [7]
    assert tree(target) == scenario.new
