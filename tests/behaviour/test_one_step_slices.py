"""Slices that are one step and lack the append dimension: seen as one step, by their documents alone, their chunk bytes copied."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import compressor, files, make_slice, quiet, read, write_array, write_group
from kit.objects import World
from kit.slices_kit import KINDS, cube, mapped, reading, written

import zapz
from zapz.checks.reading import Reading
from zapz.config.layers import make
from zapz.execution import sparse
from zapz.format import documents as doors
from zapz.format.metadata import Dataset
from zapz.planning.selection import data_variables
from zapz.sources.expanded import expanded
from zapz.sources.open_slice import open_source
from zapz.storage import presence
from zapz.storage.presence import present

NOTE = "time is a scalar in the slice (2024-01-0{}): appended as one step"
VALUES = np.arange(1, 25, dtype="f4").reshape(4, 6)


def day(number: int) -> xr.Dataset:
    """Return one day of a cube, as ``isel`` gives it: large enough that its chunks are not those of labels."""
    return cube(number, 1, y=20, x=30).drop_vars("sensor").isel(time=0)


def documents_of(target: Path) -> dict[str, Any]:
    """Return a target's documents as values, the order of members apart."""
    return {
        key: json.loads(data)
        for key, data in files(target).items()
        if key.endswith((".json", ".zarray", ".zattrs", ".zgroup"))
    }


def refused(kind: type[zapz.ZapzError], target: Path, *slices: Any, **settings: Any) -> zapz.ZapzError:
    before = files(target)
    with pytest.raises(kind) as caught:
        zapz.append(target, list(slices), **settings)
    assert files(target) == before
    return caught.value


def test_a_dimension_whose_name_has_braces(tmp_path: Path) -> None:
    for number in (1, 2):
        with quiet():
            day(number).rename(time="t{0}").to_zarr(tmp_path / f"d{number}.zarr")
    report = zapz.append(tmp_path / "c", [tmp_path / "d1.zarr", tmp_path / "d2.zarr"], append_dim="t{0}")
    assert report.length == 2
    assert report.slices[1].notes == ("t{0} is a scalar in the slice (2024-01-03): appended as one step",)


# -- xarray's expand_dims as the judge ---------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", ["stored", "unconsolidated", "dataset", "mapping"])
def test_the_result_is_that_of_expand_dims(tmp_path: Path, zarr_format: int, kind: str) -> None:
    singles = [day(i) for i in range(3)]
    full = [d.expand_dims("time") for d in singles]
    made: dict[str, Callable[[xr.Dataset, str], Any]] = {
        "stored": lambda d, name: written(d, tmp_path / name, zarr_format=zarr_format),
        "unconsolidated": lambda d, name: _unconsolidated(d, tmp_path / name, zarr_format),
        "dataset": lambda d, _: d,
        "mapping": lambda d, _: mapped(d.drop_vars(["crs", "lat"])),
    }
    items = [[made[kind](d, f"{form}{i}") for i, d in enumerate(ds)] for form, ds in (("s", singles), ("f", full))]
    report = zapz.append(tmp_path / "t", items[0], zarr_format=zarr_format)
    other = zapz.append(tmp_path / "u", items[1], zarr_format=zarr_format)
    assert [s.notes[0] for s in report.slices] == [NOTE.format(i) for i in (1, 2, 3)]
    assert [s.notes[1:] for s in report.slices] == [s.notes for s in other.slices]
    assert (report.copied_chunks, report.encoded_chunks) == (other.copied_chunks, other.encoded_chunks)
    assert documents_of(tmp_path / "t") == documents_of(tmp_path / "u")
    if kind != "mapping":
        xr.testing.assert_identical(reading(tmp_path / "t"), xr.concat(full, "time", data_vars="minimal"))
    again = zapz.append(tmp_path / "t", items[0], zarr_format=zarr_format)
    assert (again.already, [s.notes for s in again.slices]) == (3, [()] * 3)


def _unconsolidated(dataset: xr.Dataset, path: Path, zarr_format: int) -> Path:
    with quiet():
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=False)
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("stored", [True, False])
def test_variables_of_every_kind(tmp_path: Path, zarr_format: int, stored: bool) -> None:
    """Decoded, they are what xarray makes of them: text, times, booleans, gaps."""
    kinds = [
        kind
        for kind in KINDS
        if not (stored and kind in {"text with None", "masked floats", "masked integers", "complex"})
    ]

    def single(i: int) -> xr.Dataset:
        variables = {kind: ("x", KINDS[kind](i, 1)[0]) for kind in kinds} | {
            f"{kind}, scalar": ((), KINDS[kind](i, 1)[0, 0]) for kind in kinds
        }
        return xr.Dataset(variables, {"time": np.datetime64("2024-01-01", "ns") + np.timedelta64(i, "D")})

    singles = [single(i) for i in range(2)]
    items = [
        [written(d, tmp_path / f"{n}{i}", zarr_format=zarr_format) if stored else d for i, d in enumerate(ds)]
        for n, ds in (("s", singles), ("f", [d.expand_dims("time") for d in singles]))
    ]
    found, expected = (tmp_path / name for name in "tu")
    for target, slices in ((found, items[0]), (expected, items[1])):
        zapz.append(target, slices, zarr_format=zarr_format)
    assert documents_of(found) == documents_of(expected)
    xr.testing.assert_identical(reading(found), reading(expected))


