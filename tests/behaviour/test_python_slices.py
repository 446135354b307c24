"""Slices from a Python program: what xarray reads afterwards is what it reads after writing them itself."""

from __future__ import annotations

import copy
import itertools
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kit.cubes import files, quiet
from kit.slices_kit import (
    KEPT,
    KINDS,
    Stored,
    again,
    appended,
    assert_same_reading,
    at_once,
    cube,
    days,
    encodings,
    mapped,
    one_kind,
    reading,
    written,
)

import zapz

FORMATS = (2, 3)
VALUES = tuple(k for k in KEPT if k not in ("chunks", "units", "dtype", "_FillValue"))
"""What must agree where the first slice alone chose the encoding, which a reference written at once chose from all."""

UNCHUNKED = tuple(k for k in KEPT if k != "chunks")
"""What must agree where the reference's default chunks come from all slices."""

both_formats = pytest.mark.parametrize("zarr_format", FORMATS)


# -- creation: the target that zapz makes is the target that xarray makes ----------------------------------------------


@both_formats
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_variable_is_created_as_xarray_creates_it(kind: str, zarr_format: int, tmp_path: Path) -> None:
    mapping = one_kind(kind)
    expected = reading(written(xr.Dataset(mapping), tmp_path / "reference.zarr", zarr_format=zarr_format))
    for form, item in {"mapping": mapping, "dataset": xr.Dataset(mapping)}.items():
        found = appended(tmp_path / f"{form}.zarr", item, zarr_format=zarr_format, label_chunk="keep")
        assert_same_reading(found, expected)


@both_formats
def test_a_cube_is_created_as_xarray_creates_it(zarr_format: int, tmp_path: Path) -> None:
    expected = reading(written(cube(), tmp_path / "reference.zarr", zarr_format=zarr_format))
    found = appended(tmp_path / "target.zarr", cube(), zarr_format=zarr_format, label_chunk="keep")
    assert_same_reading(found, expected)


def test_without_a_wish_the_format_is_3(tmp_path: Path) -> None:
    appended(tmp_path / "target.zarr", cube())
    assert (tmp_path / "target.zarr" / "zarr.json").exists()


TIMES: dict[str, tuple[list[str], dict[str, Any]]] = {
    "noon": (["2024-01-01T12:00", "2024-01-02T12:00"], {}),
    "half days": (["2024-01-01T00:00", "2024-01-01T12:00"], {}),
    "one moment": (["2024-01-05T12:34:56.123456789"], {}),
    "quarters of a second": (["2024-01-01T00:00:00.25", "2024-01-01T00:00:00.5"], {}),
    "nanoseconds": (["2024-01-01T00:00:00.000000001", "2024-01-01T00:00:00.000000004"], {}),
    "own units": (["2024-01-01T12:00"], {"units": "hours since 1970-01-01"}),
    "own units and type": (["2024-01-01T12:00"], {"units": "seconds since 1970-01-01", "dtype": "int32"}),
    "floats": (["2024-01-01T12:00"], {"units": "days since 2024-01-01", "dtype": "float64"}),
    "own calendar": (["2024-01-01T12:00"], {"units": "hours since 1970-01-01", "calendar": "standard"}),
}


@both_formats
@pytest.mark.parametrize("case", TIMES)
def test_times_are_created_as_xarray_creates_them(case: str, zarr_format: int, tmp_path: Path) -> None:
    moments, encoding = TIMES[case]
    dataset = xr.Dataset({"time": ("time", np.array(moments, "M8[ns]"), {}, encoding)})
    expected = reading(written(dataset, tmp_path / "reference.zarr", zarr_format=zarr_format))
    kept = {"label_chunk": "keep", "label_units": "keep"}
    found = appended(tmp_path / "target.zarr", dataset, zarr_format=zarr_format, **kept)
    assert_same_reading(found, expected)


