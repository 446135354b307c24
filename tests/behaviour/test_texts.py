"""Texts: as characters and as items, markers, lengths, and cells as NumPy has them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr
from kit.cubes import quiet, read, write_array, write_group
from kit.small_cubes import DAYS, one_label, timed

import zapz


def _chars(*texts: bytes, length: int) -> np.ndarray:
    return np.array(texts, f"S{length}").view("S1").reshape(len(texts), length)


@pytest.mark.parametrize("form", ["texts", "characters"])
def test_nothing_behind_a_text_is_no_missing_character(tmp_path: Path, form: str) -> None:
    """netCDF fills characters with NUL, others with blanks or dashes."""
    first = timed(
        tmp_path / "0", 0, 2, 1, name=(["time", "station", "n"], _chars(b"bonn", length=6)[None], {"fill": b"-"})
    )
    data: Any = (["time", "station"], np.array([[b"a-b"]], "S6"), {"fill": b""})
    if form == "characters":
        data = (["time", "station", "n"], _chars(b"a-b", length=6)[None], {"fill": b""})
    zapz.append(tmp_path / "t", [first, timed(tmp_path / "1", 1, 2, 1, name=data)])
    assert read(tmp_path / "t")["name"][1, 0].tobytes() == b"a-b\0\0\0"


def test_a_text_is_not_spread_along_the_append_dimension(tmp_path: Path) -> None:
    first = timed(tmp_path / "0", 0, flag=(["station", "time"], np.array([[b"a", b"b"]], "S1"), {}))
    zapz.append(tmp_path / "t", first)
    with pytest.raises(zapz.SliceError, match="flag"):
        zapz.append(tmp_path / "t", timed(tmp_path / "1", 2, flag=(["station"], np.array([b"xy"], "S2"), {})))


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
    first = timed(tmp_path / "0", 0, 3, 1, name=(["time", "st", "n"], _chars(b"abcd", length=4)[None], {}))
    attrs = {"_FillValue": base64.b64encode(b"none").decode()}
    second = timed(tmp_path / "1", 1, 3, 1, name=(["time", "st"], np.array([[b"xy"]], "S4"), attrs))
    zapz.append(tmp_path / "t", [first, second])
    assert read(tmp_path / "t")["name"][1].tobytes() == b"xy\0\0"


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


class _Texts(zapz.Source):
    """Gives text as zarr-python does."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def documents(self) -> dict[str, bytes]:
        return {str(p.relative_to(self._path)): p.read_bytes() for p in self._path.rglob("zarr.json")}

    def cells(self, path: str, box: Any) -> Any:
        with quiet():
            return zarr.open_array(self._path / path, mode="r")[tuple(slice(a, b) for a, b in box)]


def test_cells_may_be_numpys_own_strings(tmp_path: Path) -> None:
    path = one_label(tmp_path / "s", 1, 3)
    with quiet():
        group = zarr.open_group(path, mode="r+")
        group.create_array("name", shape=(1, 2), dtype="string", dimension_names=["time", "x"])[...] = np.array(
            [["a", "bc"]], object
        )
        zapz.append(tmp_path / "t", _Texts(path))
        assert zarr.open_group(tmp_path / "t", mode="r")["name"][...].tolist() == [["a", "bc"]]
