"""Laws of a plan, first on integers alone, then end to end against NumPy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import cubes

import zapz
from zapz.format import v3
from zapz.format.grid import Index, RegularGrid, indices, slices
from zapz.format.metadata import Array
from zapz.planning.placement import Placement
from zapz.planning.steps import ArrayPlan, ClearChunk, CopyChunk, EncodeChunk, ExtendShard, KeepInner, plan_array

STALE = -1
FILL = -2
FAST = {"durability": "process", "workers": 1, "label_units": "keep"}


# -- on integers alone -------------------------------------------------------------------------------------------------------


def array_of(
    shape: tuple[int, ...], chunks: tuple[int, ...], shards: tuple[int, ...] | None, axis: int, level: int = 1
) -> Array:
    inner: list[Any] = [
        {"name": "bytes", "configuration": {"endian": "little"}},
        {"name": "gzip", "configuration": {"level": level}},
    ]
    codecs = (
        inner
        if shards is None
        else [{"name": "sharding_indexed", "configuration": {"chunk_shape": list(chunks), "codecs": inner}}]
    )
    meta = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": "int64",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shards or chunks)}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": FILL,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": ["time" if i == axis else f"d{i}" for i in range(len(shape))],
    }
    return v3.read_array("a", json.dumps(meta).encode())


@st.composite
def array_plans(draw: st.DrawFn) -> ArrayPlan:
    ndim = draw(st.integers(1, 3))
    axis = draw(st.integers(0, ndim - 1))
    other = tuple(draw(st.integers(1, 5)) for _ in range(ndim))
    offset, length = draw(st.integers(0, 9)), draw(st.integers(1, 9))
    chunks = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    shards = draw(st.none() | st.just(tuple(c * draw(st.integers(1, 3)) for c in chunks)))
    alike = draw(st.booleans())
    source_chunks = chunks if alike else tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    source_shards = (
        shards if alike else draw(st.none() | st.just(tuple(c * draw(st.integers(1, 3)) for c in source_chunks)))
    )
    grown = tuple(offset + length if i == axis else n for i, n in enumerate(other))
    slice_shape = tuple(length if i == axis else n for i, n in enumerate(other))
    target = array_of(grown, chunks, shards, axis)
    source = draw(
        st.sampled_from(
            [array_of(slice_shape, source_chunks, source_shards, axis, level=draw(st.sampled_from([1, 9]))), None]
        )
    )
    placement = Placement(dim="time", offset=offset, length=length, conversions={})
    return plan_array(target, source, axis, placement, recompress=draw(st.booleans()))


def units_of(values: np.ndarray[Any, Any], grid: RegularGrid) -> dict[Index, np.ndarray[Any, Any]]:
    """Cut values into full chunks; cells beyond the shape are stale."""
    found = {}
    for index in indices(tuple((0, n) for n in grid.counts)):
        chunk = np.full(grid.chunks, STALE)
        box = grid.box(index)
        chunk[tuple(slice(0, b - a) for a, b in box)] = values[slices(box)]
        found[index] = chunk
    return found


def made(
    plan: ArrayPlan, step: Any, old: dict[Index, Any], new: dict[Index, Any], written: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the cells of the chunk (unit) that a step makes, and count writes of the pieces."""
    if isinstance(step, KeepInner):
        return old[step.index]
    if isinstance(step, CopyChunk):
        return new[step.source]
    cells = np.full(plan.target.units.chunks, FILL)
    if isinstance(step, EncodeChunk):
        hits = np.zeros(plan.target.units.chunks, dtype=int)
        for piece in step.pieces:
            cells[slices(piece.put)] = (old if piece.origin == "target" else new)[piece.index][slices(piece.take)]
            hits[slices(piece.put)] += 1
        assert hits.max(initial=0) <= 1, "two pieces for one cell"
    return cells


