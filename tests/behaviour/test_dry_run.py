"""A dry run sees what the run sees, and says the same."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import zarr
from kit.small_cubes import labelled

import zapz

UNITS = "days since 2024-01-01"


def outcomes(target: Path, slices: Any, **settings: Any) -> tuple[list[str], str]:
    """Return the outcomes of the slices of an append, and the refusal, if it was refused."""
    try:
        report, refused = zapz.append(target, slices, **settings), ""
    except zapz.LabelError as error:
        assert error.report is not None
        report, refused = error.report, str(error).partition(", /")[0]
    return [s.outcome.replace("planned", "appended") for s in report.slices], refused


def agreed(target: Path, slices: Sequence[Path], **settings: Any) -> tuple[list[str], str]:
    """Return what a dry run and a run say alike, for a list and for an iterator of slices."""
    dry = [outcomes(target, each, dry_run=True, **settings) for each in (list(slices), iter(slices))]
    copies = [target.with_name(f"{target.name}-{n}") for n in range(2)]
    for copy in copies:
        if target.exists():
            shutil.copytree(target, copy)
    real = [outcomes(copy, each, **settings) for copy, each in zip(copies, (list(slices), iter(slices)), strict=True)]
    assert dry == real
    return real[1]


def test_dry_run_sees_what_the_run_sees(tmp_path: Path) -> None:
    units = "days since 2024-01-01"
    parts = [
        labelled(tmp_path / f"{i}.zarr", labels, units)
        for i, labels in enumerate([[1, 2, 3], [4, 5, 6], [2, 3], [3, 4]])
    ]
    dry = zapz.append(tmp_path / "c.zarr", parts, dry_run=True)
    real = zapz.append(tmp_path / "c.zarr", parts)
    assert [s.outcome.replace("planned", "appended") for s in dry.slices] == [s.outcome for s in real.slices]
    assert [s.outcome for s in real.slices] == ["appended", "appended", "already", "already"]


def test_dry_run_converts_planned_slices(tmp_path: Path) -> None:
    first = labelled(tmp_path / "a.zarr", [0], "days since 2024-01-01")
    following = [labelled(tmp_path / f"{n}.zarr", [0], "days since 2024-01-02") for n in "bc"]
    for dry_run in (True, False):
        report = zapz.append(tmp_path / "t.zarr", [first, *following], dry_run=dry_run)
        assert [s.outcome for s in report.slices][-1] == "already"


def test_length_is_reported_without_slices(tmp_path: Path) -> None:
    source = labelled(tmp_path / "a.zarr", [0, 1], "days since 2024-01-01")
    zapz.append(tmp_path / "c.zarr", source)
    assert zapz.append(tmp_path / "c.zarr", iter([])).length == 2
    assert zapz.append(tmp_path / "c.zarr", []).length == 2


@pytest.mark.parametrize("value", [2.0, 7.0])
def test_dry_run_sees_a_slice_that_is_partly_in_the_target_and_partly_planned(tmp_path: Path, value: float) -> None:
    """The slices come from an iterator, so that none of them is inspected before the first is written."""
    units = "days since 2024-01-01"
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [1, 2, 3], units))
    parts = [labelled(tmp_path / f"{i}.zarr", labels, units) for i, labels in enumerate([[4, 5, 6], [3, 4], [3, 5]], 1)]
    zarr.open_array(str(parts[1] / "v"), mode="r+")[1] = value * 4
    said = []
    for dry_run in (True, False):
        with pytest.raises(zapz.LabelError) as caught:
            zapz.append(target, iter(parts), dry_run=dry_run)
        report = caught.value.report
        assert report is not None
        said.append(
            (str(caught.value).partition(" (")[0], [s.outcome.replace("planned", "appended") for s in report.slices])
        )
    assert said[0] == said[1]
    assert said[0][1] == (["appended", "already"] if value == 2.0 else ["appended"])


@pytest.mark.parametrize("on_existing", ["resume", "skip"])
def test_labels_partly_in_the_target_and_partly_in_a_slice_of_the_same_call(tmp_path: Path, on_existing: str) -> None:
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [0, 1, 2], UNITS))
    parts = [
        labelled(tmp_path / f"{i}.zarr", labels, UNITS)
        for i, labels in enumerate([[3, 4], [2, 3, 4], [1, 2, 3], [4]], 1)
    ]
    there = "already" if on_existing == "resume" else "skipped"
    assert agreed(target, parts, on_existing=on_existing) == (["appended", there, there, there], "")


def test_labels_that_leave_a_slice_of_the_same_call_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [0, 1, 2], UNITS))
    parts = [labelled(tmp_path / f"{i}.zarr", labels, UNITS) for i, labels in enumerate([[3, 4], [2, 3, 4, 5]], 1)]
    done, refused = agreed(target, [parts[0], labelled(tmp_path / "z.zarr", [2, 4], UNITS)])
    assert (done, refused) == (["appended"], "some labels of the slice are already in the target, but not all")
    for dry_run in (True, False):  # a list is inspected as a whole before the first slice is appended
        assert outcomes(target, parts, dry_run=dry_run)[0] == []


def test_a_dry_run_refuses_an_order_as_the_run_does(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [0], UNITS))
    parts = [labelled(tmp_path / f"{n}.zarr", [n], UNITS) for n in (5, 7, 4)]
    said = [outcomes(target, parts, dry_run=dry_run) for dry_run in (True, False)]
    assert said[0] == said[1]
    assert said[0][1].startswith("the slices are not in the order of their labels")
    assert [outcomes(target, parts, dry_run=d, slice_order="labels")[0] for d in (True, False)] == [
        ["appended"] * 3
    ] * 2


@pytest.mark.parametrize("on_existing", ["resume", "skip", "refuse"])
def test_groups_of_which_only_one_is_there_are_refused_alike(tmp_path: Path, on_existing: str) -> None:
    """What is decided for a slice is decided for all its groups, also where the first is in a planned slice."""

    def days(name: str, first: int, other: int) -> Path:
        labelled(tmp_path / name, [first], UNITS)
        labelled(tmp_path / name / "other", [other], UNITS)
        return tmp_path / name

    target = tmp_path / "c.zarr"
    parts = [days("0.zarr", 0, 0), days("1.zarr", 1, 1), days("2.zarr", 1, 2)]
    for _ in range(2):  # without a target, then with one
        dry, real = (outcomes(target, iter(parts), dry_run=dry, on_existing=on_existing) for dry in (True, False))
        assert dry == real
        assert dry[0] == ["appended"] * len(parts[1:])
        assert dry[1] == "labels of one group are already in the target, those of another group are not"
        shutil.rmtree(target)
        zapz.append(target, parts.pop(0))