def test_a_data_array(tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", [day(i).v for i in range(2)])
    expected = xr.concat([day(i).v.expand_dims("time") for i in range(2)], "time")
    xr.testing.assert_equal(reading(tmp_path / "t").v, expected)


def test_lazy_arrays_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def loud(block: Any) -> Any:
        calls.append(block.shape)
        return block

    lazy = day(0)
    lazy["v"] = lazy.v.chunk(y=10, x=30)
    lazy["v"] = lazy.v.copy(data=lazy.v.data.map_blocks(loud, dtype="f4", meta=np.empty((0, 0), "f4")))
    zapz.append(tmp_path / "t", [lazy])
    assert calls == [(10, 30)] * 2
    assert reading(tmp_path / "t").v.encoding["chunks"] == (1, 10, 30)
    assert reading(tmp_path / "t").v.shape == (1, 20, 30)


# -- bytes are copied --------------------------------------------------------------------------------------------------


def write_step(
    path: Path, number: int, values: Any = None, *, zarr_format: int, label: Any = "time", **options: Any
) -> dict[str, Any]:
    """Write one step by zarr: ``data(y, x)``, of other values each day, and the scalar ``time``."""
    cells = VALUES + number * 100 if values is None else values
    write_group(path, zarr_format=zarr_format)
    if label is not None:
        attrs = {"units": "days since 2020-01-01", "calendar": "proleptic_gregorian"}
        write_array(path, label, np.int64(number), dims=[], zarr_format=zarr_format, attrs=attrs)
    write_array(
        path,
        "data",
        cells,
        dims=["y", "x"][: cells.ndim],
        zarr_format=zarr_format,
        **({"chunks": [2, 3][: cells.ndim]} | options),
    )
    return {"time": np.array([number]), "data": cells[None]}


def _filters(zarr_format: int) -> Any:
    if zarr_format == 2:
        import numcodecs

        return [numcodecs.Delta("<f4"), numcodecs.Shuffle(4)]
    from zarr.codecs import numcodecs as wrapped

    with quiet():
        return [wrapped.Delta(dtype="<f4")]


GAPPED = np.where(np.arange(24).reshape(4, 6) % 6 < 3, np.float32(-9), VALUES)
FORMS: dict[str, tuple[int, Callable[[int], dict[str, Any]]]] = {
    "v2": (2, lambda _: {}),
    "v2, F": (2, lambda _: {"order": "F"}),
    "v2, slashes": (2, lambda _: {"separator": "/"}),
    "v2, blosc": (2, lambda f: {"compressors": compressor("blosc", f)}),
    "v2, filters": (2, lambda f: {"filters": _filters(f), "compressors": compressor("zlib", f)}),
    "v2, missing chunks": (2, lambda _: {"fill": -9, "write_empty": False, "values": GAPPED}),
    "v2, big endian": (2, lambda _: {"values": VALUES.astype(">i2")}),
    "v2, one dimension": (2, lambda _: {"values": np.arange(900.0), "chunks": [300]}),
    "v3": (3, lambda _: {}),
    "v3, F": (3, lambda _: {"order": "F"}),
    "v3, dots": (3, lambda _: {"separator": "."}),
    "v3, keys of v2": (3, lambda _: {"key_style": "v2"}),
    "v3, zstd": (3, lambda f: {"compressors": compressor("zstd", f)}),
    "v3, filters": (3, lambda f: {"filters": _filters(f), "compressors": compressor("gzip", f)}),
    "v3, missing chunks": (3, lambda _: {"fill": -9, "write_empty": False, "values": GAPPED}),
    "v3, shards": (3, lambda f: {"shards": [4, 6], "compressors": compressor("blosc", f)}),
    "v3, shards, F": (3, lambda _: {"shards": [4, 3], "order": "F", "index_location": "start"}),
    "v3, shards with gaps": (3, lambda _: {"shards": [4, 6], "fill": -9, "write_empty": False, "values": GAPPED}),
}  # fmt: skip
"""Format of Zarr, and what ``write_step`` is told."""


def chunks_of(path: Path) -> list[bytes]:
    """Return the chunks of the data, in order of their keys."""
    return [
        data for key, data in sorted(files(path / "data").items()) if not key.endswith((".json", ".zarray", ".zattrs"))
    ]


@pytest.mark.parametrize("form", FORMS)
def test_bytes_are_copied(tmp_path: Path, form: str) -> None:
    """Into a new target, and behind what is there."""
    zarr_format, options = FORMS[form]
    given = options(zarr_format)
    values = given.pop("values", VALUES)
    wanted = [write_step(tmp_path / f"s{i}", i, values, zarr_format=zarr_format, **given) for i in range(2)]
    report = zapz.append(tmp_path / "t", [tmp_path / "s0", tmp_path / "s1"], label_chunk="keep", label_units="keep")
    assert chunks_of(tmp_path / "t") == [c for i in range(2) for c in chunks_of(tmp_path / f"s{i}")]
    assert report.encoded_chunks == 0
    found = read(tmp_path / "t")
    np.testing.assert_array_equal(found["data"], np.concatenate([w["data"] for w in wanted]))
    assert found["time"].tolist() == [0, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("mine", "theirs"), [(2, 2), (3, 3), (2, 3), (3, 2)])
def test_the_axis_is_where_the_target_has_it(tmp_path: Path, axis: int, order: str, mine: int, theirs: int) -> None:
    chunks = [2, 3]
    chunks.insert(axis, 1)
    whole = make_slice(tmp_path / "t", zarr_format=theirs, steps=1, axis=axis, chunks=chunks, order=order, static=False)
    wanted = [whole]
    for number in (1, 2):
        wanted.append(write_step(tmp_path / f"s{number}", number, zarr_format=mine, order=order))
        wanted[-1]["data"] = np.expand_dims(wanted[-1]["data"][0], axis)
        report = zapz.append(tmp_path / "t", tmp_path / f"s{number}")
        assert report.copied_chunks == 5  # the label is one
        assert set(chunks_of(tmp_path / f"s{number}")) <= set(chunks_of(tmp_path / "t"))
    np.testing.assert_array_equal(read(tmp_path / "t")["data"], np.concatenate([w["data"] for w in wanted], axis=axis))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_long_chunks_of_the_target(tmp_path: Path, zarr_format: int) -> None:
    """Then chunks are put together, as those of any slice."""
    wanted = [make_slice(tmp_path / "t", zarr_format=zarr_format, steps=2, chunks=[3, 4, 6], static=False)]
    for number in (2, 3):
        wanted.append(write_step(tmp_path / f"s{number}", number, zarr_format=zarr_format, order="F"))
    zapz.append(tmp_path / "t", [tmp_path / "s2", tmp_path / "s3"])
    np.testing.assert_array_equal(read(tmp_path / "t")["data"], np.concatenate([w["data"] for w in wanted]))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("kind", ["v2", "v3", "shards"])
def test_transposed_axes(tmp_path: Path, order: tuple[int, int], kind: str) -> None:
    """Each order of the target's axes in which those of the slice stand alike is met, if the format can say it, and bytes are copied."""
    from zarr.codecs import TransposeCodec

    sharded = kind == "shards"
    form: dict[str, Any] = {"filters": [TransposeCodec(order=order)], **({"shards": [4, 6]} if sharded else {})}
    if kind == "v2":
        form = {"order": "C" if order == (0, 1) else "F"}
    write_step(tmp_path / "s", 1, zarr_format=2 if kind == "v2" else 3, **form)
    for number, stored in enumerate(itertools.permutations(range(3))):
        path = tmp_path / f"t{number}"
        make_slice(
            path, zarr_format=3, steps=1, chunks=[1, 2, 3], filters=[TransposeCodec(order=stored)], static=False,
            **({"shards": [1, 4, 6]} if sharded else {}),
        )  # fmt: skip
        report = zapz.append(path, tmp_path / "s")
        alike = tuple(i - 1 for i in stored if i) == order and (kind != "v2" or stored in {(0, 1, 2), (2, 1, 0)})
        assert report.copied_chunks == 1 + alike * len(chunks_of(tmp_path / "s"))  # the label is one
        np.testing.assert_array_equal(read(path)["data"][1], VALUES + 100)


def test_codecs_that_may_depend_on_the_number_of_axes(tmp_path: Path) -> None:
    write_step(tmp_path / "s", 0, zarr_format=3)
    document = tmp_path / "s/data/zarr.json"
    meta = json.loads(document.read_text())
    meta["codecs"] = [{"name": "numcodecs.zfpy", "configuration": {"mode": 4}}]
    document.write_text(json.dumps(meta))
    error = refused(zapz.UnsupportedError, tmp_path / "t", tmp_path / "s")
    assert "s, data" in error.where
    assert "zfpy" in error.found
    write_array(tmp_path / "s", "other", VALUES, dims=["y", "x"], zarr_format=3)
    assert zapz.append(tmp_path / "t", tmp_path / "s", **error.remedies).appended == 1


# -- which variables ---------------------------------------------------------------------------------------------------


def _dataset(
    variables: dict[str, tuple[int, dict[str, Any]]], groups: dict[str, dict[str, Any]] | None = None
) -> Dataset:
    """Return a dataset of variables with so many dimensions, the last ones of these, and attributes."""
    found: dict[str, bytes] = {}
    for path, attributes in {"": {}, **(groups or {})}.items():
        found |= doors.of(3).write_group(path, json.dumps(attributes))
    for path, (ndim, attributes) in variables.items():
        dims = [path.rpartition("/")[2]] if ndim == 1 and attributes.get("own") else ["z", "y", "x"][3 - ndim :]
        array = {
            "zarr_format": 3, "node_type": "array", "shape": [2] * ndim, "data_type": "int32", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2] * ndim}}, "attributes": attributes,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "dimension_names": dims,
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        }  # fmt: skip
        found[f"{path}/zarr.json"] = json.dumps(array).encode()
    return doors.read(found)


