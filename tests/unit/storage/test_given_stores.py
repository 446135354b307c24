"""Targets and slices that a program has open: fsspec's mappers, and zarr-python's stores, groups and arrays.

Every kind is compared with plain paths: what an append leaves is the same, byte for byte, and zarr and xarray read it through the very
thing that was given. Then what is refused, what counts as absent, and names.
"""
# fixtures are imported

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zarr
from kit import cubes
from kit.open_places import (
    KINDS,
    READERS,
    Custom,
    Memory,
    Place,
    copied,
    in_memory,
    mapped,
    on_fs,
    values,
    zipped,
)
from kit.servers import BUCKET, Server
from kit.trees import NOTHING, tree
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

import zapz
from zapz.storage.adapters import slice_store, target_store
from zapz.storage.objects.zarr_backend import home_of
from zapz.storage.store import Children, StoreOptions

SINGLE = {"custom store"}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[2, 3])
def days(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp(f"v{request.param}")
    paths = [folder / f"{day}.zarr" for day in range(3)]
    for day, path in enumerate(paths):
        shards = {"shards": (4, 4, 6), "chunks": (2, 2, 6)} if request.param == 3 else {"chunks": (2, 2, 6)}
        cubes.make_slice(path, zarr_format=request.param, start=3 * day, consolidated=True, nested=True, **shards)
    return paths


@pytest.fixture(scope="module")
def expected(days: list[Path]) -> Path:
    target = days[0].parent / "expected.zarr"
    zapz.append(target, days)
    return target


# -- every kind as a target, and as a slice ---------------------------------------------------------------------------------


def test_as_target(kind: str, days: list[Path], expected: Path, tmp_path: Path) -> None:
    place = KINDS[kind](tmp_path / "cube.zarr")
    settings = {"single_writer": True} if kind in SINGLE else {}
    reports = [zapz.append(place.thing, day, **settings) for day in days]
    assert [report.appended for report in reports] == [1, 1, 1]
    assert place.files() == cubes.files(expected)
    cubes.same(values(place.thing), values(str(expected)))
    assert zapz.info(place.thing).dims["time"] == 9
    assert zapz.append(place.thing, days, **settings).already == 3
    assert zapz.recover(place.thing, **settings) == zapz.recover(expected)


def test_as_slice(kind: str, days: list[Path], expected: Path, tmp_path: Path) -> None:
    things = [copied(day, KINDS[kind](tmp_path / day.name)) for day in days]
    zapz.append(tmp_path / "cube.zarr", things[0])
    zapz.append(tmp_path / "cube.zarr", things[1:])
    assert tree(tmp_path / "cube.zarr") == tree(expected)


def test_group_is_its_store_and_path(kind: str, days: list[Path], expected: Path, tmp_path: Path) -> None:
    place = KINDS[kind](tmp_path / "cube.zarr")
    settings = {"single_writer": True} if kind in SINGLE else {}
    zapz.append(place.thing, days[0], **settings)
    group = zarr.open_group(place.thing, mode="r+")
    zapz.append(group, [zarr.open_group(str(day), mode="r") for day in days[1:]], **settings)
    assert place.files() == cubes.files(expected)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("wrap", [lambda mapper: mapper, FsspecStore.from_mapper], ids=["mapper", "FsspecStore"])
def test_on_s3(wrap: Callable[[Any], Any], days: list[Path], expected: Path, moto_s3: Server, tmp_path: Path) -> None:
    def place() -> Place:
        return on_fs(f"s3://{BUCKET}/{uuid.uuid4().hex}", wrap, **moto_s3.options)

    cube = place()
    zapz.append(cube.thing, copied(days[0], place()))
    zapz.append(cube.thing, [copied(day, place()) for day in days[1:]])
    assert cube.files() == cubes.files(expected)
    cubes.same(values(cube.thing), values(str(expected)))
    store = target_store(cube.thing)
    assert store is not None
    assert store.abilities.conditional
    assert not {*moto_s3.options.values()} & {*store.uri.split("/")}


# -- slices alone -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_archives_and_references_are_slices_alone(
    reader: str, days: list[Path], expected: Path, tmp_path: Path
) -> None:
    for day in days:
        shutil.copytree(day, tmp_path / day.name)
    things = [READERS[reader](tmp_path / day.name) for day in days]
    zapz.append(tmp_path / "cube.zarr", things, slice_references=["memory://"])
    assert tree(tmp_path / "cube.zarr") == tree(expected)
    before = tree(tmp_path)
    for settings in ({}, {"single_writer": True}):
        with pytest.raises(zapz.StoreError, match="is read-only"):
            zapz.append(things[0], days[0], **settings)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["data", "deep/er/extra"])
