"""In-memory and lazy slices, appended by zapz and by xarray's ``to_zarr``: ratios of one run.

python benchmarks/in_memory.py [ROUNDS]
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import zapz

SHAPE = (1, 2000, 2500)
"""Cells of one slice: 20 MB of float32."""
SLICES = 6


def slices(*, lazy: bool) -> list[Any]:
    """Return slices of one day each, with one variable and its coordinates."""
    rng = np.random.default_rng(0)
    found = []
    for day in range(SLICES):
        time_ = np.array(["2024-01-01"], dtype="M8[ns]") + np.timedelta64(day, "D")
        cells = rng.normal(size=SHAPE).astype("f4")
        coords = {"time": time_, "y": np.arange(SHAPE[1], dtype="f8"), "x": np.arange(SHAPE[2], dtype="f8")}
        dataset = xr.Dataset({"v": (("time", "y", "x"), cells)}, coords=coords)
        dataset.v.encoding["chunks"] = (1, 500, 500)
        found.append(dataset.chunk({"y": 500, "x": 500}) if lazy else dataset)
    return found


def by_zapz(target: Path, items: list[Any]) -> None:
    """Append with zapz, without waiting for the disk, as xarray does not either."""
    zapz.append(target, items, durability="process")


def by_xarray(target: Path, items: list[Any]) -> None:
    """Append with xarray."""
    items[0].to_zarr(target, zarr_format=3, consolidated=False)
    for item in items[1:]:
        item.drop_encoding().to_zarr(target, append_dim="time", consolidated=False)


def seconds(function: Callable[[Path, list[Any]], None], items: list[Any]) -> float:
    """Return how long an append of all slices takes."""
    folder = Path(tempfile.mkdtemp())
    try:
        started = time.perf_counter()
        function(folder / "target.zarr", items)
        return time.perf_counter() - started
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Print the ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, lazy in (("in memory", False), ("lazily computed", True)):
        items = slices(lazy=lazy)
        pairs = [(seconds(by_zapz, items), seconds(by_xarray, items)) for _ in range(rounds)]
        ratios = [a / b for a, b in pairs]
        print(f"{name}: zapz / xarray {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