ENCODINGS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "packed": ("v", (2, 3), {"dtype": "int16", "scale_factor": 0.25, "add_offset": 5.0, "_FillValue": -32768}),
    "packed bytes": ("v", (2, 3), {"dtype": "uint8", "scale_factor": 0.25, "_FillValue": 255}),
    "missing_value": ("v", (2, 3), {"dtype": "int16", "scale_factor": 0.25, "missing_value": -1}),
    "both markers": ("v", (2, 3), {"_FillValue": -1.0, "missing_value": -1.0}),
    "another marker": ("v", (2, 3), {"_FillValue": -999.0}),
    "no marker": ("v", (2, 3), {"_FillValue": None}),
    "wider": ("v", (2, 3), {"dtype": "float64"}),
    "big-endian": ("v", (2, 3), {"dtype": ">f4"}),
    "integers with a marker": ("flags", (2, 3), {"_FillValue": 255}),
    "wider integers": ("orbit", (2, 3), {"dtype": "int64"}),
    "small chunks": ("v", (2, 3), {"chunks": (1, 2, 4)}),
    "chunks across slices": ("v", (2, 3), {"chunks": (3, 4, 6)}),
    "one chunk size for all": ("v", (2, 3), {"chunks": 2}),
    "chunks larger than the slice": ("v", (2, 3), {"chunks": (10, 10, 10)}),
    "shards": ("v", (3,), {"chunks": (1, 2, 3), "shards": (4, 4, 6)}),
    "shards, packed": ("v", (3,), {"chunks": (1, 2, 3), "shards": (4, 4, 6), "dtype": "int16", "scale_factor": 0.25, "_FillValue": -1}),
    "no compressor": ("v", (2, 3), {"compressors": None}),
    "v3 fill value": ("flags", (3,), {"fill_value": 7}),
    "hours": ("time", (2, 3), {"units": "hours since 1970-01-01", "dtype": "int32"}),
    "float days": ("time", (2, 3), {"units": "days since 1950-01-01", "dtype": "float64"}),
    "standard calendar": ("time", (2, 3), {"units": "seconds since 2000-01-01", "calendar": "standard"}),
    "grid_mapping": ("v", (2, 3), {"grid_mapping": "crs"}),
    "coordinates": ("v", (2, 3), {"coordinates": "lat"}),
    "remains of another file": ("v", (2, 3), {"source": "x.nc", "original_shape": (9, 9, 9), "zlib": True, "complevel": 4, "preferred_chunks": {"time": 1}}),
}  # fmt: skip
"""Name -> variable, formats, its encoding."""

encoded = pytest.mark.parametrize(("name", "zarr_format"), [(n, f) for n, (_, fs, _) in ENCODINGS.items() for f in fs])


def _encoded(name: str, start: int = 0, steps: int = 2) -> xr.Dataset:
    variable, _, encoding = ENCODINGS[name]
    dataset = cube(start, steps)
    dataset[variable].encoding = dict(encoding)
    return dataset


@encoded
def test_a_variables_own_encoding_is_used_as_by_xarray(name: str, zarr_format: int, tmp_path: Path) -> None:
    expected = reading(written(_encoded(name), tmp_path / "reference.zarr", zarr_format=zarr_format))
    found = appended(tmp_path / "target.zarr", _encoded(name), zarr_format=zarr_format, label_chunk="keep")
    assert_same_reading(found, expected)


ATTRIBUTES: dict[str, Any] = {
    "text": "é",
    "numbers": [1, 2.5, np.float32(0.1), np.int8(-3), np.uint64(2**64 - 1), np.bool_(True)],
    "arrays": [np.array([1.5, 2]), np.array([], "f4"), np.array(3), np.array(["a", "b"])],
    "sequences": [(1, 2), ["a", "b"], []],
    "special": [None, True, np.nan, np.inf],
}


@both_formats
def test_attributes_are_written_as_xarray_writes_them(zarr_format: int, tmp_path: Path) -> None:
    attributes = {
        f"{k}{i}": v for k, vs in ATTRIBUTES.items() for i, v in enumerate(vs if isinstance(vs, list) else [vs])
    }
    dataset = xr.Dataset(
        {"time": ("time", days(0, 2), {"axis": "T"}), "v": ("time", [1.0, 2.0], attributes)}, attrs=attributes
    )
    expected = reading(written(dataset, tmp_path / "reference.zarr", zarr_format=zarr_format))
    assert_same_reading(
        appended(tmp_path / "target.zarr", dataset, zarr_format=zarr_format, label_chunk="keep"), expected
    )