@pytest.mark.parametrize(
    ("data", "fixed"),
    [
        ({"sst": (2, {})}, {"lat": (1, {"own": 1}), "lon": (1, {"own": 1})}),
        ({"sst": (2, {"coordinates": "lat2 lon2 height time"})}, {"lat2": (2, {}), "lon2": (2, {}), "height": (0, {})}),
        ({"sst": (2, {"grid_mapping": "crs"})}, {"crs": (0, {})}),
        ({"sst": (2, {"grid_mapping": "crs1: x y crs2: lat2 lon2"})}, {"crs1": (0, {}), "crs2": (0, {}), "lat2": (2, {})}),
        ({"sst": (2, {})}, {"crs": (0, {"grid_mapping_name": "x"}), "spatial": (0, {"crs_wkt": "x"})}),
        ({"sst": (2, {"cell_measures": "area: cells"})}, {"cells": (2, {})}),
        ({"sst": (2, {"ancillary_variables": "flags"}), "flags": (2, {})}, {}),
        ({"time_bnds": (1, {})}, {"lat": (1, {"own": 1, "bounds": "lat_bnds"}), "lat_bnds": (2, {})}),
        ({"ps": (2, {})}, {"lev": (1, {"own": 1, "formula_terms": "a: hya p0: p0 ps: ps"}), "hya": (1, {}), "p0": (0, {})}),
        ({"line": (1, {}), "mean": (0, {})}, {}),
        ({"g/sst": (2, {"coordinates": "lat2"})}, {"lat2": (2, {})}),
        ({"sst": (2, {"coordinates": 3, "bounds": ["a"]})}, {}),
    ],
)  # fmt: skip
def test_which_variables_are_data(data: dict[str, Any], fixed: dict[str, Any]) -> None:
    found = data_variables(_dataset({**data, **fixed, "time": (0, {"bounds": "time_bnds"})}), "time")
    assert found == {"time", *data}


