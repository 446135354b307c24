"""Targets and slices with several levels: all levels grow in one append, whatever convention describes them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from kit import cubes, pyramids
from kit.command_line import run
from kit.real_pyramids import NEEDS, ROOT, arrays, documents, part
from kit.small_cubes import FAST
from kit.trees import tree

import zapz
from zapz.format import documents as doors
from zapz.planning import plan as plans
from zapz.testing import ObjectService

OPTIONS: dict[str, Any] = {"steps": 2, "chunks": (2, 3, 3), "time_chunk": 2, "consolidated": True}


# -- stores that other tools have written ------------------------------------------------------------------------------

SETS = (
    *("xcube_v2_all_methods", "xcube_v3_all_methods", "xcube_v2_defaults", "xcube_v2_ascending_bounds"),
    *("ome_04", "ome_05", "ndpyramid_v2", "ndpyramid_v3", "topozarr_geozarr_v3", "eopf_geozarr_v3"),
)
CHUNKS = {"chunks", "chunk_shape"}
"""Members of documents that differ from the tool's: it wrote the whole in one go, in chunks of another length."""
ADDED = {"xcube_v2_defaults": {"0.zarr/.zmetadata", "1.zarr/.zmetadata", "2.zarr/.zmetadata"}, "ome_04": {".zmetadata"}}
"""Consolidated metadata at the roots, which the tool does not write."""


def differences(a: Any, b: Any, member: str = "") -> set[str]:
    """Return the names of members in which two documents differ, apart from inline consolidated metadata.

    Tools differ in these: some repeat a block in each group, some write none at the root.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        keys = (a.keys() | b.keys()) - {"consolidated_metadata"}
        return {n for key in keys for n in differences(a.get(key), b.get(key), key)}
    return set() if a == b else {member}


@NEEDS
@pytest.mark.parametrize("name", SETS)
def test_a_real_pyramid_becomes_what_its_tool_makes_of_the_whole(name: str, tmp_path: Path) -> None:
    """All cells bit for bit; of the documents, only the lengths of chunks differ, and consolidated metadata at roots."""
    target, settings = tmp_path / part(name, "target").name, {"append_dim": "t" if name.startswith("ome") else "time"}
    shutil.copytree(part(name, "target"), target)
    report = zapz.append(target, part(name, "slice"), **settings)
    assert (report.appended, report.length) == (1, 3)
    assert report.slices[0].levels == (6 if name.startswith("ome") else 3)
    pyramids.same(arrays(target), arrays(part(name, "expected")))
    mine, theirs = documents(target), documents(part(name, "expected"))
    assert mine.keys() - theirs.keys() == ADDED.get(name, set())
    assert not theirs.keys() - mine.keys()
    assert {n for key in theirs for n in differences(mine[key], theirs[key])} <= CHUNKS
    assert zapz.check(target, **settings).sound  # consolidated metadata agree with documents, at every depth
    seen = pyramids.read_levels(target, consolidated=True) if name.startswith("xcube") else cubes.read(target, consolidated=True)  # fmt: skip
    pyramids.same(seen, arrays(part(name, "expected")))
    if settings["append_dim"] == "time":
        assert zapz.append(target, part(name, "slice")).already == 1


@NEEDS
@pytest.mark.parametrize("name", SETS)
def test_a_real_pyramid_is_created_from_its_slices(name: str, tmp_path: Path) -> None:
    target, settings = tmp_path / f"new{part(name, 'target').suffix}", {"append_dim": "t" if name.startswith("ome") else "time"}  # fmt: skip
    zapz.append(target, [part(name, "target"), part(name, "slice")], label_units="keep", **settings)
    pyramids.same(arrays(target), arrays(part(name, "expected")))
    assert ((target / ".zlevels").exists(), (target / "zarr.json").exists() or (target / ".zgroup").exists()) == (
        (True, False) if name.startswith("xcube") else (False, True)
    )


@NEEDS
def test_a_linked_level_is_read_and_never_written(tmp_path: Path) -> None:
    """A slice's link may lead into its own folder; a target with a link is refused, as it was."""
    place = tmp_path / "sets"
    shutil.copytree(ROOT / "xcube_v2_link", place)
    before = tree(place)
    with pytest.raises(
        zapz.UnsupportedError, match=r"a level is stored in another place.*expected 0\.zarr, found 0\.link"
    ):
        zapz.append(place / "target" / "cube.levels", place / "slice" / "cube.levels")
    assert tree(place) == before
    new = tmp_path / "new.levels"
    zapz.append(new, [place / "target" / "cube.levels", place / "slice" / "cube.levels"], label_units="keep")
    expected = arrays(place / "expected" / "cube.levels") | {
        f"0.zarr/{key}": cells for key, cells in arrays(place / "expected" / "base.zarr").items()
    }
    pyramids.same(arrays(new), expected)
    assert "base_dataset_path" not in json.loads((new / ".zlevels").read_text())
    assert tree(place) == before


