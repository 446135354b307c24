"""Small slices of one kind each, for cases that are as small as they can be."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from kit.cubes import write_array, write_group

NAN = base64.b64encode(struct.pack("<d", float("nan"))).decode()


FAST: dict[str, Any] = {"durability": "process", "label_chunk": "keep"}


def rd(path: Path, name: str) -> np.ndarray:
    return zarr.open_array(str(path / name), mode="r")[...]


def patch(path: Path, **fields: object) -> None:
    meta = json.loads(path.read_text())
    meta.update(fields)
    path.write_text(json.dumps(meta))


def labelled(path: Path, labels: list[int], units: str) -> Path:
    write_group(path, zarr_format=2)
    write_array(path, "time", np.array(labels), zarr_format=2, dims=["time"], fill=None, attrs={"units": units})
    write_array(path, "v", np.array(labels) * 2.0, zarr_format=2, dims=["time"], fill=None)
    return path


DAYS = {"units": "days since 2000-01-01"}


def timed(
    path: Path, start: int, zarr_format: int = 3, steps: int = 2, **arrays: tuple[list[str], Any, Mapping[str, Any]]
) -> Path:
    write_group(path, zarr_format=zarr_format)
    times = np.arange(start, start + steps)
    write_array(
        path,
        "time",
        times,
        dims=["time"],
        zarr_format=zarr_format,
        attrs=DAYS,
        fill=None if zarr_format == 2 else "default",
    )
    for name, (dims, data, attrs) in arrays.items():
        fill = {"fill": attrs["fill"]} if "fill" in attrs else {}
        own = {key: value for key, value in attrs.items() if key != "fill"}
        write_array(path, name, data, dims=dims, zarr_format=zarr_format, attrs=own, **fill)
    return path


def one_label(path: Path, label: int, zarr_format: int) -> Path:
    write_group(path, zarr_format=zarr_format)
    write_array(path, "time", np.array([label]), dims=["time"], zarr_format=zarr_format, fill=-1)
    return path