def test_coordinates_of_the_group_are_no_data() -> None:
    listed = {"": {"coordinates": "time lat2"}, "g": {"coordinates": "lat2"}}
    found = data_variables(
        _dataset({"time": (0, {}), "lat2": (2, {}), "g/lat2": (2, {}), "g/v": (2, {})}, listed), "time"
    )
    assert found == {"time", "g/v"}


@pytest.mark.parametrize("stored", [True, False])
def test_coordinates_that_differ_from_step_to_step(tmp_path: Path, stored: bool) -> None:
    """The first answer is a refusal, and what it says is how they get the dimension."""
    singles = [cube(i, 1).isel(time=0) for i in range(3)]
    items = [written(d, tmp_path / f"s{i}", zarr_format=3) if stored else d for i, d in enumerate(singles)]
    with pytest.raises(zapz.VariableError) as caught:
        zapz.append(tmp_path / "t", items)
    assert "sensor" in caught.value.where
    assert caught.value.hint.index("append_label") < caught.value.hint.index("ignore"), "what loses data comes last"
    remedies = {name: value for name, value in caught.value.remedies.items() if name != "static"}
    zapz.append(tmp_path / "t", items, **remedies)
    assert reading(tmp_path / "t").sensor.values.tolist() == ["S0", "S1", "S2"]
    assert "sensor" in reading(tmp_path / "t").coords


