"""What was written comes back as values: chunks that another process wrote are decided, or undone, with the transaction that accounts for them."""

from __future__ import annotations

import contextlib
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.trees import tree

import zapz
from zapz.execution.chunk_builder import ChunkBuilder
from zapz.execution.writer import Counts, write_step
from zapz.planning.plan import Plan
from zapz.planning.receipt import Receipt
from zapz.storage.local.store import LocalStore
from zapz.storage.waiting import Wait
from zapz.txn.local.transaction import Transaction
from zapz.txn.protocol import Writing
from zapz.txn.register import Commit
from zapz.txn.session import open_session

SETTINGS: dict[str, Any] = {"label_chunk": "keep", "durability": "process", "workers": 1}


@pytest.fixture(params=[2, 3])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Plan, Path]:
    """Give a target, the plan of an append that creates chunks and replaces some, and the target as it becomes."""
    values = np.arange(56, dtype="i4").reshape(7, 8)
    for name, rows in (("target", slice(0, 3)), ("slice", slice(3, 7))):
        path = tmp_path / f"{name}.zarr"
        cubes.write_group(path, zarr_format=request.param)
        cubes.write_array(path, "v", values[rows], zarr_format=request.param, dims=["time", "x"], chunks=[2, 3])
        cubes.consolidate(path, zarr_format=request.param)
    target, after = tmp_path / "target.zarr", tmp_path / "after.zarr"
    shutil.copytree(target, after)
    plan = zapz.plan(target, tmp_path / "slice.zarr", **SETTINGS)
    zapz.append(after, tmp_path / "slice.zarr", **SETTINGS)
    return target, plan, after


def written(plan: Plan, target: Path, sink: Writing, numbers: range) -> list[Receipt]:
    """Carry out some steps of a plan."""
    builder = ChunkBuilder(plan, "v", LocalStore(plan.slice_uri), LocalStore(target))
    steps = list(plan.steps())
    receipts = [write_step(builder, steps[number], sink, Counts()) for number in numbers if number < len(steps)]
    return [receipt for receipt in receipts if receipt is not None]


def elsewhere(plan: Plan, target: Path, running: Transaction, numbers: range) -> list[Receipt]:
    """Carry out some steps as another process would, which knows only what was intended."""
    other = Transaction(LocalStore(target, durable=False), pickle.loads(pickle.dumps(running._intent)))
    return pickle.loads(pickle.dumps(written(plan, target, other, numbers)))


@contextlib.contextmanager
def transaction(target: Path, plan: Plan) -> Iterator[Any]:
    """Run the body in a turn, as the transaction of a plan."""
    commit = Commit(fingerprint="", offset=plan.placement.offset, length=plan.placement.length)
    with (
        open_session(LocalStore(target, durable=False), Wait()) as session,
        session.begin(plan, commit, "t") as running,
    ):
        yield running


@pytest.mark.parametrize("mine", [range(0), range(1), range(0, 99, 2), range(99)])
def test_what_was_written_elsewhere_is_committed(case: tuple[Path, Plan, Path], mine: range) -> None:
    target, plan, after = case
    others = [number for number in range(99) if number not in mine]
    with transaction(target, plan) as running:
        receipts = [r for number in others for r in elsewhere(plan, target, running, range(number, number + 1))]
        running.merge(receipts)
        receipts += written(plan, target, running, mine)
    assert {receipt.staged for receipt in receipts} == {False, True}
    assert len({receipt.index for receipt in receipts}) == len(receipts) == len(list(plan.steps()))
    assert tree(target) == tree(after)


def test_what_was_written_elsewhere_is_undone(case: tuple[Path, Plan, Path]) -> None:
    target, plan, _ = case
    before = tree(target)

    def failing() -> None:
        with transaction(target, plan) as running:
            running.merge(elsewhere(plan, target, running, range(99)))
            assert tree(target) != before
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert tree(target) == before


def test_what_nobody_accounts_for_is_not_decided(case: tuple[Path, Plan, Path]) -> None:
    """A replacement that was planned and is not accounted for: nothing is committed."""
    target, plan, _ = case
    before = tree(target)

    def incomplete() -> None:
        with transaction(target, plan) as running:
            receipts = elsewhere(plan, target, running, range(99))
            running.merge(receipt for receipt in receipts if not receipt.staged)

    with pytest.raises(AssertionError, match="not written"):
        incomplete()
    assert tree(target) == before