@settings(deadline=None, max_examples=150)
@given(array_plans())
def test_every_new_cell_is_written_once_and_no_old_cell_changes(plan: ArrayPlan) -> None:
    target = plan.target
    old_shape = tuple(b - a for a, b in plan.old_box)
    new_shape = tuple(b - a for a, b in plan.new_box)
    old = np.arange(np.prod(old_shape)).reshape(old_shape)
    new = 1000 + np.arange(np.prod(new_shape)).reshape(new_shape)
    old_units = units_of(old, RegularGrid(shape=old_shape, chunks=target.units.chunks))
    new_units = units_of(new, plan.source.units) if plan.source is not None else {}
    new_shards = units_of(new, plan.source.grid) if plan.source is not None else {}
    written = np.zeros(target.shape, dtype=int)
    result = np.full(target.shape, STALE)
    result[slices(plan.old_box)] = old
    for step in plan.steps():
        written[slices(target.grid.box(step.index))] += 1
        if isinstance(step, ExtendShard):
            numbers = set()
            for number, inner in plan.inner(step.index):
                unit = inner.index
                assert number not in numbers
                numbers.add(number)
                box = target.units.box(unit)
                result[slices(box)] = made(plan, inner, old_units, new_units, written)[
                    tuple(slice(0, b - a) for a, b in box)
                ]
            continue
        box = target.grid.box(step.index)
        if isinstance(step, ClearChunk):
            result[slices(box)] = FILL
        else:
            cells = made(plan, step, old_units, new_shards if isinstance(step, CopyChunk) else new_units, written)
            result[slices(box)] = cells[tuple(slice(0, b - a) for a, b in box)]
    assert (written[slices(plan.new_box)] == 1).all()
    expected = np.concatenate([old, new if plan.source is not None else np.full(new_shape, FILL)], axis=plan.axis)
    np.testing.assert_array_equal(result, expected)


@settings(deadline=None, max_examples=100)
@given(array_plans())
def test_steps_are_each_touched_chunk_once_and_found_alone(plan: ArrayPlan) -> None:
    steps = list(plan.steps())
    assert sorted(s.index for s in steps) == list(indices(plan.spans))
    assert all(plan.step(s.index) == s for s in steps)
    assert all(s.path == plan.path for s in steps)
    assert plan.copies + plan.encodes == len(steps)


@settings(deadline=None, max_examples=100)
@given(array_plans())
def test_whole_chunks_are_copied_only_at_chunk_borders(plan: ArrayPlan) -> None:
    for step in plan.steps():
        if isinstance(step, CopyChunk):
            assert not plan.is_boundary(step.index)


