"""Markers of missing cells: fill values, markers that contradict one another, bounds that are never missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.cubes import quiet, read, write_array, write_group
from kit.small_cubes import FAST, NAN, one_label, patch, rd, timed

import zapz
from zapz.format import v2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_no_bound_is_missing(tmp_path: Path, zarr_format: int) -> None:
    """A bound of 0 is a bound, although zarr-python's default fill value is 0."""
    for i, (units, start, form) in enumerate([("hours since 2023-12-31", 0, 2), ("hours since 2024-01-02", 0, 2)]):
        write_group(tmp_path / f"{i}", zarr_format=form)
        for name, dims, data in (("time", ["time"], [start]), ("time_bnds", ["time", "nv"], [[start, start + 1]])):
            attrs = {"units": units, "bounds": "time_bnds"} if name == "time" else {}
            write_array(tmp_path / f"{i}", name, np.array(data), dims=dims, zarr_format=form, fill=0, attrs=attrs)
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"], zarr_format=zarr_format, label_units="keep")
    assert read(tmp_path / "t")["time_bnds"].tolist() == [[0, 1], [48, 49]]
    with quiet():
        seen = xr.open_zarr(tmp_path / "t", consolidated=False).time_bnds.values
    assert not np.isnat(seen).any()


def _contradicting(tmp_path: Path, *cells: int) -> tuple[Path, Path]:
    """Return a target of v3 with marker -1, and a slice of v2 with fill value 0 and attribute -999."""
    for name, start, data, zarr_format, attrs, fill in (
        ("t", 0, [7], 3, {"_FillValue": -1}, 0),
        ("s", 1, cells, 2, {"_FillValue": -999}, 0),
    ):
        write_group(tmp_path / name, zarr_format=zarr_format)
        times = np.arange(start, start + len(data))
        write_array(
            tmp_path / name, "time", times, dims=["time"], zarr_format=zarr_format, fill=None if zarr_format == 2 else 0
        )
        write_array(
            tmp_path / name, "v", np.array(data, "i4"), dims=["time"], zarr_format=zarr_format, attrs=attrs, fill=fill
        )
    return tmp_path / "t", tmp_path / "s"


@pytest.mark.parametrize("cell", [0, -999])
def test_two_markers_that_contradict_each_other_are_unclear(tmp_path: Path, cell: int) -> None:
    """To xarray the fill value is the marker, to others the attribute."""
    target, part = _contradicting(tmp_path, 5, cell)
    with pytest.raises(zapz.SliceError, match="missing for some readers and valid for others") as caught:
        zapz.append(target, part)
    assert "v2_fill_value" in str(caught.value)
    assert read(target)["v"].tolist() == [7]


@pytest.mark.parametrize(("says", "expected"), [("value", [7, 0, -1]), ("missing", [7, -1, -999])])
def test_a_setting_decides_between_two_markers(tmp_path: Path, says: str, expected: list[int]) -> None:
    target, part = _contradicting(tmp_path, 0, -999)
    zapz.append(target, part, v2_fill_value=says)
    assert read(target)["v"].tolist() == expected


@pytest.mark.parametrize(
    ("dtype", "fill", "attrs", "unclear"),
    [
        ("i4", 0, {"missing_value": -999}, True),
        ("i4", 0, {"missing_value": [-999, 5]}, True),
        ("i4", 0, {"missing_value": [-999, 0]}, False),
        ("i4", -999, {"missing_value": -999}, False),
        ("f4", 1e20, {"missing_value": 1e20}, False),
        ("f4", -9999.9, {"missing_value": [-9999.9, 7]}, False),
        ("i1", -1, {"missing_value": 255, "_Unsigned": "true"}, False),
        ("f4", 0, {"missing_value": "none"}, True),
    ],
)
def test_a_missing_value_that_contradicts_the_fill_value(
    tmp_path: Path, dtype: str, fill: float, attrs: dict[str, Any], unclear: bool
) -> None:
    """Values are compared as they are stored: JSON writes 1e20 where a float32 is meant, and _Unsigned 255 for -1."""
    write_group(tmp_path, zarr_format=2)
    write_array(tmp_path, "v", np.array([1], dtype), dims=["time"], zarr_format=2, attrs=attrs, fill=fill)
    documents = {p.relative_to(tmp_path).as_posix(): p.read_bytes() for p in tmp_path.rglob(".z*")}
    assert v2.read(documents).arrays["v"].assumed == unclear


def test_two_markers_that_no_cell_equals_are_no_obstacle(tmp_path: Path) -> None:
    target, part = _contradicting(tmp_path, 5, 6)
    zapz.append(target, part)
    assert read(target)["v"].tolist() == [7, 5, 6]