# -- pyramids of every convention ----------------------------------------------------------------------------------------


@pytest.fixture
def levels(tmp_path: Path) -> Callable[..., Path]:
    """Give ``.levels`` slices of two steps by number, each made once."""

    def make(number: int, **options: Any) -> Path:
        path = tmp_path / f"day{number}.levels"
        if path.exists():
            return path
        pyramids.make_levels(path, **{**OPTIONS, "start": 2 * number, **options})
        return path

    return make


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("place", ["{}/cube.levels", "memory://{}/cube.levels"])
def test_levels_grow_together(zarr_format: int, place: str, tmp_path: Path) -> None:
    target = place.format(tmp_path if place.startswith("{") else f"pyramids-{zarr_format}")
    parts = [pyramids.make_levels(tmp_path / f"{n}.levels", start=2 * n, zarr_format=zarr_format, **OPTIONS) for n in range(3)]  # fmt: skip
    first = zapz.append(target, tmp_path / "0.levels", **FAST)
    assert first.created
    report = zapz.append(target, [tmp_path / f"{n}.levels" for n in range(3)], **FAST)
    assert (report.appended, report.already, report.length) == (2, 1, 6)
    assert (report.copied_chunks, report.encoded_chunks) == ((4 + 1 + 1 + 3) * 2, 0)
    expected = cubes.joined(parts, pyramids.axes_of())
    if place.startswith("memory"):
        fs, root = fsspec.core.url_to_fs(target)
        fs.get(root, str(tmp_path / "cube.levels"), recursive=True)
        target = str(tmp_path / "cube.levels")
    names = {"0.zarr", "1.zarr", "2.zarr", ".zlevels"}
    assert {p.name for p in Path(target).iterdir()} - {".zapz"} == names  # no group above the levels
    for consolidated in (True, False):
        pyramids.same(pyramids.read_levels(Path(target), consolidated=consolidated), expected)
    assert (Path(target) / ".zlevels").read_bytes() == (tmp_path / "0.levels" / ".zlevels").read_bytes()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("layout", pyramids.LAYOUTS)
def test_levels_that_are_groups_are_found_by_their_metadata(layout: str, zarr_format: int, tmp_path: Path) -> None:
    attributes, names = pyramids.LAYOUTS[layout]
    options = {**OPTIONS, "zarr_format": zarr_format, "consolidated": False}
    parts = [pyramids.make_groups(tmp_path / f"{n}.zarr", attributes, names, start=2 * n, **options) for n in range(2)]
    target = tmp_path / "c.zarr"
    zapz.append(target, [tmp_path / "0.zarr", tmp_path / "1.zarr"], **FAST)
    axes = {f"{n}/{each}": 0 for n in names for each in ("time", "data")}
    cubes.same(cubes.read(target, consolidated=True), cubes.joined(parts, axes))
    (found,) = zapz.info(target).pyramids
    assert [level.path for level in found.levels] == ["0", "1", "2"]  # the stored order, whatever the sizes
    assert [level.length for level in found.levels] == [4, 4, 4]
    shutil.rmtree(tmp_path / "1.zarr" / "1")
    before = tree(target)
    with pytest.raises(zapz.SliceError, match=r"only some of the target's levels.*found 0, 2, but not 1"):
        zapz.append(target, tmp_path / "1.zarr", on_missing="fill")
    assert tree(target) == before


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_levels_that_are_arrays_have_sizes_of_their_own(zarr_format: int, tmp_path: Path) -> None:
    """OME-Zarr: axes are named by the group; labels are a pyramid of their own."""
    parts = [pyramids.make_ome(tmp_path / f"{n}.zarr", zarr_format=zarr_format, start=2 * n, steps=2) for n in range(2)]
    target = tmp_path / "c.ome.zarr"
    zapz.append(target, [tmp_path / "0.zarr", tmp_path / "1.zarr"], append_dim="t")
    cubes.same(cubes.read(target), cubes.joined(parts, dict.fromkeys(parts[0], 0)))
    if zarr_format == 2:  # names that the group gives are not written into arrays
        assert "_ARRAY_DIMENSIONS" not in (target / "s0" / ".zattrs").read_text()
    image, nuclei = sorted(zapz.info(target, append_dim="t").pyramids, key=lambda each: each.path)
    assert [dict(level.sizes) for level in image.levels] == [{"y": 5, "x": 6}, {"y": 3, "x": 3}, {"y": 2, "x": 2}]
    assert (nuclei.path, image.methods) == ("labels/nuclei", {"": "gaussian"})
    assert zapz.check(target, append_dim="t").sound


