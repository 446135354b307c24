"""A v2 target with ``fill_value: null``: what a chunk would read as that is not there, nobody has said.

Where the slice says what its cells are, they are written, also where zarr-python would read the same from nothing; where neither side
says anything, nothing is written.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kit import cubes

import zapz

SETTINGS: dict[str, Any] = {"workers": 1, "label_chunk": "keep"}


def write(path: Path, values: Any, start: int, *, zarr_format: int = 2, fill: Any, attrs: Any = None) -> Path:
    """Write labels, and a cube ``v`` in chunks of two steps and two columns, of which those that hold only its fill value are left out."""
    values = np.asarray(values, "<i4")
    cubes.write_group(path, zarr_format=zarr_format)
    labels = {"dims": ["time"], "chunks": [4], "fill": None if zarr_format == 2 else "default"}
    cubes.write_array(path, "time", np.arange(start, start + len(values)), zarr_format=zarr_format, **labels)
    options = {"dims": ["time", "x"], "chunks": [2, 2], "fill": fill, "attrs": attrs, "write_empty": False}
    cubes.write_array(path, "v", values, zarr_format=zarr_format, **options)
    return path


def chunks(path: Path) -> list[str]:
    """Return the chunks of the cube that are there."""
    return sorted(file.name for file in (path / "v").iterdir() if file.name[0] != ".")


def read_by_all(target: Path) -> np.ndarray[Any, Any]:
    """Return what zarr-python, xarray and tensorstore read, which is the same."""
    found = np.asarray(zarr.open_array(str(target / "v"), mode="r")[...])
    np.testing.assert_array_equal(cubes.read_tensorstore(target / "v", zarr_format=2), found)
    with cubes.quiet(), xr.open_zarr(target, consolidated=True) as seen:
        np.testing.assert_array_equal(seen["v"].to_numpy(), found)
    return found


@pytest.fixture(params=[2, 3], ids=["aligned", "boundary"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a target of two or three steps whose fill value is undefined, and all of whose chunks are there."""
    old = np.arange(1, 4 * request.param + 1).reshape(request.param, 4)
    first = write(tmp_path / "first.zarr", old, 0, fill=None)
    zapz.append(tmp_path / "cube.zarr", first, **SETTINGS)
    assert zarr.open_array(str(tmp_path / "cube.zarr/v"), mode="r").metadata.fill_value is None
    return tmp_path / "cube.zarr"


def expected(target: Path, slice_: Any) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return the values after an append, and the chunks if all are there."""
    whole = np.concatenate([read_by_all(target), np.asarray(slice_)])
    return whole, [f"{i}.{j}" for i in range(-(-len(whole) // 2)) for j in range(2)]


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("part", [[[0] * 4] * 2, [[0, 0, 5, 6], [0, 0, 7, 8]], [[0] * 4] * 5])
def test_zeros_of_a_slice_that_defines_them_are_written(target: Path, tmp_path: Path, part: Any, gap: bool) -> None:
    """The slice lacks the chunks because they hold its fill value: that is what it says. Old chunks that are not there change nothing."""
    start = len(read_by_all(target))
    if gap:
        (target / "v" / chunks(target)[-2]).unlink()
    slice_ = write(tmp_path / "next.zarr", part, start, zarr_format=3, fill=0)
    values, keys = expected(target, part)
    there = chunks(target)
    zapz.append(target, slice_, **SETTINGS)
    np.testing.assert_array_equal(read_by_all(target), values)
    assert set(keys) - set(chunks(target)) <= {key for key in keys if int(key[0]) < start // 2} - set(there)


@pytest.mark.parametrize("gap", [False, True])
def test_variable_that_the_slice_has_not(target: Path, tmp_path: Path, gap: bool) -> None:
    start = len(read_by_all(target))
    if gap:
        (target / "v" / chunks(target)[-2]).unlink()
    slice_ = write(tmp_path / "next.zarr", [[1] * 4] * 3, start, fill=None)
    shutil.rmtree(slice_ / "v")
    values, keys = expected(target, [[0] * 4] * 3)
    there = chunks(target)
    zapz.append(target, slice_, on_missing="fill", **SETTINGS)
    np.testing.assert_array_equal(read_by_all(target), values)
    assert set(keys) - set(chunks(target)) <= {key for key in keys if int(key[0]) < start // 2} - set(there)


def test_what_neither_side_defines_is_not_written(target: Path, tmp_path: Path) -> None:
    """Neither the old cells nor the new ones of a chunk are anything that anybody has said."""
    start = len(read_by_all(target))
    for key in chunks(target)[-2:]:
        (target / "v" / key).unlink()
    slice_ = write(tmp_path / "next.zarr", [[0, 0, 5, 6]] * 3, start, fill=None)
    for name in ("0.0", "1.0"):
        (slice_ / "v" / name).unlink(missing_ok=True)
    values, keys = expected(target, [[0, 0, 5, 6]] * 3)
    zapz.append(target, slice_, **SETTINGS)
    np.testing.assert_array_equal(read_by_all(target), values)
    assert set(keys) - set(chunks(target)) >= {key for key in keys if key.endswith(".0") and int(key[0]) >= start // 2}
    assert {key for key in keys if key.endswith(".1") and int(key[0]) >= start // 2} <= set(chunks(target))