def test_variables_by_name(tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", [day(0)], append_label={"variables": ["v", "lat"]})
    found = reading(tmp_path / "t")
    assert {name for name in found.variables if "time" in found[name].dims} == {"lat", "time", "v"}
    error = refused(zapz.VariableError, tmp_path / "new", day(1), append_label={"variables": ["v", "nope"]})
    assert (error.expected, "append_label.variables" in error.where) == ("nope", True)


def test_variables_are_those_of_the_target(tmp_path: Path) -> None:
    """Whatever the default would be; what it lacks is refused as ever."""
    full = day(0).expand_dims("time")
    full["lat"] = full.lat.expand_dims("time")
    full["flags"] = full.flags.isel(time=0, drop=True)
    written(full, tmp_path / "t", zarr_format=3)
    later = day(1)
    later["flags"] = day(0).flags.drop_vars("time")
    zapz.append(tmp_path / "t", later)
    found = reading(tmp_path / "t")
    assert (found.lat.dims, found.flags.dims, found.v.shape) == (("time", "y", "x"), ("y", "x"), (2, 20, 30))
    error = refused(zapz.VariableError, tmp_path / "t", later.assign(new=later.v))
    assert error.found == "new"


def test_included_variables_keep_the_label(tmp_path: Path) -> None:
    write_step(tmp_path / "s", 5, zarr_format=3)
    write_array(tmp_path / "s", "other", VALUES, dims=["y", "x"], zarr_format=3)
    zapz.append(tmp_path / "t", tmp_path / "s", included_variables=["data"])
    assert sorted(read(tmp_path / "t")) == ["data", "time"]


def test_groups(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict(
        {"/": day(0)[["time"]], "/a": day(0)[["v"]].drop_vars("time"), "/b": day(0)[["flags"]].drop_vars("time")}
    )
    with quiet():
        tree.to_zarr(tmp_path / "s", zarr_format=3)
    zapz.append(tmp_path / "t", tmp_path / "s")
    found = read(tmp_path / "t")
    assert (found["a/v"].shape, found["b/flags"].shape, found["time"].shape) == ((1, 20, 30), (1, 20, 30), (1,))


# -- what a slice can be ------------------------------------------------------------------------------------------------


class Bytes(zapz.Source):
    """A stored slice, by its bytes."""

    def __init__(self, path: Path) -> None:
        self._files = files(path)
        self.prepared: list[str] = []
        self.uri = path.name

    def documents(self) -> dict[str, bytes]:
        return {key: data for key, data in self._files.items() if key.endswith("zarr.json")}

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._files[key][offset : None if length is None else offset + length]

    def prepare(self, paths: Any) -> None:
        self.prepared += paths


class Cells(Bytes):
    """The same, by cells."""

    read = zapz.Source.read

    def cells(self, path: str, box: Any) -> Any:
        values = {"time": np.asarray(7), "data": VALUES + 700}[path]
        return values[tuple(slice(a, b) for a, b in box)]


@pytest.fixture
def step(tmp_path: Path) -> Iterator[Path]:
    """Write one step, and something beside it from which it can be read in other ways."""
    write_step(tmp_path / "s", 7, zarr_format=3)
    yield tmp_path / "s"
    fsspec.filesystem("memory").rm("/", recursive=True)


def _in_memory(path: Path) -> str:
    fs = fsspec.filesystem("memory")
    for key, data in files(path).items():
        fs.pipe_file(f"/one/{key}", data)
    return "memory://one"


SLICES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "uri": _in_memory,
    "mapper": lambda path: fsspec.get_mapper(str(path)),
    "store": zarr.storage.LocalStore,
    "group": lambda path: zarr.open_group(path, mode="r"),
    "source of bytes": Bytes,
    "source of cells": Cells,
    "xarray": lambda path: xr.open_zarr(path, consolidated=False, decode_times=False, chunks=None),
    "mapping": lambda _: {"time": ((), 7, {"units": "days since 2020-01-01"}), "data": (("y", "x"), VALUES + 700)},
}  # fmt: skip


@pytest.mark.parametrize("kind", SLICES)
@pytest.mark.parametrize("label", [{}, {"from": "value:2020-01-08"}], ids=["scalar", "value"])
@pytest.mark.parametrize("creates", [True, False])
def test_every_kind_of_slice(tmp_path: Path, step: Path, kind: str, label: dict[str, str], creates: bool) -> None:
    if not creates:
        write_step(tmp_path / "first", 0, zarr_format=3)
        zapz.append(tmp_path / "t", tmp_path / "first")
    with quiet():
        made = SLICES[kind](step)
        report = zapz.append(tmp_path / "t", [made], append_label=label)
    assert report.appended == 1
    assert "2020-01-08" in report.slices[0].notes[0]
    with quiet():
        found = xr.open_zarr(tmp_path / "t")
    assert found.time.values[-1] == np.datetime64("2020-01-08")
    np.testing.assert_array_equal(found.data[-1], VALUES + 700)
    assert found.sizes["time"] == 2 - creates
    if isinstance(made, Bytes):
        assert set(made.prepared) <= {"time", "data"}


@pytest.mark.parametrize("axis", [1, 2])
def test_cells_go_where_the_target_has_the_axis(tmp_path: Path, step: Path, axis: int) -> None:
    make_slice(tmp_path / "t", zarr_format=3, steps=1, axis=axis, static=False)
    zapz.append(tmp_path / "t", Cells(step))
    assert np.take(read(tmp_path / "t")["data"], 1, axis).tolist() == (VALUES + 700).tolist()


def test_what_is_prepared_is_the_source_s_own(tmp_path: Path) -> None:
    write_step(tmp_path / "s", 7, zarr_format=3, label=None)
    source = Bytes(tmp_path / "s")
    zapz.append(tmp_path / "t", source, append_label={"from": "value:7"})
    assert source.prepared == ["data"]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("more", ["", "lat2 "])
def test_a_dimension_is_listed_as_a_coordinate_no_more(tmp_path: Path, zarr_format: int, more: str) -> None:
    write_step(tmp_path / "s", 7, zarr_format=zarr_format, attrs={"coordinates": f"{more}time", "a": 1})
    zarr.open_group(tmp_path / "s").attrs.update({"coordinates": f"{more}time", "a": 1})
    zapz.append(tmp_path / "t", tmp_path / "s")
    found = zarr.open_group(tmp_path / "t", mode="r", use_consolidated=False)
    for attrs in (found.attrs.asdict(), found["data"].attrs.asdict()):
        assert {k: v for k, v in attrs.items() if k != "_ARRAY_DIMENSIONS"} == {
            "a": 1,
            **({"coordinates": "lat2"} if more else {}),
        }


def test_a_slice_source(tmp_path: Path) -> None:
    """Its item says its name, where it makes arrays."""
    names = [f"chl_2025010{i}.nc" for i in (1, 2)]
    label = {"from": r"name:_(\d{8})", "format": "%Y%m%d"}
    report = zapz.append_map(
        tmp_path / "t", lambda _: {"chl": (("y", "x"), VALUES)}, [f"in/{n}" for n in names], append_label=label
    )
    assert [s.notes for s in report.slices] == [
        (rf"time is 2025-01-0{i} (from name:_(\d{{8}})): appended as one step",) for i in (1, 2)
    ]
    assert reading(tmp_path / "t").time.values.astype("M8[D]").astype(str).tolist() == ["2025-01-01", "2025-01-02"]


def test_object_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    for number in (1, 2):
        write_step(tmp_path / f"s{number}", number, zarr_format=3)
    store = world.store("bucket/t")
    for _ in range(2):
        report = zapz.append(store, [tmp_path / "s1", tmp_path / "s2"])
    assert (report.already, report.length) == (2, 2)


def test_a_reference_set(tmp_path: Path) -> None:
    """As kerchunk writes one of a NetCDF file that is a single step."""
    (tmp_path / "day.bin").write_bytes(VALUES.tobytes())
    refs: dict[str, Any] = {
        ".zgroup": '{"zarr_format": 2}',
        "time/0": "base64:BwAAAAAAAAA=",
        "data/0.0": ["day.bin", 0, VALUES.nbytes],
    }
    array = {"zarr_format": 2, "filters": None, "compressor": None, "order": "C", "fill_value": None}
    for path, dtype, shape, attrs in (
        ("time", "<i8", [], {"units": "days since 2020-01-01"}),
        ("data", "<f4", [4, 6], {}),
    ):
        refs[f"{path}/.zarray"] = json.dumps({**array, "dtype": dtype, "shape": shape, "chunks": shape})
        refs[f"{path}/.zattrs"] = json.dumps({**attrs, "_ARRAY_DIMENSIONS": ["y", "x"][: len(shape)]})
    (tmp_path / "day.json").write_text(json.dumps({"version": 1, "refs": refs}))
    zapz.append(tmp_path / "t", f"reference://::file://{tmp_path}/day.json", label_chunk="keep")
    assert chunks_of(tmp_path / "t") == [VALUES.tobytes()]
    assert read(tmp_path / "t")["time"].tolist() == [7]


# -- plans, changes, faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("creates", [True, False])
@pytest.mark.parametrize("kind", ["scalar", "name", "variables", "in memory"])
def test_a_plan_goes_through_json(tmp_path: Path, creates: bool, kind: str) -> None:
    label: dict[str, Any] = {
        "scalar": {},
        "name": {"from": r"name:(\d+)", "format": "%Y%m%d"},
        "variables": {"variables": ["*"]},
    }.get(kind, {})
    for number in (1, 2):
        write_step(tmp_path / f"2020010{number}.zarr", number, zarr_format=3, label=None if kind == "name" else "time")
    if not creates:
        zapz.append(tmp_path / "t", tmp_path / "20200101.zarr", append_label=label)
    slice_: Any = tmp_path / "20200102.zarr"
    if kind == "in memory":
        slice_ = {"time": ((), 2, {"units": "days since 2020-01-01"}), "data": (("y", "x"), VALUES)}
    plan = zapz.Plan.from_json(zapz.plan(tmp_path / "t", slice_, append_label=label).to_json())
    if kind == "in memory":
        with pytest.raises(zapz.ConfigError, match="cannot be reopened: it was in memory"):
            zapz.execute(plan)
        report = zapz.execute(plan, slice=slice_)
    else:
        report = zapz.execute(plan)  # without the settings by which it was made
    assert (report.appended, report.length) == (1, 2 - creates)
    expected = tmp_path / "u"
    for each in ([] if creates else [tmp_path / "20200101.zarr"]) + [slice_]:
        zapz.append(expected, each, append_label=label)
    assert files(tmp_path / "t") == files(expected)


def test_a_plan_of_a_slice_that_has_changed(tmp_path: Path) -> None:
    write_step(tmp_path / "s", 1, zarr_format=2)
    plan = zapz.plan(tmp_path / "t", tmp_path / "s")
    (tmp_path / "s/data/.zattrs").write_text('{"_ARRAY_DIMENSIONS": ["y", "x"], "new": 1}')
    with pytest.raises(zapz.ConflictError, match="the slice does not match the plan"):
        zapz.execute(plan)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_slice_that_changes_while_it_is_copied(tmp_path: Path, zarr_format: int) -> None:
    write_step(tmp_path / "s", 1, zarr_format=zarr_format)
    document = tmp_path / "s/data" / (".zattrs" if zarr_format == 2 else "zarr.json")

    def change(done: int, _: int) -> None:
        if done == 1:
            document.write_text(document.read_text().replace("{", "{ ", 1))

    with pytest.raises(zapz.SliceError, match="changed while it was copied"):
        zapz.append(tmp_path / "t", tmp_path / "s", on_progress=change, workers=1)
    assert not (tmp_path / "t").exists()
    assert zapz.append(tmp_path / "t", tmp_path / "s").appended == 1


def test_other_values_at_a_label_that_is_there(tmp_path: Path) -> None:
    for name, more in (("s", 0), ("other", 1)):
        write_step(tmp_path / name, 1, VALUES + more, zarr_format=3)
    zapz.append(tmp_path / "t", tmp_path / "s")
    error = refused(zapz.LabelError, tmp_path / "t", tmp_path / "other")
    assert "data" in error.where


@pytest.mark.parametrize("creates", [True, False])
@pytest.mark.parametrize("label", [{}, {"from": r"name:s(\d)"}], ids=["scalar", "name"])
def test_slices_are_sorted(tmp_path: Path, creates: bool, label: dict[str, str]) -> None:
    for number in (1, 2, 3, 4):
        write_step(tmp_path / f"s{number}", number, zarr_format=3)
    if not creates:
        zapz.append(tmp_path / "t", tmp_path / "s1", append_label=label)
    paths = [tmp_path / f"s{number}" for number in (3, 2, 4)]
    assert zapz.append(tmp_path / "t", paths, append_label=label, slice_order="labels").appended == 3
    assert read(tmp_path / "t")["data"][:, 0, 0].tolist() == [101.0, 201.0, 301.0, 401.0][creates:]


@pytest.mark.parametrize("wrong", ["order", "label"])
def test_all_are_looked_at_before_the_first_is_written(tmp_path: Path, wrong: str) -> None:
    for name, number in (("s1", 1), ("s2", 2), ("s3", 0)):
        write_step(
            tmp_path / name, number, zarr_format=3, label="other" if (wrong, name) == ("label", "s3") else "time"
        )
    error = refused(zapz.SliceError, tmp_path / "t", *(tmp_path / name for name in ("s1", "s2", "s3")))
    assert "s3" in error.where
    assert isinstance(error, zapz.LabelError if wrong == "order" else zapz.DimensionError)


def test_a_dry_run(tmp_path: Path) -> None:
    for number in (1, 2):
        write_step(tmp_path / f"s{number}", number, zarr_format=3)
    paths = [tmp_path / "s1", tmp_path / "s2", tmp_path / "s1"]
    report = zapz.append(tmp_path / "t", paths, dry_run=True)
    assert [s.outcome for s in report.slices] == ["planned", "planned", "already"]
    assert not (tmp_path / "t").exists()


def test_a_truncated_chunk_is_named(tmp_path: Path) -> None:
    write_step(tmp_path / "s", 1, zarr_format=2)
    (tmp_path / "s/data/0.1").write_bytes(b"123")
    with pytest.raises(zapz.ChunkError, match="wrong length"):
        zapz.append(tmp_path / "t", tmp_path / "s")


# -- very sparse slices ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_exists_is_listed(tmp_path: Path, separator: str, zarr_format: int, axis: int) -> None:
    there = [(0, 1), (3, 0), (5, 7)]
    cells = np.zeros((6, 11), "i4")
    for number, (y, x) in enumerate(there, 1):
        cells[y, x] = number
    write_step(tmp_path / "s", 1, cells, zarr_format=zarr_format, chunks=[1, 1], separator=separator, write_empty=False)
    shape = [6, 11]
    shape.insert(axis, 1)
    chunks = [1, 1, 1]
    make_slice(
        tmp_path / "t",
        zarr_format=zarr_format,
        steps=1,
        shape=[6, 11],
        axis=axis,
        chunks=chunks,
        data=np.zeros(shape, "i4"),
        static=False,
    )
    target = doors.read(
        {key: data for key, data in files(tmp_path / "t").items() if key.rpartition("/")[2] in doors.DOCUMENT_NAMES}
    )
    seen = expanded(open_source(tmp_path / "s", make()), target, make())
    array = seen.dataset.arrays["data"]
    found = set(present(seen.store, "data", array.keys, tuple((0, n) for n in array.grid.counts), strict=True))
    assert found == {(*index[:axis], 0, *index[axis:]) for index in there}
    np.testing.assert_array_equal(
        Reading(seen.store, seen.dataset).cells("data", tuple((0, n) for n in array.shape)), np.expand_dims(cells, axis)
    )


def test_a_sparse_slice_costs_what_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sparse, presence):
        monkeypatch.setattr(module, "MANY", 50)
    monkeypatch.setattr(sparse, "VERY_MANY", 100)
    cells = np.zeros((20, 30), "i4")
    cells[3, 5] = 1
    write_step(tmp_path / "s", 1, cells, zarr_format=3, chunks=[1, 1], write_empty=False)
    report = zapz.append(tmp_path / "t", tmp_path / "s")
    assert "600 chunks, 1 of them in the slice" in report.slices[0].notes[1]
    assert (read(tmp_path / "t")["data"] == cells).all()


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_single_value_beside_the_dimension(tmp_path: Path, zarr_format: int) -> None:
    write_step(tmp_path / "s", 1, zarr_format=zarr_format)
    write_array(tmp_path / "s", "data2", VALUES[None], dims=["time", "y", "x"], zarr_format=zarr_format)
    error = refused(zapz.DimensionError, tmp_path / "t", tmp_path / "s")
    assert (error.what, error.expected) == (
        "time is a scalar in the slice, but other variables have the dimension 'time'",
        "(time), as of data2",
    )
    assert zapz.append(tmp_path / "t", tmp_path / "s", **error.remedies).appended == 1


