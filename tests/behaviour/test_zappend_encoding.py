"""``variables.NAME.encoding`` as a user of zappend writes it: how the target is stored, and that its values stay what they were.

Every case creates a target from one slice and appends a second one; xarray reads what is stored, and what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
from kit import xcubes
from kit.xcubes import GIVEN, assert_holds, compressor, day, days, given, joined, read, stored

import zapz
from zapz.errors import ConfigError, SliceError, ZapzError

ZLIB = {"id": "zlib", "level": 3}
BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
PACKED = {"dtype": "int16", "scale_factor": 0.25, "add_offset": 5.0}

either_way = pytest.mark.parametrize("how", GIVEN)
both_formats = pytest.mark.parametrize("version", [2, 3])


@dataclass(frozen=True, kw_only=True)
class Case:
    """An encoding, and what is stored of it: for each variable dtype, chunks, compressor, or an attribute of the undecoded variable."""

    says: str
    variables: Mapping[str, Any]
    stored: Mapping[str, Mapping[str, Any]]
    slices: Callable[[], Sequence[xr.Dataset]] = lambda: days(0, 1)
    within: float = 0
    """How far values may move, half a quantum of the packing."""


def facts(variable: xr.DataArray, keys: Sequence[str]) -> dict[str, Any]:
    """Return what is stored of an undecoded variable."""
    known = {
        "dtype": str(variable.dtype),
        "chunks": tuple(variable.encoding["chunks"]),
        "compressor": compressor(variable),
        "filters": len(variable.encoding.get("filters") or ()),
    }
    return {key: known[key] if key in known else variable.attrs.get(key) for key in keys}


def chunks(*sizes: int | None) -> dict[str, Any]:
    return {"encoding": {"chunks": list(sizes)}}


def with_gap() -> list[xr.Dataset]:
    """Two days, one cell missing in each."""
    return [cube.where((cube.x > 0) | (cube.y > 0.5)) for cube in days(0, 1)]


def integers() -> list[xr.Dataset]:
    """Whole numbers, zeros among them."""
    return [(cube * 4 - cube.chl.min() * 4).astype("int32") for cube in days(0, 1)]


def encoded(name: str, *, gap: bool = False, **encoding: Any) -> Callable[[], list[xr.Dataset]]:
    """Cubes that bring an encoding, too large for the chunks of labels and their like; perhaps with a cell missing in each."""

    def make() -> list[xr.Dataset]:
        slices = days(0, 1, shape=(12, 14))
        if gap:
            slices = [cube.assign(chl=cube.chl.where((cube.x > 0) | (cube.y > 0.5))) for cube in slices]
        for cube in slices:
            cube[name].encoding |= encoding
        return slices

    return make


TABLE = [
    Case(
        says="a float type",
        variables={"chl": {"encoding": {"dtype": "float32"}}},
        stored={"chl": {"dtype": "float32"}, "tsm": {"dtype": "float64"}},
    ),
    Case(
        says="a float type that rounds",
        variables={"chl": {"encoding": {"dtype": "float32"}}},
        stored={"chl": {"dtype": "float32"}},
        slices=lambda: [cube / 7 for cube in days(0, 1)],
        within=1e-6,
    ),
    Case(
        says="* is meant for all, a variable's own entry wins",
        variables={"*": {"encoding": {"dtype": "float32"}}, "chl": {"encoding": {"dtype": "float64"}}},
        stored={"chl": {"dtype": "float64"}, "tsm": {"dtype": "float32"}},
        slices=lambda: [cube.drop_vars(["time", "y", "x"]) for cube in days(0, 1)],
    ),
    Case(
        says="* and the own entry join key by key",
        variables={"*": {"encoding": {"compressor": ZLIB}}, "chl": chunks(1, 2, 3)},
        stored={"chl": {"chunks": (1, 2, 3), "compressor": "zlib"}, "tsm": {"compressor": "zlib"}},
    ),
    Case(
        says="chunks",
        variables={"chl": chunks(1, 2, 3), "tsm": chunks(5, 4, 6)},
        stored={"chl": {"chunks": (1, 2, 3)}, "tsm": {"chunks": (5, 4, 6)}},
    ),
    Case(
        says="null among chunks is the whole dimension",
        variables={"chl": chunks(1, None, None), "tsm": chunks(None, 2, 3)},
        stored={"chl": {"chunks": (1, 4, 6)}, "tsm": {"chunks": (2, 2, 3)}},
        slices=lambda: [day(0, 2), day(2, 2)],
    ),
    Case(
        says="null for chunks is one chunk of the first slice",
        variables={"*": {"encoding": {"chunks": None}}, "tsm": chunks(None, 2, 3)},
        stored={
            "chl": {"chunks": (2, 4, 6)},
            "tsm": {"chunks": (2, 2, 3)},
            "time": {"chunks": (2,)},
            "x": {"chunks": (6,)},
        },
        slices=lambda: [day(0, 2), day(2, 2)],
    ),
    Case(
        says="chunks of labels that many slices share",
        variables={"time": chunks(10), "chl": chunks(1, 2, 3)},
        stored={"time": {"chunks": (10,)}, "chl": {"chunks": (1, 2, 3)}},
        slices=lambda: days(*range(10)),
    ),
    Case(
        says="chunks of 3 for slices of 2",
        variables={"chl": chunks(3, 2, 3), "tsm": chunks(3, 2, 3)},
        stored={"chl": {"chunks": (3, 2, 3)}, "tsm": {"chunks": (3, 2, 3)}},
        slices=lambda: [day(0, 2), day(2, 2)],
    ),
    Case(
        says="packing",
        variables={"chl": {"encoding": PACKED}},
        stored={"chl": {"dtype": "int16", "scale_factor": 0.25, "add_offset": 5.0}},
    ),
    Case(
        says="packing rounds",
        variables={"chl": {"encoding": {"dtype": "int16", "scale_factor": 0.4}}},
        stored={"chl": {"dtype": "int16", "scale_factor": 0.4}},
        within=0.2 + 1e-9,
    ),
    Case(
        says="floats as integers",
        variables={"chl": {"encoding": {"dtype": "int16"}}},
        stored={"chl": {"dtype": "int16", "scale_factor": None}},
        within=0.5,
    ),
    Case(
        says="floats as integers with a marker",
        variables={"chl": {"encoding": {"dtype": "int16", "fill_value": -999}}},
        stored={"chl": {"dtype": "int16", "scale_factor": None, "_FillValue": -999}},
        slices=with_gap,
        within=0.5,
    ),
    Case(
        says="flags that floats carry because some are missing",
        variables={"chl": {"encoding": {"dtype": "uint8", "fill_value": 255}}},
        stored={"chl": {"dtype": "uint8", "_FillValue": 255}},
        slices=lambda: [(cube * 4 - 40).where(cube.y > 0.5) for cube in days(0, 1)],
    ),
    Case(
        says="packing with a marker for what is missing",
        variables={"*": {"encoding": {"fill_value": -999}}, "chl": {"encoding": PACKED}, "tsm": {"encoding": PACKED}},
        stored={"chl": {"dtype": "int16", "_FillValue": -999}},
        slices=lambda: [cube.drop_vars(["time", "y", "x"]) for cube in with_gap()],
    ),
    Case(
        says="a marker among floats",
        variables={"chl": {"encoding": {"fill_value": -999}}},
        stored={"chl": {"dtype": "float64", "_FillValue": -999.0}},
        slices=with_gap,
    ),
    Case(
        says="NaN as the marker",
        variables={"chl": {"encoding": {"fill_value": "NaN", "dtype": "float32"}}},
        stored={"chl": {"dtype": "float32"}},
        slices=with_gap,
    ),
    Case(
        says="no missing marker",
        variables={"chl": {"encoding": {"fill_value": None, "dtype": "int32"}}},
        stored={"chl": {"dtype": "int32", "_FillValue": None}},
        slices=integers,
    ),
    Case(
        says="a fill value of 0 hides no zeros",
        variables={"chl": {"encoding": {"fill_value": 0}}},
        stored={"chl": {"dtype": "int32"}},
        slices=integers,
    ),
    Case(
        says="units and calendar of time",
        variables={"time": {"encoding": {"units": "hours since 2000-01-01", "calendar": "proleptic_gregorian"}}},
        stored={"time": {"units": "hours since 2000-01-01", "calendar": "proleptic_gregorian"}},
    ),
    Case(
        says="units of time for half days",
        variables={"time": {"encoding": {"units": "days since 2024-01-01", "dtype": "float64"}}},
        stored={"time": {"dtype": "float64", "units": "days since 2024-01-01"}},
        slices=lambda: days(0, 0.5),
    ),
    Case(
        says="no compressor",
        variables={"*": {"encoding": {"compressor": None}}},
        stored={"chl": {"compressor": ""}, "time": {"compressor": ""}},
    ),
    Case(
        says="no compressor and no filters",
        variables={"chl": {"encoding": {"compressor": None, "filters": []}}},
        stored={"chl": {"compressor": "", "filters": 0}},
    ),
    Case(
        says="a compressor in numcodecs' words",
        variables={"chl": {"encoding": {"compressor": ZLIB}}, "tsm": {"encoding": {"compressor": BLOSC}}},
        stored={"chl": {"compressor": "zlib"}, "tsm": {"compressor": "blosc"}},
    ),
    Case(
        says="filters",
        variables={"chl": {"encoding": {**PACKED, "filters": [{"id": "delta", "dtype": "<i2"}]}}},
        stored={"chl": {"dtype": "int16", "filters": 1}},
    ),
    Case(
        says="what the slice's variable brings",
        variables={},
        stored={"chl": {"dtype": "int16", "scale_factor": 0.25, "_FillValue": -9, "chunks": (1, 6, 5)}},
        slices=encoded("chl", gap=True, dtype="int16", scale_factor=0.25, _FillValue=-9, chunks=(1, 6, 5)),
    ),
    Case(
        says="the configuration wins over what the slice's variable brings",
        variables={"chl": {"encoding": {"dtype": "int32", "chunks": [1, 12, 14]}}},
        stored={"chl": {"dtype": "int32", "scale_factor": 0.25, "_FillValue": -9, "chunks": (1, 12, 14)}},
        slices=encoded("chl", gap=True, dtype="int16", scale_factor=0.25, _FillValue=-9, chunks=(1, 6, 5)),
    ),
    Case(
        says="another packing and another marker than the slice's variable brings",
        variables={"chl": {"encoding": {"dtype": "int32", "scale_factor": 0.125, "add_offset": 1.0, "fill_value": -1}}},
        stored={"chl": {"dtype": "int32", "scale_factor": 0.125, "add_offset": 1.0, "_FillValue": -1}},
        slices=encoded("chl", gap=True, dtype="int16", scale_factor=0.25, _FillValue=-9),
    ),
    Case(
        says="unpacked what the slice's variable brings packed",
        variables={"chl": {"encoding": {"dtype": "float64", "scale_factor": 1, "add_offset": 0, "fill_value": "NaN"}}},
        stored={"chl": {"dtype": "float64"}},
        slices=encoded("chl", gap=True, dtype="int16", scale_factor=0.25, _FillValue=-9),
    ),
]


@either_way
@both_formats
@pytest.mark.parametrize("case", [pytest.param(case, id=case.says) for case in TABLE])
def test_encoding(case: Case, version: int, how: str, tmp_path: Path) -> None:
    slices, target = case.slices(), tmp_path / "target.zarr"
    zapz.append(target, given(how, slices, tmp_path), variables=case.variables, zarr_version=version)
    found = stored(target)
    assert {name: facts(found[name], list(wanted)) for name, wanted in case.stored.items()} == case.stored
    assert_holds(target, joined(slices), within=case.within)
    assert (target / "zarr.json").exists() == (version == 3)


@both_formats
def test_an_empty_compressor_is_the_format_s_default(version: int, tmp_path: Path) -> None:
    """As zappend's guide shows it, beside the empty list of filters: whatever the slice has."""
    target, slices = tmp_path / "target.zarr", encoded("chl", compressors=numcodecs.Zlib(1))()
    empty = {"chl": {"encoding": {"compressor": {}, "filters": []}}}
    for cube in slices:  # the target keeps what the first one makes
        zapz.append(target, cube, variables=empty, zarr_version=version)
    zapz.append(tmp_path / "bare.zarr", slices[0], zarr_version=version)
    assert compressor(stored(tmp_path / "bare.zarr").chl) == "zlib"
    assert compressor(stored(target).chl) == {2: "blosc", 3: "zstd"}[version]
    assert not stored(target).chl.encoding.get("filters")
    assert_holds(target, joined(slices))
    with pytest.raises(ConfigError, match=r"variables\.chl\.encoding\.compressor"):
        zapz.append(tmp_path / "bare.zarr", slices[1], variables=empty)


