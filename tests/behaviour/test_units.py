"""Units and calendars: durations, symbols that differ in case, bounds without their parent, unknown calendars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.cubes import quiet, read, write_array, write_group
from kit.small_cubes import timed

import zapz

NAT = int(np.iinfo("i8").min)


SAID = {"units": "hours", "dtype": "timedelta64[ns]"}


@pytest.mark.parametrize(
    ("target", "kind", "slice_", "value", "expected"),
    [
        ({"units": "hours", "_FillValue": -1}, "i8", SAID, NAT, -1),
        ({"units": "hours"}, "f8", SAID, NAT, np.nan),
        ({"units": "hours", "_FillValue": -1}, "i8", {"units": "hours", "missing_value": NAT}, NAT, -1),
        ({"units": "hours", "_FillValue": NAT}, "i8", SAID, NAT, NAT),
        (SAID, "i8", {"units": "hours", "_FillValue": NAT}, NAT, NAT),
        (SAID, "i8", {"units": "hours", "_FillValue": -1}, -1, NAT),
        (SAID, "i8", {"units": "hours"}, np.nan, NAT),
        (SAID, "i8", {"units": "hours"}, NAT, NAT),
        (SAID, "i8", {"units": "days", "_FillValue": -1}, -1, NAT),
    ],
)
def test_a_missing_duration_stays_missing(
    tmp_path: Path, target: Any, kind: str, slice_: Any, value: Any, expected: Any
) -> None:
    first = timed(tmp_path / "0", 0, d=(["time"], np.array([1, 2], kind), target))
    factor = 24 if slice_["units"] == "days" else 1
    second = timed(tmp_path / "1", 2, d=(["time"], np.array([3, value], "f8" if value != value else "i8"), slice_))  # noqa: PLR0124
    zapz.append(tmp_path / "t", [first, second])
    np.testing.assert_array_equal(read(tmp_path / "t")["d"], np.array([1, 2, 3 * factor, expected], kind))


@pytest.mark.parametrize(("one", "other"), [("mS", "MS"), ("S", "MS"), ("H", "S"), ("D", "h"), ("M", "s")])
def test_symbols_of_units_are_told_apart_by_their_case(tmp_path: Path, one: str, other: str) -> None:
    slices = [
        timed(tmp_path / f"{i}", 2 * i, c=(["time"], np.ones(2), {"units": unit}))
        for i, unit in enumerate((one, other))
    ]
    zapz.append(tmp_path / "t", slices[0])
    with pytest.raises(zapz.SliceError, match="units cannot be converted"):
        zapz.append(tmp_path / "t", slices[1])


def test_bounds_whose_parent_does_not_take_part_are_not_copied_as_they_are(tmp_path: Path) -> None:
    for i, since in enumerate(("2000-01-01", "2000-01-05")):
        path = tmp_path / f"{i}"
        write_group(path, zarr_format=3)
        attrs = {"units": f"days since {since}", "bounds": "time_bnds"}
        write_array(path, "time", np.array([0]), dims=["time"], zarr_format=3, attrs=attrs)
        write_array(path, "time_bnds", np.array([[0, 1]]), dims=["time", "nv"], zarr_format=3)
    zapz.append(tmp_path / "t", tmp_path / "0")
    with pytest.raises(zapz.SliceError, match="time_bnds"):
        zapz.append(tmp_path / "t", tmp_path / "1", excluded_variables=["time"], on_missing="fill")


MARS = {"units": "days since 2000-01-01", "calendar": "mars"}


def _martian(start: int) -> xr.Dataset:
    return xr.Dataset({"v": ("time", np.zeros(2))}, {"time": ("time", np.arange(start, start + 2), MARS)})


@pytest.mark.parametrize("how", ["in memory", "stored", "configured"])
def test_a_calendar_that_zapz_does_not_know(tmp_path: Path, how: str) -> None:
    slices: list[Any] = [_martian(0), _martian(2)]
    if how != "in memory":
        for i, made in enumerate(slices):
            with quiet():
                made.to_zarr(tmp_path / f"{i}", zarr_format=3, consolidated=False)
        slices = [tmp_path / "0", tmp_path / "1"]
    settings = {"variables": {"time": {"encoding": {"chunks": [100]}}}} if how == "configured" else {}
    zapz.append(tmp_path / "t", slices, **settings)
    assert read(tmp_path / "t")["time"].tolist() == [0, 1, 2, 3]
    assert zapz.info(tmp_path / "t").labels["time"] == ("0", "3")


@pytest.mark.parametrize("other", [{"calendar": "venus"}, {"units": "days since 2001-01-01"}])
def test_another_calendar_that_zapz_does_not_know(tmp_path: Path, other: dict[str, str]) -> None:
    slices = [_martian(0), _martian(2)]
    slices[1].time.attrs.update(other)
    zapz.append(tmp_path / "t", slices[0])
    with pytest.raises(zapz.SliceError, match="calendar"):
        zapz.append(tmp_path / "t", slices[1])