def test_array_is_a_dataset_of_its_own(kind: str, name: str, days: list[Path], tmp_path: Path) -> None:
    """Named by the last part of its path, and nothing that lies beside it is seen."""
    things = [copied(day, KINDS[kind](tmp_path / day.name)) for day in days]
    last = name.rpartition("/")[2]
    for day in days:
        shutil.copytree(day / name, tmp_path / "alone" / day.name / last)
    zapz.append(tmp_path / "expected.zarr", [tmp_path / "alone" / day.name for day in days])
    arrays = [zarr.open_group(thing, mode="r")[name] for thing in things]
    zapz.append(tmp_path / "cube.zarr", arrays[0])
    zapz.append(tmp_path / "cube.zarr", arrays[1:])
    assert tree(tmp_path / "cube.zarr") == tree(tmp_path / "expected.zarr")
    with pytest.raises(zapz.StoreError, match="an array cannot be a target"):
        zapz.append(zarr.open_group(things[0], mode="r+")[name], days[0])


# -- stores of this process -------------------------------------------------------------------------------------------------


def test_custom_store_is_used_in_zarrs_loop_alone(days: list[Path], expected: Path, tmp_path: Path) -> None:
    """Its locks and connections belong to one loop. Many of its requests are under way together."""
    store = Custom(MemoryStore())
    zarr.create_group(store, path="elsewhere")
    here = set(store.callers)
    zapz.append(StorePath(store, "cube"), days, single_writer=True, workers=16)
    assert store.callers == here
    assert len(here) == 1
    assert 2 < store.most <= 64
    zapz.append(tmp_path / "cube.zarr", StorePath(store, "cube"))
    assert tree(tmp_path / "cube.zarr").keys() == tree(expected).keys()
    assert store.callers == here


def test_reading(kind: str, tmp_path: Path) -> None:
    """Parts of objects, several at once, what is absent, and folders apart from objects."""
    place = KINDS[kind](tmp_path / "cube.zarr")
    for key in ("a", "b/c", "b/d/e", "zarr.json"):
        place.content[key] = f"{key:>9}".encode()
    store = slice_store(place.thing)
    assert store is not None
    for offset, length in ((0, None), (3, None), (3, 4), (0, 2), (8, 5)):
        assert store.read("b/d/e", offset, length) == b"    b/d/e"[offset:][:length]
    assert store.read_many(["a", "b/x", "b/c"]) == {"a": b"        a", "b/c": b"      b/c"}
    assert [store.size(key) for key in ("a", "b/c", "b/x")] == [9, 9, None]
    assert [*store.existing(["b/x", "a"])] == ["a"]
    assert store.children("") == Children(folders=("b",), files=("a", "zarr.json"))
    assert store.children("b") == Children(folders=("d",), files=("c",))
    for key in ("x", "b/x"):
        with pytest.raises(zapz.StoreError) as caught:
            store.read(key)
        assert caught.value.code == "not_found"


# -- what is refused --------------------------------------------------------------------------------------------------------


def touched(store: Any) -> list[tuple[str, str]]:
    return [call for call in store.calls if call[0] == "set"]


