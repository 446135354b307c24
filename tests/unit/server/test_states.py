"""States of a dataset that changes while it is served: which are published, pinned, retired, and what is never fill."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.cubes import axes_of, joined, make_slice, same, write_array, write_group
from kit.serving import Core

import zapz
from zapz.server import growing, loading

FORMATS = [2, 3]


def root_of(zarr_format: int) -> str:
    return "zarr.json" if zarr_format == 3 else ".zmetadata"


def key_of(zarr_format: int, name: str, *index: int) -> str:
    return f"{name}/c/{'/'.join(map(str, index))}" if zarr_format == 3 else f"{name}/{'.'.join(map(str, index))}"


def length_of(answer: Any, zarr_format: int) -> dict[str, int]:
    meta = answer.json
    if zarr_format == 3:
        return {
            path: node["shape"][0]
            for path, node in meta["consolidated_metadata"]["metadata"].items()
            if node["node_type"] == "array" and "time" in node.get("dimension_names", [])
        }
    nodes = meta["metadata"]
    return {
        path.removesuffix("/.zarray"): node["shape"][0]
        for path, node in nodes.items()
        if path.endswith(".zarray") and "time" in nodes[path.replace(".zarray", ".zattrs")]["_ARRAY_DIMENSIONS"]
    }


class Growth:
    """A cube, and slices that follow."""

    def __init__(self, folder: Path, zarr_format: int, **options: Any) -> None:
        self.cube = folder / "cube.zarr"
        self.format = zarr_format
        self.folder = folder
        self.options = options
        self.parts: list[Any] = []

    def grow(self, steps: int = 3, **settings: Any) -> None:
        start = sum(part["time"].size for part in self.parts)
        slice_ = self.folder / f"slice-{start}"
        self.parts.append(
            make_slice(slice_, zarr_format=self.format, start=start, steps=steps, chunks=(2, 3, 4), **self.options)
        )
        zapz.append(self.cube, slice_, label_chunk="keep", **settings)

    @property
    def expected(self) -> Any:
        return joined(self.parts, axes_of())

    @property
    def length(self) -> int:
        return len(self.expected["time"])


@pytest.fixture(params=FORMATS)
def growth(request: pytest.FixtureRequest, tmp_path: Path) -> Growth:
    found = Growth(tmp_path, request.param)
    found.grow()
    return found


def test_new_length_at_the_first_request(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    for _ in range(4):
        for prefix in ("/cube", "/cube.v2", "/cube.v3"):
            same(core.read(prefix), growth.expected)
        assert set(length_of(core.ask(f"/cube/{root_of(growth.format)}"), growth.format).values()) == {growth.length}
        growth.grow()


def test_new_chunk_at_the_first_request(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    assert core.ask("/cube/").status == 200
    new = key_of(growth.format, "data", 2, 0, 0)
    assert core.ask(f"/cube/{new}").status == 404
    growth.grow()
    assert core.ask(f"/cube/{new}").body == (growth.cube / new).read_bytes()


def test_a_chunk_beyond_the_state_is_not_there(growth: Growth) -> None:
    """An append writes chunks before documents."""
    core = Core({"cube": growth.cube})
    early = growth.cube / key_of(growth.format, "data", 2, 0, 0)
    early.parent.mkdir(parents=True, exist_ok=True)
    early.write_bytes(b"early")
    assert core.ask(f"/cube/{early.relative_to(growth.cube)}").status == 404


def test_pinned_states(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    root = root_of(growth.format)
    seen = {}
    for _ in range(12):
        answer = core.ask(f"/cube/{root}")
        name = answer.headers["zapz-generation"]
        assert answer.headers["link"] == f'</cube@{name}/>; rel="canonical"'
        seen[name] = answer.body, growth.expected
        growth.grow(2)
    core.ask(f"/cube/{root}")
    for position, (name, (body, expected)) in enumerate(seen.items()):
        answer = core.ask(f"/cube@{name}/{root}")
        if position < len(seen) - growing.KEPT:
            assert (answer.status, answer.json["error"]["code"]) == (410, "gone")
            assert core.ask(f"/cube@{name}/{key_of(growth.format, 'data', 0, 0, 0)}").status == 410
            continue
        assert (answer.status, answer.body) == (200, body)
        assert "immutable" in answer.headers["cache-control"]
        same(core.read(f"/cube@{name}"), expected)
        chunk = core.ask(f"/cube@{name}/{key_of(growth.format, 'data', 0, 0, 0)}")
        assert chunk.headers["cache-control"] == "no-cache"
    assert core.ask(f"/cube@0123456789abcdef/{root}").status == 410
    assert core.ask(f"/cube@/{root}").status == 404


def test_etags(growth: Growth) -> None:
    growth.grow(2)
    core = Core({"cube": growth.cube})
    inner, boundary, root = (
        key_of(growth.format, "data", 0, 0, 0),
        key_of(growth.format, "data", 2, 0, 0),
        root_of(growth.format),
    )
    before = {key: core.ask(f"/cube/{key}").headers["etag"] for key in (inner, boundary, root)}
    for key, tag in before.items():
        again = core.ask(f"/cube/{key}", headers={"if-none-match": tag})
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    growth.grow(3)
    for key, status in ((inner, 304), (boundary, 200), (root, 200)):
        assert core.ask(f"/cube/{key}", headers={"if-none-match": before[key]}).status == status, key


def edit(growth: Growth, number: int) -> None:
    path = growth.cube / root_of(growth.format)
    meta = json.loads(path.read_text())
    place = meta if growth.format == 2 else meta["consolidated_metadata"]
    place["zapz"] = {"edits": number}
    path.with_suffix(".new").write_text(json.dumps(meta))
    path.with_suffix(".new").replace(path)


def change(growth: Growth, name: str, value: Any) -> None:
    """Change a member of an array's metadata, everywhere."""
    path = growth.cube / root_of(growth.format)
    meta = json.loads(path.read_text())
    node = meta["metadata"]["data/.zarray"] if growth.format == 2 else meta["consolidated_metadata"]["metadata"]["data"]
    node[name] = value
    path.with_suffix(".new").write_text(json.dumps(meta))
    path.with_suffix(".new").replace(path)


