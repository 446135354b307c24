"""What a fill value of Zarr v2 says of cells: nothing of booleans and labels, and of others only what both kinds of readers agree on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import quiet, read, write_array, write_group
from kit.trees import tree

import zapz


def _slice(
    path: Path, label: int, data: Any, zarr_format: int, *, fill: Any = "default", time_fill: Any = -1, **options: Any
) -> Path:
    write_group(path, zarr_format=zarr_format)
    write_array(path, "time", np.array([label]), dims=["time"], zarr_format=zarr_format, fill=time_fill)
    write_array(
        path, "v", np.array([data]), dims=["time", "x"], zarr_format=zarr_format, chunks=(1, 2), fill=fill, **options
    )
    return path


def _seen(path: Path) -> xr.Dataset:
    with quiet():
        return xr.open_zarr(path, consolidated=False).load()


# -- booleans


@pytest.mark.parametrize("formats", [*itertools.product([2, 3], [2, 3])], ids=str)
@pytest.mark.parametrize("write_empty", [True, False])
@pytest.mark.parametrize("fills", [*itertools.product([False, True], [False, True])], ids=str)
def test_no_boolean_is_missing(
    tmp_path: Path, fills: tuple[bool, bool], write_empty: bool, formats: tuple[int, int]
) -> None:
    rows = [[True, True, False, False], [False, False, True, True], [True, False, True, True]]
    for i, row in enumerate(rows):
        later = i > 0
        _slice(tmp_path / f"{i}", i, row, formats[later], fill=fills[later], write_empty=write_empty)
    report = zapz.append(tmp_path / "t", [tmp_path / f"{i}" for i in range(3)])
    assert report.appended == 3
    assert read(tmp_path / "t")["v"].tolist() == rows


@pytest.mark.parametrize("formats", [*itertools.product([2, 3], [2, 3])], ids=str)
@pytest.mark.parametrize("first", ["bool", "int8"])
def test_booleans_as_older_and_newer_xarray_store_them(tmp_path: Path, first: str, formats: tuple[int, int]) -> None:
    rows = [[True, False, True], [False, True, True]]
    forms = [first, "int8" if first == "bool" else "bool"]
    for i, form in enumerate(forms):
        attrs = {"dtype": "bool"} if form == "int8" else {}
        _slice(tmp_path / f"{i}", i, np.array(rows[i]).astype(form), formats[i], fill=0, attrs=attrs)
    report = zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])
    assert report.appended == 2
    assert read(tmp_path / "t")["v"].astype(bool).tolist() == rows
    assert read(tmp_path / "t")["v"].dtype == first
    assert not any("dtype" in note for slice_ in report.slices for note in slice_.notes)


def test_other_numbers_are_no_booleans(tmp_path: Path) -> None:
    _slice(tmp_path / "0", 0, [True, False, True], 3)
    _slice(tmp_path / "1", 1, np.array([0, 1, 2], "i1"), 3, attrs={"dtype": "bool"})
    zapz.append(tmp_path / "t", tmp_path / "0")
    before = tree(tmp_path / "t")
    with pytest.raises(zapz.SliceError, match="not a boolean"):
        zapz.append(tmp_path / "t", tmp_path / "1")
    assert tree(tmp_path / "t") == before


# -- cells that equal a fill value that nothing calls missing

ZEROS, NONE = [0, 5, 0, 7], [4, 5, 6, 7]


@pytest.mark.parametrize("dtype", ["i2", "u1", "f4"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_nothing_is_converted_where_both_sides_agree(tmp_path: Path, zarr_format: int, dtype: str) -> None:
    for i in (0, 1):
        _slice(tmp_path / f"{i}", i, np.array(ZEROS, dtype), zarr_format, fill=0)
    report = zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"], label_chunk="keep")
    assert read(tmp_path / "t")["v"].tolist() == [ZEROS] * 2
    assert report.slices[1].copied_chunks == 3


def _marked(path: Path, label: int, row: list[float], form: str) -> Path:
    """Write a slice whose missing cells, if it says that there are any, are -9."""
    attrs: dict[str, Any] = {"attribute": {"_FillValue": -9}, "packed": {"scale_factor": 0.5}}.get(form, {})
    zarr_format, fill = (2, -9) if form != "v3" else (3, 0)
    return _slice(path, label, np.array(row, "i2"), zarr_format, fill=fill, attrs=attrs)


def _target(path: Path, form: str) -> Path:
    attrs: dict[str, Any] = {"packed": {"scale_factor": 0.5}, "attribute": {"_FillValue": -1}}.get(form, {})
    zarr_format, fill = (3, 0) if form == "v3" else (2, -1)
    _slice(path.with_name("first"), 0, np.array(NONE, "i2"), zarr_format, fill=fill, attrs=attrs)
    zapz.append(path, path.with_name("first"), label_chunk="keep")
    return path


@pytest.mark.parametrize("target", ["plain", "attribute", "v3"])
def test_where_readers_differ_the_slice_is_refused(tmp_path: Path, target: str) -> None:
    place = _target(tmp_path / "t", target)
    slice_ = _marked(tmp_path / "s", 1, [-9, 5, 6, 7], "plain")
    before = tree(place)
    with pytest.raises(zapz.SliceError, match="v2_fill_value") as caught:
        zapz.append(place, slice_)
    assert "-9 at index (0, 0)" in str(caught.value)
    assert tree(place) == before


@pytest.mark.parametrize("target", ["plain", "attribute", "v3"])
def test_where_no_cell_is_concerned_chunks_are_copied(tmp_path: Path, target: str) -> None:
    place = _target(tmp_path / "t", target)
    report = zapz.append(place, _marked(tmp_path / "s", 1, [4, 5, 6, 7], "plain"))
    assert report.copied_chunks == 3
    assert read(place)["v"][1].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize("target", ["plain", "attribute", "v3"])
def test_values_stay_values(tmp_path: Path, target: str) -> None:
    place = _target(tmp_path / "t", target)
    zapz.append(place, _marked(tmp_path / "s", 1, [-9, 5, 6, 7], "plain"), v2_fill_value="value")
    assert read(place)["v"][1].tolist() == [-9, 5, 6, 7]


@pytest.mark.parametrize("target", ["plain", "attribute"])
def test_missing_stays_missing(tmp_path: Path, target: str) -> None:
    place = _target(tmp_path / "t", target)
    zapz.append(place, _marked(tmp_path / "s", 1, [-9, 5, 6, 7], "plain"), v2_fill_value="missing")
    assert read(place)["v"][1].tolist() == [-1, 5, 6, 7]
    assert np.isnan(_seen(place).v.values[1]).tolist() == [True, False, False, False]


@pytest.mark.parametrize(("form", "target"), [("attribute", "plain"), ("attribute", "attribute"), ("packed", "packed")])
def test_what_the_conventions_call_missing_needs_no_setting(tmp_path: Path, form: str, target: str) -> None:
    place = _target(tmp_path / "t", target)
    zapz.append(place, _marked(tmp_path / "s", 1, [-9, 5, 6, 7], form))
    assert np.isnan(_seen(place).v.values[1]).tolist() == [True, False, False, False]


def test_a_missing_chunk_is_a_cell_like_any_other(tmp_path: Path) -> None:
    place = _target(tmp_path / "t", "plain")
    slice_ = _marked(tmp_path / "s", 1, [4, 5, 6, 7], "plain")
    (slice_ / "v/0.1").unlink()
    with pytest.raises(zapz.SliceError, match="v2_fill_value"):
        zapz.append(place, slice_)
    zapz.append(place, slice_, v2_fill_value="value")
    assert read(place)["v"][1].tolist() == [4, 5, -9, -9]


def test_a_value_that_the_target_may_call_missing(tmp_path: Path) -> None:
    place = _target(tmp_path / "t", "plain")
    slice_ = _slice(tmp_path / "s", 1, np.array([-1, 5, 6, 7], "i2"), 3)
    with pytest.raises(zapz.SliceError, match=r"read as missing.*v2_fill_value"):
        zapz.append(place, slice_)
    zapz.append(place, slice_, v2_fill_value="value")
    assert read(place)["v"][1].tolist() == [-1, 5, 6, 7]


@pytest.mark.parametrize(("setting", "marked"), [(None, True), ("missing", True), ("value", False)])
def test_a_new_target_of_the_other_format(tmp_path: Path, setting: str | None, marked: bool) -> None:
    slice_ = _slice(tmp_path / "s", 1, np.array([0, 5, 6, 7], "i2"), 2, fill=0)
    zapz.append(tmp_path / "t", slice_, zarr_format=3, v2_fill_value=setting)
    assert read(tmp_path / "t")["v"].tolist() == [[0, 5, 6, 7]]
    assert np.isnan(_seen(tmp_path / "t").v.values[0, 0]) == marked


def test_plans_keep_what_was_settled(tmp_path: Path) -> None:
    place = _target(tmp_path / "t", "plain")
    slice_ = _marked(tmp_path / "s", 1, [-9, 5, 6, 7], "plain")
    plan = zapz.plan(place, slice_, v2_fill_value="value")
    zapz.execute(zapz.Plan.from_json(plan.to_json()))
    assert read(place)["v"][1].tolist() == [-9, 5, 6, 7]


# -- labels


@pytest.mark.parametrize("write_empty", [True, False])
@pytest.mark.parametrize("dtype", ["i8", "f8", "u1"])
@pytest.mark.parametrize("formats", [*itertools.product([2, 3], [2, 3])], ids=str)
def test_a_label_that_equals_the_fill_value_is_a_label(
    tmp_path: Path, formats: tuple[int, int], dtype: str, write_empty: bool
) -> None:
    """xarray takes it for missing in v2: a new target's labels have no fill value."""
    for i in range(2):
        path, zarr_format = tmp_path / f"{i}", formats[i]
        write_group(path, zarr_format=zarr_format)
        for name, values in (("time", [i]), ("x", [0, 1])):
            cells = np.array(values, dtype)
            write_array(path, name, cells, dims=[name], zarr_format=zarr_format, fill=0, write_empty=write_empty)
        write_array(path, "v", np.array([[i, i]]), dims=["time", "x"], zarr_format=zarr_format)
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"])
    seen = _seen(tmp_path / "t")
    assert (seen.time.values.tolist(), seen.x.values.tolist()) == ([0, 1], [0, 1])
    assert seen.time.dtype == dtype
    if formats[0] == 2:
        for name in ("time", "x"):
            assert json.loads((tmp_path / f"t/{name}/.zarray").read_text())["fill_value"] is None