@both_formats
def test_xarray_s_word_for_the_fill_value_marks_missing_cells(version: int, tmp_path: Path) -> None:
    """Also among integers none of which is missing, as ``to_zarr`` does; ``fill_value`` does not."""
    target = tmp_path / "target.zarr"
    for cube in integers():
        zapz.append(target, cube, variables={"chl": {"encoding": {"_FillValue": -1}}}, zarr_version=version)
    zapz.append(tmp_path / "other.zarr", integers(), variables={"chl": {"encoding": {"fill_value": -1}}})
    assert read(target).chl.encoding["_FillValue"] == -1
    assert "_FillValue" not in read(tmp_path / "other.zarr").chl.encoding
    assert_holds(target, joined(integers()))
    hidden = integers()[1].assign_coords(time=day(2).time) - 1  # one cell is -1
    with pytest.raises(SliceError, match="chl"):
        zapz.append(target, hidden)
    with pytest.raises(ConfigError, match=r"variables\.chl\.encoding\._FillValue: expected -1"):
        zapz.append(target, hidden, variables={"chl": {"encoding": {"_FillValue": -2}}})
    with pytest.raises(ConfigError, match=r"variables\.chl\.encoding\._FillValue: expected -32768 to 32767"):
        zapz.append(target, hidden, variables={"chl": {"encoding": {"_FillValue": 1 << 20, "dtype": "int16"}}})


