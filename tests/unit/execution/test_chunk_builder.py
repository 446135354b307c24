"""Chunks are built without a transaction: what ``ChunkBuilder`` makes of a plan's steps is, byte for byte, what an append writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes

import zapz
from zapz.execution.chunk_builder import ChunkBuilder
from zapz.planning.plan import Plan
from zapz.storage.local.store import LocalStore

KINDS: dict[str, dict[str, Any]] = {
    "aligned": {"chunks": [2, 3]},
    "misaligned": {"chunks": [3, 2]},
    "sharded": {"chunks": [1, 2], "shards": [2, 4]},
    "extended shards": {"chunks": [1, 2], "shards": [3, 4]},
}
FILLS = {"same fill value": (-1, -1), "another fill value": (-1, -2)}


def make(path: Path, values: np.ndarray[Any, Any], zarr_format: int, fill: int, **form: Any) -> Path:
    """Write a dataset of one variable, whose chunks of the fill value are left out."""
    cubes.write_group(path, zarr_format=zarr_format)
    attrs = {"_FillValue": fill} if zarr_format == 2 else {}
    options: dict[str, Any] = {"dims": ["time", "x"], "fill": fill, "attrs": attrs, "write_empty": False}
    cubes.write_array(path, "v", values, zarr_format=zarr_format, **options, **form)
    cubes.consolidate(path, zarr_format=zarr_format)
    return path


def builders(plan: Plan, target: Path) -> dict[str, ChunkBuilder]:
    """Return what builds the chunks of each array."""
    return {path: ChunkBuilder(plan, path, LocalStore(plan.slice_uri), LocalStore(target)) for path in plan.arrays}


@pytest.mark.parametrize("fills", FILLS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_are_what_an_append_writes(zarr_format: int, kind: str, fills: str, tmp_path: Path) -> None:
    form = KINDS[kind]
    if zarr_format == 2 and "shards" in form:
        form = {"chunks": form["shards"]}
    first, second = FILLS[fills]
    values = np.arange(40, dtype="i4").reshape(4, 10)
    values[2:, 3:9] = second  # some chunks of the slice do not exist
    target = make(tmp_path / "target.zarr", values[:2], zarr_format, first, **form)
    slice_ = make(tmp_path / "slice.zarr", values[2:], zarr_format, second, **form)
    settings: dict[str, Any] = {"label_chunk": "keep", "durability": "process", "workers": 1}
    before = shutil.copytree(target, tmp_path / "before.zarr")
    plan = zapz.plan(target, slice_, **settings)
    zapz.append(target, slice_, **settings)
    making = builders(plan, before)
    built = absent = 0
    for step in plan.steps():
        key = plan.arrays[step.path].target.key(step.index)
        chunk = making[step.path].build(step)
        if chunk is None:
            absent += 1
            assert not (target / key).exists()
            filled = LocalStore(tmp_path / "filled.zarr")
            shutil.copytree(target, filled.root)
            filled.create(key, making[step.path].filled(step).parts)
            assert (cubes.read(filled.root)["v"] == cubes.read(target)["v"]).all(), (
                "a chunk of the fill value changes nothing"
            )
            shutil.rmtree(filled.root)
        else:
            built += 1
            assert chunk.to_bytes() == (target / key).read_bytes(), step
    assert built
    missing = zarr_format == 2  # there a fill value stands for missing cells, which become the target's
    assert bool(absent) == (first == second or missing), (built, absent)
    expected = np.where(values == second, first, values) if missing else values
    assert (cubes.read(target)["v"] == expected).all()


def test_any_chunk_can_be_had_alone(tmp_path: Path) -> None:
    """In any order, with nothing but a plan that came as text."""
    values = np.arange(60, dtype="i4").reshape(6, 10)
    target = make(tmp_path / "target.zarr", values[:2], 3, -1, chunks=[3, 2])
    slice_ = make(tmp_path / "slice.zarr", values[2:], 3, -1, chunks=[4, 5])
    plan = Plan.from_json(zapz.plan(target, slice_, label_chunk="keep").to_json())
    before = shutil.copytree(target, tmp_path / "before.zarr")
    zapz.append(target, slice_, label_chunk="keep")
    for step in reversed(list(plan.steps())):
        again = plan.step(step.path, step.index)
        chunk = ChunkBuilder(plan, step.path, LocalStore(slice_), LocalStore(before)).build(again)
        assert chunk is not None
        assert chunk.to_bytes() == (target / plan.arrays[step.path].target.key(step.index)).read_bytes()


def test_a_plan_answers_only_for_what_it_touches(tmp_path: Path) -> None:
    values = np.arange(80, dtype="i4").reshape(8, 10)
    target = make(tmp_path / "target.zarr", values[:5], 3, -1, chunks=[3, 4])
    slice_ = make(tmp_path / "slice.zarr", values[5:], 3, -1, chunks=[3, 4])
    plan = zapz.plan(target, slice_, label_chunk="keep")
    touched = {(step.path, step.index) for step in plan.steps()}
    assert touched == {("v", (t, x)) for t in (1, 2) for x in range(3)}
    for index in [(t, x) for t in range(-1, 5) for x in range(-1, 5)] + [(), (1,), (1, 0, 0)]:
        assert plan.touches("v", index) == (("v", index) in touched)
        if ("v", index) not in touched:
            with pytest.raises(IndexError, match="does not touch"):
                plan.step("v", index)
    assert not plan.touches("w", (1, 0))
    with pytest.raises(KeyError):
        plan.step("w", (1, 0))
