"""Readers that open level 0 and then another level, as xcube does, while a pyramid grows."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from kit import cubes
from kit.small_cubes import FAST
from kit.volumes import amount, volume

import zapz

SHAPES = ((4, 4), (2, 2), (1, 1))
SETTINGS: dict[str, Any] = {**FAST, "label_units": "keep"}


def make_day(path: Path, day: int) -> Path:
    """Write a slice of one step whose cells are its label, at every level."""
    for number, shape in enumerate(SHAPES):
        data = np.full((1, *shape), day, "<f4")
        cubes.make_slice(path / f"{number}.zarr", start=day, steps=1, shape=shape, chunks=(1, *shape), data=data, static=False, time_chunk=1)  # fmt: skip
        cubes.consolidate(path / f"{number}.zarr", zarr_format=2)
    return path


def look(target: Path, level: int) -> str:
    """Open level 0, take its labels, then open another level; say what a reader makes of it."""
    with cubes.quiet():
        first = zarr.open_group(str(target / "0.zarr"), mode="r", use_consolidated=True)
        labels = first["time"][:]
        other = zarr.open_group(str(target / f"{level}.zarr"), mode="r", use_consolidated=True)
        steps = other["time"].shape[0]
        assert steps >= len(labels), f"level {level} has {steps} steps, level 0 has {len(labels)}"
        for group in (first, other):
            pictures = group["data"][: len(labels)]
            np.testing.assert_array_equal(
                pictures[:, 0, 0], labels, err_msg=f"level {level}: a label without its picture"
            )
        return "equal" if steps == len(labels) else "longer: xcube refuses it"


def watch(tmp_path: Path, days: int) -> Counter[str]:
    """Append days one after the other, and read all the time."""
    target = tmp_path / "c.levels"
    slices = [make_day(tmp_path / f"{day}.levels", day) for day in range(days)]
    zapz.append(target, slices[0], **SETTINGS)
    failed: list[BaseException] = []

    def grow() -> None:
        try:
            for each in slices[1:]:
                zapz.append(target, each, **SETTINGS)
        except BaseException as error:  # noqa: BLE001 - raised by the test
            failed.append(error)

    writer = threading.Thread(target=grow)
    writer.start()
    seen: Counter[str] = Counter()
    number = 0
    while writer.is_alive():
        number += 1
        seen[look(target, 1 + number % 2)] += 1
    writer.join()
    assert not failed, failed
    assert zapz.info(target).length == days
    return seen


def test_a_reader_never_sees_a_label_without_its_picture(tmp_path: Path) -> None:
    seen = watch(tmp_path, 20)
    assert sum(seen.values()) > 5
    assert seen["equal"]


@volume
def test_readers_while_two_hundred_slices_come(tmp_path: Path) -> None:
    seen = watch(tmp_path, amount(ci=200, long=2_000))
    assert sum(seen.values()) > 50
    assert seen["equal"] > 10


def test_the_reader_would_notice(tmp_path: Path) -> None:
    """If level 0 became visible first, as it does in no append, a look between the documents fails."""
    target = make_day(tmp_path / "c.levels", 0)
    before: dict[str, Any] = {str(p.relative_to(target)): p.read_bytes() for p in (target / "1.zarr").rglob(".z*")}
    zapz.append(target, make_day(tmp_path / "1.levels", 1), **SETTINGS)
    for key, data in before.items():
        (target / key).write_bytes(data)
    with pytest.raises(AssertionError, match="level 1 has 1 steps, level 0 has 2"):
        look(target, 1)