def test_variables_of_some_levels_only_are_copied_where_they_are(levels: Callable[..., Path], tmp_path: Path) -> None:
    """As in EOPF products, whose bands differ in resolution."""
    slices = [levels(0), levels(1)]
    for n, path in enumerate(slices):
        data = np.full((2, 3, 3), n, "i2")
        cubes.write_array(
            path / "1.zarr", "band", data, dims=["time", "y", "x"], chunks=[2, 3, 3], zarr_format=2, fill=0
        )
        cubes.consolidate(path / "1.zarr", zarr_format=2)
    zapz.append(tmp_path / "c.levels", slices, **FAST)
    found = pyramids.read_levels(tmp_path / "c.levels", consolidated=True)
    assert found["1.zarr/band"][:, 0, 0].tolist() == [0, 0, 1, 1]
    assert "0.zarr/band" not in found


# -- order of visibility, plans ------------------------------------------------------------------------------------------


def test_the_coarsest_level_becomes_visible_first(levels: Callable[..., Path], tmp_path: Path) -> None:
    """Within a level, arrays before consolidated metadata; ``.zlevels`` of a new target last of all."""
    created = zapz.plan(tmp_path / "c.levels", levels(0), **FAST)
    assert [key.partition("/")[0] for key in created.documents][-1] == ".zlevels"
    zapz.append(tmp_path / "c.levels", levels(0), **FAST)
    keys = list(zapz.plan(tmp_path / "c.levels", levels(1), **FAST).documents)
    assert keys == [
        *("2.zarr/data/.zarray", "2.zarr/time/.zarray", "2.zarr/.zmetadata"),
        *("1.zarr/data/.zarray", "1.zarr/time/.zarray", "1.zarr/.zmetadata"),
        *("0.zarr/data/.zarray", "0.zarr/time/.zarray", "0.zarr/.zmetadata"),
    ]


