"""``encoding`` as ``xarray.Dataset.to_zarr`` takes it: a new target is stored as ``to_zarr`` would store it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import quiet
from kit.slices_kit import days, reading, written
from zarr import codecs

import zapz
from zapz.errors import ConfigError

PACKED = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -32768}
with quiet():
    DELTA_V3 = codecs.numcodecs.Delta(dtype="<i2")
    ZLIB_V3 = codecs.numcodecs.Zlib(level=2)


def day(start: int = 0, *, whole: bool = False) -> xr.Dataset:
    """Return a day with a cell missing, or of integers."""
    cells = np.arange(24).reshape(1, 4, 6) + start
    sst = cells if whole else np.where(cells % 7, cells / 4, np.nan)
    coords = {"time": days(start, 1), "y": np.arange(4.0), "x": np.arange(6.0)}
    return xr.Dataset({"sst": (("time", "y", "x"), sst), "ice": (("time", "y", "x"), cells / 8)}, coords)


def facts(path: Path) -> dict[str, Any]:
    """Return how zarr-python finds ``sst`` stored, and what xarray takes for missing."""
    with quiet():
        array = zarr.open_array(path / "sst", mode="r")
        marker = reading(path).sst.encoding.get("_FillValue")
    return {
        "dtype": array.dtype,
        "chunks": array.chunks,
        "shards": array.shards,
        "compressors": array.compressors,
        "filters": array.filters,
        "serializer": array.serializer if array.metadata.zarr_format == 3 else None,
        "marker": None if marker is None else str(marker),
    }


@pytest.mark.parametrize(
    ("version", "encoding"),
    [
        pytest.param(2, PACKED | {"chunks": (1, 2, 3), "compressors": numcodecs.Zstd(3)}, id="packed, v2"),
        pytest.param(3, PACKED | {"chunks": (1, 2, 3), "compressors": codecs.ZstdCodec(level=3)}, id="packed, v3"),
        pytest.param(3, PACKED | {"add_offset": 1.5, "dtype": np.int16}, id="a type of NumPy"),
        pytest.param(2, PACKED | {"dtype": np.dtype("i4"), "_FillValue": np.int32(-1)}, id="scalars of NumPy"),
        pytest.param(2, {"dtype": "float32", "_FillValue": -1.0}, id="a marker among floats, v2"),
        pytest.param(3, {"dtype": "float32", "_FillValue": np.float32("nan")}, id="not a number, v3"),
        pytest.param(2, {"dtype": "int16", "_FillValue": -1, "filters": [numcodecs.Delta("<i2")]}, id="a filter, v2"),
        pytest.param(3, {"dtype": "int16", "_FillValue": -1, "filters": [DELTA_V3]}, id="a filter, v3"),
        pytest.param(2, {"compressors": None}, id="uncompressed, v2"),
        pytest.param(3, {"compressors": None}, id="uncompressed, v3"),
        pytest.param(3, {"compressors": (), "filters": ()}, id="no codecs, v3"),
        pytest.param(2, {"compressors": numcodecs.Blosc("zstd", 1, 2), "filters": None}, id="no filters, v2"),
        pytest.param(3, {"compressors": [codecs.GzipCodec(level=1), codecs.Crc32cCodec()]}, id="two codecs of bytes"),
        pytest.param(3, {"compressors": [ZLIB_V3]}, id="a codec of numcodecs, v3"),
        pytest.param(3, {"compressors": {"name": "gzip", "configuration": {"level": 2}}}, id="a configuration, v3"),
        pytest.param(3, {"compressors": "auto", "filters": "auto", "serializer": "auto"}, id="automatic"),
        pytest.param(3, {"serializer": codecs.BytesCodec(endian="big")}, id="big endian"),
        pytest.param(3, {"filters": [codecs.TransposeCodec(order=(2, 0, 1))]}, id="transposed"),
        pytest.param(3, {"chunks": (1, 2, 3), "shards": (1, 4, 6)}, id="shards"),
        pytest.param(3, {"shards": None, "chunks": None, "preferred_chunks": {"x": 1}}, id="nothing said"),
    ],
)
def test_as_to_zarr_would(version: int, encoding: dict[str, Any], tmp_path: Path) -> None:
    given = {"sst": encoding}
    expected = written(day(), tmp_path / "judge.zarr", zarr_format=version, encoding=given)
    settings = {"zarr_format": version, "label_chunk": "keep"}
    zapz.append(tmp_path / "target.zarr", day(), encoding=given, **settings)
    assert facts(tmp_path / "target.zarr") == facts(expected)
    xr.testing.assert_identical(reading(tmp_path / "target.zarr"), reading(expected))
    zapz.append(tmp_path / "target.zarr", day(1), encoding=given, **settings)  # contradicts nothing
    assert reading(tmp_path / "target.zarr").sizes["time"] == 2


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("encoding", [{"_FillValue": 99}, {"_FillValue": 99, "dtype": "int16"}, {"_FillValue": None}, {}], ids=str)  # fmt: skip
def test_integers(version: int, encoding: dict[str, Any], tmp_path: Path) -> None:
    """A marker is one though no cell is missing."""
    whole = day(whole=True)[["sst"]]
    expected = written(whole, tmp_path / "judge.zarr", zarr_format=version, encoding={"sst": encoding})
    zapz.append(tmp_path / "target.zarr", whole, encoding={"sst": encoding}, zarr_format=version, label_chunk="keep")
    assert facts(tmp_path / "target.zarr") == facts(expected)
    xr.testing.assert_identical(reading(tmp_path / "target.zarr"), reading(expected))


@pytest.mark.parametrize("version", [2, 3])
def test_times(version: int, tmp_path: Path) -> None:
    given = {"time": {"units": "hours since 2000-01-01", "calendar": "standard", "dtype": "float64"}}
    expected = reading(written(day(), tmp_path / "judge.zarr", zarr_format=version, encoding=given))
    zapz.append(tmp_path / "target.zarr", [day(), day(1)], encoding=given, zarr_format=version)
    found = reading(tmp_path / "target.zarr")
    assert found.time.values.tolist() == [*day().time.values.tolist(), *day(1).time.values.tolist()]
    for key in ("units", "calendar", "dtype"):
        assert found.time.encoding[key] == expected.time.encoding[key]


@pytest.mark.parametrize("marker", ["missing_value", "_FillValue", "fill_value"])
def test_every_word_for_the_marker(marker: str, tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", day(), encoding={"sst": {"dtype": "int16", marker: -1}})
    assert reading(tmp_path / "target.zarr").sst.encoding["_FillValue"] == -1


def test_slices_that_are_stored(tmp_path: Path) -> None:
    """What is not said is as in the first slice; what is said holds."""
    compressors = {"ice": {"compressors": numcodecs.Zlib(1)}, "sst": {"compressors": numcodecs.Zlib(1)}}
    slices = [written(day(n), tmp_path / f"{n}.zarr", zarr_format=2, encoding=compressors) for n in range(2)]
    zapz.append(tmp_path / "target.zarr", slices, encoding={"sst": {"compressor": numcodecs.LZ4()}})
    with quiet():
        found = zarr.open_group(tmp_path / "target.zarr", mode="r")
        assert found["sst"].compressors == (numcodecs.LZ4(),)
        assert found["ice"].compressors == (numcodecs.Zlib(1),)


def test_beside_other_settings(tmp_path: Path) -> None:
    """It is added to ``variables``, wins over a configuration, and serves plans and ``append_map`` too."""
    config = {"variables": {"sst": {"encoding": {"dtype": "float32"}}}}
    variables = {"sst": {"attrs": {"units": "K"}, "encoding": {"chunks": [1, 2, 6]}}}
    given = {"sst": {"dtype": "int32", "_FillValue": -1}}
    plan = zapz.plan(tmp_path / "target.zarr", day(), config, encoding=given, variables=variables)
    assert plan.after.arrays["sst"].dtype == "int32"
    zapz.append_map(tmp_path / "target.zarr", day, [0, 1], config=config, encoding=given, variables=variables)
    found = facts(tmp_path / "target.zarr")
    assert (found["dtype"], found["chunks"][1:], found["marker"]) == (np.dtype("int32"), (2, 6), "-1")
    assert reading(tmp_path / "target.zarr").sst.attrs["units"] == "K"
    assert "chunks" not in given["sst"]


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ({"sst": {"chnuks": (1, 2, 3)}}, "unknown setting, argument encoding.sst.chnuks: found 'chnuks'. Did you mean 'chunks'"),
        ({"sst": {"write_empty_chunks": True}}, "encoding.sst.write_empty_chunks"),
        ({"sst": {"dtype": "int17"}}, "argument encoding.sst.dtype: expected the name of a NumPy number"),
        ({"sst": {"chunks": (0, 1, 1)}}, "argument encoding.sst.chunks[0]: expected an integer from 1"),
        ({"sst": {"compressors": "zstd"}}, "argument encoding.sst.compressors: expected a codec of numcodecs or zarr, or its configuration"),
        ({"sst": {"compressor": numcodecs.Zstd}}, "argument encoding.sst.compressor: expected a codec"),
        ({"sst": {"filters": [3]}}, "argument encoding.sst.filters: expected a codec"),
        ({"sst": {"_FillValue": object()}}, "argument encoding.sst._FillValue: expected a number"),
        ({"sst": {"_FillValue": -1, "missing_value": -2}}, "argument encoding.sst.missing_value: expected the same as _FillValue, -1, found -2"),
        ({"sst": {"compressor": None, "compressors": numcodecs.Zstd(1)}}, "argument encoding.sst.compressor: expected the same as compressors"),
        ({"sst": "int16"}, "argument encoding.sst: expected a table of an encoding's keys, found 'int16'"),
        ("int16", "argument encoding: expected a table of variables and their encodings"),
    ],
)  # fmt: skip
def test_what_is_refused(encoding: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        zapz.append(tmp_path / "target.zarr", day(), encoding=encoding)
    assert says in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "value", "says"),
    [
        ("mode", "a", "argument mode: found 'mode'. Remove mode: zapz.append always appends, and creates a missing target."),
        ("region", "auto", "Remove region"),
        ("storage_options", {}, "Use target_storage_options or slice_storage_options"),
    ],
)  # fmt: skip
def test_other_words_of_to_zarr(word: str, value: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        zapz.append(tmp_path / "t.zarr", day(), append_dim="time", **{word: value})
    assert says in str(caught.value)
    with pytest.raises(ConfigError, match=r"variables\.NAME\.encoding"):
        zapz.append(tmp_path / "t.zarr", day(), {"encoding": {}})


@pytest.mark.parametrize(
    ("encoding", "own", "named"),
    [
        ({"dtype": "int16"}, {"dtype": "int16"}, "dtype"),
        ({"missing_value": -1}, {"fill_value": -1}, "fill_value"),
        ({"compressor": None}, {"codecs": [{"name": "bytes"}]}, "codecs"),
        ({"serializer": codecs.BytesCodec(endian="big")}, {"compressor": None}, "compressor"),
    ],
)
def test_what_is_given_twice_is_refused(
    encoding: dict[str, Any], own: dict[str, Any], named: str, tmp_path: Path
) -> None:
    cube, variables = day(whole=True), {"sst": {"encoding": own}}
    with pytest.raises(ConfigError, match=rf"encoding\.sst: found argument variables\.sst\.encoding\.{named} as well"):
        zapz.append(tmp_path / "t.zarr", cube, encoding={"sst": encoding}, variables=variables)
    zapz.append(tmp_path / "t.zarr", cube, encoding={"ice": encoding}, variables=variables)


def test_wrong_variables_are_refused_all_the_same(tmp_path: Path) -> None:
    for variables in (["sst"], {"sst": ["dtype"]}, {"sst": {"encoding": "int16"}}):
        with pytest.raises(ConfigError, match="variables"):
            zapz.append(tmp_path / "t.zarr", day(), encoding={"sst": {"chunks": (1, 1, 1)}}, variables=variables)
