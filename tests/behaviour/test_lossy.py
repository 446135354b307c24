"""Lossy filters of a target: old values never move, new ones no further than the filter says."""

import os
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from kit import cubes
from kit.cubes import write_array, write_group
from kit.small_cubes import FAST, NAN, patch, rd
from kit.trees import tree

import zapz

STEPS = 6


def write(path: Path, start: int, values: np.ndarray, filters: list[object] | None, chunk: int) -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    time = group.create_array("time", shape=(len(values),), chunks=(8,), dtype="i8", fill_value=None)
    time[...] = np.arange(start, start + len(values))
    time.attrs["_ARRAY_DIMENSIONS"] = ["time"]
    data = group.create_array(
        "data",
        shape=values.shape,
        chunks=(chunk, *values.shape[1:]),
        dtype=values.dtype,
        filters=filters,
        fill_value=0,
    )
    data[...] = values
    data.attrs["_ARRAY_DIMENSIONS"] = ["time", "x"]
    return path


def values_of(seed: int, steps: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (steps, 5)).astype("f8")


FILTERS = {
    "fixedscaleoffset": numcodecs.FixedScaleOffset(offset=0, scale=100, dtype="f8", astype="i4"),
    "quantize": numcodecs.Quantize(digits=2, dtype="f8"),
    "bitround": numcodecs.BitRound(keepbits=10),
}


@pytest.mark.parametrize("name", FILTERS)
def test_old_values_do_not_move_however_often_their_chunk_is_rewritten(tmp_path: Path, name: str) -> None:
    target = write(tmp_path / "t", 0, values_of(0, 1), [FILTERS[name]], chunk=8)
    for start in range(1, STEPS):
        before = zarr.open_group(str(target), mode="r")["data"][...]
        zapz.append(target, write(tmp_path / f"{start}", start, values_of(start, 1), None, chunk=1))
        after = zarr.open_group(str(target), mode="r")["data"][...]
        assert after[:-1].tobytes() == before.tobytes()
        assert np.allclose(after[-1], values_of(start, 1), rtol=2e-3, atol=5.1e-3)


def test_values_outside_the_range_of_a_filter_are_refused(tmp_path: Path) -> None:
    narrow = numcodecs.FixedScaleOffset(offset=0, scale=100, dtype="f8", astype="u1")
    target = write(tmp_path / "t", 0, np.full((1, 5), 1.0), [narrow], chunk=1)
    before = tree(target)
    with pytest.raises(zapz.SliceError, match="fixedscaleoffset"):
        zapz.append(target, write(tmp_path / "s", 1, values_of(1, 1), None, chunk=1))
    assert tree(target) == before


def test_filter_that_is_not_stable_is_refused_at_a_boundary(tmp_path: Path) -> None:
    """A scale that its own rounding does not give back to the bit would move old values: refused, whatever the slice."""
    shaky = numcodecs.AsType(encode_dtype="f4", decode_dtype="f8")
    target = write(tmp_path / "t", 0, np.full((1, 5), 0.5), [shaky], chunk=8)
    zapz.append(target, write(tmp_path / "a", 1, np.full((1, 5), 0.25), None, chunk=1))
    with pytest.raises(zapz.SliceError, match="astype"):
        zapz.append(target, write(tmp_path / "b", 2, np.full((1, 5), 0.1), None, chunk=1))


LOSSY = {
    "delta with NaN": (numcodecs.Delta("<f8"), [np.nan, 5.0, 6.0], "f8"),
    "quantize to infinity": (numcodecs.Quantize(3, "<f4"), [9.96921e36, 1.0, 2.0], "f4"),
    "bitround to infinity": (numcodecs.BitRound(4), [3.4e38, 1.0, 2.0], "f4"),
}


@pytest.mark.parametrize("name", LOSSY)
def test_values_that_do_not_survive_a_filter_are_refused(tmp_path: Path, name: str) -> None:
    codec, values, dtype = LOSSY[name]
    parts = []
    for n in range(2):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=2)
        cells = np.array([1, 2, 3] if n == 0 else values, dtype)
        filters = [codec] if n == 0 else None
        write_array(part, "v", cells, zarr_format=2, dims=["time"], fill=9.96921e36, chunks=[3], filters=filters)
    with pytest.raises(zapz.SliceError, match="filter"):
        zapz.append(tmp_path / "c.zarr", parts, **FAST)
    assert rd(tmp_path / "c.zarr", "v").tolist() == [1, 2, 3]


def test_missing_cells_that_do_not_survive_a_filter_are_refused(tmp_path: Path) -> None:
    for n in range(2):
        part = tmp_path / f"{n}.zarr"
        write_group(part, zarr_format=3)
        write_array(part, "time", np.arange(2) + 2 * n, zarr_format=3, dims=["time"])
    first = tmp_path / "0.zarr"
    write_array(first, "v", np.array([1.0, 2.0]), zarr_format=3, dims=["time"], fill=0.0, chunks=[2])
    codec = {
        "name": "numcodecs.fixedscaleoffset",
        "configuration": {"offset": 0, "scale": 10, "dtype": "<f8", "astype": "|i1"},
    }
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    patch(first / "v" / "zarr.json", codecs=[codec, little], attributes={"_FillValue": NAN})
    os.remove(first / "v" / "c" / "0")
    with cubes.quiet():
        zarr.open_array(str(first / "v"), mode="a")[...] = [1, 2]
        zapz.append(tmp_path / "c.zarr", first, **FAST)
        with pytest.raises(zapz.SliceError, match="filter"):
            zapz.append(tmp_path / "c.zarr", tmp_path / "1.zarr", on_missing="fill", **FAST)


@pytest.mark.parametrize("codec", [numcodecs.FixedScaleOffset(0, 10, "<f8", "|i1"), numcodecs.Quantize(1, "<f8")])
def test_resume_over_a_lossy_filter(tmp_path: Path, codec: object) -> None:
    parts = []
    for n, values in ((0, [1, 2]), (1, [1.04, 2.33])):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=2)
        write_array(part, "time", np.arange(2) + 2 * n, zarr_format=2, dims=["time"], fill=None)
        filters = [codec] if n == 0 else None
        write_array(
            part, "v", np.array(values, "f8"), zarr_format=2, dims=["time"], fill=None, chunks=[2], filters=filters
        )
    zapz.append(tmp_path / "c.zarr", parts, **FAST)
    assert zapz.append(tmp_path / "c.zarr", parts, **FAST).already == 2
