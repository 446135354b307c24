"""What is remembered from one slice to the next saves work and never changes a value."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from kit.cubes import quiet, write_array, write_group

import zapz
from zapz.cf.encoding import encoding_of
from zapz.config.settings import Config
from zapz.format import documents, v2
from zapz.format.metadata import Dataset
from zapz.planning.labels import Line, ends_of
from zapz.planning.meaning import Conversions, conversion_of

HOURS, DAYS = "hours since 2024-01-01", "days since 2024-01-01"


def _array(zarr_format: int, **attributes: Any) -> dict[str, bytes]:
    """Return the documents of a dataset with one variable of integers, ``v``."""
    if zarr_format == 2:
        meta = {
            "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "compressor": None, "fill_value": None,
            "order": "C", "filters": None,
        }  # fmt: skip
        attrs = {"_ARRAY_DIMENSIONS": ["time"], **attributes}
        found = {".zgroup": {"zarr_format": 2}, "v/.zarray": meta, "v/.zattrs": attrs}
    else:
        meta = {
            "zarr_format": 3, "node_type": "array", "shape": [4], "data_type": "int32", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
            "chunk_key_encoding": {"name": "default"}, "dimension_names": ["time"],
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": attributes,
        }  # fmt: skip
        found = {"zarr.json": {"zarr_format": 3, "node_type": "group"}, "v/zarr.json": meta}
    return {key: json.dumps(value).encode() for key, value in found.items()}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_documents_that_were_read_before(zarr_format: int) -> None:
    """The same bytes give the same array; others never do, and long ones are not kept."""
    read = [documents.read(_array(zarr_format, **attrs)).arrays["v"] for attrs in ({}, {}, {"units": "m"}, {})]
    assert read[1] is read[0]
    assert read[3] is read[0]
    assert (read[0].attributes, read[2].attributes) == ({}, {"units": "m"})
    long = [documents.read(_array(zarr_format, history="x" * 20_000)).arrays["v"] for _ in range(2)]
    assert long[0] is not long[1]
    assert long[0].attributes == long[1].attributes


def test_a_path_is_part_of_what_was_read() -> None:
    here = _array(2)
    assert v2.read_array("a", here["v/.zarray"], None).path == "a"
    assert v2.read_array("b", here["v/.zarray"], None).path == "b"


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(
    "changed",
    [
        {"scale_factor": 0.5},
        {"_FillValue": 7},
        {"units": "K"},
        {"units": HOURS},
    ],
    ids=str,
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_conversion_is_that_of_these_two(zarr_format: int, changed: dict[str, Any], narrow: bool) -> None:
    """Whatever was converted before."""
    config, known = Config(append_dim="time"), Conversions()
    plain, other = (
        documents.read(_array(zarr_format, **attrs)) for attrs in ({"units": DAYS}, {"units": DAYS} | changed)
    )
    wide = {"scale_factor": 0.25, "_FillValue": -1}
    target, second = (documents.read(_array(zarr_format, **({"units": DAYS} | wide | more))) for more in (changed, {}))

    def outcome(of: Any, slice_: Dataset, target: Dataset, **more: Any) -> str:
        try:
            return repr(of(slice_, target, "v", "here", config, **more).to_json())
        except zapz.SliceError as error:
            return str(error)

    for slice_, to, more in (
        (plain, target, {}),
        (other, target, {}),
        (plain, target, {"narrow": narrow}),
        (plain, second, {"narrow": narrow}),
        (other, second, {"narrow": narrow}),
        (_with_attributes(other, {"units": DAYS}), second, {"narrow": narrow}),
    ):
        assert outcome(known.of, slice_, to, **more) == outcome(conversion_of, slice_, to, **more)


def _with_attributes(dataset: Dataset, attributes: dict[str, Any]) -> Dataset:
    return replace(dataset, arrays={"v": replace(dataset.arrays["v"], attributes=attributes)})


def test_a_conversion_is_made_once() -> None:
    config, known = Config(append_dim="time"), Conversions()
    target = documents.read(_array(2))
    first, again = (known.of(documents.read(_array(2)), target, "v", "", config) for _ in range(2))
    assert first is again
    grown = replace(target, arrays={"v": target.arrays["v"].resized(0, 9)})
    assert known.of(documents.read(_array(2)), grown, "v", "", config) is first


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_bounds_follow_their_parent(zarr_format: int, tmp_path: Path) -> None:
    """Units of a parent that change from slice to slice are those of the bounds, whose own documents stay the same."""
    units = {"days": "days since 2024-01-01", "hours": "hours since 2024-01-01"}
    slices = []
    for number, unit in enumerate(("days", "hours", "days", "days", "hours")):
        path, per_day = tmp_path / f"s{number}", 1 if unit == "days" else 24
        write_group(path, zarr_format=zarr_format)
        with quiet():
            stored = np.array([number * per_day])
            attrs = {"units": units[unit], "calendar": "standard", "bounds": "time_bnds"}
            write_array(path, "time", stored, dims=["time"], zarr_format=zarr_format, attrs=attrs)
            bounds = np.array([[number * per_day, (number + 1) * per_day]])
            write_array(
                path,
                "time_bnds",
                bounds,
                dims=["time", "nv"],
                zarr_format=zarr_format,
                fill=None if zarr_format == 2 else 0,
            )
        slices.append(path)
    zapz.append(tmp_path / "cube", slices)
    found = xr.open_zarr(tmp_path / "cube", consolidated=False)
    days = np.datetime64("2024-01-01") + np.arange(6)
    assert (found["time"].values == days[:5]).all()
    assert (found["time_bnds"].values == np.stack([days[:5], days[1:]], axis=1)).all()


ATTRS: list[dict[str, Any]] = [{}, {"units": HOURS}, {"units": DAYS, "scale_factor": 0.5}, {"_FillValue": 3}]
NUMBERS = st.one_of(
    st.lists(st.integers(-5, 5), max_size=4).map(lambda values: np.array(values, "i8")),
    st.lists(st.sampled_from([-1e6, 0.1, 0.25, 3.0, 1e9, float("nan")]), max_size=4).map(
        lambda values: np.array(values, "f8")
    ),
)


@given(NUMBERS, st.data(), st.sampled_from(ATTRS))
def test_joined_lines(before: np.ndarray[Any, Any], data: st.DataObject, attrs: dict[str, Any]) -> None:
    """Law: ends of two lines that are joined are the line of their ends."""
    after = np.array(data.draw(st.lists(st.sampled_from([-7, 3, 8]), max_size=4)), before.dtype)
    meaning = encoding_of(before.dtype, attrs, attrs.get("_FillValue"))
    joined = Line.of(meaning, before).joined(Line.of(meaning, after))
    whole = Line.of(meaning, ends_of(np.concatenate([before, after])))
    assert (joined.kind, joined.values, joined.unit, joined.grain) == (
        whole.kind,
        whole.values,
        whole.unit,
        whole.grain,
    )
    assert joined.stored.tobytes() == whole.stored.tobytes()


def test_joined_texts() -> None:
    meaning = encoding_of(np.dtype("U3"), {}, None)
    joined = Line.of(meaning, np.array(["a", "b", "c"])).joined(Line.of(meaning, np.array(["dd", "eee"])))
    assert (joined.kind, joined.values, joined.stored.tolist()) == ("texts", ["a", "dd", "eee"], ["a", "dd", "eee"])
