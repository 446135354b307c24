"""A flat slice is appended to a pyramid: its cells become level 0, and all other levels are derived from them."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from kit import cubes
from kit.derived_levels import Pyramid
from kit.pyramids import same
from kit.real_pyramids import NEEDS, arrays, part
from kit.volumes import volume

import zapz
from zapz.cf.aggregation import METHODS
from zapz.config.settings import Config
from zapz.execution import sparse
from zapz.execution.chunk_builder import ChunkBuilder
from zapz.execution.families import LevelOutput
from zapz.execution.level_builder import LevelBuilder
from zapz.operations.level_slices import presented
from zapz.planning.plan import Plan
from zapz.sources.open_slice import open_source
from zapz.storage.chunk_reader import ChunkReader
from zapz.storage.open import open_store


def numbers(shape: tuple[int, ...], dtype: Any, seed: int, gone: float, marker: Any) -> np.ndarray[Any, Any]:
    """Return random cells; a share of blocks and of cells is missing."""
    chance = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    cells = chance.normal(20, 30, shape) if kind == "f" else chance.integers(0 if kind == "u" else -50, 100, shape)
    cells = cells.astype(dtype)
    if kind == "f" or marker is not None:
        value = marker if marker is not None else math.nan
        cells[chance.random(shape) < gone] = value
        for step in range(shape[0]):
            if chance.random() < gone:
                cells[step, : chance.integers(0, shape[1] + 1), : chance.integers(0, shape[2] + 1)] = value
    return cells


@st.composite
def pyramids(draw: st.DrawFn) -> tuple[Pyramid, list[int], dict[str, Any]]:
    """A pyramid, the numbers of steps of target and slices, and settings."""
    rows, columns = draw(st.integers(1, 21)), draw(st.integers(1, 21))
    steps = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
    dtype = np.dtype(draw(st.sampled_from(["f4", "f8", "i2", "u1", "i8"])))
    marker = draw(st.sampled_from([None, {"f": -1.0, "i": -9, "u": 255}[dtype.kind]]))
    ratios = draw(st.sampled_from([[2], [2, 2], [2, 2, 2], *([[3], [2, 3]] if max(rows, columns) > 12 else [])]))
    sizes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
    levels = len(ratios) + 1
    chunks = [draw(sizes) for _ in range(levels)]
    zarr_format = draw(st.sampled_from([2, 3]))
    shards: list[Any] = [None] * levels
    if zarr_format == 3:
        many = st.tuples(*(st.integers(1, 3) for _ in range(3)))
        shards = [draw(st.one_of(st.none(), many.map(lambda n, c=c: tuple(a * b for a, b in zip(n, c, strict=True))))) for c in chunks]  # type: ignore[misc]  # fmt: skip
    floor = draw(st.booleans()) and min(rows, columns) >= math.prod(ratios)
    cells = numbers(
        (sum(steps), rows, columns), dtype, draw(st.integers(0, 99)), draw(st.sampled_from([0, 0.2, 0.7])), marker
    )
    made = Pyramid(
        cells=cells,
        factors=[math.prod(ratios[: n + 1]) for n in range(len(ratios))],
        method=draw(st.sampled_from(METHODS)),
        marker=marker,
        chunks=chunks,
        shards=shards,
        zarr_format=zarr_format,
        fill="default" if zarr_format == 3 or marker is not None else None if dtype.kind != "f" else math.nan,
        floor=floor,
        rounded=draw(st.booleans()),
        rounding=draw(st.sampled_from(["even", "zero"])),
    )
    if 3 in ratios:
        assume(is_told_by_sizes(made))
    return made, steps, {"workers": draw(st.sampled_from([1, 3]))}


def is_told_by_sizes(made: Pyramid) -> bool:
    """Whether the sizes of the levels have one explanation."""
    finest = made.cells.shape[1:]
    for number, factor in enumerate(made.factors):
        level = made.level(number + 1).shape[1:]
        ways = [lambda n, f: n // f, lambda n, f: -(-n // f)]
        if any(tuple(way(n, f) for n in finest) == level for way in ways for f in range(1, 99) if f != factor):
            return False
    return True


def law(case: tuple[Pyramid, list[int], dict[str, Any]]) -> None:
    """New cells of all levels are what the definition says, old ones as they were, and each chunk can be built alone."""
    made, steps, options = case
    with TemporaryDirectory() as folder:
        root = Path(folder)
        target = made.write(root / "cube.levels", 0, steps[0])
        length = steps[0]
        for number, more in enumerate(steps[1:]):
            day = made.write_level(root / f"{number}.zarr", 0, length, length + more)
            plan = zapz.plan(target, day, **options)
            if made.cells[0].size > 1:
                assert set(plan.placement.derived) == {f"{n + 1}.zarr/v" for n in range(len(made.factors))}
            before = shutil.copytree(target, root / f"before-{number}.levels")
            zapz.append(target, [day], **options)
            continued(made, plan, before, target)
            alone(plan, before, day, target)
            length += more


def continued(made: Pyramid, plan: Plan, before: Path, after: Path) -> None:
    """Assert that a target is what it was, followed by what the plan says of the slice."""
    start, stop = plan.placement.offset, plan.placement.offset + plan.placement.length
    for number in range(len(made.factors) + 1):
        old, new = (cubes.read(path / f"{number}.zarr") for path in (before, after))
        np.testing.assert_array_equal(new["v"][:start], old["v"], err_msg=f"level {number}")
        expected = made.cells[start:stop]
        if number and plan.placement.derived:
            derivation = plan.placement.derived[f"{number}.zarr/v"]
            assert derivation.method == made.method
            for factors in derivation.reductions:
                expected = made.derived(expected, factors, derivation.rounding)
        np.testing.assert_array_equal(new["v"][start:], expected, err_msg=f"level {number}")
        assert new["time"].tolist() == list(range(stop))


def alone(plan: Plan, before: Path, day: Path, after: Path) -> None:
    """Assert that each step alone gives the chunk that was written."""
    source, _ = presented(open_source(day, Config()), plan.before, Config(), "")
    target = open_store(before)
    for path in plan.arrays:
        kind = LevelBuilder if path in plan.placement.derived else ChunkBuilder
        builder = kind(plan, path, source.store, target)
        steps = list(plan.arrays[path].steps())
        for step in steps[::-1]:
            assert step == plan.step(path, step.index)
            key = plan.arrays[path].target.key(step.index)
            built = builder.build(step)
            if (after / key).exists():
                assert (built or builder.filled(step)).to_bytes() == (after / key).read_bytes(), key
            else:
                assert built is None, key


@given(pyramids())
@settings(max_examples=60, phases=[Phase.generate])
def test_law_a_flat_slice_continues_all_levels(case: tuple[Pyramid, list[int], dict[str, Any]]) -> None:
    law(case)


@volume
@given(pyramids())
@settings(max_examples=500)
def test_law_a_flat_slice_continues_all_levels_500_times(case: tuple[Pyramid, list[int], dict[str, Any]]) -> None:
    law(case)


# -- real pyramids -----------------------------------------------------------------------------------------------------

FLAT: dict[str, tuple[str, dict[str, Any]]] = {
    "xcube_v2_all_methods": ("0.zarr", {}),
    "xcube_v2_ascending_bounds": ("0.zarr", {}),
    "xcube_v2_defaults": ("0.zarr", {}),
    "xcube_v3_all_methods": ("0.zarr", {}),
    "ndpyramid_v2": ("2", {}),
    "ndpyramid_v3": ("2", {}),
    "topozarr_geozarr_v3": ("0", {}),
    "eopf_geozarr_v3": ("", {"levels": {"use": "derive"}}),
}
"""The part of the slice that has no coarser levels, and settings."""


@NEEDS
@pytest.mark.parametrize("name", FLAT)
def test_a_real_pyramid_is_continued_as_by_its_tool(name: str, tmp_path: Path) -> None:
    """All is equal bit by bit, but for means by xcube: floats in the last place, packed numbers at exact ties."""
    inner, options = FLAT[name]
    target = shutil.copytree(part(name, "target"), tmp_path / part(name, "target").name)
    day = part(name, "slice") / inner
    report = zapz.append(target, day, **options)
    assert (report.appended, report.length, report.slices[0].levels) == (1, 3, 3)
    assert not any("not proven" in note for note in report.slices[0].notes)
    own, tool = arrays(target), arrays(part(name, "expected"))
    assert own.keys() == tool.keys()
    for path in own:
        if name.startswith("xcube") and path.rpartition("/")[2] in {"chl", "sst"}:
            like_xcube(own[path], tool[path], tool[f"0.zarr/{path.rpartition('/')[2]}"], path)
        else:
            np.testing.assert_array_equal(own[path], tool[path], err_msg=path)
    assert zapz.append(target, day, **options).already == 1
    assert zapz.check(target).sound


def like_xcube(own: Any, tool: Any, fine: Any, path: str) -> None:
    """Assert that means are those of xcube, which adds in other orders."""
    if own.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(own), np.isnan(tool), err_msg=path)
        assert np.nanmax(np.abs(own - tool) / np.spacing(np.abs(tool)), initial=0) <= 2, path
        return
    factor = 1 << int(path[0])
    for step, row, column in np.argwhere(own != tool).tolist():
        window = fine[step, row * factor : (row + 1) * factor, column * factor : (column + 1) * factor].astype(int)
        values = window[window != -32768].tolist()
        assert Fraction(sum(values), len(values)) % 1 == Fraction(1, 2), path
        assert abs(int(own[step, row, column]) - int(tool[step, row, column])) == 1, path


@NEEDS
@pytest.mark.parametrize("name", ["ome_04", "ome_05"])
def test_a_method_that_no_metadata_tell_must_be_named(name: str, tmp_path: Path) -> None:
    """It is proven; levels of another pyramid in the same hierarchy are copied if the slice has them."""
    day = shutil.copytree(part(name, "slice"), tmp_path / "day.zarr")
    for level in ("s1", "s2"):
        shutil.rmtree(day / level)
    target = shutil.copytree(part(name, "target"), tmp_path / "c.zarr")
    before = cubes.files(target)
    with pytest.raises(zapz.SliceError, match="the method is not known"):
        zapz.append(target, day, append_dim="t")
    with pytest.raises(zapz.SliceError, match=r"not made as zapz would.* s1, cell .* the median of cells of s0"):
        zapz.append(target, day, append_dim="t", levels={"method": {"*": "median"}})
    assert cubes.files(target) == before
    zapz.append(target, day, append_dim="t", levels={"method": {"*": "mean"}})
    same(arrays(target), arrays(part(name, "expected")))


@NEEDS
def test_levels_that_no_method_gives_are_not_derived(tmp_path: Path) -> None:
    """The labels of this image were made by taking another corner of each window."""
    target = shutil.copytree(part("ome_05", "target"), tmp_path / "c.zarr")
    before = cubes.files(target)
    for method in METHODS:
        methods = {"labels/*": method, "*": "mean"}
        with pytest.raises(zapz.SliceError, match=r"labels/nuclei/s1, cell"):
            zapz.append(target, part("ome_05", "slice"), append_dim="t", levels={"use": "derive", "method": methods})
    assert cubes.files(target) == before


# -- what is derived, and what is not ----------------------------------------------------------------------------------


def cube(**options: Any) -> Pyramid:
    cells = numbers((4, 24, 24), options.pop("dtype", "f4"), 1, options.pop("gone", 0.1), options.get("marker"))
    return Pyramid(cells=cells, factors=(2, 4, 8), chunks=((1, 6, 6),), **options)


def test_what_is_only_in_memory(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    labels = {"time": (("time",), np.array([2]), {"units": "days since 2020-01-01"})}
    zapz.append(target, [{"v": (("time", "y", "x"), made.cells[2:3]), **labels}])
    day = xr.open_zarr(made.write_level(tmp_path / "day.zarr", 0, 3, 4))
    zapz.append(target, [day])
    made.check(target, 4)


def test_what_is_computed_is_computed_before_the_lock_is_taken(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    locked: list[bool] = []

    def compute(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        locked.append((target / ".zapz").exists())
        return block

    lazy = da.from_array(made.cells[2:3], chunks=(1, 12, 12)).map_blocks(compute, dtype="f4", meta=np.empty(0, "f4"))
    times = xr.Variable("time", [2], {"units": "days since 2020-01-01"})
    day = xr.Dataset({"v": (("time", "y", "x"), lazy)}, {"time": times})
    zapz.append(target, [day])
    made.check(target, 3)
    assert locked == [False] * 4


def test_the_proof_is_made_again_for_each_turn(tmp_path: Path) -> None:
    """What was read before the lock was taken may have changed: here, while zapz waits for a slice."""
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    days = [made.write_level(tmp_path / f"{n}.zarr", 0, n, n + 1) for n in (2, 3)]

    def slices() -> Iterator[Path]:
        yield days[0]
        zarr.open_array(target / "2.zarr" / "v", mode="r+")[:] = 7
        yield days[1]

    with pytest.raises(zapz.SliceError, match="not made as zapz would derive them"):
        zapz.append(target, slices())
    assert cubes.read(target / "0.zarr")["v"].shape[0] == 3


def test_a_slice_without_the_append_dimension(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    days = [xr.open_zarr(made.write_level(tmp_path / f"{n}.zarr", 0, n, n + 1)).isel(time=0) for n in (2, 3)]
    paths = []
    for number, day in enumerate(days):
        day.drop_encoding().to_zarr(tmp_path / f"day{number}.zarr", zarr_format=3, consolidated=False)
        paths.append(tmp_path / f"day{number}.zarr")
    zapz.append(target, paths[::-1], slice_order="labels")
    made.check(target, 4)


def test_a_slice_in_another_encoding(tmp_path: Path) -> None:
    """What is derived is what level 0 becomes, not what the slice stores."""
    made = cube(dtype="i2", marker=-9)
    target = made.write(tmp_path / "c.levels", 0, 2)
    cells = np.where(made.cells == -9, np.int16(-1000), made.cells)
    other = Pyramid(cells=cells, marker=-1000, chunks=((2, 5, 7),), zarr_format=2)
    zapz.append(target, other.write_level(tmp_path / "day.zarr", 0, 2, 4))
    made.check(target, 4)


def test_a_cell_without_a_chunk(tmp_path: Path) -> None:
    """A chunk that the slice lacks is its fill value, here a value; nothing is written that readers see without a chunk."""
    made = cube(dtype="u1", gone=0, zarr_format=3, fill=0)
    made.cells[2:, :12] = 0
    made.cells[3] = 0
    target = made.write(tmp_path / "c.levels", 0, 2)
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 4)
    assert not (day / "v" / "c" / "1").exists()
    zapz.append(target, day)
    made.check(target, 4)
    assert not (target / "1.zarr" / "v" / "c" / "3").exists()
    assert (target / "3.zarr" / "v" / "c" / "2").exists()


def test_a_mean_of_equal_floats(tmp_path: Path) -> None:
    """The sum of three times 0.1 is not 0.3: the mean is computed, also of cells without a chunk."""
    cells = np.full((3, 9, 9), 0.1)
    cells[0] = numbers((1, 9, 9), "f8", 1, 0, None)
    made = Pyramid(cells=cells, factors=(3,), chunks=((1, 3, 3),), fill=0.1)
    target = made.write(tmp_path / "c.levels", 0, 1)
    day = made.write_level(tmp_path / "day.zarr", 0, 1, 3)
    assert not (day / "v" / "c").exists()
    assert made.level(1)[1, 0, 0] != 0.1
    zapz.append(target, day)
    made.check(target, 3)


def test_very_many_chunks_of_which_few_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "MANY", 3)
    made = cube(gone=0, fill=math.nan)
    made.cells[2:] = math.nan
    made.cells[2, 3, 5] = 7
    target = made.write(tmp_path / "c.levels", 0, 2)
    zapz.append(target, made.write_level(tmp_path / "day.zarr", 0, 2, 4))
    made.check(target, 4)
    assert sum(each.is_file() for each in (target / "0.zarr" / "v" / "c" / "2").rglob("*")) == 1


@pytest.mark.parametrize("gone", [0, 0.9])
def test_a_dry_run_counts_what_the_run_writes(gone: float, tmp_path: Path) -> None:
    made = cube(gone=0, fill=math.nan)
    if gone:
        made.cells[2, 6:] = math.nan
        made.cells[2, :, 12:] = math.nan
    target = made.write(tmp_path / "c.levels", 0, 2)
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 3)
    before = cubes.files(target)
    planned = zapz.append(target, day, dry_run=True).slices[0].plan
    assert planned is not None
    assert cubes.files(target) == before
    done = zapz.append(target, day)
    assert (planned["copied_chunks"], planned["encoded_chunks"]) == (done.copied_chunks, done.encoded_chunks)
    why = {each["path"]: each["why"] for each in planned["variables"]}
    assert why["2.zarr/v"] == ["derived: mean of 4x4 cells of 0.zarr/v"]


def test_levels_can_be_the_slice_s(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 3)
    before = cubes.files(target)
    with pytest.raises(zapz.SliceError, match="the slice has no levels"):
        zapz.append(target, day, levels={"use": "slice"})
    assert cubes.files(target) == before
    other = replace(made, cells=made.cells + 1, written={}).write(tmp_path / "other.levels", 2, 3)
    zapz.append(target, other, levels={"use": "derive"})
    replace(made, cells=np.concatenate([made.cells[:2], made.cells[2:] + 1]), written={}).check(target, 3)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("level", r"2.zarr/v, cell \(1, .*\): expected .*, the mean of cells of 0.zarr/v, found 7"),
        ("method", "'sum'"),
        ("size", "no integer factor explains the sizes"),
        ("meaning", "another meaning"),
        ("dtype", "a variable differs from that of the finest level"),
        ("times", "levels.method.*|is not defined for this type"),
    ],
)
def test_what_cannot_be_derived_is_refused(spoil: str, words: str, tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 3)
    level = zarr.open_group(target / "2.zarr", mode="r+", use_consolidated=False)
    if spoil == "level":
        cells = level["v"][...]
        cells[1] = 7
        level["v"][...] = cells
    elif spoil == "method":
        text = (target / ".zlevels").read_text().replace('"mean"', '"sum"')
        (target / ".zlevels").write_text(text)
    elif spoil == "times":
        for number in range(4):
            zarr.open_array(target / f"{number}.zarr" / "v", mode="r+").attrs["units"] = "days since 2000-01-01"
        zarr.open_array(day / "v", mode="r+").attrs["units"] = "days since 2000-01-01"
    else:
        cells = level["v"][:, :2] if spoil == "size" else level["v"][...]
        attributes = {"scale_factor": 2.0} if spoil == "meaning" else {}
        cells = cells.astype("f8") if spoil == "dtype" else cells
        shutil.rmtree(target / "2.zarr" / "v")
        cubes.write_array(target / "2.zarr", "v", cells, zarr_format=3, dims=("time", "y", "x"), chunks=(1, 6, 6), attrs=attributes)  # fmt: skip
    for number in range(4):
        cubes.consolidate(target / f"{number}.zarr", zarr_format=3)
    before = cubes.files(target)
    with pytest.raises(zapz.ZapzError, match=words) as caught:
        zapz.append(target, day)
    assert caught.value.exit_code == (2 if spoil == "times" else 3)
    assert cubes.files(target) == before


def test_a_method_that_is_offered(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    (target / ".zlevels").write_text('{"version": "1.0", "num_levels": 4, "use_saved_levels": false}')
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 3)
    with pytest.raises(zapz.SliceError, match="the method is not known") as caught:
        zapz.append(target, day)
    assert "levels={'method': {'v': 'mean'}}" in caught.value.hint
    zapz.append(target, day, **caught.value.remedies)
    made.check(target, 3)


def test_a_method_that_contradicts_the_metadata(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    before = cubes.files(target)
    with pytest.raises(zapz.ConfigError, match="not that of the target's levels"):
        zapz.append(target, made.write_level(tmp_path / "day.zarr", 0, 2, 3), levels={"method": {"v": "median"}})
    assert cubes.files(target) == before


def test_the_proof_can_be_left_out(tmp_path: Path) -> None:
    """Then levels are derived although those of the target are others."""
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    zarr.open_array(target / "2.zarr" / "v", mode="r+")[:] = 7
    report = zapz.append(target, made.write_level(tmp_path / "day.zarr", 0, 2, 3), levels={"proof": False})
    assert report.appended == 1
    np.testing.assert_array_equal(cubes.read(target / "2.zarr")["v"][2], made.level(2)[2])


def test_nothing_to_compare_is_said(tmp_path: Path) -> None:
    made = cube(gone=0)
    made.cells[:2] = math.nan
    target = made.write(tmp_path / "c.levels", 0, 2)
    days = [made.write_level(tmp_path / f"{n}.zarr", 0, n, n + 1) for n in (2, 3)]
    report = zapz.append(target, days)
    assert sum("not proven" in note for note in report.slices[0].notes) == 1
    made.check(target, 4)


# -- what it costs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("sharded", [False, True])
def test_each_chunk_of_a_slice_is_read_and_decoded_once(
    sharded: bool, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = numbers((3, 96, 96), "f4", 1, 0.1, None)
    made = Pyramid(cells=cells, factors=(2, 4, 8, 16), chunks=((1, 6, 6),), shards=((1, 24, 24) if sharded else None,))
    target = made.write(tmp_path / "c.levels", 0, 2)
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 3)
    decoded: Counter[str] = Counter()
    outputs: set[LevelOutput] = set()
    opened: list[int] = []
    decode, put = ChunkReader.decode, LevelOutput._put

    def counted(reader: ChunkReader, data: Any, unit: Any, out: Any = None) -> Any:
        decoded[f"{'slice ' if 'day.zarr' in reader.name(unit) else ''}{reader.array.path}"] += 1
        return decode(reader, data, unit, out)

    def noted(output: LevelOutput, *args: Any) -> None:
        put(output, *args)
        outputs.add(output)
        opened.append(sum(len(each.open) for each in outputs))

    monkeypatch.setattr(ChunkReader, "decode", counted)
    monkeypatch.setattr(LevelOutput, "_put", noted)
    zapz.append(target, day, workers=workers)
    made.check(target, 3)
    assert decoded["slice 0.zarr/v"] == 0
    assert 256 < decoded["0.zarr/v"] <= 256 + 8
    assert sum(decoded[f"{level}.zarr/v"] for level in range(1, 5)) <= 4
    assert 1 <= max(opened) <= workers * 4 + 4


def test_an_append_with_derived_levels_is_a_value(tmp_path: Path) -> None:
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    day = made.write_level(tmp_path / "day.zarr", 0, 2, 4)
    plan = zapz.plan(target, day)
    again = Plan.from_json(plan.to_json())
    assert again.placement == plan.placement
    assert list(again.steps()) == list(plan.steps())
    zapz.execute(again)
    made.check(target, 4)


def test_a_plan_needs_no_settings_to_be_executed(tmp_path: Path) -> None:
    """It holds which levels are derived, and by which methods."""
    made = cube()
    target = made.write(tmp_path / "c.levels", 0, 2)
    (target / ".zlevels").write_text('{"version": "1.0", "num_levels": 4, "use_saved_levels": false}')
    days = [made.write_level(tmp_path / "day.zarr", 0, 2, 3), made.write(tmp_path / "day.levels", 3, 4)]
    for length, day in enumerate(days, 3):
        plan = zapz.plan(target, day, levels={"use": "derive", "method": {"*": "mean"}})
        zapz.execute(Plan.from_json(plan.to_json()))
        made.check(target, length)
