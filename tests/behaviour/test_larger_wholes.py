"""A target that is part of something larger, or holds groups with consolidated metadata of their own."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import consolidate
from kit.trees import tree

import zapz


def _dataset(label: int, size: int = 4) -> xr.Dataset:
    return xr.Dataset({"v": (("time", "x"), np.full((1, size), float(label)))}, coords={"time": [label]})


def _tree(path: Path, label: int, zarr_format: int, groups: list[str], inner: list[str]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i, group in enumerate(groups):
            _dataset(label, 4 + i).to_zarr(path, group=group, mode="a", zarr_format=zarr_format, consolidated=False)
    for group in inner:
        consolidate(path / group, zarr_format=zarr_format)
    return path


GROUPS = {"one": ["a"], "two": ["a", "b"], "deep": ["a/b/c", "a/d"]}
INNER = {
    "one": [["a"]],
    "two": [["a"], ["a", "b"], ["a", "b", ""]],
    "deep": [["a"], ["a/b/c"], ["a", "a/b"], ["a/b", "a/d", ""]],
}


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("kind", "inner"), [(kind, inner) for kind, several in INNER.items() for inner in several])
def test_consolidated_metadata_at_any_depth_are_refreshed(
    tmp_path: Path, kind: str, inner: list[str], zarr_format: int
) -> None:
    groups = GROUPS[kind]
    target = _tree(tmp_path / "target", 0, zarr_format, groups, inner)
    slices = [_tree(tmp_path / f"slice{k}", k, zarr_format, groups, []) for k in (1, 2)]
    zapz.append(target, slices)
    for consolidated in {*inner, ""}:
        below = [group for group in groups if f"{group}/".startswith(f"{consolidated}/" if consolidated else "")]
        opened = zarr.open_consolidated(target / consolidated, zarr_format=zarr_format)
        for group in below:
            inside = group.removeprefix(consolidated).lstrip("/")
            assert opened[f"{inside}/v".lstrip("/")].shape[0] == 3
            assert opened[f"{inside}/time".lstrip("/")][:].tolist() == [0, 1, 2]


def test_a_consolidated_document_that_nobody_wrote_is_not_made(tmp_path: Path) -> None:
    target = _tree(tmp_path / "target", 0, 2, ["a", "b"], ["a"])
    zapz.append(target, _tree(tmp_path / "slice", 1, 2, ["a", "b"], ["a", "b"]))
    assert (target / "a/.zmetadata").exists()
    assert not (target / "b/.zmetadata").exists()


def test_consolidated_metadata_below_the_root_are_part_of_the_transaction(tmp_path: Path) -> None:
    """Another tool that changes them meanwhile is noticed, and its change is not lost."""
    target = _tree(tmp_path / "target", 0, 2, ["a"], ["a"])
    slice_ = _tree(tmp_path / "slice", 1, 2, ["a"], [])
    inner = target / "a/.zmetadata"

    def meddle(done: int, planned: int) -> None:
        del done, planned
        inner.write_text(
            inner.read_text().replace('"zarr_consolidated_format"', '"touched": 1, "zarr_consolidated_format"')
        )

    with pytest.raises(zapz.ConflictError, match="zmetadata"):
        zapz.append(target, slice_, on_progress=meddle)
    assert json.loads(inner.read_text())["touched"] == 1
    assert zarr.open_group(target, mode="r")["a/v"].shape[0] == 1


# -- pyramids


def _pyramid(path: Path, *, marked: bool = True) -> Path:
    path.mkdir()
    for level in range(2):
        _dataset(0, 8 >> level).to_zarr(path / f"{level}.zarr", zarr_format=2)
    if marked:
        (path / ".zlevels").write_text('{"version": "1.0", "num_levels": 2}')
    return path


@pytest.mark.parametrize(("folder", "marked"), [("x.levels", True), ("x.levels", False), ("x", True)])
@pytest.mark.parametrize("level", ["0.zarr", "1.zarr", "2.zarr"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_level_is_no_target(tmp_path: Path, folder: str, level: str, dry_run: bool, *, marked: bool) -> None:
    pyramid = _pyramid(tmp_path / folder, marked=marked)
    before = tree(pyramid)
    with pytest.raises(zapz.FormatError, match=f"pyramid.*{folder}") as caught:
        zapz.append(pyramid / level, _dataset(1, 8), dry_run=dry_run)
    assert caught.value.exit_code == 4
    assert tree(pyramid) == before


def test_a_linked_level_is_no_target(tmp_path: Path) -> None:
    pyramid = _pyramid(tmp_path / "x.levels")
    (tmp_path / "link.zarr").symlink_to(pyramid / "0.zarr")
    with pytest.raises(zapz.FormatError, match="pyramid"):
        zapz.append(tmp_path / "link.zarr", _dataset(1, 8))


def test_a_level_is_a_slice_like_any_other(tmp_path: Path) -> None:
    pyramid = _pyramid(tmp_path / "x.levels")
    zapz.append(tmp_path / "target", pyramid / "0.zarr")
    assert zarr.open_group(tmp_path / "target", mode="r")["v"].shape == (1, 8)


@pytest.mark.parametrize("name", ["data.zarr", "0.zarr"])
def test_names_alone_make_no_pyramid(tmp_path: Path, name: str) -> None:
    zapz.append(tmp_path / name, _dataset(1, 8))
    assert (tmp_path / name / "zarr.json").exists()


# -- on services


def _put(text: str, *path: str) -> None:
    fsspec.filesystem("memory").pipe_file("/" + "/".join(path), text.encode())


@pytest.mark.parametrize(
    ("marks", "target", "expected"),
    [
        ({"x.levels/.zlevels": "{}"}, "x.levels/0.zarr", "pyramid"),
        ({}, "x.levels/0.zarr", "pyramid"),
        ({"x/.zlevels": "{}"}, "x/2.zarr", "pyramid"),
        ({"x/.zgroup": '{"zarr_format": 2}', "x/.zmetadata": "{}"}, "x/a/cube", "another Zarr dataset"),
        ({"x/zarr.json": '{"zarr_format": 3, "node_type": "group", "consolidated_metadata": {"kind": "inline"}}'}, "x/cube", "another Zarr"),
        ({"x/zarr.json": '{"zarr_format": 3, "node_type": "group", "consolidated_metadata": null}'}, "x/cube", ""),
        ({"y/.zlevels": "{}", "x/0/.zlevels": "{}"}, "x/1.zarr", ""),
    ],
)  # fmt: skip
def test_a_part_of_something_larger_on_a_service(
    marks: dict[str, str], target: str, expected: str, tmp_path: Path
) -> None:
    bucket = tmp_path.name
    for path, text in marks.items():
        _put(text, bucket, path)
    uri = f"memory://{bucket}/{target}"
    if expected:
        with pytest.raises(zapz.FormatError, match=expected):
            zapz.append(uri, _dataset(1))
        assert not fsspec.filesystem("memory").exists(f"/{bucket}/{target}/zarr.json")
    else:
        assert zapz.append(uri, _dataset(1)).appended == 1


def test_broken_consolidated_metadata_below_the_root_are_named(tmp_path: Path) -> None:
    for name, start in (("t", 0), ("s", 2)):
        root = zarr.open_group(tmp_path / name, mode="w", zarr_format=2)
        root.create_array("time", data=np.arange(start, start + 2)).attrs.update({"_ARRAY_DIMENSIONS": ["time"]})
        root.create_group("child").create_array("v", data=np.arange(2)).attrs.update({"_ARRAY_DIMENSIONS": ["x"]})
    (tmp_path / "t/child/.zmetadata").write_text('{"x')
    before = tree(tmp_path)
    with pytest.raises(zapz.MetadataError, match=r"invalid JSON, target, child/\.zmetadata"):
        zapz.append(tmp_path / "t", tmp_path / "s")
    assert tree(tmp_path) == before
