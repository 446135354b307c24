"""The README: short, and all that it shows runs and prints what it shows. What it says of xarray is measured."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from kit import ROOT
from kit.pages import PAGES, README, Stage, blocks_of
from kit.servers import Server

TEXT = README.read_text(encoding="utf-8")
MOST_LINES = 150


def test_all_that_it_shows(tmp_path: Path, moto_s3: Server) -> None:
    """In the order in which it stands there."""
    stage = Stage(tmp_path, moto_s3)
    with stage.entered():
        for block in blocks_of(TEXT):
            stage.run(block)


def test_it_is_short() -> None:
    assert TEXT.count("\n") <= MOST_LINES


def test_it_leads_to_every_page() -> None:
    for page in [*PAGES[1:], ROOT / "docs" / "tutorial.ipynb"]:
        assert f"](docs/{page.name})" in TEXT, page


def test_set_up_lines_are_single_and_what_ci_runs() -> None:
    lines = [line for block in blocks_of(TEXT) if block.language == "sh" for line in block.text.splitlines()]
    assert len(lines) == 2
    assert re.fullmatch(r"python3 -m venv .*zapz demo", lines[0])
    assert re.fullmatch(r"python3 -m venv .*-m pytest -n 2", lines[1])
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "line 'zapz demo'" in script
    assert "line 'pytest -n 2'" in script


@pytest.mark.parametrize("start", [0, 6])
def test_xarray_writes_wrong_times_for_hourly_steps(tmp_path: Path, start: int) -> None:
    """With a warning that names other units than those that are stored. zapz writes the right ones."""
    import xarray as xr

    import zapz

    hours = [np.datetime64(f"2025-01-01T{start + hour:02}", "ns") for hour in range(2)]
    slices = [xr.Dataset({"t2m": (("time", "x"), np.ones((1, 3)))}, {"time": [hour]}) for hour in hours]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        slices[0].to_zarr(tmp_path / "xarray.zarr")
        slices[1].to_zarr(tmp_path / "xarray.zarr", append_dim="time")
        by_xarray = xr.open_zarr(tmp_path / "xarray.zarr")["time"].values
    zapz.append(tmp_path / "zapz.zarr", slices)
    assert list(xr.open_zarr(tmp_path / "zapz.zarr", consolidated=False)["time"].values) == hours
    assert list(by_xarray) == [hours[0], hours[0] + np.timedelta64(1, "D")], (
        "xarray does better now: say so in the README"
    )
    assert "Serializing with units 'hours since" in " ".join(str(each.message) for each in caught)