def test_a_range_of_values_stays_where_the_stored_numbers_mean_the_same(tmp_path: Path) -> None:
    dataset = _encoded("wider")
    dataset["v"].attrs["valid_range"] = [0.0, 100.0]
    assert appended(tmp_path / "target.zarr", dataset)["v"].attrs["valid_range"] == [0.0, 100.0]


# -- append: what is appended reads as if everything had been written at once -----------------------------------------


@both_formats
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_variable_is_appended(kind: str, zarr_format: int, tmp_path: Path) -> None:
    slices = [xr.Dataset(one_kind(kind, start, steps)) for start, steps in ((0, 2), (2, 3), (5, 1))]
    expected = at_once(slices, tmp_path / "reference.zarr", zarr_format=zarr_format)
    found = appended(tmp_path / "target.zarr", *slices, zarr_format=zarr_format)
    assert_same_reading(found, expected, VALUES)


@encoded
def test_a_target_keeps_its_encoding_whatever_the_slices_have(name: str, zarr_format: int, tmp_path: Path) -> None:
    slices = [_encoded(name, 0, 2), cube(2, 3), cube(5, 1), cube(6, 4)]
    expected = at_once(slices, tmp_path / "reference.zarr", zarr_format=zarr_format)
    target = written(slices[0], tmp_path / "target.zarr", zarr_format=zarr_format)
    before = encodings(reading(target))
    found = appended(target, *slices[1:])
    assert_same_reading(found, expected, UNCHUNKED)
    assert encodings(found) == before


def test_numbers_with_units_of_time_are_times(tmp_path: Path) -> None:
    """A Dataset opened without decoding, or a mapping of stored numbers, means what its attributes say."""
    for zarr_format in FORMATS:
        home = tmp_path / str(zarr_format)
        home.mkdir()
        slices = [_encoded("packed", 0, 2), _encoded("packed", 2, 3)]
        slices[1]["v"].encoding |= {"scale_factor": 0.125, "add_offset": 0.0, "_FillValue": -7}
        expected = at_once(slices, home / "reference.zarr", zarr_format=zarr_format)
        target = written(slices[0], home / "target.zarr", zarr_format=zarr_format)
        later = written(slices[1], home / "slice.zarr", zarr_format=zarr_format)
        with quiet(), xr.open_zarr(later, chunks=None, decode_cf=False) as raw:
            raw.load()
        assert raw["time"].attrs["units"] != reading(target)["time"].encoding["units"]
        assert_same_reading(appended(target, raw), expected, UNCHUNKED)


# -- forms: however a slice is handed over ----------------------------------------------------------------------------


def _group(dataset: xr.Dataset, path: Path) -> Any:
    import zarr

    return zarr.open_group(str(written(dataset, path, zarr_format=3)), mode="r")


def _tensorstore(values: Any) -> Any:
    import tensorstore as ts

    return ts.array(values) if values.dtype.kind in "fiu" and values.ndim else values


def _zarr_array(values: Any) -> Any:
    import zarr

    if values.dtype.kind not in "fiu":
        return values
    with quiet():
        return zarr.array(values, chunks=tuple(max(1, n - 1) for n in values.shape))


def _dask(dataset: xr.Dataset, chunks: Any) -> xr.Dataset:
    pytest.importorskip("dask.array")
    return dataset.chunk(chunks)


def _opened(dataset: xr.Dataset, path: Path, **options: Any) -> xr.Dataset:
    with quiet():
        return xr.open_zarr(written(dataset, path, zarr_format=2), **options)