@settings(deadline=None, max_examples=60)
@given(array_plans())
def test_inner_chunks_are_numbered_as_in_the_index_of_the_shard(plan: ArrayPlan) -> None:
    per = tuple(c // u for c, u in zip(plan.target.grid.chunks, plan.target.units.chunks, strict=True))
    for index in indices(plan.spans):
        for number, inner in plan.inner(index):
            local = tuple(u - i * n for u, i, n in zip(inner.index, index, per, strict=True))
            assert number == np.ravel_multi_index(local, per)
            assert plan.inner_step(inner.index) == inner


def test_a_plan_over_ten_million_chunks_is_as_small_as_one_over_ten() -> None:
    for shards in (None, (2, 4)):
        target = array_of((20_000_000 // (shards or (1,))[0] * (shards or (2,))[0], 4), (1, 2), shards, 0)
        source = array_of(target.shape, (3, 2), None, 0)
        tracemalloc.start()
        plan = plan_array(
            target, source, 0, Placement(dim="time", offset=0, length=target.shape[0], conversions={}), recompress=False
        )
        assert plan.encodes >= 5_000_000
        taken = list(islice(plan.steps(), 1000))
        last = plan.step(tuple(b - 1 for _, b in plan.spans))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len({s.index for s in taken}) == 1000
        assert last.index == tuple(b - 1 for _, b in plan.spans)
        assert peak < 3_000_000


# -- end to end --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder on tmpfs where there is one, so that many small datasets are quick."""
    root = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield root
    shutil.rmtree(root)


TYPES = ("<f4", ">f8", "<i2", ">i4", "|u1", "<c8", "|b1", "<M8[s]", "<U3", "|S4", "object", "<f2", ">u8")


@st.composite
def cubes_of(draw: st.DrawFn, ndim: int, axis: int, dtype: str, zarr_format: int) -> dict[str, Any]:
    chunks = tuple(draw(st.integers(1, 4)) for _ in range(ndim))
    options: dict[str, Any] = {
        "zarr_format": zarr_format,
        "axis": axis,
        "chunks": chunks,
        # zarr-python 3.1.6 writes text behind a transpose in another order than it reads it
        "order": "C" if dtype == "object" and zarr_format == 3 else draw(st.sampled_from("CF")),
    }
    if zarr_format == 3:
        options["shards"] = draw(st.none() | st.just(tuple(c * draw(st.integers(1, 3)) for c in chunks)))
        options["index_location"] = draw(st.sampled_from(["start", "end"]))
        options["key_style"] = draw(st.sampled_from(["default", "v2"]))
    options["separator"] = draw(st.sampled_from([".", "/"]))
    options["compressor"] = draw(st.sampled_from(cubes.COMPRESSORS))
    options["nested"] = False
    options["time_chunk"] = draw(st.integers(1, 4))
    little_endian = zarr_format == 2
    options["dtype"] = np.dtype(dtype if little_endian or dtype == "object" else dtype.replace(">", "<"))
    options["extra"] = draw(st.integers(0, 5))
    options["consolidated"] = draw(st.booleans())
    return options


def write(
    path: Path, options: dict[str, Any], *, start: int, steps: int, shape: tuple[int, ...], **more: Any
) -> dict[str, Any]:
    """Write a slice of more steps than wanted and cut it in its metadata: stale bytes lie behind its end."""
    options = {**options, **more}
    extra, name, consolidated = options.pop("extra"), options.pop("compressor"), options.pop("consolidated")
    options.setdefault("fill", None if options["zarr_format"] == 2 else "default")
    values = cubes.make_slice(
        path,
        start=start,
        steps=steps + extra,
        shape=shape,
        compressors=cubes.compressor(name, options["zarr_format"]),
        **options,
    )
    cubes.shrink(path, steps)
    if consolidated:
        cubes.consolidate(path, zarr_format=options["zarr_format"])
    for grown, axis in cubes.axes_of(options["axis"], nested=options["nested"]).items():
        values[grown] = np.take(values[grown], range(steps), axis=axis)
    return values


@st.composite
def appends(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int], tuple[int, ...]]:
    ndim = draw(st.integers(1, 3))
    axis = draw(st.integers(0, ndim - 1))
    dtype = draw(st.sampled_from(TYPES))
    parts = [draw(cubes_of(ndim, axis, dtype, draw(st.sampled_from([2, 3])))) for _ in range(draw(st.integers(2, 3)))]
    nested = draw(st.booleans())
    for part in parts:
        part["nested"] = nested
    return parts, [draw(st.integers(1, 6)) for _ in parts], tuple(draw(st.integers(1, 5)) for _ in range(ndim - 1))


@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(appends(), st.data())
def test_appending_is_concatenating(
    place: Path, case: tuple[list[dict[str, Any]], list[int], tuple[int, ...]], data: st.DataObject
) -> None:
    """The first dataset is the target itself, with stale bytes behind its end; or zapz makes the target from it."""
    parts, steps, shape = case
    with tempfile.TemporaryDirectory(dir=place) as folder:
        paths, values, start = [], [], 0
        for number, (options, length) in enumerate(zip(parts, steps, strict=True)):
            path = Path(folder) / f"{number}"
            values.append(write(path, options, start=start, steps=length, shape=shape))
            paths.append(path)
            start += length
        before = [cubes.files(p) for p in paths]
        if data.draw(st.booleans(), label="grow the first"):
            target, slices_ = paths[0], paths[1:]
        else:
            target, slices_ = Path(folder) / "target", paths
        report = zapz.append(target, slices_, **FAST, label_chunk=data.draw(st.sampled_from(["keep", 1024])))
        assert report.length == sum(steps)
        expected = cubes.joined(values, cubes.axes_of(parts[0]["axis"], nested=parts[0]["nested"]))
        cubes.same(cubes.read(target), expected)
        cubes.same(cubes.read(target, consolidated=True), expected)
        assert not (target / ".zapz").exists()
        assert [cubes.files(p) for p in paths if p != target] == [
            b for p, b in zip(paths, before, strict=True) if p != target
        ], "a slice was changed"
        if parts[0]["dtype"].kind in "fiu" and parts[0]["compressor"] not in {"lzma", "lz4"} | (
            {"bz2", "zlib"} if parts[0]["zarr_format"] == 3 else set()
        ):
            found = cubes.read_tensorstore(target / "data", zarr_format=parts[0]["zarr_format"])
            np.testing.assert_array_equal(found, expected["data"])


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.sampled_from([2, 3]), st.data())
def test_a_missing_chunk_reads_as_the_fill_value_of_the_slice(
    place: Path, zarr_format: int, data: st.DataObject
) -> None:
    """The value stays; where a fill value of v2 means "missing", as it always does for text, it becomes the target's."""
    axis, lengths, shape = data.draw(st.integers(0, 2)), [data.draw(st.integers(1, 6)) for _ in range(3)], (4, 5)
    dtype, fills = data.draw(
        st.sampled_from([("<f4", (0.0, -1.0, float("nan"), float("inf"))), ("<i2", (0, -1, 200)), ("<U3", ("", "zz"))])
    )
    with tempfile.TemporaryDirectory(dir=place) as folder:
        values, chosen, start = [], [], 0
        alike = data.draw(cubes_of(3, axis, dtype, zarr_format))
        for number, length in enumerate(lengths):
            options = dict(alike) if data.draw(st.booleans()) else data.draw(cubes_of(3, axis, dtype, zarr_format))
            fill = data.draw(st.sampled_from(fills))
            found = write(Path(folder) / f"{number}", options, start=start, steps=length, shape=shape, fill=fill)
            cube = Path(folder) / f"{number}" / "data"
            chunks = sorted(
                p for p in cube.rglob("*") if p.is_file() and p.name not in {".zarray", ".zattrs", "zarr.json"}
            )
            for chunk in chunks:
                if data.draw(st.booleans()):
                    chunk.unlink()
            found["data"] = cubes.read(Path(folder) / f"{number}")["data"]
            values.append(found)
            chosen.append(fill)
            start += length
        target = Path(folder) / "0"
        means = data.draw(st.sampled_from(["missing", "value"]))
        zapz.append(target, [Path(folder) / "1", Path(folder) / "2"], v2_fill_value=means, **FAST)
        if zarr_format == 2 and (means == "missing" or dtype == "<U3"):
            for found, fill in zip(values, chosen, strict=True):
                missing = np.isnan(found["data"]) if fill != fill else found["data"] == fill  # noqa: PLR0124
                found["data"] = np.where(missing, np.array(chosen[0], dtype=found["data"].dtype), found["data"])
        cubes.same(cubes.read(target), cubes.joined(values, cubes.axes_of(axis)))


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.sampled_from([2, 3]), st.data())
def test_whatever_lies_at_the_keys_behind_the_end_does_not_show(
    place: Path, zarr_format: int, data: st.DataObject
) -> None:
    options = data.draw(cubes_of(2, 0, "<f4", zarr_format))
    options["extra"] = 0
    steps = data.draw(st.integers(1, 5))
    with tempfile.TemporaryDirectory(dir=place) as folder:
        a, b = Path(folder) / "a", Path(folder) / "b"
        first = write(a, options, start=0, steps=3, shape=(4,), fill=0)
        second = write(
            b,
            data.draw(st.sampled_from([options, data.draw(cubes_of(2, 0, "<f4", zarr_format))])),
            start=3,
            steps=steps,
            shape=(4,),
            fill=0,
        )
        b_chunks = sorted(
            p for p in (b / "data").rglob("*") if p.is_file() and p.name not in {".zarray", ".zattrs", "zarr.json"}
        )
        for chunk in b_chunks:
            if data.draw(st.booleans()):
                chunk.unlink()
        second["data"] = cubes.read(b)["data"]
        plan = zapz.plan(a, b)
        for key in plan.keys("data"):
            if not (a / key).exists() and data.draw(st.booleans()):
                (a / key).parent.mkdir(parents=True, exist_ok=True)
                (a / key).write_bytes(data.draw(st.sampled_from([b"", b"stale", bytes(64)])))
        zapz.append(a, b, **FAST)
        cubes.same(cubes.read(a), cubes.joined([first, second], cubes.axes_of()))


