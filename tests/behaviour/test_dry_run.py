"""A dry run sees what the run sees, and says the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr
from kit.small_cubes import labelled

import zapz


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
