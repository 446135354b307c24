"""What fresh eyes found in fill values, durations, texts and labels in no order, each as small as it can be."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import quiet, read, write_array, write_group

import zapz

NAT = int(np.iinfo("i8").min)
SAID = {"units": "hours", "dtype": "timedelta64[ns]"}
DAYS = {"units": "days since 2000-01-01"}


def _made(
    path: Path, start: int, zarr_format: int = 3, steps: int = 2, **arrays: tuple[list[str], Any, Mapping[str, Any]]
) -> Path:
    write_group(path, zarr_format=zarr_format)
    times = np.arange(start, start + steps)
    write_array(
        path,
        "time",
        times,
        dims=["time"],
        zarr_format=zarr_format,
        attrs=DAYS,
        fill=None if zarr_format == 2 else "default",
    )
    for name, (dims, data, attrs) in arrays.items():
        fill = {"fill": attrs["fill"]} if "fill" in attrs else {}
        own = {key: value for key, value in attrs.items() if key != "fill"}
        write_array(path, name, data, dims=dims, zarr_format=zarr_format, attrs=own, **fill)
    return path


@pytest.mark.parametrize(
    ("target", "kind", "slice_", "value", "expected"),
    [
        ({"units": "hours", "_FillValue": -1}, "i8", SAID, NAT, -1),
        ({"units": "hours"}, "f8", SAID, NAT, np.nan),
        ({"units": "hours", "_FillValue": -1}, "i8", {"units": "hours", "missing_value": NAT}, NAT, -1),
        ({"units": "hours", "_FillValue": NAT}, "i8", SAID, NAT, NAT),
        (SAID, "i8", {"units": "hours", "_FillValue": NAT}, NAT, NAT),
        (SAID, "i8", {"units": "hours", "_FillValue": -1}, -1, NAT),
        (SAID, "i8", {"units": "hours"}, np.nan, NAT),
        (SAID, "i8", {"units": "hours"}, NAT, NAT),
        (SAID, "i8", {"units": "days", "_FillValue": -1}, -1, NAT),
    ],
)
def test_a_missing_duration_stays_missing(
    tmp_path: Path, target: Any, kind: str, slice_: Any, value: Any, expected: Any
) -> None:
    first = _made(tmp_path / "0", 0, d=(["time"], np.array([1, 2], kind), target))
    factor = 24 if slice_["units"] == "days" else 1
    second = _made(tmp_path / "1", 2, d=(["time"], np.array([3, value], "f8" if value != value else "i8"), slice_))  # noqa: PLR0124
    zapz.append(tmp_path / "t", [first, second])
    np.testing.assert_array_equal(read(tmp_path / "t")["d"], np.array([1, 2, 3 * factor, expected], kind))


@pytest.mark.parametrize(("one", "other"), [("mS", "MS"), ("S", "MS"), ("H", "S"), ("D", "h"), ("M", "s")])
def test_symbols_of_units_are_told_apart_by_their_case(tmp_path: Path, one: str, other: str) -> None:
    slices = [
        _made(tmp_path / f"{i}", 2 * i, c=(["time"], np.ones(2), {"units": unit}))
        for i, unit in enumerate((one, other))
    ]
    zapz.append(tmp_path / "t", slices[0])
    with pytest.raises(zapz.SliceError, match="units cannot be converted"):
        zapz.append(tmp_path / "t", slices[1])


def test_bounds_whose_parent_does_not_take_part_are_not_copied_as_they_are(tmp_path: Path) -> None:
    for i, since in enumerate(("2000-01-01", "2000-01-05")):
        path = tmp_path / f"{i}"
        write_group(path, zarr_format=3)
        attrs = {"units": f"days since {since}", "bounds": "time_bnds"}
        write_array(path, "time", np.array([0]), dims=["time"], zarr_format=3, attrs=attrs)
        write_array(path, "time_bnds", np.array([[0, 1]]), dims=["time", "nv"], zarr_format=3)
    zapz.append(tmp_path / "t", tmp_path / "0")
    with pytest.raises(zapz.SliceError, match="time_bnds"):
        zapz.append(tmp_path / "t", tmp_path / "1", excluded_variables=["time"], on_missing="fill")


# -- texts as characters


def _chars(*texts: bytes, length: int) -> np.ndarray:
    return np.array(texts, f"S{length}").view("S1").reshape(len(texts), length)


@pytest.mark.parametrize("form", ["texts", "characters"])
def test_nothing_behind_a_text_is_no_missing_character(tmp_path: Path, form: str) -> None:
    """netCDF fills characters with NUL, others with blanks or dashes."""
    first = _made(
        tmp_path / "0", 0, 2, 1, name=(["time", "station", "n"], _chars(b"bonn", length=6)[None], {"fill": b"-"})
    )
    data: Any = (["time", "station"], np.array([[b"a-b"]], "S6"), {"fill": b""})
    if form == "characters":
        data = (["time", "station", "n"], _chars(b"a-b", length=6)[None], {"fill": b""})
    zapz.append(tmp_path / "t", [first, _made(tmp_path / "1", 1, 2, 1, name=data)])
    assert read(tmp_path / "t")["name"][1, 0].tobytes() == b"a-b\0\0\0"


def test_a_text_is_not_spread_along_the_append_dimension(tmp_path: Path) -> None:
    first = _made(tmp_path / "0", 0, flag=(["station", "time"], np.array([[b"a", b"b"]], "S1"), {}))
    zapz.append(tmp_path / "t", first)
    with pytest.raises(zapz.SliceError, match="flag"):
        zapz.append(tmp_path / "t", _made(tmp_path / "1", 2, flag=(["station"], np.array([b"xy"], "S2"), {})))


def test_a_slice_without_labels_is_recognised_in_its_other_form(tmp_path: Path) -> None:
    for name, dims, data in (
        ("0", ["time", "st", "n"], _chars(b"ab", length=2)[None]),
        ("1", ["time", "st"], np.array([[b"xy"]], "S2")),
    ):
        write_group(tmp_path / name, zarr_format=3)
        write_array(tmp_path / name, "name", data, dims=dims, zarr_format=3)
    target = f"memory://{tmp_path.name}/t"
    zapz.append(target, tmp_path / "0")
    assert [zapz.append(target, tmp_path / "1").slices[0].outcome for _ in range(2)] == ["appended", "already"]
    assert fsspec.filesystem("memory").exists(f"/{tmp_path.name}/t/zarr.json")


def test_a_marker_of_texts_is_none_of_characters(tmp_path: Path) -> None:
    first = _made(tmp_path / "0", 0, 3, 1, name=(["time", "st", "n"], _chars(b"abcd", length=4)[None], {}))
    attrs = {"_FillValue": base64.b64encode(b"none").decode()}
    second = _made(tmp_path / "1", 1, 3, 1, name=(["time", "st"], np.array([[b"xy"]], "S4"), attrs))
    zapz.append(tmp_path / "t", [first, second])
    assert read(tmp_path / "t")["name"][1].tobytes() == b"xy\0\0"


# -- labels


@pytest.mark.parametrize("dry_run", [True, False])
def test_groups_without_labels_in_no_order(tmp_path: Path, dry_run: bool) -> None:
    def tree(name: str, **labels: list[int]) -> Path:
        write_group(tmp_path / name, zarr_format=3)
        for group, values in labels.items():
            write_array(tmp_path / name, f"{group}/time", np.array(values), dims=["time"], zarr_format=3, attrs=DAYS)
        return tmp_path / name

    slices = [tree("1", a=[20, 11], b=[30, 12]), tree("2", a=[9, 8]), tree("3", a=[40, 41], b=[50, 42])]
    zapz.append(tmp_path / "t", tree("0", a=[1, 5], b=[7, 3]), label_order="any")
    report = zapz.append(tmp_path / "t", [*slices, slices[2]], label_order="any", on_missing="fill", dry_run=dry_run)
    assert report.slices[-1].outcome == "already"


MARS = {"units": "days since 2000-01-01", "calendar": "mars"}


def _martian(start: int) -> xr.Dataset:
    return xr.Dataset({"v": ("time", np.zeros(2))}, {"time": ("time", np.arange(start, start + 2), MARS)})


@pytest.mark.parametrize("how", ["in memory", "stored", "configured"])
def test_a_calendar_that_zapz_does_not_know(tmp_path: Path, how: str) -> None:
    slices: list[Any] = [_martian(0), _martian(2)]
    if how != "in memory":
        for i, made in enumerate(slices):
            with quiet():
                made.to_zarr(tmp_path / f"{i}", zarr_format=3, consolidated=False)
        slices = [tmp_path / "0", tmp_path / "1"]
    settings = {"variables": {"time": {"encoding": {"chunks": [100]}}}} if how == "configured" else {}
    zapz.append(tmp_path / "t", slices, **settings)
    assert read(tmp_path / "t")["time"].tolist() == [0, 1, 2, 3]
    assert zapz.info(tmp_path / "t").labels["time"] == ("0", "3")


@pytest.mark.parametrize("other", [{"calendar": "venus"}, {"units": "days since 2001-01-01"}])
def test_another_calendar_that_zapz_does_not_know(tmp_path: Path, other: dict[str, str]) -> None:
    slices = [_martian(0), _martian(2)]
    slices[1].time.attrs.update(other)
    zapz.append(tmp_path / "t", slices[0])
    with pytest.raises(zapz.SliceError, match="calendar"):
        zapz.append(tmp_path / "t", slices[1])


@pytest.mark.parametrize(
    ("variables", "attrs"),
    [
        ({"*": {"encoding": {"fill_value": -9999}}}, {}),
        ({"time": {"encoding": {"fill_value": 0}}}, {}),
        ({"time": {"encoding": {"dtype": "int32", "fill_value": -5}}}, {}),
        ({"v": {"encoding": {"fill_value": 5}}}, {"dtype": "bool", "missing_value": -1}),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_configured_fill_value_does_not_stop_the_next_slice(
    tmp_path: Path, variables: dict[str, Any], attrs: dict[str, Any], zarr_format: int
) -> None:
    kind = "i1" if attrs else "f8"
    for i in range(2):
        path = _made(tmp_path / f"{i}", 2 * i, zarr_format, v=(["time"], np.ones(2, kind), attrs))
        zapz.append(tmp_path / "t", path, variables=variables)
    assert read(tmp_path / "t")["time"].tolist() == [0, 1, 2, 3]
    with quiet():
        seen = xr.open_zarr(tmp_path / "t", consolidated=False)
    assert not np.isnat(seen.time.values).any()


# -- inner chunks that a shard lacks


@pytest.mark.parametrize(("mine", "theirs"), [(0.0, np.nan), (5.0, 7.0), (np.nan, 0.0), (5.0, 5.0)])
@pytest.mark.parametrize("steps", [4, 3], ids=["at a shard", "within a shard"])
def test_inner_chunks_that_a_shard_lacks_keep_their_values(
    tmp_path: Path, steps: int, mine: float, theirs: float
) -> None:
    """They read as the fill value of the array that they lie in. Bytes that are equal are no equal cells then."""
    values = np.random.default_rng(1).random((4, 20))
    values[1] = mine
    for name, start, count, fill, data in (("t", 0, steps, theirs, 1 - values[:steps]), ("s", steps, 4, mine, values)):
        root = zarr.open_group(tmp_path / name, mode="w", zarr_format=3)
        root.create_array("time", data=np.arange(start, start + count), dimension_names=["time"]).attrs.update(DAYS)
        layout: Any = {"chunks": (1, 20), "shards": (4, 20), "dimension_names": ["time", "x"], "fill_value": fill}
        root.create_array("v", shape=data.shape, dtype="f8", **layout)[...] = data
    zapz.append(tmp_path / "t", tmp_path / "s")
    expected = np.concatenate([1 - values[:steps], values])
    np.testing.assert_array_equal(read(tmp_path / "t")["v"], expected)
    assert zapz.append(tmp_path / "t", tmp_path / "s", verify=True).slices[0].outcome == "already"
    # The same bytes in the target say something else, if its fill value is another.
    if steps == 4 and not np.array_equal(mine, theirs, equal_nan=True):
        (tmp_path / "t/v/c/1/0").write_bytes((tmp_path / "s/v/c/0/0").read_bytes())
        with pytest.raises(zapz.SliceError, match="v"):
            zapz.append(tmp_path / "t", tmp_path / "s", verify=True)


class Computed(zapz.Source):
    """Documents of a dataset, with other cells."""

    uri = "computed"

    def __init__(self, form: Path, values: Mapping[str, Any]) -> None:
        self.form, self.values = form, values

    def documents(self) -> Mapping[str, bytes]:
        return {p.relative_to(self.form).as_posix(): p.read_bytes() for p in self.form.rglob("zarr.json")}

    def cells(self, path: str, box: Any) -> Any:
        return self.values[path][tuple(slice(*span) for span in box)]


@pytest.mark.parametrize("shape", [(), (2,)])
@pytest.mark.parametrize("kind", ["string", "U6", "S6"])
def test_cells_of_texts_may_come_as_numpy_has_them(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    """NumPy gives a scalar, and what is made of scalars, a type as long as its text."""
    texts = np.full(shape, b"koln" if kind == "S6" else "köln")
    write_group(tmp_path / "s", zarr_format=3)
    write_array(tmp_path / "s", "time", np.arange(1), dims=["time"], zarr_format=3, attrs=DAYS)
    root = zarr.open_group(tmp_path / "s", zarr_format=3)
    with quiet():
        dtype: Any = str if kind == "string" else kind
        root.create_array("name", shape=shape, dtype=dtype, dimension_names=["st"][: len(shape)])

    zapz.append(tmp_path / "t", Computed(tmp_path / "s", {"name": texts, "time": np.arange(1)}))
    with quiet():
        found: Any = zarr.open_group(tmp_path / "t", mode="r")["name"]
        assert np.asarray(found[...]).tolist() == texts.tolist()


def test_texts_longer_than_their_type_are_refused(tmp_path: Path) -> None:
    write_group(tmp_path / "s", zarr_format=3)
    write_array(tmp_path / "s", "name", np.array([b"abc"]), dims=["time"], zarr_format=3)
    with pytest.raises(zapz.ChunkError, match="other cells than requested"):
        zapz.append(tmp_path / "t", Computed(tmp_path / "s", {"name": np.array([b"abcd"])}))