def test_old_cells_of_a_missing_chunk_keep_reading_as_they_did(tmp_path: Path) -> None:
    """zarr-python reads missing cells as NaT where a datetime array of v2 has no fill value."""
    a = cubes.make_slice(tmp_path / "a", dtype="<M8[s]", fill=None, chunks=(4, 4, 6))
    (tmp_path / "a" / "data" / "0.0.0").unlink()
    b = cubes.make_slice(tmp_path / "b", dtype="<M8[s]", fill=None, chunks=(4, 4, 6), start=3)
    a["data"] = cubes.read(tmp_path / "a")["data"]
    zapz.append(tmp_path / "a", tmp_path / "b")
    cubes.same(cubes.read(tmp_path / "a"), cubes.joined([a, b], cubes.axes_of()))


def test_keys_come_from_integers_alone(tmp_path: Path) -> None:
    cubes.make_slice(tmp_path / "a", zarr_format=3, chunks=(2, 2, 3), steps=3)
    cubes.make_slice(tmp_path / "b", zarr_format=3, chunks=(2, 2, 3), steps=2, start=3)
    shutil.rmtree(tmp_path / "b" / "data" / "c")
    plan = zapz.plan(tmp_path / "a", tmp_path / "b")
    assert list(plan.keys("data")) == [f"data/c/{t}/{y}/{x}" for t in (1, 2) for y in (0, 1) for x in (0, 1)]


