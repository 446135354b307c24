"""Small cubes and slices of which pictures are drawn, always the same to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import zapz

DAY, HOUR = np.timedelta64(1, "D"), np.timedelta64(1, "h")
START = np.datetime64("2024-01-01", "ns")


def field(rows: int = 18, cells: int = 36, change: float = 0.0) -> np.ndarray[Any, Any]:
    """Return a field with warm and cold places, and a hole that is missing."""
    y, x = np.meshgrid(np.linspace(89, -89, rows), np.linspace(-179, 179, cells), indexing="ij")
    values = 30 * np.cos(np.radians(y)) ** 2 + 3 * np.sin(np.radians(2 * x)) + change
    values[(np.abs(y) < 30) & (np.abs(x - 40) < 30)] = np.nan
    return values.astype(np.float32)


def days(numbers: Sequence[int], **more: Any) -> dict[str, Any]:
    """Return a slice of these days."""
    rows, cells = 18, 36
    return {
        "time": ("time", START + np.asarray(numbers) * DAY),
        "lat": ("lat", np.linspace(85, -85, rows), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(-175, 175, cells), {"units": "degrees_east"}),
        "sst": (("time", "lat", "lon"), np.stack([field(change=n / 10) for n in numbers]), {"units": "degC"}),
        **more,
    }


SST = {"chunks": [1, 9, 18], "compressor": {"id": "zlib", "level": 1}}
TIME = {"units": "days since 2024-01-01", "dtype": "int64"}
FORM: dict[str, Any] = {
    "zarr_format": 2,
    "label_units": "keep",
    "variables": {"sst": {"encoding": SST}, "time": {"encoding": TIME}},
}


def daily(path: Path, numbers: Sequence[int]) -> Path:
    """Make a cube, or a slice, of Zarr v2: chunks of one day."""
    zapz.append(path, days(numbers), **FORM)
    return path


def with_gaps(path: Path) -> Path:
    """Make a cube of 300 days, of which four are missing."""
    return daily(path, np.delete(np.arange(300), [44, 123, 124, 125]).tolist())


def sharded(path: Path) -> Path:
    """Make a cube of Zarr v3 with shards, packing, and a part-filled chunk."""
    hours, rows, cells = 250, 18, 36
    base = np.broadcast_to(field(), (hours, rows, cells))
    packed = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}
    zapz.append(
        path,
        {
            "time": ("time", START + np.arange(hours) * HOUR),
            "t2m": (("time", "lat", "lon"), base + np.float32(273), {"units": "K"}),
            "wind": (("time", "lat", "lon"), base, {"units": "m s-1"}),
        },
        zarr_format=3,
        label_units="keep",
        variables={
            "t2m": {"encoding": {**packed, "chunks": [10, 9, 18], "shards": [100, 18, 36]}},
            "wind": {"encoding": {"chunks": [24, 9, 18]}},
        },
    )
    return path


def without_labels(path: Path) -> Path:
    """Make a cube that has no labels."""
    zapz.append(path, {"v": (("time", "x"), np.ones((7, 4)))}, variables={"v": {"encoding": {"chunks": [3, 4]}}})
    return path
