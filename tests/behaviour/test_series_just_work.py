"""Series of files as xarray writes them, one slice after another, without any setting: what is read is what xarray would concatenate."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from kit.cubes import quiet
from typer.testing import CliRunner

import zapz
from zapz.cf.calendars import UNITS, parse_axis
from zapz.cli.app import app
from zapz.planning.label_units import units_to_come


def _slices(times: Any, size: int = 1, *, bounds: bool = False, dim: str = "time") -> list[xr.Dataset]:
    """Return slices of ``size`` steps."""
    found = []
    for i in range(0, len(times), size):
        part = times[i : i + size]
        ds = xr.Dataset({"a": ((dim, "x"), np.full((len(part), 3), float(i)))}, {dim: part, "x": [1.0, 2.0, 3.0]})
        if bounds:
            ends = np.stack([part, part + np.timedelta64(90, "m")], axis=1)
            ds[f"{dim}_bnds"] = ((dim, "nv"), ends)
            ds[dim].attrs["bounds"] = f"{dim}_bnds"
        found.append(ds)
    return found


def _range(start: str, step: str, several: int = 5) -> Any:
    return np.asarray(pd.date_range(start, periods=several, freq=step))


KINDS: dict[str, Callable[[], list[xr.Dataset]]] = {
    "daily": lambda: _slices(_range("2024-01-01", "D")),
    "six-hourly from midnight": lambda: _slices(_range("2024-01-01", "6h")),
    "hourly from 06:00": lambda: _slices(_range("2024-01-01T06:00", "h")),
    "minutes and seconds": lambda: _slices(_range("2024-01-01T00:00:30", "97s")),
    "milliseconds": lambda: _slices(_range("2024-01-01T00:00:00.250", "250ms")),
    "several steps a file": lambda: _slices(_range("2024-01-01", "6h", 8), 4),
    "bounds": lambda: _slices(_range("2024-01-01", "3h"), bounds=True),
    "lead times": lambda: _slices((np.arange(5) * 3).astype("m8[h]").astype("m8[ns]"), dim="time"),
    "lead times of days, then hours": lambda: _slices(np.array([24, 48, 49, 50], "m8[h]").astype("m8[ns]"), dim="time"),
    "a model calendar": lambda: _slices(
        np.array([cftime.DatetimeNoLeap(2024, 2, 28, h) for h in (0, 6, 12, 18)], dtype=object)
    ),
}


def _decoded(path: Path) -> xr.Dataset:
    coder = xr.coders.CFDatetimeCoder(use_cftime=None)
    with quiet():
        return xr.open_zarr(path, decode_times=coder, decode_timedelta=True).load()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_series_of_files_from_the_shell(kind: str, zarr_format: int, tmp_path: Path) -> None:
    slices = KINDS[kind]()
    paths = [str(tmp_path / f"{i}.zarr") for i in range(len(slices))]
    with quiet():
        for path, dataset in zip(paths, slices, strict=True):
            dataset.to_zarr(path, zarr_format=zarr_format)
    done = CliRunner().invoke(app, ["append", str(tmp_path / "cube.zarr"), *paths])
    assert done.exit_code == 0, done.output
    xr.testing.assert_equal(_decoded(tmp_path / "cube.zarr"), xr.concat(slices, "time", data_vars="minimal"))


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_series_in_memory(kind: str, zarr_format: int, tmp_path: Path) -> None:
    slices = KINDS[kind]()
    zapz.append(tmp_path / "cube.zarr", slices, zarr_format=zarr_format)
    xr.testing.assert_equal(_decoded(tmp_path / "cube.zarr"), xr.concat(slices, "time", data_vars="minimal"))


@pytest.mark.parametrize("kind", ["six-hourly from midnight", "bounds", "lead times"])
def test_files_that_are_opened_again(kind: str, tmp_path: Path) -> None:
    """What xarray opens remembers how it was stored; that is no choice of the user's."""
    slices = KINDS[kind]()
    for i, dataset in enumerate(slices):
        with quiet():
            dataset.to_zarr(tmp_path / f"{i}.zarr")
            opened = xr.open_zarr(tmp_path / f"{i}.zarr", decode_timedelta=True)
        zapz.append(tmp_path / "cube.zarr", opened)
    xr.testing.assert_equal(_decoded(tmp_path / "cube.zarr"), xr.concat(slices, "time", data_vars="minimal"))


