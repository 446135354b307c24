"""Groups: those without documents, those left out, those whose labels are in no order, and folders that are no group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from kit import cubes
from kit.cubes import write_array, write_group
from kit.small_cubes import DAYS, FAST, labelled
from kit.trees import tree

import zapz


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_group_without_a_document_stays_readable(tmp_path: Path, zarr_format: int) -> None:
    target, following = tmp_path / "c.zarr", tmp_path / "s.zarr"
    for path, offset in ((target, 0), (following, 2)):
        write_group(path, zarr_format=zarr_format)
        write_array(path, "a/time", np.arange(2) + offset, zarr_format=zarr_format, dims=["time"])
        for name in ("zarr.json", ".zgroup", ".zattrs"):
            (path / "a" / name).unlink(missing_ok=True)
    zapz.append(target, following, **FAST)
    with cubes.quiet():
        assert zarr.open_group(str(target), mode="r")["a/time"].shape == (4,)
        zapz.append(tmp_path / "new.zarr", following, **FAST)
        assert zarr.open_group(str(tmp_path / "new.zarr"), mode="r")["a/time"].shape == (2,)


def test_excluded_group_is_left_out_whole(tmp_path: Path) -> None:
    source = tmp_path / "s.zarr"
    write_group(source, zarr_format=3)
    write_array(source, "time", np.arange(2), zarr_format=3, dims=["time"])
    write_array(source, "a/v", np.arange(2), zarr_format=3, dims=["time"])
    zapz.append(tmp_path / "c.zarr", source, excluded_variables=["a"], **FAST)
    with cubes.quiet():
        group = zarr.open_group(str(tmp_path / "c.zarr"), mode="r")
        assert sorted(group) == ["time"]


def test_folder_of_datasets_is_no_dataset(tmp_path: Path) -> None:
    """A folder in which datasets lie is not taken for a group of them."""
    labelled(tmp_path / "here" / "a.zarr", [0, 1], "days since 2024-01-01")
    following = labelled(tmp_path / "b.zarr", [2], "days since 2024-01-01")
    before = tree(tmp_path / "here")
    with pytest.raises(zapz.FormatError, match="not a Zarr dataset"):
        zapz.append(tmp_path / "here", following)
    with pytest.raises(zapz.FormatError, match="not a Zarr dataset"):
        zapz.append(tmp_path / "new.zarr", tmp_path / "here")
    assert tree(tmp_path / "here") == before
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_groups_without_labels_in_no_order(tmp_path: Path, dry_run: bool) -> None:
    def tree(name: str, **labels: list[int]) -> Path:
        write_group(tmp_path / name, zarr_format=3)
        for group, values in labels.items():
            write_array(tmp_path / name, f"{group}/time", np.array(values), dims=["time"], zarr_format=3, attrs=DAYS)
        return tmp_path / name

    slices = [tree("1", a=[20, 11], b=[30, 12]), tree("2", a=[9, 8]), tree("3", a=[40, 41], b=[50, 42])]
    zapz.append(tmp_path / "t", tree("0", a=[1, 5], b=[7, 3]), label_order="any")
    report = zapz.append(tmp_path / "t", [*slices, slices[2]], label_order="any", on_missing="fill", dry_run=dry_run)
    assert report.slices[-1].outcome == "already"