# -- plans of other processes ------------------------------------------------------------------------------------------------

_RUN = "import zapz, sys; zapz.execute(zapz.Plan.from_json(sys.stdin.read()))"


def execute_elsewhere(text: str, cwd: Path) -> None:
    source = Path(zapz.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _RUN],
        input=text,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "case", ["same", "rechunk", "v2-to-v3", "v3-to-v2", "shards", "foreign-text", "objects", "create", "create-v3"]
)
def test_a_plan_read_back_by_a_fresh_process_makes_the_same_bytes(tmp_path: Path, case: str) -> None:
    first: dict[str, Any] = {"zarr_format": 2, "chunks": (2, 2, 3), "fill": -1.0, "nested": True}
    second = dict(first)
    settings_: dict[str, Any] = {}
    if case == "rechunk":
        second |= {"chunks": (1, 4, 2), "fill": -9.0, "compressors": cubes.compressor("zstd", 2)}
    elif case == "v2-to-v3":
        first |= {"zarr_format": 3}
    elif case == "v3-to-v2":
        second |= {"zarr_format": 3}
    elif case == "shards":
        first |= {"zarr_format": 3, "shards": (4, 4, 6)}
        second |= {"zarr_format": 3, "shards": (2, 2, 6)}
    elif case == "foreign-text":
        first |= {"attrs": {"größe": "\ud800 é", "n": 2**70}, "root_attrs": {"title": "\x7f☃"}}
    elif case == "objects":
        first |= {"dtype": "object", "fill": ""}
        second |= {"dtype": "object", "fill": "", "chunks": (1, 3, 3)}
    elif case == "create-v3":
        settings_["zarr_format"] = 3
    cubes.make_slice(tmp_path / "s", start=3, **second)
    targets = [tmp_path / "one" / "t", tmp_path / "two" / "t"]
    for target in targets:
        target.parent.mkdir()
        if not case.startswith("create"):
            cubes.make_slice(target, consolidated=True, **first)
    text = zapz.plan(targets[1], tmp_path / "s", **settings_).to_json()
    zapz.append(targets[0], tmp_path / "s", **settings_)
    execute_elsewhere(text, tmp_path)
    assert cubes.files(targets[0]) == cubes.files(targets[1])


def test_reading_a_plan_back_gives_an_equal_plan(tmp_path: Path) -> None:
    cubes.make_slice(tmp_path / "a", chunks=(2, 2, 3), fill=-1.0, attrs={"_FillValue": float("nan"), "x": 1e300})
    cubes.make_slice(tmp_path / "b", zarr_format=3, chunks=(1, 2, 3), start=3)
    plan = zapz.plan(tmp_path / "a", tmp_path / "b")
    again = zapz.Plan.from_json(plan.to_json())
    assert again.to_json() == plan.to_json()
    assert list(again.steps()) == list(plan.steps())
    assert again.summary() == plan.summary()
    assert dict(again.documents) == dict(plan.documents)
    assert list(again.documents) == list(plan.documents)
    assert again.base == plan.base


def test_a_plan_for_relative_paths_runs_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cubes.make_slice(tmp_path / "a")
    cubes.make_slice(tmp_path / "b", start=3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    text = zapz.plan("a", "b").to_json()
    execute_elsewhere(text, tmp_path / "elsewhere")
    assert cubes.read(tmp_path / "a")["time"].tolist() == list(range(6))


def test_a_plan_is_refused_once_its_target_has_changed(tmp_path: Path) -> None:
    cubes.make_slice(tmp_path / "a")
    cubes.make_slice(tmp_path / "b", start=3)
    plan = zapz.plan(tmp_path / "a", tmp_path / "b")
    zapz.append(tmp_path / "a", tmp_path / "b")
    before = cubes.files(tmp_path / "a")
    with pytest.raises(zapz.ConflictError):
        zapz.execute(plan)
    assert cubes.files(tmp_path / "a") == before


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"zapz_plan": 99}', '{"zapz_plan": 1}', "[" * 100000])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(zapz.FormatError):
        zapz.Plan.from_json(text)