def attribute(growth: Growth) -> None:
    path = growth.cube / root_of(growth.format)
    meta = json.loads(path.read_text())
    node = (
        meta["metadata"]["data/.zattrs"]
        if growth.format == 2
        else meta["consolidated_metadata"]["metadata"]["data"]["attributes"]
    )
    node["units"] = "K"
    path.with_suffix(".new").write_text(json.dumps(meta))
    path.with_suffix(".new").replace(path)


def renew(growth: Growth) -> None:
    first = growth.folder / "slice-0"
    zapz.append(growth.cube, first, force_new=True, label_chunk="keep")


CHANGES = {
    "edits": lambda g: edit(g, 1),
    "shorter": lambda g: change(g, "shape", [2, 4, 6]),
    "chunks": lambda g: (
        change(g, "chunks", [1, 4, 6])
        if g.format == 2
        else change(g, "chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [1, 4, 6]}})
    ),
    "dtype": lambda g: change(g, "dtype", "<i4") if g.format == 2 else change(g, "data_type", "int32"),
    "fill": lambda g: change(g, "fill_value", 5.0),
    "attributes": attribute,
    "force_new": renew,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_growth_retires_older_states(growth: Growth, name: str) -> None:
    core = Core({"cube": growth.cube})
    root, key = root_of(growth.format), key_of(growth.format, "data", 0, 0, 0)
    old = core.ask(f"/cube/{root}").headers["zapz-generation"]
    growth.grow()
    grown = core.ask(f"/cube/{root}").headers["zapz-generation"]
    assert core.ask(f"/cube@{old}/{key}").status == 200
    CHANGES[name](growth)
    for state in (old, grown):
        assert core.ask(f"/cube@{state}/{key}").status == 410, "without a request in between"
        assert core.ask(f"/cube@{state}/{root}").status == 410
    new = core.ask(f"/cube/{root}")
    assert new.status == 200
    assert new.headers["zapz-generation"] not in {old, grown}
    assert core.ask(f"/cube@{new.headers['zapz-generation']}/{key}").status == 200


def test_group_attributes_may_change(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    old = core.ask(f"/cube/{root_of(growth.format)}").headers["zapz-generation"]
    growth.grow(attrs={"title": "Longer"})
    assert "Longer" in core.ask(f"/cube/{root_of(growth.format)}").body.decode()
    assert core.ask(f"/cube@{old}/{root_of(growth.format)}").status == 200


def test_states_are_shared_by_processes(growth: Growth, tmp_path: Path) -> None:
    """Two cores stand for two processes of one server."""
    first, second = (Core({"cube": growth.cube}, states=tmp_path / "shared") for _ in range(2))
    root, key = root_of(growth.format), key_of(growth.format, "data", 0, 0, 0)
    old = first.ask(f"/cube/{root}")
    growth.grow()
    assert second.ask(f"/cube/{root}").headers["zapz-generation"] != old.headers["zapz-generation"]
    pinned = f"/cube@{old.headers['zapz-generation']}"
    assert second.ask(f"{pinned}/{root}").body == old.body
    assert second.ask(f"{pinned}/{key}").status == 200
    edit(growth, 1)
    assert first.ask(f"/cube/{root}").status == 200
    assert second.ask(f"{pinned}/{root}").status == 410
    assert first.ask(f"/cube@../../x/{root}").status in {404, 410}


# -- never fill --------------------------------------------------------------------------------------------------------


def everything(core: Core, growth: Growth) -> dict[str, int]:
    keys = [
        "",
        root_of(growth.format),
        key_of(growth.format, "data", 0, 0, 0),
        key_of(growth.format, "data", 1, 1, 1),
        key_of(growth.format, "time", 0),
    ]
    return {key: core.ask(f"/cube/{key}").status for key in keys}


@pytest.mark.parametrize("warm", [False, True])
def test_the_folder_is_gone(growth: Growth, warm: bool) -> None:
    core = Core({"cube": growth.cube})
    if warm:
        assert set(everything(core, growth).values()) == {200}
    growth.cube.rename(growth.cube.with_name("away"))
    assert {status // 100 for status in everything(core, growth).values()} == {5}
    growth.cube.with_name("away").rename(growth.cube)
    assert set(everything(core, growth).values()) == {200}


def test_an_array_is_gone(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    assert set(everything(core, growth).values()) == {200}
    shutil.rmtree(growth.cube / "data")
    for key in (key_of(growth.format, "data", 0, 0, 0), key_of(growth.format, "data", 1, 1, 1)):
        assert core.ask(f"/cube/{key}").status // 100 == 5


def test_a_missing_chunk_is_missing(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    key = key_of(growth.format, "data", 1, 1, 1)
    assert core.ask(f"/cube/{key}").status == 200
    (growth.cube / key).unlink()
    assert core.ask(f"/cube/{key}").status == 404


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    key = key_of(growth.format, "data", 0, 0, 0)
    (growth.cube / key).chmod(0)
    assert core.ask(f"/cube/{key}").status // 100 == 5


@pytest.mark.parametrize("kind", ["link", "linked folder", "folder", "pipe"])
def test_what_is_no_chunk(growth: Growth, kind: str, tmp_path: Path) -> None:
    core = Core({"cube": growth.cube})
    key = key_of(growth.format, "data", 0, 0, 0)
    path, canary = growth.cube / key, tmp_path / "canary"
    canary.write_bytes(b"canary")
    if kind == "linked folder":
        path.parent.rename(tmp_path / "outside")
        path.parent.symlink_to(tmp_path / "outside")
    else:
        path.unlink()
        {"link": lambda: path.symlink_to(canary), "folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}[kind]()
    answer = core.ask(f"/cube/{key}")
    assert answer.status // 100 == 5
    assert b"canary" not in answer.body
    assert str(tmp_path).encode() not in answer.body


def test_errors_name_no_paths(growth: Growth) -> None:
    core = Core({"cube": growth.cube})
    growth.cube.rename(growth.cube.with_name("away"))
    for path in ("/cube/", "/cube/zarr.json", f"/cube/{key_of(growth.format, 'data', 0, 0, 0)}", "/"):
        assert str(growth.folder) not in core.ask(path).body.decode()


# -- changes that are under way ----------------------------------------------------------------------------------------


def test_a_document_half_written(growth: Growth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "_AGAIN", 0.0)
    core = Core({"cube": growth.cube})
    root = growth.cube / root_of(growth.format)
    whole = core.ask(f"/cube/{root.name}")
    text = root.read_bytes()
    root.write_bytes(text[: len(text) // 2])
    torn = core.ask(f"/cube/{root.name}")
    assert (torn.status, torn.body) == (200, whole.body)
    assert "warning" in torn.headers
    assert 'event="inconsistent"' in core.ask("/metrics").body.decode()
    assert Core({"cube": growth.cube}).ask(f"/cube/{root.name}").status // 100 == 5
    root.write_bytes(text)
    assert "warning" not in core.ask(f"/cube/{root.name}").headers


def test_a_young_document_is_read_again(growth: Growth, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change may leave the time of modification as it is."""
    monkeypatch.setattr(loading, "_YOUNG", 1000.0)
    core = Core({"cube": growth.cube})
    root = growth.cube / root_of(growth.format)
    before, found = core.ask(f"/cube/{root.name}"), root.stat()
    data = root.read_bytes()
    root.write_bytes(data.replace(b"2020-01-01", b"2021-01-01"))
    os.utime(root, ns=(found.st_atime_ns, found.st_mtime_ns))
    after = core.ask(f"/cube/{root.name}")
    assert after.body == root.read_bytes() != before.body


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_arrays_that_grow_one_after_another(tmp_path: Path, zarr_format: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without consolidated metadata, documents are published when they fit together and stay so for a while."""
    monkeypatch.setattr(growing, "_AGAIN", 0.0)
    cube = tmp_path / "cube.zarr"
    write_group(cube, zarr_format=zarr_format)
    for name in ("a", "b"):
        write_array(cube, name, np.arange(3), zarr_format=zarr_format, dims=["time"], chunks=[1])
    core = Core({"cube": cube}, refresh=0.2)
    document = "zarr.json" if zarr_format == 3 else ".zarray"

    def lengths() -> list[int]:
        return [core.ask(f"/cube/{name}/{document}").json["shape"][0] for name in ("a", "b")]

    def grow(name: str) -> None:
        path = cube / name / document
        meta = json.loads(path.read_text())
        meta["shape"] = [5]
        path.write_text(json.dumps(meta))

    assert lengths() == [3, 3]
    grow("a")
    assert lengths() == [3, 3]
    assert "inconsistent" in core.ask("/metrics").body.decode()
    grow("b")
    assert lengths() == [3, 3], "not yet seen twice"
    import time

    time.sleep(0.25)
    assert lengths() == [5, 5]
    fresh = Core({"cube": cube})
    assert [fresh.ask(f"/cube/{name}/{document}").json["shape"][0] for name in ("a", "b")] == [5, 5]
    grow_back = cube / "a" / document
    meta = json.loads(grow_back.read_text())
    meta["shape"] = [4]
    grow_back.write_text(json.dumps(meta))
    assert Core({"cube": cube}).ask("/cube/").status == 503


def test_nothing_is_written(growth: Growth) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in growth.cube.rglob("*")}
    core = Core({"cube": growth.cube})
    for prefix in ("/cube", "/cube.v2", "/cube.v3"):
        core.read(prefix)
    core.ask("/")
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in growth.cube.rglob("*")} == before


def test_own_folder_is_never_served(growth: Growth) -> None:
    (growth.cube / ".zapz").mkdir(exist_ok=True)
    (growth.cube / ".zapz" / "zarr.json").write_text("canary")
    (growth.cube / ".zapz" / ".zgroup").write_text("canary")
    core = Core({"cube": growth.cube})
    for path in (
        "/cube/.zapz/",
        "/cube/.zapz",
        "/cube/.zapz/zarr.json",
        "/cube/.zapz/.zgroup",
        "/cube/data/../.zapz/zarr.json",
    ):
        assert core.ask(path).status == 404, path
    assert '".zapz' not in core.ask("/cube/", headers={"accept": "application/json"}).body.decode()
    assert stat.S_ISDIR((growth.cube / ".zapz").stat().st_mode)
