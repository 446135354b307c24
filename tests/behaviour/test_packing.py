"""Packed numbers: packed again where dtype or scale differ, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kit.cubes import read, write_array
from kit.small_cubes import one_label

import zapz


@pytest.mark.parametrize(("dtype", "scale"), [("i4", 0.25), ("i4", 0.5), ("f8", 0.5), ("u2", 0.5)])
def test_packed_numbers_of_another_type_are_packed_anew(tmp_path: Path, dtype: str, scale: float) -> None:
    """With the target's own scale, too: it is packing all the same."""
    for i, (kind, factor) in enumerate([("i2", 0.5), (dtype, scale)]):
        one_label(tmp_path / f"{i}", i, 3)
        cells = (np.array([[4, 8]]) * 0.5 / factor).astype(kind)
        attrs = {"scale_factor": factor, "add_offset": 10.0}
        write_array(tmp_path / f"{i}", "v", cells, dims=["time", "x"], zarr_format=3, attrs=attrs)
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])
    assert read(tmp_path / "t")["v"].tolist() == [[4, 8]] * 2


def test_packing_by_one_is_packing(tmp_path: Path) -> None:
    for i, (kind, attrs) in enumerate([("i2", {"scale_factor": 1.0, "add_offset": 0.0}), ("f8", {})]):
        write_array(
            one_label(tmp_path / f"{i}", i, 3),
            "v",
            np.array([[4, 8]], kind),
            dims=["time", "x"],
            zarr_format=3,
            attrs=attrs,
        )
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])
    assert read(tmp_path / "t")["v"].tolist() == [[4, 8]] * 2


def test_packed_numbers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for i, (kind, value) in enumerate([("i2", 4), ("i4", 40_000)]):
        attrs = {"scale_factor": 0.5}
        write_array(
            one_label(tmp_path / f"{i}", i, 3),
            "v",
            np.array([[value]], kind),
            dims=["time", "x"],
            zarr_format=3,
            attrs=attrs,
        )
    with pytest.raises(zapz.SliceError, match="outside the packed range"):
        zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])


@pytest.mark.parametrize(("fill", "refused"), [(0, True), (-7, False)])
def test_a_packed_cell_that_equals_the_fill_value(tmp_path: Path, fill: int, refused: bool) -> None:
    """Nobody chose 0, which is zarr-python's default: it may be a value. Another one says that it marks missing cells."""
    for i, (offset, stored) in enumerate([(100.0, 5), (0.0, fill)]):
        attrs = {"scale_factor": 1.0, "add_offset": offset}
        path = one_label(tmp_path / f"{i}", i, 2)
        write_array(path, "v", np.array([stored], "i2"), dims=["time"], zarr_format=2, fill=fill, attrs=attrs)
    zapz.append(tmp_path / "t", tmp_path / "0")
    if refused:
        with pytest.raises(zapz.SliceError, match="v2_fill_value"):
            zapz.append(tmp_path / "t", tmp_path / "1")
        zapz.append(tmp_path / "t", tmp_path / "1", v2_fill_value="value")
        assert read(tmp_path / "t")["v"].tolist() == [5, -100]
    else:
        zapz.append(tmp_path / "t", tmp_path / "1")
        assert read(tmp_path / "t")["v"].tolist() == [5, fill]