@both_formats
def test_what_only_netcdf_knows_is_passed_over(version: int, tmp_path: Path) -> None:
    """A dataset that xarray opened from a NetCDF file and that is given in memory."""
    slices = encoded(
        "chl", contiguous=True, endian="big", zlib=True, complevel=4, source="a.nc", original_shape=(1, 4, 6)
    )()
    zapz.append(tmp_path / "target.zarr", slices, zarr_version=version)
    assert_holds(tmp_path / "target.zarr", joined(slices))


@both_formats
def test_packing_attributes_of_a_variable_in_memory_mean_what_xarray_writes(version: int, tmp_path: Path) -> None:
    """A dataset opened undecoded; zappend packs its numbers once more."""
    raw = day(0).chl.astype("int16").assign_attrs(scale_factor=0.5, add_offset=3.0).to_dataset()
    zapz.append(tmp_path / "target.zarr", [raw], zarr_version=version)
    expected = read(xcubes.store(raw, tmp_path / "judge.zarr", zarr_format=version))
    assert_holds(tmp_path / "target.zarr", expected)


@either_way
def test_a_later_slice_of_another_type_leaves_the_target_s(how: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    slices = [day(0), day(1, dtype="uint8")]
    zapz.append(target, given(how, slices, tmp_path))
    assert stored(target).chl.dtype == np.float64
    assert_holds(target, joined(slices))


@either_way
def test_cropped_slices_keep_their_chunks(how: str, tmp_path: Path) -> None:
    """Cells at the rim cut off by a slice source; the chunks of the uncropped variable remain."""

    def crop(cube: Any) -> xr.Dataset:
        with xcubes.quiet():
            whole = xr.open_zarr(cube) if isinstance(cube, str) else cube
        return whole.isel(x=slice(1, -1), y=slice(1, -1))

    slices = encoded("chl", chunks=(1, 5, 6))()
    zapz.append(tmp_path / "target.zarr", given(how, slices, tmp_path), slice_source=crop)
    assert stored(tmp_path / "target.zarr").chl.encoding["chunks"] == (1, 5, 6)
    assert_holds(tmp_path / "target.zarr", joined([crop(cube) for cube in slices]))


@either_way
def test_cropped_slices_with_configured_chunks(how: str, tmp_path: Path) -> None:
    def crop(cube: Any) -> xr.Dataset:
        with xcubes.quiet():
            whole = xr.open_zarr(cube) if isinstance(cube, str) else cube
        return whole.isel(x=slice(1, -1), y=slice(1, -1))

    variables = {"*": {"encoding": {"chunks": None}}, "chl": chunks(1, None, None), "tsm": chunks(None, 2, 3)}
    slices = encoded("chl", chunks=(1, 5, 6))()
    zapz.append(tmp_path / "target.zarr", given(how, slices, tmp_path), slice_source=crop, variables=variables)
    found = stored(tmp_path / "target.zarr")
    assert {n: found[n].encoding["chunks"] for n in ("chl", "tsm", "x", "time")} == {
        "chl": (1, 10, 12), "tsm": (1, 2, 3), "x": (12,), "time": (1,),
    }  # fmt: skip
    assert_holds(tmp_path / "target.zarr", joined([crop(cube) for cube in slices]))


@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param({"dtype": "int32"}, id="another type"),
        pytest.param({"chunks": [2, 4, 6]}, id="other chunks"),
        pytest.param({"scale_factor": 0.5}, id="another scale"),
        pytest.param({"fill_value": -1}, id="another marker"),
        pytest.param({"compressor": ZLIB}, id="another compressor"),
    ],
)
def test_an_encoding_that_contradicts_the_target_is_an_error(encoding: dict[str, Any], tmp_path: Path) -> None:
    """zappend passes over it in silence."""
    target = tmp_path / "target.zarr"
    same = {**PACKED, "fill_value": -999, "chunks": [1, 2, 3], "compressor": BLOSC}
    zapz.append(target, days(0), variables={"chl": {"encoding": same}})
    with pytest.raises((ConfigError, SliceError), match=f"chl.*{next(iter(encoding))}|{next(iter(encoding))}.*chl"):
        zapz.append(target, days(1), variables={"chl": {"encoding": encoding}})
    zapz.append(target, days(1), variables={"chl": {"encoding": same}})
    assert_holds(target, joined(days(0, 1)))


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"dims": [10, 20, 30]}, "variables.chl.dims"),
        ({"dims": "time"}, "variables.chl.dims"),
        ({"shape": [1, 2, 3]}, "variables.chl.shape"),
        ({"encoding": {"dtype": "int99"}}, "variables.chl.encoding.dtype"),
        ({"encoding": {"chunks": [0, 4, 6]}}, "variables.chl.encoding.chunks"),
        ({"encoding": {"chunks": "4,6"}}, "variables.chl.encoding.chunks"),
        ({"encoding": {"fill_value": "many"}}, "variables.chl.encoding.fill_value"),
        ({"encoding": {"scale_factor": "0.1"}}, "variables.chl.encoding.scale_factor"),
        ({"encoding": {"compressor": {"level": 3}}}, "variables.chl.encoding.compressor"),
        ({"encoding": {"compressor": {"level": 1}}}, "variables.chl.encoding.compressor"),
        ({"encoding": {"filters": [{}]}}, "variables.chl.encoding.filters"),
        ({"attrs": "units"}, "variables.chl.attrs"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_refused_with_its_path(entry: dict[str, Any], path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=path):
        zapz.append(tmp_path / "target.zarr", days(0), variables={"chl": entry})
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize("sizes", [[2, 3], [1, 2, 3, 4]])
def test_chunks_of_another_number_of_dimensions_are_refused(sizes: list[int], tmp_path: Path) -> None:
    with pytest.raises(ZapzError, match="chl"):
        zapz.append(tmp_path / "target.zarr", days(0), variables={"chl": chunks(*sizes)})
    assert not (tmp_path / "target.zarr").exists()
