"""Arrays with far more chunks than exist: an append costs what exists, does what it would have done one by one, and says so.

``zarr`` could read none of these arrays whole; where values are compared it reads blocks around what exists.
"""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from kit.crash_states import become, look, recorded, tree_of
from kit.limits import within
from kit.objects import World
from kit.trees import differ, tree

import zapz
from zapz.errors import MetadataError, SliceError, StoreError
from zapz.execution import sparse
from zapz.format.grid import Box, Index
from zapz.format.metadata import ChunkKeys
from zapz.sources import readiness
from zapz.sources.readiness import IncompleteError
from zapz.storage import presence
from zapz.storage.local.store import LocalStore
from zapz.storage.objects.store import ObjectStore
from zapz.storage.presence import IndexSet, present
from zapz.storage.store import Children
from zapz.txn.local import intents

SIDE = 400_000
CHUNK = 4
EACH = (SIDE // CHUNK) ** 2
SETTINGS: dict[str, Any] = {"workers": 1, "label_chunk": "keep"}
KEYS = {
    "v2.": ChunkKeys(style="v2", separator="."),
    "v2/": ChunkKeys(style="v2", separator="/"),
    "v3.": ChunkKeys(style="default", separator="."),
    "v3/": ChunkKeys(style="default", separator="/"),
}
WHERE_MANY_IS_ASKED = (sparse, readiness, intents, presence)


def write(
    folder: Path, day: int, there: Iterable[Index], *, kind: str = "v2.", steps: int = 1, fill: int = 0,
    side: int = SIDE, chunks: tuple[int, int, int] = (1, CHUNK, CHUNK), shard: tuple[int, int, int] | None = None,
) -> Path:  # fmt: skip
    """Write a cube with labels and one array of which some chunks exist, each with values of its own; shards as xarray would."""
    keys, shape, grid = KEYS[kind], [steps, side, side], shard or chunks
    folder.mkdir(parents=True)
    names = ["time", "y", "x"]
    if kind[:2] == "v2":
        common = {"zarr_format": 2, "compressor": None, "filters": None, "order": "C"}
        documents: dict[str, Any] = {
            ".zgroup": {"zarr_format": 2},
            "time/.zarray": {**common, "shape": [steps], "chunks": [4], "dtype": "<i8", "fill_value": None},
            "time/.zattrs": {"_ARRAY_DIMENSIONS": names[:1]},
            "v/.zarray": {
                **common, "shape": shape, "chunks": grid, "dtype": "<i4", "fill_value": fill,
                "dimension_separator": keys.separator,
            },
            "v/.zattrs": {"_ARRAY_DIMENSIONS": names},
        }  # fmt: skip
    else:
        codecs: list[Any] = [{"name": "bytes", "configuration": {"endian": "little"}}]
        if shard:
            inner = {"chunk_shape": chunks, "codecs": codecs, "index_codecs": [*codecs, {"name": "crc32c"}]}
            codecs = [{"name": "sharding_indexed", "configuration": inner}]

        def array(dims: list[str], shape: Any, grid: Any, dtype: str, fill: int, codecs: Any) -> dict[str, Any]:
            return {
                "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": dtype, "fill_value": fill,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}}, "codecs": codecs,
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": keys.separator}},
                "dimension_names": dims, "attributes": {},
            }  # fmt: skip

        plain = [{"name": "bytes", "configuration": {"endian": "little"}}]
        documents = {
            "zarr.json": {"zarr_format": 3, "node_type": "group", "attributes": {}},
            "time/zarr.json": array(names[:1], [steps], [4], "int64", 0, plain),
            "v/zarr.json": array(names, shape, grid, "int32", fill, codecs),
        }
    for key, document in documents.items():
        (folder / key).parent.mkdir(exist_ok=True)
        (folder / key).write_text(json.dumps(document))
    labels = np.zeros(4, "<i8")
    labels[:steps] = range(100 + day, 100 + day + steps)
    file = folder / "time" / keys.key((0,))
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(labels.tobytes())
    for index in there:
        file = folder / "v" / keys.key(index)
        file.parent.mkdir(exist_ok=True, parents=True)
        if shard:
            from zapz.storage.zarr_codecs import ZarrChunk

            cells = cells_of(day, index, shard)
            file.write_bytes(ZarrChunk((folder / "v/zarr.json").read_bytes(), "v").encode(cells))
        else:
            file.write_bytes(cells_of(day, index, chunks).tobytes())
    return folder


