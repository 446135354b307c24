"""Text as characters along a dimension (netCDF) and as items of a fixed length are one meaning: either follows the other."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.cubes import read, write_array, write_group
from kit.trees import tree

import zapz

NAMES = {0: ["bonn", "oslo", "rio"], 1: ["lima", "ulm", ""], 2: ["berlin", "rome", "y"]}


def _characters(texts: np.ndarray, length: int) -> np.ndarray:
    wide = np.ascontiguousarray(texts.astype(f"S{length}"))
    return wide.view("S1").reshape(*texts.shape, length)


def _slice(path: Path, label: int, form: str, **options: Any) -> Path:
    """Write a slice with per-step texts ``src(time, station)`` and static ones ``name(station)``; a form is "S8", or "c8" for characters."""
    zarr_format = options.pop("zarr_format", 3)
    static = options.pop("static", NAMES[0])
    length = int(form[1:])
    write_group(path, zarr_format=zarr_format)
    write_array(path, "time", np.array([label]), dims=["time"], zarr_format=zarr_format)
    for name, texts, dims in (("src", [NAMES[label]], ["time", "station"]), ("name", static, ["station"])):
        cells = np.array(texts, "S")
        if form[0] == "c":
            write_array(
                path,
                name,
                _characters(cells, length),
                dims=[*dims, f"string{length}"],
                zarr_format=zarr_format,
                **options,
            )
        else:
            write_array(path, name, cells.astype(f"S{length}"), dims=dims, zarr_format=zarr_format)
    return path


def _texts(path: Path, name: str) -> list[Any]:
    cells = read(path)[name]
    if cells.dtype == np.dtype("S1"):
        cells = np.ascontiguousarray(cells).view(f"S{cells.shape[-1]}")[..., 0]
    return np.char.decode(cells).tolist()


FORMS = ["S8", "c8", "S6", "c6", "c7"]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("other", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_either_form_follows_the_other(tmp_path: Path, first: str, other: str, zarr_format: int) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, first, zarr_format=zarr_format))
    before = read(target)["src"].dtype, read(target)["src"].shape[1:]
    report = zapz.append(
        target, [_slice(tmp_path / "1", 1, other), _slice(tmp_path / "2", 2, other, zarr_format=zarr_format)]
    )
    assert report.appended == 2
    assert (read(target)["src"].dtype, read(target)["src"].shape[1:]) == before
    assert _texts(target, "src") == [NAMES[label] for label in range(3)]
    assert _texts(target, "name") == NAMES[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with xr.open_zarr(target, mask_and_scale=False) as found:
            assert found.src.values.astype("U").tolist() == [NAMES[label] for label in range(3)]
    again = zapz.append(target, tmp_path / "2")
    assert again.already == 1


@pytest.mark.parametrize("options", [{"chunks": (2, 3)}, {"chunks": (1, 3), "shards": (2, 6)}, {"order": "F"}], ids=str)
def test_however_the_characters_are_chunked(tmp_path: Path, options: dict[str, Any]) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, "S6"))
    slice_ = tmp_path / "1"
    write_group(slice_, zarr_format=3)
    write_array(slice_, "time", np.array([1]), dims=["time"], zarr_format=3)
    for name, cells, dims in (("src", [NAMES[1]], ["time", "station"]), ("name", NAMES[0], ["station"])):
        several = dict(options)
        if name == "src":
            several |= {key: (1, *value) for key, value in options.items() if isinstance(value, tuple)}
        write_array(
            slice_, name, _characters(np.array(cells, "S"), 6), dims=[*dims, "strlen"], zarr_format=3, **several
        )
    zapz.append(target, slice_)
    assert _texts(target, "src") == [NAMES[0], NAMES[1]]


def test_planned_here_and_executed_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, "c8"))
    plan = zapz.plan(target, _slice(tmp_path / "1", 1, "S6"))
    zapz.execute(zapz.Plan.from_json(plan.to_json()))
    assert _texts(target, "src") == [NAMES[0], NAMES[1]]


def test_a_slice_that_changes_after_planning_is_noticed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, "c8"))
    plan = zapz.plan(target, _slice(tmp_path / "1", 1, "S6"))
    document = tmp_path / "1/src/zarr.json"
    document.write_text(document.read_text().replace('"attributes": {', '"attributes": {"a": 1', 1))
    with pytest.raises(zapz.ConflictError, match="the slice does not match the plan"):
        zapz.execute(plan)


def test_a_slice_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, "c8"))
    document = _slice(tmp_path / "1", 1, "S6") / "src/zarr.json"
    before = tree(target)

    def change(done: int, planned: int) -> None:
        del done, planned
        text = document.read_text()
        document.write_text(text if '"a"' in text else text.replace('"attributes": {', '"attributes": {"a": 1', 1))

    with pytest.raises(zapz.SliceError, match="changed while it was copied"):
        zapz.append(target, tmp_path / "1", on_progress=change)
    assert tree(target) == before


@pytest.mark.parametrize(("first", "other"), [("c4", "S6"), ("c4", "c6"), ("S4", "c6")])
def test_longer_texts_are_refused(tmp_path: Path, first: str, other: str) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, first))
    before = tree(target)
    with pytest.raises(zapz.SliceError, match=r"too long.*berlin") as caught:
        zapz.append(target, _slice(tmp_path / "2", 2, other))
    assert "src" in str(caught.value)
    assert tree(target) == before


def test_other_static_texts_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    zapz.append(target, _slice(tmp_path / "0", 0, "S8"))
    with pytest.raises(zapz.SliceError, match=r"static variable differs.*name"):
        zapz.append(target, _slice(tmp_path / "1", 1, "c8", static=["bonn", "oslo", "rom"]))


def test_single_characters_that_are_no_text_stay_what_they_are(tmp_path: Path) -> None:
    for label in (0, 1):
        path = tmp_path / str(label)
        write_group(path, zarr_format=3)
        write_array(path, "time", np.array([label]), dims=["time"], zarr_format=3)
        write_array(path, "flag", np.array([[b"a", b"b"]]), dims=["time", "x"], zarr_format=3)
        zapz.append(tmp_path / "target", path)
    assert read(tmp_path / "target")["flag"].tolist() == [[b"a", b"b"]] * 2
