"""Real cubes, appended slice by slice, equal the whole."""

import json
import runpy
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import zarr
from kit.cubes import quiet
from kit.trees import tree

import zapz

CASES = ["sentinel3_v2", "sentinel3_v3", "ghrsst_v2", "ghrsst_v3"]


def compare(data: Path, target: Path, expected: Path, *, data_only: bool = False) -> None:
    with quiet():
        differences = judge(data / "compare.py")(str(target), str(expected), data_only)
    assert differences == []


@cache
def judge(script: Path) -> Callable[..., list[str]]:
    """Return the function that the script is about, without a process for each comparison."""
    found: Callable[..., list[str]] = runpy.run_path(str(script))["cmp"]
    return found


def slices_of(data: Path, case: str) -> list[Path]:
    return sorted((data / case / "slices").glob("*.zarr"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("label_chunk", [1024, "keep"])
def test_series_equals_whole(data: Path, tmp_path: Path, case: str, label_chunk: object) -> None:
    target = tmp_path / "cube.zarr"
    report = zapz.append(target, slices_of(data, case), label_chunk=label_chunk)
    assert report.appended == len(slices_of(data, case))
    compare(data, target, data / case / "expected.zarr")
    assert not (target / ".zapz").exists()


@pytest.mark.parametrize("case", ["sentinel3_v2", "sentinel3_v3"])
def test_series_cut_otherwise(data: Path, tmp_path: Path, case: str) -> None:
    """2 + 2 + 1 steps in slices whose chunks are 2 long, into a target of chunks of 2, and into one of chunks of 1."""
    first, *rest = slices_of(data, case)
    target = tmp_path / "cube.zarr"
    merged = tmp_path / "two.zarr"
    zapz.append(merged, [first, *rest], label_chunk="keep")
    cut = []
    for start, stop in ((0, 2), (2, 4), (4, 5)):
        part = tmp_path / f"{start}.zarr"
        cut_steps(merged, part, start, stop)
        cut.append(part)
    zapz.append(target, cut)
    compare(data, target, data / case / "expected.zarr", data_only=True)


def cut_steps(source: Path, target: Path, start: int, stop: int) -> None:
    """Write steps start to stop of a dataset with zarr-python, in chunks of 2 along time."""
    group = zarr.open_group(str(source), mode="r", use_consolidated=False)
    out = zarr.open_group(str(target), mode="w", zarr_format=group.metadata.zarr_format)
    out.attrs.update(dict(group.attrs))
    for name, array in group.arrays():
        v2 = group.metadata.zarr_format == 2
        dims = array.attrs["_ARRAY_DIMENSIONS"] if v2 else array.metadata.dimension_names
        cells = np.asarray(array[...])
        chunks = tuple(2 if d == "time" else c for d, c in zip(dims, array.chunks, strict=True))
        if "time" in dims:
            cells = cells[start:stop]
        extra = {} if v2 else {"dimension_names": dims}
        new = out.create_array(
            name, shape=cells.shape, chunks=chunks, dtype=cells.dtype, fill_value=array.fill_value, **extra
        )
        new.attrs.update(dict(array.attrs))
        new[...] = cells


@pytest.mark.parametrize(("first", "rest"), [(2, 3), (3, 2)])
def test_other_format_follows(data: Path, tmp_path: Path, first: int, rest: int) -> None:
    """A target of one format, made from its first slice, takes the other format's slices."""
    here, there = data / f"sentinel3_v{first}", data / f"sentinel3_v{rest}"
    begin = [r[0] for r in json.loads((there / "case.json").read_text())["ranges"]]
    own = json.loads((here / "case.json").read_text())["ranges"]
    start = own[0][1] if first == 3 else 2
    opening = [s for s, r in zip(slices_of(data, here.name), own, strict=True) if r[1] <= start]
    following = [s for s, a in zip(slices_of(data, there.name), begin, strict=True) if a >= start]
    target = tmp_path / "cube.zarr"
    report = zapz.append(target, [*opening, *following])
    assert report.length == 5
    compare(data, target, here / "expected.zarr", data_only=True)


@pytest.mark.parametrize(("first", "rest"), [(2, 3), (3, 2)])
def test_marker_of_one_format_is_not_a_value_of_the_other(data: Path, tmp_path: Path, first: int, rest: int) -> None:
    """The v3 series has no _FillValue: for readers its -32768 are values, and those of v2 are missing. Neither becomes the other."""
    target = tmp_path / "cube.zarr"
    zapz.append(target, slices_of(data, f"ghrsst_v{first}")[0])
    before = tree(target)
    with pytest.raises(zapz.SliceError, match="-32768"):
        zapz.append(target, slices_of(data, f"ghrsst_v{rest}")[1])
    assert tree(target) == before


@pytest.mark.parametrize("case", ["sentinel3_v2", "ghrsst_v2", "sentinel3_v3", "ghrsst_v3"])
@pytest.mark.parametrize("wanted", [2, 3])
def test_new_target_of_other_format(data: Path, tmp_path: Path, case: str, wanted: int) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, slices_of(data, case), zarr_format=wanted)
    compare(data, target, data / case / "expected.zarr", data_only=True)
    assert (target / ("zarr.json" if wanted == 3 else ".zgroup")).exists()


@pytest.mark.parametrize("case", ["sentinel3_v2", "sentinel3_v3"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_sharded_target(data: Path, tmp_path: Path, case: str, steps: int) -> None:
    """Slices go into shards of several steps without their inner chunks being decoded where the codecs are equal."""
    target = tmp_path / "cube.zarr"
    source = zarr.open_group(str(data / "sentinel3_v3" / "expected.zarr"), mode="r")
    out = zarr.open_group(str(target), mode="w", zarr_format=3)
    for name, array in source.arrays():
        dims = array.metadata.dimension_names
        shape = tuple(0 if d == "time" else n for d, n in zip(dims, array.shape, strict=True))
        if "time" in dims and array.ndim == 3:
            chunks = (1, *array.chunks[1:])
            shards = (steps, *(2 * c for c in array.chunks[1:]))
            new = out.create_array(
                name,
                shape=shape,
                chunks=chunks,
                shards=shards,
                dtype=array.dtype,
                fill_value=array.fill_value,
                dimension_names=dims,
                compressors=array.compressors,
            )
        else:
            new = out.create_array(
                name,
                shape=shape,
                chunks=array.chunks,
                dtype=array.dtype,
                fill_value=array.fill_value,
                dimension_names=dims,
            )
            if "time" not in dims:
                new[...] = array[...]
        new.attrs.update(dict(array.attrs))
    zapz.append(target, slices_of(data, case))
    compare(data, target, data / "sentinel3_v3" / "expected.zarr", data_only=True)


def test_same_slice_again_is_already_there(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    slices = slices_of(data, "sentinel3_v2")
    zapz.append(target, slices[:3])
    report = zapz.append(target, slices)
    assert (report.already, report.appended) == (3, 2)
    compare(data, target, data / "sentinel3_v2" / "expected.zarr")


def test_read_only_data_is_not_changed(data: Path, tmp_path: Path) -> None:
    """Slices are only read: a copy of them is the same afterwards."""
    copy = tmp_path / "slices"
    shutil.copytree(data / "ghrsst_v2" / "slices", copy)
    before = tree(copy)
    zapz.append(tmp_path / "cube.zarr", sorted(copy.glob("*.zarr")))
    assert tree(copy) == before