def cells_of(day: int, index: Index, chunks: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return (np.arange(math.prod(chunks), dtype="<i4") + 101 + 1000 * (sum(index) % 999) + 10**7 * day).reshape(chunks)


def some(number: int, seed: int = 0, side: int = SIDE // CHUNK) -> list[Index]:
    draw = random.Random(seed)
    return [(0, draw.randrange(side), draw.randrange(side)) for _ in range(number)]


def read(place: Path) -> Any:
    """Return the array as zarr-python reads it."""
    import zarr

    return zarr.open_group(str(place), mode="r")["v"]


def chunk_names(target: Path, kind: str) -> set[str]:
    names = {p.relative_to(target / "v").as_posix() for p in (target / "v").rglob("*") if p.is_file()}
    return {name for name in names if name.rpartition("/")[2] not in {".zarray", ".zattrs", "zarr.json"}}


@pytest.mark.parametrize("kind", KEYS)
def test_append_costs_what_exists(kind: str, tmp_path: Path) -> None:
    """Created and appended, in a dry run, planned, and looked at; the report says what was there."""
    there = some(12)
    days = [write(tmp_path / f"{day}.zarr", day, there, kind=kind) for day in range(3)]
    target = tmp_path / "cube.zarr"
    note = f"v: {EACH:,} chunks, 12 of them in the slice; the others are read as missing"
    with within(20):
        dry = zapz.append(target, days, dry_run=True, **SETTINGS)
        assert dry.slices[0].notes == (note,)
        assert not target.exists()
        plan = zapz.plan(target, days[0], **SETTINGS)
        assert plan.arrays["v"].copies == EACH
        assert sum(1 for _ in itertools.islice(plan.steps(), 1000)) == 1000
        done: list[tuple[int, int]] = []
        report = zapz.append(target, days, on_progress=lambda *now: done.append(now), **SETTINGS)
        assert [note in each.notes for each in report.slices] == [True, False, False]
        assert report.copied_chunks >= 36
        assert max(now for now, _ in done) == max(total for _, total in done) < 20
        assert zapz.info(target).dims["time"] == 3
    keys = KEYS[kind]
    assert chunk_names(target, kind) == {keys.key((day, *rest)) for day in range(3) for _, *rest in there}
    for day, (_, y, x) in itertools.product(range(3), there):
        assert (target / "v" / keys.key((day, y, x))).read_bytes() == cells_of(day, (0, y, x), (1, 4, 4)).tobytes()


@pytest.mark.parametrize("kind", ["v2.", "v3."])
def test_names_that_are_no_keys(kind: str, tmp_path: Path) -> None:
    """Ignored in the slice: a listing only says which indices exist."""
    slice_ = write(tmp_path / "s.zarr", 0, [(0, 3, 4)], kind=kind)
    others = ("0.03.4", "0.3.4.0", "0.3", "0.3.4 ", "0.-3.4", "1.3.4", f"0.3.{SIDE}", "0.3.\u0664", "0.3." + "4" * 99)
    for name in (*others, *(f"c.{name}" for name in others), "c0.3.9", "c.0.3.9" if kind == "v2." else "0.3.9"):
        (slice_ / "v" / name).write_bytes(b"junk")
    with within(20):
        report = zapz.append(tmp_path / "cube.zarr", slice_, **SETTINGS)
    assert report.slices[0].notes == (f"v: {EACH:,} chunks, 1 of them in the slice; the others are read as missing",)
    assert chunk_names(tmp_path / "cube.zarr", kind) == {KEYS[kind].key((0, 3, 4))}


@pytest.mark.parametrize("kind", ["v2.", "v2/", "v3/"])
def test_stale_chunks_and_a_boundary(kind: str, tmp_path: Path) -> None:
    """What lies beyond the shape is made to read as missing; a boundary chunk keeps its old cells, also where the slice lacks it."""
    chunks = (2, CHUNK, CHUNK)
    target, keys = tmp_path / "cube.zarr", KEYS[kind]
    first = write(tmp_path / "0.zarr", 0, [(0, 5, 5), (0, 7, 7), (1, 5, 5)], kind=kind, steps=3, chunks=chunks)
    second = write(tmp_path / "1.zarr", 3, [(0, 5, 5), (0, 9, 9)], kind=kind, steps=2, chunks=chunks)
    with within(20):
        zapz.append(target, first, **SETTINGS)
        stale = target / "v" / keys.key((2, 8, 8))
        stale.parent.mkdir(parents=True, exist_ok=True)
        stale.write_bytes(b"stale" * 3)
        zapz.append(target, second, **SETTINGS)
    old, new = cells_of(0, (1, 5, 5), chunks)[0], cells_of(3, (0, 5, 5), chunks)
    nine = cells_of(3, (0, 9, 9), chunks)
    v = read(target)
    assert v.shape == (5, SIDE, SIDE)
    at = {i: slice(CHUNK * i, CHUNK * i + CHUNK) for i in (5, 7, 8, 9)}
    assert np.array_equal(v[2:5, at[5], at[5]], np.stack([old, new[0], new[1]]))
    assert np.array_equal(v[2:5, at[9], at[9]], np.stack([np.zeros((4, 4)), nine[0], nine[1]]))
    assert np.array_equal(v[0:2, at[7], at[7]], cells_of(0, (0, 7, 7), chunks))
    assert not np.any(v[2:5, at[8], at[8]])


@pytest.mark.parametrize(
    ("source", "target"), [(None, (1, 400, 400)), ((1, 400, 400), None), ((1, 400, 400), (1, 800, 400))]
)
def test_shards(source: tuple[int, int, int] | None, target: tuple[int, int, int] | None, tmp_path: Path) -> None:
    """Of a sharded target only the shards are made that hold something; chunks within them are not looked for one by one."""
    side = 40_000
    cube = tmp_path / "cube.zarr"
    with within(60):
        zapz.append(
            cube, write(tmp_path / "0.zarr", 0, [], kind="v3/", side=side, chunks=(1, 40, 40), shard=target), **SETTINGS
        )
        there = [(0, 3, 4), (0, 7, 7)]
        day = write(tmp_path / "1.zarr", 1, there, kind="v3/", side=side, chunks=(1, 40, 40), shard=source)
        zapz.append(cube, day, **SETTINGS)
    v, s = read(cube), read(day)
    for y, x in ((0, 0), (3, 4), (7, 7), (30, 40), (70, 70)):
        area = np.s_[40 * y : 40 * y + 400, 40 * x : 40 * x + 400]
        assert np.array_equal(v[(1, *area)], s[(0, *area)])
    assert np.any(v[1, :1600, :2000])
    assert len(chunk_names(cube, "v3/")) <= 200


def test_inner_chunks_count(tmp_path: Path) -> None:
    """Few shards with very many inner chunks are gone through as these are: only those that hold something."""
    with within(20):
        for day, big in enumerate([(1, 200_000, 200_000), (1, 200_000, 400_000)]):
            slice_ = write(tmp_path / f"{day}.zarr", day, [], kind="v3/", chunks=(1, 100, 100), shard=big)
            zapz.append(tmp_path / "cube.zarr", slice_, **SETTINGS)
    assert chunk_names(tmp_path / "cube.zarr", "v3/") == set()


def test_listing_does_not_grow_with_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with many more names than are planned is looked into, not read to its end."""
    for module in WHERE_MANY_IS_ASKED:
        monkeypatch.setattr(module, "MANY", 0)
    keys, store = KEYS["v2."], LocalStore(tmp_path)
    (tmp_path / "a").mkdir()
    for number in range(1000):
        (tmp_path / "a" / keys.key((number, 0))).touch()
    honest, read = os.scandir, []

    class Counted:
        def __init__(self, path: str) -> None:
            self.inside = honest(path)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.inside.close()

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            for entry in self.inside:
                read.append(entry.name)
                yield entry

    monkeypatch.setattr(os, "scandir", Counted)
    assert set(present(store, "a", keys, ((998, 1003), (0, 2)))) == {(998, 0), (999, 0)}
    assert 0 < len(read) < 100


@pytest.mark.parametrize("dry", [False, True])
def test_missing_chunks_that_read_otherwise(dry: bool, tmp_path: Path) -> None:
    """Too many would have to be written: refused, nothing touched; the remedy works."""
    target = tmp_path / "cube.zarr"
    with within(30):
        zapz.append(target, write(tmp_path / "0.zarr", 0, some(3), kind="v3/", fill=7), **SETTINGS)
        before = tree(target)
        second = write(tmp_path / "1.zarr", 1, some(3), kind="v3/", fill=0)
        with pytest.raises(
            SliceError, match=r"Rewrite .* with fill value 7.*Then missing chunks stay missing"
        ) as caught:
            zapz.append(target, second, dry_run=dry, **SETTINGS)
        assert "v" in str(caught.value)
        assert "which are read as 0" in str(caught.value)
        assert tree(target) == before
        third = write(tmp_path / "2.zarr", 1, some(3), kind="v3/", fill=7)
        assert zapz.append(target, third, **SETTINGS).appended == 1


def test_object_services_write_every_chunk_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So these are too many: refused before anything is written, and the target stays as it was."""
    world = World(monkeypatch)
    slice_ = write(tmp_path / "0.zarr", 0, some(3))
    with within(30), pytest.raises(StoreError, match="larger chunks"):
        zapz.append(world.store(), slice_, **SETTINGS)
    assert [key for key in world.service.objects if "/.zapz/" not in key] == []


def test_remote_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is listed; a listing that fails ends everything."""
    import fsspec

    there, target, place = some(5), tmp_path / "cube.zarr", f"/{tmp_path.name}/0.zarr"
    remote = fsspec.filesystem("memory")
    remote.put(str(write(tmp_path / "0.zarr", 0, there)), place, recursive=True)
    honest = ObjectStore.children

    def children(store: ObjectStore, key: str) -> Children:
        if key == "v":
            raise StoreError("cannot list", where=key)
        return honest(store, key)

    with within(30):
        monkeypatch.setattr(ObjectStore, "children", children)
        with pytest.raises(StoreError, match="cannot list"):
            zapz.append(target, f"memory:/{place}", **SETTINGS)
        assert not target.exists()
        monkeypatch.undo()
        zapz.append(target, f"memory:/{place}", **SETTINGS)
    remote.rm(f"/{tmp_path.name}", recursive=True)
    assert chunk_names(target, "v2.") == {KEYS["v2."].key(index) for index in there}


def fail(really: bool) -> None:
    if really:
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.parametrize("which", ["slice", "target"])
def test_listing_that_fails(which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken for missing; the target is as it was."""
    target = tmp_path / "cube.zarr"
    zapz.append(target, write(tmp_path / "0.zarr", 0, some(3)), **SETTINGS)
    second = write(tmp_path / "1.zarr", 1, some(3))
    before, honest = tree(target), os.scandir
    broken = (second if which == "slice" else target) / "v"
    monkeypatch.setattr(os, "scandir", lambda path=".": fail(str(path) == str(broken)) or honest(path))
    with within(20), pytest.raises(StoreError, match="cannot list"):
        zapz.append(target, second, **SETTINGS)
    monkeypatch.undo()
    assert tree(target) == before


def test_killed_anywhere(tmp_path: Path) -> None:
    """Recovered, it is as before or as after; recovery costs what exists."""
    target = tmp_path / "cube.zarr"
    chunks = (2, CHUNK, CHUNK)
    zapz.append(target, write(tmp_path / "0.zarr", 0, some(2, side=9), kind="v2/", chunks=chunks), **SETTINGS)
    second = write(tmp_path / "1.zarr", 1, some(2, 1, side=9), kind="v2/", steps=2, chunks=chunks)
    stale = target / "v/1/3/3"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"stale")
    before = look(target)
    states = recorded(target, lambda: zapz.append(target, second, **SETTINGS))
    old, new = tree_of(before), tree_of(states[-1])
    outcomes = []
    with within(60):
        for state in states:
            become(target, state)
            zapz.recover(target)
            found = tree(target)
            assert found in (old, new), differ(found, old)
            outcomes.append(found == new)
    assert outcomes == sorted(outcomes)
    assert {False, True} == set(outcomes)


def test_a_target_of_very_many_chunks_is_replaced(tmp_path: Path) -> None:
    """``force_new`` removes what exists of the old one."""
    target = tmp_path / "cube.zarr"
    with within(30):
        zapz.append(target, write(tmp_path / "0.zarr", 0, some(3), kind="v2/"), **SETTINGS)
        report = zapz.append(target, write(tmp_path / "1.zarr", 1, some(2, 1), kind="v2/"), force_new=True, **SETTINGS)
    assert report.notes == ()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.zarr", "1.zarr", "cube.zarr"]
    assert len(chunk_names(target, "v2/")) == 2


def test_a_slice_of_very_many_chunks_is_waited_for(tmp_path: Path) -> None:
    """``slice_complete`` counts what exists."""
    slice_ = write(tmp_path / "0.zarr", 0, some(3))
    with within(20), pytest.raises(IncompleteError, match="found 3"):
        zapz.append(tmp_path / "cube.zarr", slice_, slice_complete="chunks", **SETTINGS)


# -- the same, whether few or many --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_same_as_one_by_one(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the grids, shards, keys and fill values: the same bytes as if every chunk had been tried."""
    draw = random.Random(seed)

    kinds = draw.choice([["v2.", "v2/"], ["v3.", "v3/"]])

    def cube(folder: Path, day: int) -> Path:
        kind = draw.choice(kinds)
        steps, chunks = draw.randint(1, 4), (draw.randint(1, 3), *draw.choice([(4, 4), (2, 8), (8, 3)]))
        inside = [range(-(-n // c)) for n, c in zip((steps, 16, 16), chunks, strict=True)]
        every = list(itertools.product(*inside))
        there = draw.sample(every, draw.randint(0, min(5, len(every))))
        return write(folder, day, there, kind=kind, steps=steps, chunks=chunks, side=16, fill=draw.choice([0, 0, 5]))

    days = [cube(tmp_path / f"{n}.zarr", 10 * n) for n in range(3)]
    stale = draw.random() < 0.5
    settings = SETTINGS | {"v2_fill_value": draw.choice(["missing", "value"])}
    trees = []
    for name in ("few", "many"):
        target = tmp_path / name
        if name == "many":
            for module in WHERE_MANY_IS_ASKED:
                monkeypatch.setattr(module, "MANY", 0)
            monkeypatch.setattr(sparse, "_DENSE", 0)
        zapz.append(target, days[0], **settings)
        if stale:
            array = zapz.plan(target, days[1], **settings).arrays["v"].target
            beyond = (array.grid.counts[0] - 1, 1, 1)
            holds_old = beyond[0] * array.grid.chunks[0] < zapz.info(target).dims["time"]
            key = target / array.key(beyond)
            if not holds_old:
                key.parent.mkdir(parents=True, exist_ok=True)
                key.write_bytes(b"stale")
        for day in days[1:]:
            zapz.append(target, day, **settings)
        trees.append(tree(target))
    assert trees[0] == trees[1], differ(trees[1], trees[0])


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("limit", [0, 64])
def test_presence(kind: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is listed is what exists of the range, whether folders are few or many, listed or looked into."""
    monkeypatch.setattr(presence, "_FEW", limit)
    draw, keys, store = random.Random(kind), KEYS[kind], LocalStore(tmp_path)
    every = {(draw.randrange(12), draw.randrange(5), draw.randrange(5)) for _ in range(60)}
    for index in every:
        file = tmp_path / "a/b" / keys.key(index)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    spans: Box
    for spans in (
        ((0, 12), (0, 5), (0, 5)),
        ((2, 3), (0, 5), (0, 5)),
        ((3, 9), (1, 2), (4, 5)),
        ((5, 5), (0, 5), (0, 5)),
    ):
        wanted = {index for index in every if all(a <= i < b for i, (a, b) in zip(index, spans, strict=True))}
        assert set(present(store, "a/b", keys, spans)) == wanted
        assert set(present(store, "a/c", keys, spans)) == set()


@pytest.mark.parametrize("links", [False, True])
def test_presence_behind_links(links: bool, tmp_path: Path) -> None:
    """A folder that is a link is gone through where that is wanted only; a link in the place of a chunk counts as one."""
    store, keys = LocalStore(tmp_path), KEYS["v2/"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/3").touch()
    (tmp_path / "a/1").mkdir(parents=True)
    (tmp_path / "a/1/2").symlink_to("nowhere")
    (tmp_path / "a/5").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a/1/4").mkdir()
    found = present(store, "a", keys, ((0, 9), (0, 9)), links=links)
    assert set(found) == ({(1, 2), (5, 3)} if links else {(1, 2)})
    with pytest.raises(MetadataError, match="a folder is at the path of a chunk"):
        list(present(store, "a", keys, ((0, 9), (0, 9)), strict=True))


def test_set_of_indices() -> None:
    """A bit each, wherever they are."""
    spans = ((3, 10**9), (0, 10**9), (5, 7))
    draw = random.Random(1)
    drawn = {tuple(draw.randrange(a, b) for a, b in spans) for _ in range(500)}
    found = IndexSet(spans)
    for index in drawn:
        found.add(index)
        found.add(index)
    assert (len(found), list(found)) == (500, sorted(drawn))
    gone = sorted(drawn)[::2]
    for index in gone:
        found.discard(index)
    assert list(found) == sorted(drawn - set(gone))
    assert all((index in found) == (index not in gone) for index in drawn)