def _first(tmp_path: Path, units: str, value: float = 0, dtype: str = "i8", **settings: Any) -> dict[str, Any]:
    raw = xr.Dataset({"a": ("time", [1.0]), "time": ("time", np.array([value], dtype), {"units": units})})
    with quiet():
        raw.to_zarr(tmp_path / "s.zarr")
    report = zapz.append(tmp_path / "t.zarr", tmp_path / "s.zarr", **settings)
    with quiet():
        time = xr.open_zarr(tmp_path / "t.zarr", decode_times=False).time
    assert any("time is stored in" in note for r in report.slices for note in r.notes) == (time.units != units)
    return {"units": time.units, "value": np.asarray(time).tolist(), "dtype": str(time.dtype)}


@pytest.mark.parametrize(
    ("units", "value", "dtype"),
    [
        ("days since 1950-01-01", 27028, "i8"),
        ("days since 2024-01-01", 0, "f8"),
        ("seconds since 2024-01-01", 0, "i8"),
        ("months since 2024-01-01", 0, "i8"),
        ("years since 2024-01-01", 0, "i8"),
        ("level", 0, "i8"),
    ],
)
def test_units_that_were_chosen_are_kept(units: str, value: float, dtype: str, tmp_path: Path) -> None:
    found = _first(tmp_path, units, value, dtype)
    assert found == {"units": units, "value": [value], "dtype": str(np.dtype(dtype))}


def test_the_setting_keeps_them_too(tmp_path: Path) -> None:
    assert _first(tmp_path, "days since 2024-01-01", label_units="keep")["units"] == "days since 2024-01-01"


def test_configured_units_win(tmp_path: Path) -> None:
    chosen = {"time": {"encoding": {"units": "minutes since 2024-01-01"}}}
    with quiet():
        xr.Dataset({"a": ("time", [1.0])}, {"time": [np.datetime64("2024-01-01", "ns")]}).to_zarr(tmp_path / "s")
        zapz.append(tmp_path / "t", tmp_path / "s", variables=chosen)
        assert xr.open_zarr(tmp_path / "t", decode_times=False).time.units == "minutes since 2024-01-01"


def test_an_int32_label_becomes_int64(tmp_path: Path) -> None:
    assert _first(tmp_path, "days since 2024-01-01", 0, "i4") == {
        "units": "seconds since 2024-01-01",
        "value": [0],
        "dtype": "int64",
    }


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("date", ["2024-01-01", "2024-01-01 06:30:00", "1850-01-01", "2024-01-01T00:00:00.5"])
def test_new_units_count_from_the_same_date(unit: str, date: str) -> None:
    """Whatever follows in whole seconds has a whole number; the first label stays 0."""
    axis = parse_axis(f"{unit} since {date}", "standard")
    assert axis is not None
    found = units_to_come(f"{unit} since {date}", "standard", [axis.origin])
    if UNITS[unit] <= 1:
        assert found is None
        return
    assert found is not None
    finer = parse_axis(found, "standard")
    assert finer is not None
    assert finer.origin == axis.origin
    assert ((Fraction(86399) + Fraction(int(axis.origin)) - finer.origin) / finer.step).denominator == 1


def test_a_cube_that_is_there_says_what_to_do(tmp_path: Path) -> None:
    """Its labels are not rewritten behind the backs of readers."""
    slices = KINDS["six-hourly from midnight"]()
    zapz.append(tmp_path / "t.zarr", slices[0], label_units="keep")
    with pytest.raises(zapz.EncodingError, match="cannot be stored exactly") as caught:
        zapz.append(tmp_path / "t.zarr", slices[1])
    assert caught.value.remedies["force_new"] is True
    units = caught.value.remedies["variables.time.encoding.units"]
    variables = {"time": {"encoding": {"units": units}}}
    zapz.append(tmp_path / "t.zarr", slices, force_new=True, variables=variables)
    xr.testing.assert_equal(_decoded(tmp_path / "t.zarr"), xr.concat(slices, "time", data_vars="minimal"))
