"""Datasets on object services, in memory, behind links of levels: the same rules, looked at every so often."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kit import pyramids
from kit.cubes import axes_of, joined, make_slice, same
from kit.servers import Server
from kit.serving import Core, StatusError

import zapz

FORMATS = [2, 3]
REFRESH = 0.3


def slices_of(folder: Path, zarr_format: int, number: int = 3) -> list[tuple[Path, Mapping[str, Any]]]:
    found = []
    for i in range(number):
        path = folder / f"s{i}.zarr"
        found.append((path, make_slice(path, zarr_format=zarr_format, start=3 * i, steps=3, chunks=(2, 3, 4))))
    return found


def opened(place: str, options: Mapping[str, Any], refresh: float = REFRESH) -> Core:
    core = Core({}, refresh=refresh)
    core.datasets.replace({"cube": core.opening.at("cube", place, options, core.config, "")})
    return core


def grows(place: str, options: Mapping[str, Any], folder: Path, zarr_format: int) -> None:
    parts = slices_of(folder, zarr_format)
    settings = {"label_chunk": "keep", "target_storage_options": options}
    zapz.append(place, parts[0][0], **settings)
    core = opened(place, options)
    root = "zarr.json" if zarr_format == 3 else ".zmetadata"
    for number in (1, 2, 3):
        expected = joined([values for _, values in parts[:number]], axes_of())
        for prefix in ("/cube", "/cube.v2", "/cube.v3"):
            same(core.read(prefix), expected)
        before = core.ask(f"/cube/{root}")
        if number < 3:
            zapz.append(place, parts[number][0], **settings)
            began = time.monotonic()
            while core.ask(f"/cube/{root}").body == before.body:
                assert time.monotonic() - began < 10 * REFRESH
                time.sleep(0.01)
            assert core.ask(f"/cube@{before.headers['zapz-generation']}/{root}").body == before.body
    key = "data/c/0/0/0" if zarr_format == 3 else "data/0.0.0"
    chunk = core.ask(f"/cube/{key}")
    assert core.ask(f"/cube/{key}", headers={"if-none-match": chunk.headers["etag"]}).status == 304
    assert core.ask(f"/cube/{key}", headers={"range": "bytes=-7"}).body == chunk.body[-7:]
    assert core.ask(f"/cube/{key}", "HEAD").headers == chunk.headers


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_in_memory(tmp_path: Path, zarr_format: int) -> None:
    grows(f"memory://{uuid.uuid4().hex}/cube.zarr", {}, tmp_path, zarr_format)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_on_s3(tmp_path: Path, zarr_format: int, moto_s3: Server) -> None:
    grows(moto_s3.uri(f"serve-{uuid.uuid4().hex}.zarr"), moto_s3.options, tmp_path, zarr_format)


def test_a_service_is_looked_at_every_so_often(tmp_path: Path) -> None:
    place = f"memory://{uuid.uuid4().hex}/cube.zarr"
    parts = slices_of(tmp_path, 3, 2)
    zapz.append(place, parts[0][0], label_chunk="keep")
    core = opened(place, {}, refresh=1000.0)
    before = core.ask("/cube/zarr.json")
    zapz.append(place, parts[1][0], label_chunk="keep")
    assert core.ask("/cube/zarr.json").body == before.body
    assert core.ask("/cube/data/c/2/0/0").status == 404, "beyond the state that is served"
    again = opened(place, {}, refresh=0.0)
    assert again.ask("/cube/zarr.json").body != before.body


def test_objects_that_are_gone(tmp_path: Path) -> None:
    import fsspec

    name = uuid.uuid4().hex
    place = f"memory://{name}/cube.zarr"
    zapz.append(place, slices_of(tmp_path, 3, 1)[0][0], label_chunk="keep")
    core = opened(place, {}, refresh=0.0)
    assert core.ask("/cube/data/c/0/0/0").status == 200
    fsspec.filesystem("memory").rm(f"/{name}/cube.zarr", recursive=True)
    assert core.ask("/cube/data/c/0/0/0").status // 100 == 5
    assert core.ask("/cube/zarr.json").status // 100 == 5
    with pytest.raises(StatusError):
        core.read("/cube", ["data"])


def test_open_stores(tmp_path: Path) -> None:
    import fsspec
    import zarr

    path, values = slices_of(tmp_path, 3, 1)[0]
    things = {
        "group": zarr.open_group(path, mode="r"),
        "store": zarr.storage.LocalStore(path, read_only=True),
        "mapper": fsspec.get_mapper(str(path)),
        "path": path,
    }
    core = Core(things)
    for name in things:
        same(core.read(f"/{name}"), values)


def test_an_array_of_a_group(tmp_path: Path) -> None:
    import zarr

    path, values = slices_of(tmp_path, 3, 1)[0]
    core = Core({"one": zarr.open_group(path, mode="r")["data"]})
    same(core.read("/one"), {"data": values["data"]})


# -- levels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_levels(tmp_path: Path, zarr_format: int) -> None:
    shapes = ((8, 8), (4, 4), (2, 2))
    target = tmp_path / "cube.levels"
    for start in (0, 2, 4):
        pyramids.make_levels(
            tmp_path / f"s{start}.levels",
            start=start,
            steps=2,
            shapes=shapes,
            zarr_format=zarr_format,
            consolidated=True,
        )
    zapz.append(target, tmp_path / "s0.levels")
    core = Core({"cube": target})
    for start in (2, 4, None):
        found = core.read("/cube")
        lengths = {name: len(values) for name, values in found.items() if name.endswith("/time")}
        assert len(lengths) == 3
        assert set(lengths.values()) == {start or 6}
        for level in range(3):
            same(
                core.read(f"/cube/{level}.zarr"),
                {name.partition("/")[2]: v for name, v in found.items() if name.startswith(f"{level}.zarr/")},
            )
        same(core.read("/cube.v2"), found)
        same(core.read("/cube.v3"), found)
        if start is not None:
            zapz.append(target, tmp_path / f"s{start}.levels")
    assert core.ask("/cube/.zlevels").status == 200
    assert "warning" not in core.ask("/cube/0.zarr/.zgroup").headers


def test_levels_that_differ_in_length_are_not_published(tmp_path: Path) -> None:
    shapes = ((8, 8), (4, 4))
    target = tmp_path / "cube.levels"
    for start in (0, 2):
        pyramids.make_levels(
            tmp_path / f"s{start}.levels", start=start, steps=2, shapes=shapes, zarr_format=2, consolidated=True
        )
    zapz.append(target, tmp_path / "s0.levels")
    core = Core({"cube": target})
    before = core.ask("/cube/0.zarr/.zmetadata")
    zapz.append(target, tmp_path / "s2.levels")
    longer = (target / "0.zarr" / ".zmetadata").read_bytes()
    (target / "0.zarr" / ".zmetadata").write_bytes(before.body)
    assert core.ask("/cube/0.zarr/.zmetadata").body == before.body
    assert "1.zarr" in core.ask("/cube/0.zarr/.zmetadata").headers["warning"]
    assert Core({"cube": target}).ask("/cube/").status == 503
    (target / "0.zarr" / ".zmetadata").write_bytes(longer)
    time.sleep(0.3)
    assert core.ask("/cube/0.zarr/.zmetadata").body == longer


def test_a_linked_level(tmp_path: Path) -> None:
    shapes = ((8, 8), (4, 4))
    expected = pyramids.make_levels(
        tmp_path / "cube.levels", start=0, steps=2, shapes=shapes, zarr_format=2, consolidated=True
    )
    (tmp_path / "cube.levels" / "0.zarr").rename(tmp_path / "base.zarr")
    (tmp_path / "cube.levels" / "0.link").write_text("../base.zarr")
    core = Core({"cube": tmp_path / "cube.levels"})
    found = core.read("/cube")
    same(found, expected)
    same(core.read("/cube/0.zarr"), {n.partition("/")[2]: v for n, v in found.items() if n.startswith("0.zarr/")})