def test_a_plan_with_levels_is_a_value(levels: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "c.levels"
    zapz.append(target, levels(0), **FAST)
    plan = zapz.Plan.from_json(zapz.plan(target, levels(1), **FAST).to_json())
    assert plan.after.roots == ("0.zarr", "1.zarr", "2.zarr")
    assert plan.summary()["levels"] == 3
    assert "2 steps in 3 levels at step 2" in repr(plan)
    for number in range(3):
        assert type(plan.step(f"{number}.zarr/data", (1, 0, 0))).__name__ == "CopyChunk"
    zapz.execute(plan)
    assert zapz.info(target).length == 4
    assert zapz.append(target, levels(1), **FAST).already == 1


def test_a_plan_over_ten_levels_costs_what_one_over_few_chunks_costs() -> None:
    """Ten levels of a million chunks each: nothing is proportional to the number of chunks."""
    sizes = {}
    for side in (1 << 10, 1 << 20):
        documents = {}
        for level in range(10):
            shape = [4, side >> level, side]
            meta = {"zarr_format": 2, "shape": shape, "chunks": [1, 1, 1 << 10], "dtype": "<f4", "fill_value": 0}
            more = {"compressor": None, "order": "C", "filters": None}
            documents[f"{level}.zarr/.zgroup"] = b'{"zarr_format": 2}'
            documents[f"{level}.zarr/v/.zarray"] = json.dumps(meta | more).encode()
            documents[f"{level}.zarr/v/.zattrs"] = b'{"_ARRAY_DIMENSIONS": ["time", "y", "x"]}'
        whole = doors.read(documents)
        placement = plans.Placement(dim="time", offset=0, length=4, conversions={})
        plan = plans.make_plan(
            target_uri="t", slice_uri="s", creates=False, before=whole, slice_=whole, placement=placement,
            documents={}, recompress=False,
        )  # fmt: skip
        sizes[side] = len(plan.to_json())
        steps = plan.steps()
        assert next(steps).path == "0.zarr/v"
        assert plan.step("9.zarr/v", (3, 0, 0)).index == (3, 0, 0)
    assert sizes[1 << 20] < sizes[1 << 10] + 2_000


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_levels_cost_the_requests_of_flat_appends(zarr_format: int, tmp_path: Path) -> None:
    """Not more than three flat appends of the same arrays, and after 20 appends as many as after 5."""
    options = {**OPTIONS, "zarr_format": zarr_format, "static": False}
    days = []
    for number in range(21):
        days.append(tmp_path / f"{number}.levels")
        pyramids.make_levels(days[-1], start=2 * number, **options)
    whole, flat = ObjectService(), [ObjectService() for _ in pyramids.SHAPES]
    counts = []
    for day in days:
        zapz.append(whole.store("b/c.levels"), day, **FAST)
        for level, service in enumerate(flat):
            zapz.append(service.store("b/c.zarr"), day / f"{level}.zarr", **FAST)
        counts.append(
            (Counter(r.kind for r in whole.log), sum((Counter(r.kind for r in s.log) for s in flat), Counter()))
        )
        for service in (whole, *flat):
            service.log.clear()
    assert counts[5] == counts[20]
    levels, alone = counts[20]
    assert sum(levels.values()) < sum(alone.values())
    more = {kind: n - alone[kind] for kind, n in levels.items() if n > alone[kind]}
    assert more == {"list": 1}  # the folder of the levels itself


# -- in memory ---------------------------------------------------------------------------------------------------------


class MultiLevel:
    """As xcube's objects: levels by number, and ``close``, which belongs to whoever opened them."""

    num_levels: Any = 3

    def __init__(self, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.closed = 0
        self.__dict__.update(more)

    def get_dataset(self, index: int) -> xr.Dataset:
        return xr.open_zarr(self.folder / f"{index}.zarr")

    def close(self) -> None:
        self.closed += 1


def test_a_multi_level_object_is_a_slice(levels: Callable[..., Path], tmp_path: Path) -> None:
    target, expected = tmp_path / "c.levels", tmp_path / "e.levels"
    slices = [MultiLevel(levels(n), agg_methods={"data": "mean"}) for n in range(2)]
    zapz.append(target, slices, **FAST)
    zapz.append(expected, [each.folder for each in slices], **FAST)
    found, wanted = pyramids.read_levels(target), pyramids.read_levels(expected)
    assert found.keys() == wanted.keys()
    for name, cells in wanted.items():
        np.testing.assert_array_equal(found[name], cells, err_msg=name)
    assert [each.closed for each in slices] == [0, 0]
    assert json.loads((target / ".zlevels").read_text())["agg_methods"] == {"data": "mean"}
    assert zapz.append(target, [*slices, levels(1)], **FAST).already == 3


def test_the_chunks_of_a_stored_multi_level_object_are_copied(levels: Callable[..., Path], tmp_path: Path) -> None:
    """xcube's objects have a path in a file system; no level is read into memory."""
    stored = MultiLevel(levels(0), path=str(levels(0)), fs=fsspec.filesystem("file"), _level_datasets={})
    stored.get_dataset = lambda index: pytest.fail(f"level {index} was read")  # type: ignore[method-assign]
    report = zapz.append(tmp_path / "c.levels", stored, **FAST)
    assert (report.encoded_chunks, Path(report.slices[0].slice).name) == (0, "day0.levels")


@pytest.mark.parametrize("other", ["a level in memory", "another file system", "a relative path", "no cache of levels"])
def test_a_path_counts_only_if_it_is_what_the_object_holds(
    other: str, levels: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program may have replaced a level; a path belongs to its file system."""
    monkeypatch.chdir(tmp_path)
    place: dict[str, Any] = {"path": str(levels(0)), "fs": fsspec.filesystem("file"), "_level_datasets": {}}
    if other == "a level in memory":
        place["_level_datasets"] = {0: xr.open_zarr(levels(1) / "0.zarr")}
    elif other == "another file system":
        place["fs"] = fsspec.filesystem("memory")
    elif other == "a relative path":
        place["path"] = "day0.levels"
    else:
        del place["_level_datasets"]
    zapz.append(tmp_path / "c.levels", MultiLevel(levels(1), **place), **FAST)
    found, wanted = pyramids.read_levels(tmp_path / "c.levels"), pyramids.read_levels(levels(1))
    np.testing.assert_array_equal(found["0.zarr/data"], wanted["0.zarr/data"])


@pytest.mark.parametrize(
    ("number", "get", "words"),
    [
        (0, None, "the slice has no levels"),
        (2, lambda _: None, "a level is not a dataset.*level 0.*found NoneType"),
        (np.int64(1), lambda _: {"v": 1}, "a level is not a dataset"),
    ],
)
def test_an_object_that_is_no_pyramid(number: Any, get: Any, words: str, tmp_path: Path) -> None:
    item = MultiLevel(tmp_path, num_levels=number, get_dataset=get or (lambda _: None))
    with pytest.raises(zapz.SliceError, match=words):
        zapz.append(tmp_path / "c.levels", item)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_tree_of_datasets_is_a_slice(zarr_format: int, tmp_path: Path) -> None:
    """Each node is a group; coordinates that a node inherits are stored once, as ``to_zarr`` does."""
    parts = []
    for n in range(2):
        time = np.array([2 * n, 2 * n + 1]).astype("M8[D]").astype("M8[ns]")
        nodes = {"/": xr.Dataset({"w": ("time", [1.0, 2.0])}, {"time": time}, {"title": "tree"})}
        nodes |= {f"/{k}": xr.Dataset({"v": (("time", "y"), np.full((2, 3 - k), n * 10.0 + k))}) for k in range(2)}
        parts.append(xr.DataTree.from_dict(nodes))
        with cubes.quiet():
            parts[-1].to_zarr(tmp_path / f"{n}.zarr", zarr_format=zarr_format)
    zapz.append(tmp_path / "memory.zarr", parts, zarr_format=zarr_format, label_units="keep")
    zapz.append(tmp_path / "stored.zarr", [tmp_path / "0.zarr", tmp_path / "1.zarr"], label_units="keep")
    found, wanted = (xr.open_datatree(tmp_path / f"{n}.zarr", engine="zarr") for n in ("memory", "stored"))
    assert found.identical(wanted)
    assert "time" not in zarr.open_group(tmp_path / "memory.zarr", mode="r")["1"]


# -- refusals ------------------------------------------------------------------------------------------------------------


def lose_a_level(path: Path) -> None:
    shutil.rmtree(path / "1.zarr")


def lose_a_level_and_its_number(path: Path) -> None:
    lose_a_level(path)
    (path / ".zlevels").unlink()


def say_more_levels(path: Path) -> None:
    meta = json.loads((path / ".zlevels").read_text())
    (path / ".zlevels").write_text(json.dumps(meta | {"num_levels": 5}))


def link_twice(path: Path) -> None:
    (path / "0.link").write_text("../day1.levels/0.zarr")


def shift_labels(path: Path) -> None:
    zarr.open_array(path / "2.zarr" / "time", mode="r+")[1] += 1


def drop_the_last_level(path: Path) -> None:
    shutil.rmtree(path / "2.zarr")
    meta = json.loads((path / ".zlevels").read_text())
    (path / ".zlevels").write_text(json.dumps(meta | {"num_levels": 2}))


REFUSED: dict[str, tuple[Callable[[Path], None], type[zapz.ZapzError], str]] = {
    "a level is missing": (lose_a_level, zapz.MetadataError, r"a level is missing.*expected 0\.zarr to 2\.zarr"),
    "a level is missing, and the document": (lose_a_level_and_its_number, zapz.MetadataError, "a level is missing"),
    "another number": (
        say_more_levels,
        zapz.MetadataError,
        r"expected 0\.zarr to 4\.zarr, found 0\.zarr, 1\.zarr, 2\.zarr",
    ),
    "link and level": (link_twice, zapz.MetadataError, r"a level is there twice.*expected 0\.link or 0\.zarr"),
    "fewer levels": (drop_the_last_level, zapz.SliceError, r"only some of the target's levels.*but not 2\.zarr"),
    "other labels": (shift_labels, zapz.LabelError, r"levels have different labels.*2\.zarr/time.*as in 0\.zarr/time"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_slice_that_is_refused_leaves_the_target_as_it_was(
    case: str, levels: Callable[..., Path], tmp_path: Path
) -> None:
    spoil, kind, words = REFUSED[case]
    target, slice_ = tmp_path / "c.levels", levels(1)
    zapz.append(target, levels(0), **FAST)
    before = tree(target)
    spoil(slice_)
    for dry_run in (True, False):
        with pytest.raises(kind, match=words) as caught:
            zapz.append(target, slice_, dry_run=dry_run, **FAST)
        assert caught.value.exit_code == (4 if kind is zapz.MetadataError else 3)
        assert tree(target) == before


@pytest.mark.parametrize("level", ["0.zarr", "2.zarr"])
def test_a_level_without_labels_is_refused(level: str, levels: Callable[..., Path], tmp_path: Path) -> None:
    """Filling them would leave steps without a label, or with a label in some levels only."""
    target, slice_ = tmp_path / "c.levels", levels(1)
    zapz.append(target, levels(0), **FAST)
    before = tree(target)
    for settings in ({"excluded_variables": [f"{level}/time"]}, {}):
        if not settings:
            shutil.rmtree(slice_ / level / "time")
            cubes.consolidate(slice_ / level, zarr_format=2)
        with pytest.raises(zapz.SliceError, match=f"a level of the slice has no labels.*expected {level}/time"):
            zapz.append(target, slice_, on_missing="fill", **settings, **FAST)
        assert tree(target) == before


def test_a_plan_is_not_executed_with_other_labels_in_a_level(levels: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "c.levels"
    zapz.append(target, levels(0), **FAST)
    plan = zapz.plan(target, levels(1), **FAST)
    before = tree(target)
    shift_labels(levels(1))
    with pytest.raises(zapz.ZapzError, match="labels"):
        zapz.execute(plan)
    zarr.open_array(levels(1) / "0.zarr" / "time", mode="r+")[1] += 1
    zarr.open_array(levels(1) / "1.zarr" / "time", mode="r+")[1] += 1
    with pytest.raises(zapz.ConflictError, match="labels do not match the plan"):
        zapz.execute(plan)
    assert tree(target) == before


def test_a_target_whose_levels_have_other_labels_is_refused(levels: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "c.levels"
    zapz.append(target, [levels(0), levels(1)], **FAST)
    zarr.open_array(target / "2.zarr" / "time", mode="r+")[3] = 99
    before = tree(target)
    with pytest.raises(zapz.FormatError, match=r"the levels have different labels.*c\.levels, 2\.zarr/time"):
        zapz.append(target, levels(2), **FAST)
    assert tree(target) == before
    assert any(found.what == "the labels of the levels differ" for found in zapz.check(target).findings)


@pytest.mark.parametrize("name", ["new.zarr", "new.levels"])
def test_a_new_target_says_that_it_has_levels(name: str, levels: Callable[..., Path], tmp_path: Path) -> None:
    """A slice without ``.zlevels`` is known by its name; the target may have another one."""
    target = tmp_path / name
    zapz.append(target, [levels(0, document=False), levels(1, document=False)], **FAST)
    assert json.loads((target / ".zlevels").read_text()) == {
        "version": "1.0",
        "num_levels": 3,
        "use_saved_levels": False,
    }
    assert zapz.check(target).sound


def test_metadata_that_name_more_levels_than_there_are(tmp_path: Path) -> None:
    """No new target is made of them; an existing one grows as it is."""
    attributes, names = pyramids.LAYOUTS["geozarr"]
    for n in range(2):
        pyramids.make_groups(
            tmp_path / f"{n}.zarr", attributes, names, start=2 * n, **OPTIONS | {"consolidated": False}
        )
        shutil.rmtree(tmp_path / f"{n}.zarr" / "1")
    with pytest.raises(zapz.SliceError, match="lacks levels that its metadata name"):
        zapz.append(tmp_path / "c.zarr", tmp_path / "0.zarr", **FAST)
    assert not (tmp_path / "c.zarr").exists()
    zapz.append(tmp_path / "0.zarr", tmp_path / "1.zarr", **FAST)
    assert zapz.info(tmp_path / "0.zarr").length == 4


def test_settings_do_not_make_half_a_pyramid(levels: Callable[..., Path], tmp_path: Path) -> None:
    for settings in ({"included_variables": ["0.zarr"]}, {"excluded_variables": ["2.zarr"]}):
        with pytest.raises(zapz.ZapzError, match="levels"):
            zapz.append(tmp_path / "c.levels", levels(0), **settings, **FAST)
        assert not (tmp_path / "c.levels").exists()


def test_a_pyramid_that_the_slice_lacks_can_be_filled(tmp_path: Path) -> None:
    for n in range(2):
        pyramids.make_ome(tmp_path / f"{n}.zarr", zarr_format=2, start=2 * n, steps=2)
    target = tmp_path / "c.zarr"
    zapz.append(target, tmp_path / "0.zarr", append_dim="t")
    shutil.rmtree(tmp_path / "1.zarr" / "labels")
    with pytest.raises(zapz.SliceError, match=r"the slice lacks a pyramid of the target.*labels/nuclei/s0") as caught:
        zapz.append(target, tmp_path / "1.zarr", append_dim="t")
    zapz.append(target, tmp_path / "1.zarr", append_dim="t", **caught.value.remedies)
    found = cubes.read(target)
    assert [found[f"labels/nuclei/s{k}"][2:].any() for k in range(3)] == [False] * 3
    assert found["s0"].shape[0] == 4


def test_what_only_looks_like_a_pyramid(tmp_path: Path) -> None:
    """Arrays named like levels, folders named like pyramids, identifiers of tiles that are no paths."""
    (tmp_path / "water.levels").mkdir()
    cubes.make_slice(tmp_path / "s0.zarr", start=0, **OPTIONS)
    tiles = {"multiscales": {"tile_matrix_set": {"tileMatrices": [{"id": "EPSG:3857:0"}, {"id": "http://x/../1"}]}}}
    cubes.make_slice(tmp_path / "s1.zarr", start=2, root_attrs=tiles, **OPTIONS)
    for name in ("water.levels/2024", "flat.zarr"):
        zapz.append(tmp_path / name, [tmp_path / "s0.zarr", tmp_path / "s1.zarr"], attrs_update_mode="update", **FAST)
        assert zapz.append(tmp_path / name, tmp_path / "s1.zarr", **FAST).already == 1
    for name in ("0.zarr", "time"):
        data = np.arange(2) + 1
        cubes.write_array(tmp_path / "x.levels", name, data, dims=["time"], chunks=[2], zarr_format=2)
    zapz.append(tmp_path / "y.zarr", tmp_path / "x.levels", **FAST)
    assert zapz.info(tmp_path / "y.zarr").pyramids == ()
    assert sorted(cubes.read(tmp_path / "y.zarr")) == ["0.zarr", "time"]


def test_groups_without_documents_above_a_group(tmp_path: Path) -> None:
    """As in plates of OME-Zarr without documents of their rows: a new target has a document for every group."""
    for n in range(2):
        cubes.write_group(tmp_path / f"{n}.zarr", zarr_format=3)
        cubes.make_slice(
            tmp_path / f"{n}.zarr" / "A" / "1" / "0", start=2 * n, zarr_format=3, **OPTIONS | {"consolidated": False}
        )
    zapz.append(tmp_path / "c.zarr", [tmp_path / "0.zarr", tmp_path / "1.zarr"], **FAST)
    assert zapz.check(tmp_path / "c.zarr").sound
    assert zapz.info(tmp_path / "c.zarr").length == 4


def test_a_new_pyramid_needs_a_slice_with_levels(levels: Callable[..., Path], tmp_path: Path) -> None:
    flat = levels(1) / "0.zarr"
    with pytest.raises(zapz.SliceError, match="the slice has no levels"):
        zapz.append(tmp_path / "new.levels", flat, on_missing="fill", on_extra="ignore", **FAST)
    assert not (tmp_path / "new.levels").exists()


def test_a_level_is_no_target(levels: Callable[..., Path], tmp_path: Path) -> None:
    """Named by the pyramid, which the message gives; appending there works."""
    target = tmp_path / "c.levels"
    zapz.append(target, levels(0), **FAST)
    before = tree(target)
    code, _, err = run("append", target / "0.zarr", levels(1) / "0.zarr")
    assert code == 4
    assert f"Append to the whole pyramid, {target}" in err
    assert tree(target) == before


def test_levels_of_unequal_length_are_refused(levels: Callable[..., Path], tmp_path: Path) -> None:
    """As a writer leaves them that appends to one level after the other, and dies between two."""
    target = tmp_path / "c.levels"
    zapz.append(target, levels(0), **FAST)
    cubes.shrink(target / "2.zarr", 1)
    before = tree(target)
    with pytest.raises(zapz.FormatError, match=r"levels differ in length.*0\.zarr: 2, 1\.zarr: 2, 2\.zarr: 1"):
        zapz.append(target, levels(1), **FAST)
    assert tree(target) == before
    assert any("the levels differ in length" in line for line in run("info", target)[1].splitlines())
    assert not zapz.check(target).sound


@pytest.mark.parametrize("place", ["../outside", "/etc", "s3://bucket/x", "file:base.zarr", "a\\b", "a//b"])
@pytest.mark.parametrize("kind", ["layout", "datasets"])
def test_the_path_of_a_level_stays_inside(kind: str, place: str, tmp_path: Path) -> None:
    listed = [{"asset" if kind == "layout" else "path": place}]
    attributes = {"multiscales": {"layout": listed} if kind == "layout" else [{"datasets": listed}]}
    cubes.make_slice(tmp_path / "s.zarr", root_attrs=attributes)
    with pytest.raises(zapz.MetadataError, match="a level is outside of the dataset"):
        zapz.append(tmp_path / "t.zarr", tmp_path / "s.zarr")
    assert not (tmp_path / "t.zarr").exists()


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("../../other/base.zarr", "may not be read"),
        ("/etc", "may not be read"),
        ("file:///etc", "may not be read"),
        ("s3://bucket/base.zarr", "may not be read"),
        ("../c.levels/0.zarr", "one is inside the other"),
        ("", "does not name a dataset"),
        ("../none.zarr", "no such"),
    ],
)
def test_where_the_link_of_a_slice_may_lead(link: str, words: str, levels: Callable[..., Path], tmp_path: Path) -> None:
    """Into the folder that contains the slice, and to the places of ``slice_references``; never into the target."""
    target = tmp_path / "c.levels"
    zapz.append(target, levels(0), **FAST)
    slice_ = levels(1)
    (tmp_path / "in").mkdir()
    shutil.move(slice_ / "0.zarr", tmp_path / "base.zarr")
    (slice_ / "0.link").write_text(link)
    before = tree(target)
    with pytest.raises(zapz.ZapzError, match=words):
        zapz.append(target, slice_, **FAST)
    assert tree(target) == before
    (slice_ / "0.link").write_text("../base.zarr")
    assert zapz.append(target, slice_, **FAST).appended == 1


def test_a_link_to_another_place_can_be_allowed(levels: Callable[..., Path], tmp_path: Path) -> None:
    place = tmp_path / "in" / "day0.levels"
    place.parent.mkdir()
    shutil.move(levels(0), place)
    shutil.move(place / "0.zarr", tmp_path / "base.zarr")
    (place / "0.link").write_text(str(tmp_path / "base.zarr"))
    with pytest.raises(zapz.UnsupportedError) as caught:
        zapz.append(tmp_path / "c.levels", place, **FAST)
    allowed = caught.value.remedies["slice_references"]
    zapz.append(tmp_path / "c.levels", place, slice_references=allowed, **FAST)
    assert zapz.info(tmp_path / "c.levels").length == 2


# -- what is said --------------------------------------------------------------------------------------------------------


def test_levels_are_counted_and_described(levels: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "c.levels"
    code, out, _ = run("append", target, levels(0))
    assert code == 0
    assert any("appended 2 steps in 3 levels:" in line for line in out.splitlines())
    _, out, _ = run("append", "--dry-run", target, levels(1))
    assert f"{target} has 2 steps in 3 levels and would have 4" in out
    _, out, _ = run("info", target)
    assert "3 levels (xcube): 0.zarr 5×6, 1.zarr 3×3 (1/2), 2.zarr 2×2" in out
    assert "made by: mean (data)" in out
    assert [line for line in out.splitlines() if "2 steps" in line] == ["0.zarr/time 2020-01-01 → 2020-01-02   2 steps"]
    (found,) = zapz.info(target).pyramids
    assert json.loads(run("info", "--json", target)[1])["pyramids"][0]["levels"][1]["sizes"] == {"y": 3, "x": 3}
    assert found.levels[1].factors == {"y": 1.667, "x": 2.0}


def test_a_slice_given_as_a_mapper_does_not_lead_into_the_target(levels: Callable[..., Path], tmp_path: Path) -> None:
    """As for a path: what is written cannot be read at the same time."""
    target, slice_ = tmp_path / "c.levels", levels(1)
    zapz.append(target, levels(0), **FAST)
    shutil.rmtree(slice_ / "0.zarr")
    (slice_ / "0.link").write_text("../c.levels/0.zarr")
    before = tree(target)
    for given in (slice_, fsspec.get_mapper(str(slice_))):
        with pytest.raises(zapz.SliceError, match="one is inside the other"):
            zapz.append(target, given, **FAST)
        assert tree(target) == before


def test_a_pyramid_with_labels_is_not_filled(tmp_path: Path) -> None:
    """Its steps would have no labels."""
    attributes, names = pyramids.LAYOUTS["geozarr"]
    for n in range(2):
        root = tmp_path / f"{n}.zarr"
        cubes.make_slice(root, start=2 * n, **OPTIONS | {"consolidated": False})
        pyramids.make_groups(root / "p", attributes, names, start=2 * n, **OPTIONS | {"consolidated": False})
    zapz.append(tmp_path / "c.zarr", tmp_path / "0.zarr", **FAST)
    before = tree(tmp_path / "c.zarr")
    shutil.rmtree(tmp_path / "1.zarr" / "p")
    with pytest.raises(zapz.SliceError, match="the slice lacks a pyramid of the target") as caught:
        zapz.append(tmp_path / "c.zarr", tmp_path / "1.zarr", on_missing="fill", **FAST)
    assert not caught.value.remedies
    assert tree(tmp_path / "c.zarr") == before
