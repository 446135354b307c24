"""Faults that were found by trying to break the core: leaks, states that do not belong together, fill for data."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.cubes import consolidate, make_slice, quiet, write_array, write_group
from kit.serving import Core

import zapz
from zapz.server import growing, loading, stored_chunks
from zapz.server.limits import Limit

FORMATS = [2, 3]
CHUNK = "data/c/0/0/0"


def cube_of(folder: Path, **options: Any) -> Path:
    make_slice(folder / "cube", **{"zarr_format": 3, "chunks": (2, 3, 4), "consolidated": True, **options})
    return folder / "cube"


def old(*paths: Path) -> None:
    """Wait until documents are no longer so young that they are read at each request."""
    assert all(path.exists() for path in paths)
    time.sleep(loading._YOUNG + 0.02)


# -- leaks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["data/c/0/0", "data"])
def test_a_folder_that_becomes_a_link_while_served(tmp_path: Path, depth: str) -> None:
    cube = cube_of(tmp_path)
    core = Core({"cube": cube})
    assert core.ask(f"/cube/{CHUNK}").status == 200
    shutil.copytree(cube / depth, tmp_path / "outside")
    (tmp_path / "outside" / f"{CHUNK}".removeprefix(f"{depth}/")).write_bytes(b"canary")
    (cube / depth).rename(tmp_path / "away")
    (cube / depth).symlink_to(tmp_path / "outside")
    answer = core.ask(f"/cube/{CHUNK}")
    assert (answer.status // 100, b"canary" in answer.body) == (5, False)


def test_a_file_where_a_folder_of_chunks_should_be(tmp_path: Path) -> None:
    cube = cube_of(tmp_path)
    core = Core({"cube": cube})
    assert core.ask(f"/cube/{CHUNK}").status == 200
    shutil.rmtree(cube / "data" / "c")
    (cube / "data" / "c").write_bytes(b"no folder")
    assert core.ask(f"/cube/{CHUNK}").status // 100 == 5


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_documents_that_are_links(tmp_path: Path, zarr_format: int) -> None:
    """Without consolidated metadata, each document is a file of its own."""
    cube = cube_of(tmp_path, zarr_format=zarr_format, consolidated=False)
    document = cube / "data" / (".zattrs" if zarr_format == 2 else "zarr.json")
    secret = {**json.loads(document.read_text()), "attributes": {"secret": "canary"}, "secret": "canary"}
    if zarr_format == 3:
        del secret["secret"]
    (tmp_path / "secret.json").write_text(json.dumps(secret))
    document.unlink()
    document.symlink_to(tmp_path / "secret.json")
    core = Core({"cube": cube})
    for path in (f"/cube/data/{document.name}", "/cube/.zmetadata", "/cube/zarr.json", "/cube/"):
        answer = core.ask(path)
        assert (answer.status // 100, b"canary" in answer.body) == (5, False), path


def test_own_folder_named_by_consolidated_metadata(tmp_path: Path) -> None:
    cube = cube_of(tmp_path, zarr_format=2)
    (cube / ".zapz" / "a").mkdir(parents=True)
    (cube / ".zapz" / "a" / "0.0.0").write_bytes(b"canary")
    meta = json.loads((cube / ".zmetadata").read_text())
    meta["metadata"][".zapz/a/.zarray"] = meta["metadata"]["data/.zarray"]
    (cube / ".zmetadata").write_text(json.dumps(meta))
    assert Core({"cube": cube}).ask("/cube/.zapz/a/0.0.0").status // 100 in {4, 5}


# -- states ------------------------------------------------------------------------------------------------------------


def test_an_array_that_is_new_in_a_nested_group(tmp_path: Path) -> None:
    cube = tmp_path / "cube"
    write_group(cube, zarr_format=3)
    write_group(cube, zarr_format=3, name="g")
    write_array(cube, "g/a", np.arange(3), zarr_format=3)
    old(cube)
    core = Core({"cube": cube}, refresh=0.0)
    assert core.ask("/cube/g/b/zarr.json").status == 404
    write_array(cube, "g/b", np.arange(3), zarr_format=3)
    time.sleep(growing._AGAIN)
    core.ask("/cube/zarr.json")
    time.sleep(growing._AGAIN + 0.02)
    assert core.ask("/cube/g/b/zarr.json").status == 200


def test_a_link_that_is_rewritten(tmp_path: Path) -> None:
    from kit import pyramids

    levels = tmp_path / "cube.levels"
    pyramids.make_levels(levels, start=0, steps=2, shapes=((8, 8), (4, 4)), zarr_format=2, consolidated=True)
    (levels / "0.zarr").rename(tmp_path / "base.zarr")
    shutil.copytree(tmp_path / "base.zarr", tmp_path / "other.zarr")
    path = tmp_path / "other.zarr" / ".zmetadata"
    meta = json.loads(path.read_text())
    meta["metadata"][".zattrs"] = {"title": "other"}
    path.write_text(json.dumps(meta))
    (levels / "0.link").write_text("../base.zarr")
    old(levels)
    core = Core({"cube": levels}, refresh=0.0)
    assert b"other" not in core.ask("/cube/0.zarr/.zmetadata").body
    (levels / "0.link").write_text("../other.zarr")
    assert b"other" in core.ask("/cube/0.zarr/.zmetadata").body


def grown(folder: Path, name: str, number: int) -> Path:
    for start in range(0, 3 * number, 3):
        slice_ = folder / f"{name}-{start}"
        make_slice(slice_, zarr_format=3, start=start, steps=3, chunks=(1, 3, 4))
        zapz.append(folder / name, slice_, label_chunk="keep")
    return folder / name


def test_a_folder_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity of the old folder must not be noted for the documents of the new one."""
    cube, other = grown(tmp_path, "cube", 1), grown(tmp_path, "other", 2)
    old(cube)
    core = Core({"cube": cube})
    pinned = core.ask("/cube/zarr.json").headers["zapz-generation"]
    real = loading.opened

    def swap(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(loading, "opened", real)
        cube.rename(tmp_path / "away")
        other.rename(cube)
        return real(*args, **more)

    (cube / "zarr.json").touch()
    monkeypatch.setattr(loading, "opened", swap)
    assert core.ask("/cube/zarr.json").json["consolidated_metadata"]["metadata"]["data"]["shape"][0] == 6
    assert core.ask(f"/cube@{pinned}/zarr.json").status == 410


def test_a_folder_removed_and_made_again(tmp_path: Path) -> None:
    """File systems give the inode of a removed folder to the next one."""
    cube, other = grown(tmp_path, "cube", 1), grown(tmp_path, "other", 2)
    core = Core({"cube": cube})
    pinned = core.ask("/cube/zarr.json").headers["zapz-generation"]
    shutil.rmtree(cube)
    cube.mkdir()
    shutil.copytree(other, cube, dirs_exist_ok=True)
    assert core.ask("/cube/zarr.json").status == 200
    assert core.ask(f"/cube@{pinned}/{CHUNK}").status == 410


def test_a_folder_replaced_between_look_and_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cube, other = grown(tmp_path, "cube", 1), grown(tmp_path, "other", 2)
    core = Core({"cube": cube})
    pinned = core.ask("/cube/zarr.json").headers["zapz-generation"]
    old(cube)
    core.ask("/cube/zarr.json")
    real = growing.ChunkOpener.open

    def swap(*args: Any, **more: Any) -> Any:
        monkeypatch.setattr(growing.ChunkOpener, "open", real)
        cube.rename(tmp_path / "away")
        other.rename(cube)
        return real(*args, **more)

    monkeypatch.setattr(growing.ChunkOpener, "open", swap)
    assert core.ask(f"/cube@{pinned}/{CHUNK}").status == 410


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_a_dataset_that_is_written_anew(tmp_path: Path, zarr_format: int) -> None:
    """``mode="w"`` of other tools: a folder without consolidated metadata, arrays without chunks."""
    cube = cube_of(tmp_path, zarr_format=zarr_format)
    root, key = ("zarr.json", CHUNK) if zarr_format == 3 else (".zmetadata", "data/0.0.0")
    core = Core({"cube": cube}, refresh=0.2)
    pinned = core.ask(f"/cube/{root}").headers["zapz-generation"]
    shutil.rmtree(cube)
    values = make_slice(cube, zarr_format=zarr_format, chunks=(2, 3, 4), start=50)
    chunk = (cube / key).read_bytes()
    (cube / key).unlink()
    for path in (f"/cube/{key}", f"/cube/{root}", f"/cube@{pinned}/{key}", f"/cube@{pinned}/{root}"):
        assert core.ask(path).status in {410, 503}, path
    (cube / key).write_bytes(chunk)
    consolidate(cube, zarr_format=zarr_format)
    assert core.ask(f"/cube@{pinned}/{key}").status == 410
    np.testing.assert_array_equal(core.read("/cube")["data"], values["data"])


def test_one_broken_dataset_does_not_stop_the_others(tmp_path: Path) -> None:
    """Threads that wait for the same attempt to read it share its outcome."""
    core = Core({"bad": cube_of(tmp_path / "a"), "good": cube_of(tmp_path / "b")})
    assert {core.ask(f"/{name}/zarr.json").status for name in ("bad", "good")} == {200}
    (tmp_path / "a" / "cube").rename(tmp_path / "away")
    began, slowest = time.monotonic(), []

    def ask() -> None:
        start = time.monotonic()
        assert core.ask("/bad/zarr.json").status // 100 == 5
        slowest.append(time.monotonic() - start)

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slowest) == 40
    assert max(slowest) < 10 * growing._ATTEMPTS * growing._PAUSE, time.monotonic() - began


