"""Scenarios of one append: the target before and after it, the slice, and what readers and other tools make of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zapz
from kit import cubes, pyramids
from kit.trees import Tree, differ, tree


@dataclass(frozen=True)
class Scenario:
    """A target before and after an append, and the slice appended."""

    before: Path
    """Folder of the target before; absent if the append creates it."""
    slice: Path
    settings: dict[str, Any]
    old: Tree
    new: Tree
    zarr_format: int

    def fresh(self, place: Path) -> Path:
        """Make a copy of the target as it was before."""
        if self.before.exists():
            shutil.copytree(self.before, place, symlinks=True)
        return place


COMMON: dict[str, Any] = {"chunks": (3, 5, 8), "time_chunk": 3, "shape": (10, 8)}
"""One step is more than 256 bytes, so that the cube keeps its chunk length in a new target."""


def build(place: Path, name: str) -> Scenario:
    """Build the scenario ``name`` below ``place``."""
    kind, _, version = name.rpartition("-v")
    zarr_format = int(version)
    options: dict[str, Any] = {**COMMON, "zarr_format": zarr_format, "consolidated": True}
    settings: dict[str, Any] = {"workers": 1}
    steps = 3
    if kind in {"aligned", "stale", "levels"}:
        settings["label_chunk"] = "keep"
    if kind == "misaligned":
        steps = 2
    if kind == "sharded":
        options |= {"chunks": (1, 5, 4), "shards": (4, 10, 8)}
    if kind == "new":
        options["nested"] = True
    target = place / "before.zarr"
    slices = [place / f"s{n}.zarr" for n in range(2)]
    if kind == "levels":
        options["shapes"] = ((10, 8), (5, 4), (3, 2))
        del options["shape"]
    make = pyramids.make_levels if kind == "levels" else cubes.make_slice
    for number, path in enumerate(slices):
        make(path, start=number * steps, steps=steps, **options)
    if kind != "new":
        zapz.append(target, slices[0], **settings)
    if kind == "stale":
        for key in ("data/1.0.0", "data/1.1.0") if zarr_format == 2 else ("data/c/1/0/0", "data/c/1/1/0"):
            (target / key).parent.mkdir(parents=True, exist_ok=True)
            (target / key).write_bytes(b"stale" * 30)
    last = slices[1]
    if kind == "new":
        last = slices[0]
    after = place / "after.zarr"
    old = tree(target)
    if kind != "new":
        shutil.copytree(target, after)
    zapz.append(after, last, **settings)
    return Scenario(before=target, slice=last, settings=settings, old=old, new=tree(after), zarr_format=zarr_format)


def neither(found: Tree, scenario: Scenario) -> str:
    """Say how a target differs from what it was, and from what it should have become."""
    old, new = differ(found, scenario.old), differ(found, scenario.new)
    return f"neither: against before: {old}; against after: {new}"


def values(path: Path, *, zarr_format: int) -> dict[str, np.ndarray[Any, Any]] | None:
    """Read a dataset as a reader does that trusts consolidated metadata; None if there are none yet."""
    name = ".zmetadata" if zarr_format == 2 else "zarr.json"
    if (path / "0.zarr" / name).exists():
        roots = sorted(each for each in path.iterdir() if each.suffix == ".zarr")
        return pyramids.as_readers_see({int(root.stem): cubes.read(root, consolidated=True) for root in roots})
    marker = path / name
    return cubes.read(path, consolidated=True) if marker.exists() else None


def equal(a: dict[str, np.ndarray[Any, Any]] | None, b: dict[str, np.ndarray[Any, Any]] | None) -> bool:
    """Whether two readings are the same."""
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a)


@pytest.fixture(scope="module")
def scenario_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scenario]:
    """Give scenarios by name, each built once."""
    built: dict[str, Scenario] = {}

    def get(name: str) -> Scenario:
        if name not in built:
            built[name] = build(tmp_path_factory.mktemp(name), name)
        return built[name]

    return get


def other_tool_appends(path: Path, steps: int, *, zarr_format: int, like: Path | None = None) -> None:
    """Append as a program does that knows nothing of zapz: resize, write, consolidate."""
    import zarr

    with cubes.quiet():
        group = zarr.open_group(str(path), mode="r+", use_consolidated=False)
        for name in ("time", "data"):
            array = group[name]
            old = array.shape[0]
            array.resize((old + steps, *array.shape[1:]))
            array[old:] = (
                np.arange(old, old + steps)
                if name == "time"
                else 1000 + cubes.values_of((steps, *array.shape[1:]), "<f4", seed=99)
            )
        cubes.consolidate(path, zarr_format=zarr_format)


def bad_slice(place: Path, kind: str, *, zarr_format: int = 2) -> Path:
    """Make a slice that may not follow a target of ``cubes.make_slice``."""
    options: dict[str, Any] = {"start": 20, "shape": (10, 8), "zarr_format": zarr_format}
    if kind == "shape":
        options["shape"] = (10, 7)
    elif kind == "label":
        options["start"] = 1
    elif kind == "dtype":
        options["dtype"] = "<f8"
    elif kind == "missing":
        options["name"] = "other"
    cubes.make_slice(place, **options)
    if kind == "chunk":
        next(
            p
            for p in sorted(place.rglob("*"))
            if p.is_file() and p.parent.name != "time" and "data" in p.parts and p.name[0].isdigit()
        ).write_bytes(b"short")
    return place