UNWRITABLE: dict[str, tuple[Callable[[Any], Any], dict[str, Any], str]] = {
    "read-only": (lambda store: store.with_read_only(True), {"single_writer": True}, "open for writing"),
    "read-only group": (lambda store: zarr.open_group(store, mode="r"), {"single_writer": True}, "open for writing"),
    "more than one writer": (lambda store: store, {}, "single_writer"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_unwritable_target_is_refused_before_it_is_touched(case: str, days: list[Path]) -> None:
    wrap, settings, said = UNWRITABLE[case]
    place = in_memory(wrap=Custom)
    thing = wrap(place.thing) if case != "read-only group" else wrap(copied(days[0], place))
    store = getattr(thing, "store", thing)
    store.calls.clear()
    before = dict(place.content)
    with pytest.raises(zapz.StoreError, match=said) as caught:
        zapz.append(thing, days[1], **settings)
    assert caught.value.code == "ability"
    assert not store.calls
    assert dict(place.content) == before


@pytest.mark.parametrize("wrap", [LocalStore, FsspecStore.from_url], ids=["LocalStore", "FsspecStore"])
def test_read_only_folder_is_refused(wrap: Callable[..., Any], days: list[Path], tmp_path: Path) -> None:
    with pytest.raises(zapz.StoreError, match="read-only"):
        zapz.append(wrap(f"file://{tmp_path}/x" if wrap is not LocalStore else tmp_path / "x", read_only=True), days[0])
    assert tree(tmp_path) == NOTHING


SAME: dict[str, Callable[[Any], Any]] = {
    "the store": lambda store: store,
    "a read-only store": lambda store: store.with_read_only(True),
    "its group": lambda store: zarr.open_group(store, mode="r"),
    "a group in it": lambda store: StorePath(store, "deep"),
    "an array in it": lambda store: zarr.open_array(store, path="data", mode="r"),
}


@pytest.mark.parametrize("same", SAME)
@pytest.mark.parametrize("home", ["MemoryStore", "LocalStore", "FsspecStore of memory"])
def test_slice_in_the_target_is_refused(same: str, home: str, days: list[Path], tmp_path: Path) -> None:
    place = KINDS[home](tmp_path / "cube.zarr")
    zapz.append(place.thing, days[0])
    before = dict(place.content)
    with pytest.raises(zapz.SliceError, match="the same"):
        zapz.append(place.thing, SAME[same](place.thing))
    assert dict(place.content) == before


def test_neighbours_in_one_memory_are_two_places(days: list[Path], expected: Path) -> None:
    memory: dict[str, Any] = {}
    for number, day in enumerate(days):
        copied(day, Place(None, Memory(memory, f"slices/{number}")))
    slices = [zarr.open_group(MemoryStore(memory), path=f"slices/{number}", mode="r") for number in range(3)]
    zapz.append(StorePath(MemoryStore(memory), "cubes/one"), slices, journal="beside")
    assert dict(Memory(memory, "cubes/one")) == cubes.files(expected)
    assert [*Memory(memory, "cubes/one.zapz")] == ["head"]
    with pytest.raises(zapz.ConfigError, match="beside"):
        zapz.append(MemoryStore(), days[0], journal="beside")


def test_only_what_is_certainly_absent_is_absent(days: list[Path], tmp_path: Path) -> None:
    """A store's ``None`` is absence; an error of its own is none, nor what an ``FsspecStore`` was told to take for absence."""
    place = in_memory(wrap=Custom)
    store = copied(days[0], place)
    gone = next(key for key in place.content if key.startswith(("data/0", "data/c/")))

    def fault(verb: str, key: str) -> None:
        if key == gone:
            raise PermissionError(13, "403 Forbidden")

    store.fault = fault
    with pytest.raises(zapz.StoreError, match="Forbidden"):
        zapz.append(tmp_path / "refused.zarr", store)
    assert not (tmp_path / "refused.zarr").exists()

    def broken(verb: str, key: str) -> None:
        if (
            key == "deep"
        ):  # a folder that is not listed; a missing right alone would be no matter, with consolidated metadata
            raise OSError(5, "Input/output error")

    store.fault = broken
    with pytest.raises(zapz.StoreError, match="Input/output"):
        zapz.append(tmp_path / "refused.zarr", store)
    assert not (tmp_path / "refused.zarr").exists()
    del place.content[gone]
    store.fault = lambda verb, key: None
    zapz.append(tmp_path / "cube.zarr", store)
    shutil.copytree(days[0], tmp_path / "without.zarr")
    (tmp_path / "without.zarr" / gone).unlink()
    zapz.append(tmp_path / "expected.zarr", tmp_path / "without.zarr")
    assert tree(tmp_path / "cube.zarr") == tree(tmp_path / "expected.zarr")


def test_what_an_fsspec_store_was_told_to_take_for_absence_is_none(days: list[Path], tmp_path: Path) -> None:
    place = KINDS["FsspecStore of memory"](tmp_path / "slice.zarr")
    copied(days[0], place)
    store = FsspecStore(place.thing.fs, path=place.thing.path, allowed_exceptions=(FileNotFoundError, PermissionError))
    honest = store.fs.sync_fs.cat_file

    def forbidden(path: str, *args: Any, **kwargs: Any) -> bytes:
        if "/data/" in path and "zarr.json" not in path and ".z" not in path.rpartition("/")[2]:
            raise PermissionError(13, "403 Forbidden")
        return bytes(honest(path, *args, **kwargs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.fs.sync_fs, "cat_file", forbidden)
        with pytest.raises(zapz.StoreError, match="Forbidden"):
            zapz.append(tmp_path / "refused.zarr", store)
    assert not (tmp_path / "refused.zarr").exists()


def test_store_that_cannot_be_listed_is_a_slice(days: list[Path], expected: Path, tmp_path: Path) -> None:
    class Unlisted(Custom):
        supports_listing = False

        async def list_dir(self, prefix: str) -> Any:
            raise NotImplementedError
            yield ""

    things = [copied(day, in_memory(wrap=Unlisted)) for day in days]
    zapz.append(tmp_path / "cube.zarr", things)
    cubes.same(cubes.read(tmp_path / "cube.zarr", consolidated=True), cubes.read(expected, consolidated=True))


# -- names, and what is not given -------------------------------------------------------------------------------------------


def test_names(tmp_path: Path) -> None:
    """A place as it would be named, where it can be; credentials nowhere."""
    memory = MemoryStore()
    home, _ = home_of(memory)
    fs = fsspec.filesystem("http", asynchronous=True, client_kwargs={"auth": "secret"})
    archive = zipped(tmp_path, "w", closed=True)
    table: list[tuple[Any, str]] = [
        (LocalStore(tmp_path / "a"), f"{tmp_path}/a"),
        (StorePath(LocalStore(tmp_path), "a"), f"{tmp_path}/a"),
        (mapped(f"{tmp_path}/a/"), f"{tmp_path}/a"),
        (mapped("memory://a/b"), "memory:///a/b"),
        (
            mapped("simplecache::memory://a/b", simplecache={"cache_storage": str(tmp_path / "c")}),
            "simplecache::memory:///a/b",
        ),
        (FsspecStore(fs, path="https://user:secret@host/a?token=secret"), "https://host/a"),
        (archive, f"zip://::file://{archive.path}"),
        (StorePath(archive, "a"), f"zip://a::file://{archive.path}"),
        (mapped(f"zip://a::file://{archive.path}"), f"zip://a::file://{archive.path}"),
        (memory, f"zarr-memorystore://{home.name}"),
        (StorePath(memory, "a"), f"zarr-memorystore://{home.name}/a"),
    ]
    for thing, name in table:
        store = slice_store(thing)
        assert store is not None
        assert store.uri == name


@pytest.mark.skipif(not hasattr(zarr.storage, "ManagedMemoryStore"), reason="zarr has no memories with names yet")
def test_managed_memory_is_one_place_whatever_the_path(days: list[Path], expected: Path) -> None:
    kind = zarr.storage.ManagedMemoryStore
    whole = kind(uuid.uuid4().hex)
    part = kind(whole.name, path="a/b")
    zapz.append(part, days)
    cubes.same(values(StorePath(whole, "a/b")), values(str(expected)))
    for slice_ in (StorePath(whole, "a/b"), StorePath(whole, "a/b/deep"), kind(whole.name, path="a"), whole):
        with pytest.raises(zapz.SliceError, match="the same"):
            zapz.append(part, slice_)


def test_settings_reach_the_folder(tmp_path: Path) -> None:
    for thing in (LocalStore(tmp_path / "a"), mapped(str(tmp_path / "a"))):
        stores = [target_store(thing, StoreOptions(durable=durable, beside=durable)) for durable in (False, True)]
        assert [store.abilities.durable for store in stores if store] == [False, True]
        assert [getattr(store, "beside", None) for store in stores] == [False, True]
    assert tree(tmp_path) == NOTHING


def test_what_is_not_given_costs_nothing() -> None:
    code = """
import sys, pathlib
from zapz.storage.adapters import slice_store, target_store
class Mine:
    pass
assert all(target_store(thing) is None for thing in ("a", pathlib.Path("a"), ["a"], {"a": 1}, 1, None, Mine()))
assert not {"zarr", "fsspec", "asyncio"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
