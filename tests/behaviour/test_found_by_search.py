"""What the random differential search found, each as small as it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import quiet, read, write_array, write_group

import zapz
from zapz.format import v2


def _labelled(path: Path, label: int, zarr_format: int) -> Path:
    write_group(path, zarr_format=zarr_format)
    write_array(path, "time", np.array([label]), dims=["time"], zarr_format=zarr_format, fill=-1)
    return path


@pytest.mark.parametrize(("dtype", "scale"), [("i4", 0.25), ("i4", 0.5), ("f8", 0.5), ("u2", 0.5)])
def test_packed_numbers_of_another_type_are_packed_anew(tmp_path: Path, dtype: str, scale: float) -> None:
    """With the target's own scale, too: it is packing all the same."""
    for i, (kind, factor) in enumerate([("i2", 0.5), (dtype, scale)]):
        _labelled(tmp_path / f"{i}", i, 3)
        cells = (np.array([[4, 8]]) * 0.5 / factor).astype(kind)
        attrs = {"scale_factor": factor, "add_offset": 10.0}
        write_array(tmp_path / f"{i}", "v", cells, dims=["time", "x"], zarr_format=3, attrs=attrs)
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])
    assert read(tmp_path / "t")["v"].tolist() == [[4, 8]] * 2


def test_packing_by_one_is_packing(tmp_path: Path) -> None:
    for i, (kind, attrs) in enumerate([("i2", {"scale_factor": 1.0, "add_offset": 0.0}), ("f8", {})]):
        write_array(
            _labelled(tmp_path / f"{i}", i, 3),
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
            _labelled(tmp_path / f"{i}", i, 3),
            "v",
            np.array([[value]], kind),
            dims=["time", "x"],
            zarr_format=3,
            attrs=attrs,
        )
    with pytest.raises(zapz.SliceError, match="outside the packed range"):
        zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])


class _Texts(zapz.Source):
    """Gives text as zarr-python does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def documents(self) -> dict[str, bytes]:
        return {str(p.relative_to(self._path)): p.read_bytes() for p in self._path.rglob("zarr.json")}

    def cells(self, path: str, box: Any) -> Any:
        with quiet():
            return zarr.open_array(self._path / path, mode="r")[tuple(slice(a, b) for a, b in box)]


def test_cells_may_be_numpys_own_strings(tmp_path: Path) -> None:
    path = _labelled(tmp_path / "s", 1, 3)
    with quiet():
        group = zarr.open_group(path, mode="r+")
        group.create_array("name", shape=(1, 2), dtype="string", dimension_names=["time", "x"])[...] = np.array(
            [["a", "bc"]], object
        )
        zapz.append(tmp_path / "t", _Texts(path))
        assert zarr.open_group(tmp_path / "t", mode="r")["name"][...].tolist() == [["a", "bc"]]


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


@pytest.mark.parametrize(("fill", "refused"), [(0, True), (-7, False)])
def test_a_packed_cell_that_equals_the_fill_value(tmp_path: Path, fill: int, refused: bool) -> None:
    """Nobody chose 0, which is zarr-python's default: it may be a value. Another one says that it marks missing cells."""
    for i, (offset, stored) in enumerate([(100.0, 5), (0.0, fill)]):
        attrs = {"scale_factor": 1.0, "add_offset": offset}
        path = _labelled(tmp_path / f"{i}", i, 2)
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


@pytest.mark.parametrize("filters", [[numcodecs.Delta(">i2")], [numcodecs.Delta(">i2", astype=">i4")]], ids=str)
def test_array_filters_over_big_endian_numbers_in_the_other_format(tmp_path: Path, filters: list[Any]) -> None:
    """zarr-python takes the numbers under such filters for little-endian in v3."""
    for i in range(2):
        path = _labelled(tmp_path / f"{i}", i, 2)
        with quiet():
            zarr.open_group(path, mode="r+").create_array(
                "v", shape=(1, 3), chunks=(1, 3), dtype=">i2", fill_value=None, compressors=None, filters=filters,
                attributes={"_ARRAY_DIMENSIONS": ["time", "x"]},
            )[...] = [[39, 40, 41 + i]]  # fmt: skip
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"], zarr_format=3)
    assert read(tmp_path / "t")["v"].tolist() == [[39, 40, 41], [39, 40, 42]]


# -- an attribute _FillValue that contradicts the fill value of v2


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


# -- bounds that a v2 fill value would hide


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
    path = _labelled(tmp_path / "s", 0, 2)
    write_array(path, "v", np.array([0], "i2"), dims=["time"], zarr_format=2, fill=None, attrs={"_FillValue": 0})
    zapz.append(tmp_path / "t", path, variables={"v": {"encoding": {"compressor": None}}})
    assert read(tmp_path / "t")["v"].tolist() == [0]
    with quiet():
        assert np.isnan(xr.open_zarr(tmp_path / "t", consolidated=False).v.values).all()