def test_warnings_name_no_paths(tmp_path: Path) -> None:
    cube = cube_of(tmp_path, zarr_format=2)
    core = Core({"cube": cube})
    assert core.ask("/cube/.zmetadata").status == 200
    text = (cube / ".zmetadata").read_text()
    (cube / ".zmetadata").write_text(text[:50])
    answer = core.ask("/cube/.zmetadata")
    assert answer.headers["warning"]
    assert str(tmp_path) not in answer.headers["warning"]
    assert str(tmp_path) not in core.ask("/cube/").body.decode()


def test_a_fill_chunk_is_that_of_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that makes one for the state before must not leave it for the state after."""
    cube = tmp_path / "cube"
    write_group(cube, zarr_format=3)
    write_array(cube, "x", np.arange(1.0, 5.0), zarr_format=3, chunks=[2], dims=["x"], fill=5.0)
    consolidate(cube, zarr_format=3)
    (cube / "x" / "c" / "1").unlink()
    core = Core({"cube": cube})
    real = stored_chunks.encoded_cells

    def slow(*args: Any) -> bytes:
        made = real(*args)
        monkeypatch.setattr(stored_chunks, "encoded_cells", real)
        for document in (cube / "x" / "zarr.json", cube / "zarr.json"):
            aside = document.with_suffix(".new")
            aside.write_text(document.read_text().replace('"fill_value": 5.0', '"fill_value": 6.0'))
            aside.replace(document)
        assert core.ask("/cube/zarr.json").status == 200
        return made

    monkeypatch.setattr(stored_chunks, "encoded_cells", slow)
    core.ask("/cube.v2/x/1")
    assert np.frombuffer(core.ask("/cube.v2/x/1").body).tolist() == [6.0, 6.0]


def test_a_computed_dataset_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache outlives it, and Python gives its ``id`` to the next object."""
    from zapz.server import computed

    monkeypatch.setattr(computed, "id", lambda _: 1, raising=False)
    core = Core({"d": {"a": (("x",), np.arange(4.0))}})
    before = core.ask("/d/a/c/0").body
    core.datasets.replace({"d": core.opening.of("d", {"a": (("x",), np.arange(4.0) + 9)}, core.config)})
    assert core.ask("/d/a/c/0").body != before


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", ["data/" + "a/" * 30_000 + "0", "a/" * 30_000, "d/" * 30_000 + "zarr.json", "data/c/" + "0/" * 30_000]
)
def test_a_very_long_key_costs_nothing(tmp_path: Path, key: str) -> None:
    core = Core({"cube": cube_of(tmp_path)})
    assert core.ask("/cube/zarr.json").status == 200
    began = time.process_time()
    assert core.ask(f"/cube/{key}").status == 404
    assert time.process_time() - began < 0.1