def test_an_empty_text_is_a_label_too(tmp_path: Path) -> None:
    for i, name in enumerate(["", "b"]):
        with quiet():
            group = zarr.open_group(tmp_path / f"{i}", mode="w", zarr_format=2)
            group.create_array("s", shape=(1,), dtype=str, attributes={"_ARRAY_DIMENSIONS": ["s"]})[:] = np.array(
                [name], object
            )
            group.create_array("v", data=np.array([[i]]), attributes={"_ARRAY_DIMENSIONS": ["s", "x"]})
    zapz.append(tmp_path / "t", [tmp_path / "0", tmp_path / "1"], append_dim="s")
    assert _seen(tmp_path / "t").s.values.tolist() == ["", "b"]


def _old_target(path: Path, labels: list[int], fill: Any, *, chunk: int = 4, write_empty: bool = True) -> Path:
    write_group(path, zarr_format=2)
    options: dict[str, Any] = {"chunks": (chunk,), "fill": fill, "write_empty": write_empty}
    write_array(path, "time", np.array(labels), dims=["time"], zarr_format=2, **options)
    write_array(
        path, "v", np.array([[label] * 4 for label in labels], "i2"), dims=["time", "x"], zarr_format=2, chunks=(1, 2)
    )
    return path


def _fill_of(path: Path) -> Any:
    return json.loads((path / "time/.zarray").read_text())["fill_value"]