def test_a_single_value_of_another_group(tmp_path: Path) -> None:
    """A dimension of one group is no business of another's scalar."""
    write_group(tmp_path / "s", zarr_format=3)
    write_group(tmp_path / "s", zarr_format=3, name="a")
    write_array(tmp_path / "s", "a/time", np.int64(1), dims=[], zarr_format=3)
    write_array(tmp_path / "s", "data", VALUES[None], dims=["time", "y", "x"], zarr_format=3)
    assert zapz.append(tmp_path / "t", tmp_path / "s").appended == 1


def test_a_target_of_old_that_has_both(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        paths.append(write_step(tmp_path / f"s{number}", 1, zarr_format=3) and tmp_path / f"s{number}")
        write_array(paths[-1], "data2", VALUES[None], dims=["time", "y", "x"], zarr_format=3)
    assert zapz.append(paths[0], paths[1]).length == 2


def test_a_target_that_is_one_step(tmp_path: Path) -> None:
    for number in (1, 2):
        write_step(tmp_path / f"s{number}", number, zarr_format=3)
    error = refused(zapz.UnsupportedError, tmp_path / "s1", tmp_path / "s2")
    assert "Append it to a new target first" in error.hint
    assert zapz.append(tmp_path / "t", [tmp_path / "s1", tmp_path / "s2"]).length == 2


def test_a_variable_of_the_name_that_is_no_scalar(tmp_path: Path) -> None:
    made = xr.Dataset({"pixels": (("y", "x"), VALUES), "v": (("y", "x"), VALUES)}).rename(pixels="time")
    label = {"from": "value:2025-01-06"}
    error = refused(zapz.LabelError, tmp_path / "t", made, append_label=label)
    code = error.hint.partition("(in xarray: ")[2].partition("),")[0]
    assert zapz.append(tmp_path / "t", eval(code, {"ds": made}), append_label=label).appended == 1


@pytest.mark.parametrize("remedy", ["setting", "xarray", "attribute"])
def test_no_label_at_all(tmp_path: Path, remedy: str) -> None:
    single = day(0).drop_vars("time")
    if remedy == "attribute":
        single.attrs["time_coverage_start"] = "2025-01-06T00:00:00Z"
    error = refused(zapz.DimensionError, tmp_path / "t", written(single, tmp_path / "s", zarr_format=3))
    settings, made = error.remedies, single
    assert list(settings) == ["append_label.from"]
    if remedy == "xarray":
        code = error.hint.partition("In xarray: ")[2].rstrip(".")
        settings, made = {}, eval(code, {"ds": single, "np": np})
    zapz.append(tmp_path / "t", written(made, tmp_path / "later", zarr_format=3), **settings)
    assert reading(tmp_path / "t").time.values == [np.datetime64("2025-01-06", "ns")]


def test_a_slice_without_a_label_is_recognised(tmp_path: Path) -> None:
    """By the register, as others without labels."""
    write_group(tmp_path / "t", zarr_format=3)
    write_array(tmp_path / "t", "data", VALUES[None], dims=["time", "y", "x"], zarr_format=3)
    write_step(tmp_path / "s", 1, zarr_format=3, label=None)
    found = [zapz.append(tmp_path / "t", tmp_path / "s", register=True).slices[0].outcome for _ in range(2)]
    assert found == ["appended", "already"]


@pytest.mark.parametrize("theirs", [["time"], ["time", "strlen"]])
def test_texts_of_the_other_form(tmp_path: Path, theirs: list[str]) -> None:
    """A slice is seen as one step, and its texts in the target's form."""
    chars = np.array([b"first "]).view("S1")
    write_group(tmp_path / "t", zarr_format=2)
    write_array(tmp_path / "t", "time", np.array([0]), dims=["time"], zarr_format=2)
    write_array(
        tmp_path / "t", "name", np.array([b"first "]) if len(theirs) == 1 else chars[None], dims=theirs, zarr_format=2
    )
    write_group(tmp_path / "s", zarr_format=2)
    write_array(tmp_path / "s", "time", np.int64(1), dims=[], zarr_format=2)
    text, dims = (chars, ["strlen"]) if len(theirs) == 1 else (np.array(b"first ", "S6"), [])
    write_array(tmp_path / "s", "name", text, dims=dims, zarr_format=2)
    zapz.append(tmp_path / "t", tmp_path / "s")
    found = read(tmp_path / "t")["name"]
    assert found[0].tolist() == found[1].tolist()


def test_a_target_without_labels_needs_none(tmp_path: Path) -> None:
    write_group(tmp_path / "t", zarr_format=3)
    write_array(tmp_path / "t", "data", VALUES[None], dims=["time", "y", "x"], zarr_format=3, chunks=[1, 4, 6])
    write_step(tmp_path / "s", 1, zarr_format=3)
    error = refused(zapz.VariableError, tmp_path / "t", tmp_path / "s")
    remedies = {"excluded_variables": error.remedies["excluded_variables"]}
    report = zapz.append(tmp_path / "t", tmp_path / "s", **remedies)
    assert report.slices[0].notes == ("the slice has no dimension time: appended as one step",)
    assert read(tmp_path / "t")["data"].tolist() == [VALUES.tolist(), (VALUES + 100).tolist()]