def test_shared_states_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("no folder")
    core = Core({"cube": cube_of(tmp_path)}, states=tmp_path / "shared")
    assert core.ask("/cube/zarr.json").status == 200
    assert core.ask("/cube@0123456789abcdef/zarr.json").status == 410


# -- fill for data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_an_array_that_shrank_without_being_consolidated(tmp_path: Path, zarr_format: int) -> None:
    """zarr-python removes the chunks behind the new end, and leaves consolidated metadata as they are."""
    import zarr

    cube = cube_of(tmp_path, zarr_format=zarr_format, steps=4)
    key = CHUNK.replace("c/0", "c/1") if zarr_format == 3 else "data/1.0.0"
    core = Core({"cube": cube})
    assert core.ask(f"/cube/{key}").status == 200
    with quiet():
        zarr.open_array(cube / "data", mode="r+", zarr_format=zarr_format).resize((2, 4, 6))
    assert not (cube / key).exists()
    assert core.ask(f"/cube/{key}").status == 503


def test_a_chunk_that_is_made_needs_memory(tmp_path: Path) -> None:
    """A chunk of fill values of 1.6 GB: refused before memory is used."""
    cube = tmp_path / "cube"
    write_group(cube, zarr_format=3)
    write_array(cube, "x", np.arange(4.0), zarr_format=3, chunks=[2])
    document = cube / "x" / "zarr.json"
    meta = json.loads(document.read_text())
    meta["shape"], meta["chunk_grid"]["configuration"]["chunk_shape"] = [10**12], [200_000_000]
    document.write_text(json.dumps(meta))
    core = Core({"cube": cube}, options={"memory": Limit(1 << 26)})
    began = time.process_time()
    answer = core.ask("/cube.v2/x/5")
    assert (answer.status, answer.json["error"]["code"]) == (500, "config")
    assert time.process_time() - began < 0.5
    assert core.application.memory.used == 0