FORMS: dict[str, Callable[[xr.Dataset, Path], Any]] = {
    "mapping": lambda ds, _: mapped(ds),
    "mapping of variables": lambda ds, _: dict(ds.variables),
    "mapping of stored arrays": lambda ds, _: mapped(ds, Stored),
    "mapping of tensorstores": lambda ds, _: mapped(ds, _tensorstore),
    "mapping of zarr arrays": lambda ds, _: mapped(ds, _zarr_array),
    "zarr group": _group,
    "path": lambda ds, path: written(ds, path, zarr_format=3),
    "lazily opened": lambda ds, path: _opened(ds, path, chunks=None),
    "opened with its chunks": lambda ds, path: _opened(_dask(ds, 1), path, chunks={}),
    "dask": lambda ds, _: _dask(ds, {"time": 1, "y": 2, "x": 3}),
    "dask, irregular": lambda ds, _: _dask(ds, {"y": (1, 3), "x": (2, 1, 3)}),
    "dask, rechunked": lambda ds, _: _dask(_dask(ds, {"time": 1}), {"time": -1, "x": 2}),
}


STYLES = {"plain": "wider", "packed": "packed", "chunked": "chunks across slices"}


@cache
def _files(target: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return files(written(_encoded(STYLES[target]), Path(folder) / "target.zarr", zarr_format=2))


def _given(form: Callable[[xr.Dataset, Path], Any], target: str, folder: Path) -> xr.Dataset:
    """Append two slices in a form, and return what xarray reads then."""
    place = folder / "target.zarr"
    if target != "new":
        again(_files(target), place)
    start = 0 if target == "new" else 2
    items = [form(s, folder / f"slice{i}") for i, s in enumerate([cube(start, 3), cube(start + 3, 2)])]
    wish = {"zarr_format": 2, "variables": {"*": {"encoding": {"chunks": None}}}} if target == "new" else {}
    return appended(place, *items, **wish)


@cache
def _given_as_datasets(target: str) -> xr.Dataset:
    with tempfile.TemporaryDirectory() as folder:
        return _given(lambda dataset, _: dataset, target, Path(folder))


@pytest.mark.filterwarnings("ignore::UserWarning:xarray", "ignore::FutureWarning:xarray")  # of tests' own chunk()
@pytest.mark.parametrize("target", ["new", *STYLES])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_slice_gives_the_same(form: str, target: str, tmp_path: Path) -> None:
    expected, found = _given_as_datasets(target), _given(FORMS[form], target, tmp_path)
    assert expected.sizes["time"] == (5 if target == "new" else 7)
    if target == "new" and form.startswith(
        "mapping"
    ):  # a mapping has no attributes, and cannot say which variables are coordinates
        expected, found = expected.reset_coords(), found.reset_coords()
        expected.attrs = {}
        assert_same_reading(found, expected, tuple(k for k in KEPT if k != "coordinates"))
    else:
        assert_same_reading(found, expected)


@both_formats
def test_a_data_array_is_a_dataset_of_one_variable(zarr_format: int, tmp_path: Path) -> None:
    array = cube()["v"]
    expected = reading(written(array.to_dataset(), tmp_path / "reference.zarr", zarr_format=zarr_format))
    found = appended(tmp_path / "target.zarr", array, zarr_format=zarr_format, label_chunk="keep")
    assert_same_reading(found, expected)


def test_a_data_array_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(zapz.SliceError, match="name"):
        zapz.append(tmp_path / "target.zarr", cube()["v"].rename(None))
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize("form", ["dataset", "data array", "mapping", "group", "path"])
def test_one_item_needs_no_list(form: str, tmp_path: Path) -> None:
    item: Any = {
        "dataset": cube,
        "data array": lambda: cube()["v"],
        "mapping": lambda: mapped(cube()),
        "group": lambda: _group(cube(), tmp_path / "slice.zarr"),
        "path": lambda: written(cube(), tmp_path / "slice.zarr", zarr_format=3),
    }[form]()
    report = zapz.append(tmp_path / "target.zarr", item)
    assert (report.appended, report.length) == (1, 2)
    xr.testing.assert_equal(reading(tmp_path / "target.zarr")["v"].variable, cube()["v"].variable)


def test_what_the_user_handed_over_is_not_changed(tmp_path: Path) -> None:
    dataset = _encoded("packed")
    before = copy.deepcopy(dataset)
    wishes = {n: dict(v.encoding) for n, v in dataset.variables.items()}
    appended(tmp_path / "target.zarr", dataset, variables={"v": {"attrs": {"more": 1}}})
    xr.testing.assert_identical(dataset, before)
    assert {n: dict(v.encoding) for n, v in dataset.variables.items()} == wishes


def test_values_in_a_mapping_may_be_anything_numpy_takes(tmp_path: Path) -> None:
    item = {
        "time": ("time", days(0, 2)),
        "list": (["time"], [1, 2]),
        "number": ((), 7),
        "numpy number": ((), np.float32(0.5), {"units": "1"}),
        "moment": ((), np.datetime64("2024-01-01T12:00", "ns")),
        "text": ((), "abc"),
        "texts": (("time",), ["a", "bcd"]),
        "strided": (("time",), np.arange(4)[::2]),
        "fortran": (("time", "x"), np.asfortranarray(np.arange(6).reshape(2, 3))),
        "nothing": (("time", "none"), np.zeros((2, 0), "f4")),
    }
    expected = reading(written(xr.Dataset(item), tmp_path / "reference.zarr", zarr_format=3))
    assert_same_reading(appended(tmp_path / "target.zarr", item, label_chunk="keep"), expected)


# -- laws over many datasets ------------------------------------------------------------------------------------------

_PLAIN_KINDS = [k for k in KINDS if k != "calendar"]
_WISHES: list[Mapping[str, Any]] = [{}, {"chunks": 2}, {"_FillValue": -5}, {"dtype": "float64"}, {"dtype": "int16", "scale_factor": 0.25, "_FillValue": -9}]  # fmt: skip


@st.composite
def _datasets(draw: st.DrawFn) -> xr.Dataset:
    steps, x = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    variables: dict[str, Any] = {}
    for index in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(_PLAIN_KINDS))
        values = KINDS[kind](draw(st.integers(0, 20)), steps)[:, :x]
        dims: tuple[str, ...] = ("time", "x")
        if draw(st.booleans()):
            values, dims = values.T, ("x", "time")
        elif draw(st.booleans()):
            values, dims = values[0], ("x",)
        wish = draw(st.sampled_from(_WISHES)) if kind in ("float32", "float64") and np.isfinite(values).all() else {}
        variables[f"v{index}"] = (dims, values, draw(st.dictionaries(st.sampled_from("abc"), st.integers() | st.text(max_size=3))), wish)  # fmt: skip
    variables["time"] = ("time", days(0, steps), {}, {"units": "days since 2000-01-01", "dtype": "int64"})
    dataset = xr.Dataset(variables)
    return dataset.set_coords(draw(st.sets(st.sampled_from(sorted(set(variables) - {"time"})))))


_MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@_MANY
@given(dataset=_datasets(), zarr_format=st.sampled_from(FORMATS))
def test_law_what_zapz_creates_reads_like_what_xarray_creates(
    dataset: xr.Dataset, zarr_format: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("law")
    expected = reading(written(dataset, home / "reference.zarr", zarr_format=zarr_format))
    kept = {"label_chunk": "keep", "label_units": "keep"}
    assert_same_reading(appended(home / "target.zarr", dataset, zarr_format=zarr_format, **kept), expected)


@_MANY
@given(dataset=_datasets(), cuts=st.sets(st.integers(1, 5)), zarr_format=st.sampled_from(FORMATS))
def test_law_pieces_read_like_the_whole(
    dataset: xr.Dataset, cuts: set[int], zarr_format: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    steps = dataset.sizes["time"]
    assume(
        all(v.dtype.kind not in "mM" or n == "time" for n, v in dataset.variables.items())
    )  # the first piece chooses units
    edges = [0, *sorted(c for c in cuts if c < steps), steps]
    pieces = [dataset.isel(time=slice(a, b)) for a, b in itertools.pairwise(edges)]
    home = tmp_path_factory.mktemp("law")
    expected = reading(written(dataset, home / "reference.zarr", zarr_format=zarr_format))
    assert_same_reading(appended(home / "target.zarr", *pieces, zarr_format=zarr_format), expected, VALUES)