@pytest.mark.parametrize("form", [2, 3])
def test_a_bound_does_not_begin_to_be_missing(tmp_path: Path, form: int) -> None:
    """Into an existing array of v2 with another fill value, or none, it would read as missing by xarray."""
    for name, zarr_format, start, low, fill in (("t", 2, 0, 1, 0), ("s", form, 1, 0, 9)):
        write_group(tmp_path / name, zarr_format=zarr_format)
        attrs = {"units": "hours since 2000-01-01", "bounds": "time_bnds"}
        write_array(
            tmp_path / name, "time", np.array([start]), dims=["time"], zarr_format=zarr_format, fill=9, attrs=attrs
        )
        bounds = np.array([[low, low + 1]])
        write_array(tmp_path / name, "time_bnds", bounds, dims=["time", "nv"], zarr_format=zarr_format, fill=fill)
    with pytest.raises(zapz.SliceError, match=r"valid value would be read as missing.*v2_fill_value"):
        zapz.append(tmp_path / "t", tmp_path / "s")
    assert read(tmp_path / "t")["time_bnds"].tolist() == [[1, 2]]
    zapz.append(tmp_path / "t", tmp_path / "s", v2_fill_value="value")
    assert read(tmp_path / "t")["time_bnds"].tolist() == [[1, 2], [0, 1]]


def test_a_marker_that_is_no_fill_value_stays_with_other_chunks(tmp_path: Path) -> None:
    """An array of v2 may have an attribute _FillValue, and no fill value."""
    path = one_label(tmp_path / "s", 0, 2)
    write_array(path, "v", np.array([0], "i2"), dims=["time"], zarr_format=2, fill=None, attrs={"_FillValue": 0})
    zapz.append(tmp_path / "t", path, variables={"v": {"encoding": {"compressor": None}}})
    assert read(tmp_path / "t")["v"].tolist() == [0]
    with quiet():
        assert np.isnan(xr.open_zarr(tmp_path / "t", consolidated=False).v.values).all()


@pytest.mark.parametrize(
    ("variables", "attrs"),
    [
        ({"*": {"encoding": {"fill_value": -9999}}}, {}),
        ({"time": {"encoding": {"fill_value": 0}}}, {}),
        ({"time": {"encoding": {"dtype": "int32", "fill_value": -5}}}, {}),
        ({"v": {"encoding": {"fill_value": 5}}}, {"dtype": "bool", "missing_value": -1}),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_configured_fill_value_does_not_stop_the_next_slice(
    tmp_path: Path, variables: dict[str, Any], attrs: dict[str, Any], zarr_format: int
) -> None:
    kind = "i1" if attrs else "f8"
    for i in range(2):
        path = timed(tmp_path / f"{i}", 2 * i, zarr_format, v=(["time"], np.ones(2, kind), attrs))
        zapz.append(tmp_path / "t", path, variables=variables)
    assert read(tmp_path / "t")["time"].tolist() == [0, 1, 2, 3]
    with quiet():
        seen = xr.open_zarr(tmp_path / "t", consolidated=False)
    assert not np.isnat(seen.time.values).any()


def test_undefined_fill_is_converted(tmp_path: Path) -> None:
    """A missing chunk reads as 0 in the slice's terms, which is 250 in the target's."""
    parts = []
    for n, offset in ((0, 0.0), (1, 250.0)):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=2)
        attributes = {"scale_factor": 1.0, "add_offset": offset}
        write_array(
            part,
            "v",
            np.arange(4, dtype="i2") + 5,
            zarr_format=2,
            dims=["time"],
            chunks=[2],
            fill=None,
            attrs=attributes,
        )
        patch(part / "v" / ".zarray", fill_value=None)
    (tmp_path / "1.zarr" / "v" / "1").unlink()
    zapz.append(tmp_path / "c.zarr", parts, **FAST)
    assert rd(tmp_path / "c.zarr", "v").tolist() == [5, 6, 7, 8, 255, 256, 250, 250]


def test_missing_cells_in_an_absent_boundary_chunk(tmp_path: Path) -> None:
    parts = []
    for n in (0, 1):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=3)
        write_array(part, "time", np.arange(3) + 3 * n, zarr_format=3, dims=["time"])
        if n == 0:
            options: dict[str, Any] = {"fill": 0.0, "attrs": {"_FillValue": NAN}, "write_empty": False}
            write_array(part, "v", np.zeros((3, 2)), zarr_format=3, dims=["time", "x"], chunks=[4, 2], **options)
    zapz.append(tmp_path / "c.zarr", parts, on_missing="fill", **FAST)
    assert np.isnan(rd(tmp_path / "c.zarr", "v")[3:]).all()
    assert (rd(tmp_path / "c.zarr", "v")[:3] == 0).all()


def test_scalar_whose_chunk_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "s.zarr"
    write_group(source, zarr_format=3)
    write_array(source, "time", np.arange(2), zarr_format=3, dims=["time"])
    write_array(source, "crs", np.array(7, "i4"), zarr_format=3, dims=[], fill=-1)
    (source / "crs" / "c").unlink()
    zapz.append(tmp_path / "c.zarr", source, zarr_format=2)
    assert rd(tmp_path / "c.zarr", "crs") == -1