def test_another_process_has_seen_the_new_dataset(tmp_path: Path) -> None:
    """Documents come from one process of the server, chunks from another that has not looked since."""
    values = np.arange(1, 17, dtype="<f4").reshape(4, 4)
    for name, chunks in (("cube", (2, 2)), ("new", (1, 4))):
        write_group(tmp_path / name, zarr_format=3)
        write_array(tmp_path / name, "x", values, zarr_format=3, chunks=chunks, shards=(4, 4), dims=["y", "x"])
        consolidate(tmp_path / name, zarr_format=3)
    first, second = (Core({"cube": tmp_path / "cube"}) for _ in range(2))
    assert {core.ask("/cube.v2/x/1.0").status for core in (first, second)} == {200}
    (tmp_path / "cube").rename(tmp_path / "away")
    (tmp_path / "new").rename(tmp_path / "cube")
    assert first.ask("/cube.v2/x/.zarray").json["chunks"] == [1, 4]
    np.testing.assert_array_equal(np.frombuffer(second.ask("/cube.v2/x/1.0").body, "<f4"), values[1])


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_files_whose_time_of_modification_is_set(tmp_path: Path, zarr_format: int) -> None:
    """Some tools give all files the nominal time of the data."""
    cube = cube_of(tmp_path, zarr_format=zarr_format)
    root, key = ("zarr.json", CHUNK) if zarr_format == 3 else (".zmetadata", "data/0.0.0")
    core = Core({"cube": cube})
    for name in (root, key):
        os.utime(cube / name, (1000, 1000))
    old(cube)
    before = {name: core.ask(f"/cube/{name}") for name in (root, key)}
    for name in (root, key):
        data = (cube / name).read_bytes()
        (cube / name).write_bytes(
            data.replace(b"2020-01-01", b"2021-01-01") if name == root else bytes(255 - b for b in data)
        )
        os.utime(cube / name, (1000, 1000))
    for name in (root, key):
        answer = core.ask(f"/cube/{name}", headers={"if-none-match": before[name].headers["etag"]})
        assert (answer.status, answer.body == before[name].body) == (200, False), name


# -- what is not seen by looking at known documents --------------------------------------------------------------------


def test_a_zip_file_that_is_replaced(tmp_path: Path) -> None:
    places = [tmp_path / f"{name}.zip" for name in ("old", "new")]
    for start, place in zip((0, 50), places, strict=True):
        cube = cube_of(tmp_path / str(start), start=start)
        shutil.make_archive(str(place.with_suffix("")), "zip", cube)
    core = Core({"cube": str(places[0])}, refresh=0.0)
    before = core.ask(f"/cube/{CHUNK}").body
    places[1].replace(places[0])
    core.ask("/cube/zarr.json")
    assert core.ask(f"/cube/{CHUNK}").body != before


def test_an_array_that_is_new_on_a_service(tmp_path: Path) -> None:
    import uuid

    import fsspec

    files, place = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}/cube.zarr"
    write_group(tmp_path / "cube", zarr_format=3)
    write_array(tmp_path / "cube", "a", np.arange(3), zarr_format=3)
    files.put(str(tmp_path / "cube"), place, recursive=True)
    core = Core({}, refresh=0.0)
    core.datasets.replace({"cube": core.opening.at("cube", f"memory:/{place}", {}, core.config, "")})
    assert core.ask("/cube/a/zarr.json").status == 200
    write_array(tmp_path / "cube", "b", np.arange(3), zarr_format=3)
    files.put(str(tmp_path / "cube" / "b"), f"{place}/b", recursive=True)
    for _ in range(3):
        time.sleep(growing._AGAIN)
        core.ask("/cube/zarr.json")
    assert core.ask("/cube/b/zarr.json").status == 200
