"""Lossy filters of a target: old values never move, new ones no further than the filter says."""

from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from kit.trees import snapshot

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
    before = snapshot(target)
    with pytest.raises(zapz.SliceError, match="fixedscaleoffset"):
        zapz.append(target, write(tmp_path / "s", 1, values_of(1, 1), None, chunk=1))
    assert snapshot(target) == before


def test_filter_that_is_not_stable_is_refused_at_a_boundary(tmp_path: Path) -> None:
    """A scale that its own rounding does not give back to the bit would move old values: refused, whatever the slice."""
    shaky = numcodecs.AsType(encode_dtype="f4", decode_dtype="f8")
    target = write(tmp_path / "t", 0, np.full((1, 5), 0.5), [shaky], chunk=8)
    zapz.append(target, write(tmp_path / "a", 1, np.full((1, 5), 0.25), None, chunk=1))
    with pytest.raises(zapz.SliceError, match="astype"):
        zapz.append(target, write(tmp_path / "b", 2, np.full((1, 5), 0.1), None, chunk=1))