@pytest.mark.parametrize("fill", [0, 7])
def test_an_existing_target_loses_the_fill_value_that_would_hide_a_label(tmp_path: Path, fill: int) -> None:
    place = _old_target(tmp_path / "t", [-3, -2], fill)
    slices = [_slice(tmp_path / f"{label}", label, np.full(4, label, "i2"), 2) for label in (-1, fill, fill + 1)]
    zapz.append(place, slices[0])
    assert _fill_of(place) == fill
    zapz.append(place, slices[1:])
    assert _fill_of(place) is None
    assert _seen(place).time.values.tolist() == [-3, -2, -1, fill, fill + 1]
    consolidated = json.loads((place / ".zmetadata").read_text())["metadata"]["time/.zarray"]
    assert consolidated == json.loads((place / "time/.zarray").read_text())


def test_labels_that_were_never_written_keep_their_value(tmp_path: Path) -> None:
    """Labels whose chunk is missing read as the fill value; without one they would be something else."""
    place = _old_target(tmp_path / "t", [9, 9, 11, 10], 9, chunk=2, write_empty=False)
    assert not (place / "time/0").exists()
    before = tree(place)
    with pytest.raises(zapz.LabelError, match=r"label equals fill_value.*time/0"):
        zapz.append(place, _slice(tmp_path / "s", 9, np.full(4, 9, "i2"), 2), label_order="decreasing")
    assert tree(place) == before


def test_missing_chunks_of_labels_that_read_the_same_do_not_matter(tmp_path: Path) -> None:
    place = _old_target(tmp_path / "t", [0], 0, chunk=1, write_empty=False)
    assert not (place / "time/0").exists()
    zapz.append(place, _slice(tmp_path / "s", 1, np.full(4, 1, "i2"), 2), label_order="increasing")
    assert _seen(place).time.values.tolist()[1] == 1
    assert read(place)["time"].tolist() == [0, 1]


def test_a_label_that_is_not_there_at_all_is_refused(tmp_path: Path) -> None:
    write_group(tmp_path / "n", zarr_format=2)
    write_array(tmp_path / "n", "time", np.array([np.nan]), dims=["time"], zarr_format=2, fill=0)
    write_array(tmp_path / "n", "v", np.zeros((1, 4)), dims=["time", "x"], zarr_format=2)
    with pytest.raises(zapz.LabelError, match="a label is missing"):
        zapz.append(tmp_path / "t", tmp_path / "n")
