"""Pages of folders: their links are exactly the children, page by page; JSON by Accept; redirects; what is not there."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.cubes import make_slice, values_of, write_array, write_group
from kit.serving import Core

from zapz import Source
from zapz.format import documents as doors
from zapz.format.codecs import CodecChain
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, ChunkKeys, FillValue
from zapz.server.listing import PAGE

FORMATS = [2, 3]


def links(core: Core, path: str) -> list[str]:
    """Return the links of a page, as fsspec finds them."""
    from fsspec.implementations.http import ex, ex2

    text = core.ask(path, headers={"accept": "*/*"}).body.decode()
    assert ex2.findall(text) == []
    return [found[2] for found in ex.findall(text)]


def stored(folder: Path) -> set[str]:
    return {f"{p.name}/" if p.is_dir() else p.name for p in folder.iterdir() if p.name != ".zapz"}


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("separator", [".", "/"])
def test_links_are_the_children(tmp_path: Path, zarr_format: int, separator: str) -> None:
    make_slice(
        tmp_path / "cube",
        zarr_format=zarr_format,
        chunks=(2, 3, 4),
        nested=True,
        separator=separator,
        consolidated=True,
    )
    core = Core({"cube": tmp_path / "cube"})
    seen = 0
    for folder in [tmp_path / "cube", *(p for p in (tmp_path / "cube").rglob("*") if p.is_dir())]:
        path = folder.relative_to(tmp_path / "cube").as_posix()
        path = "" if path == "." else f"{path}/"
        found = links(core, f"/cube/{path}")
        assert len(found) == len(set(found))
        documents = {".zmetadata", ".zattrs", ".zgroup"}
        assert set(found) - documents == stored(folder) - documents, path
        answer = core.ask(f"/cube/{path}", headers={"accept": "application/json"})
        assert answer.json["children"] == found
        seen += len(found)
    assert seen > 20


def test_every_child_answers(tmp_path: Path) -> None:
    make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4), nested=True)
    core = Core({"cube": tmp_path / "cube"})
    waiting, files = ["/cube/", "/cube.v2/", "/cube.v3/"], 0
    while waiting:
        here = waiting.pop()
        for name in links(core, here):
            answer = core.ask(f"{here}{name}")
            assert answer.status == 200, f"{here}{name}"
            if name.endswith("/"):
                waiting.append(f"{here}{name}")
            else:
                files += 1
    assert files > 30


def huge(chunks: tuple[int, ...], keys: ChunkKeys) -> Source:
    """Return a source of one array of 10^18 cells; the value of a cell is the sum of its indices."""
    array = Array(
        path="a",
        dims=("y", "x"),
        dtype=np.dtype("<i8"),
        grid=RegularGrid(shape=(10**9, 10**9), chunks=chunks),
        keys=keys,
        codecs=CodecChain(),
        fill=FillValue.of(np.int64(0)),
        marker=None,
        attributes={},
    )
    door = doors.of(3)

    class Huge(Source):
        uri = "huge"

        def documents(self) -> dict[str, bytes]:
            return {**door.write_group("", "{}"), **door.write_array(array, "{}")}

        def cells(self, path: str, box: Any) -> Any:
            (a, b), (c, d) = box
            return np.add.outer(np.arange(a, b, dtype=np.int64), np.arange(c, d, dtype=np.int64))

    return Huge()


@pytest.mark.parametrize(
    "keys",
    [
        ChunkKeys(style="default", separator="/"),
        ChunkKeys(style="default", separator="."),
        ChunkKeys(style="v2", separator="."),
    ],
)
def test_a_million_million_chunks(keys: ChunkKeys) -> None:
    core = Core({"huge": huge((1000, 1000), keys)})
    assert core.ask("/huge/").status == 200
    flat = keys.separator == "."
    folder = "/huge/a/" if flat else "/huge/a/c/"
    count = 10**12 if flat else 10**6
    documents = 1 if flat else 0
    began = time.perf_counter()
    first = core.ask(folder, headers={"accept": "application/json"}).json
    assert time.perf_counter() - began < 0.1
    assert first["count"] == count + documents
    assert len(first["children"]) == PAGE
    last = first["pages"]
    began = time.perf_counter()
    end = core.ask(f"{folder}?page={last}", headers={"accept": "application/json"}).json
    assert time.perf_counter() - began < 0.1
    name = keys.key((999_999, 999_999)) if flat else "999999/"
    assert end["children"][-1] == name
    assert core.ask(f"{folder}?page={last + 1}").status == 404
    assert core.ask(f"{folder}?page=0").status == 404
    assert core.ask(f"{folder}?page=x").status == 404
    assert core.ask(f"{folder}?page=99999999999999999999999").status == 404
    for index in ((0, 0), (999_999, 999_999), (123_456, 7)):
        answer = core.ask(f"/huge/a/{keys.key(index)}")
        cells = np.frombuffer(answer.body, "<i8").reshape(1000, 1000)
        assert cells[5, 7] == (index[0] + index[1]) * 1000 + 12
    assert core.ask(f"/huge/a/{keys.key((1_000_000, 0))}").status == 404


@pytest.mark.parametrize(("zarr_format", "separator"), [(2, "."), (2, "/"), (3, "/"), (3, ".")])
def test_pages_together_are_all(tmp_path: Path, zarr_format: int, separator: str) -> None:
    write_group(tmp_path / "cube", zarr_format=zarr_format)
    write_array(
        tmp_path / "cube",
        "a",
        np.arange(2500),
        zarr_format=zarr_format,
        chunks=[1],
        separator=separator,
        fill=None if zarr_format == 2 else "default",
    )
    core = Core({"cube": tmp_path / "cube"})
    folder = "/cube/a/c/" if (zarr_format, separator) == (3, "/") else "/cube/a/"
    found, page, pages = [], 1, 1
    while page <= pages:
        answer = core.ask(f"{folder}?page={page}", headers={"accept": "application/json"}).json
        found += answer["children"]
        pages, page = answer["pages"], page + 1
    assert pages == 3
    assert set(found) == stored(tmp_path / "cube" / ("a/c" if folder.endswith("c/") else "a"))
    assert len(found) == len(set(found))
    html = core.ask(f"{folder}?page=2").body.decode()
    assert 'name="page" value="3"' in html
    assert not re.search(r"href=\"\?", html)


NOT_THERE = [
    "/nothing", "/nothing/", "/cube.v4/", "/cube.v2.v2/", "/favicon.ico", "//", "//cube/", "/cube/data//", "/cube/nothing", "/cube/nothing/",
    "/cube/data/c/9/0/0", "/cube/data/c/-1/0/0", "/cube/data/c/00/0/0", "/cube/data/c/+1/0/0", "/cube/data/c/0/0", "/cube/data/c/0/0/0/", "/cube/data/c/0/0/0/0", "/cube/data/c/0.0.0",
    "/cube/data/0.0.0", "/cube/data/c/\u0661/0/0", "/cube/data/c/\u00b2/0/0", "/cube/data/c/0/0/x", "/cube/data/c/9/", "/cube/data/c/0/0/9", "/cube/data/d/", "/cube/data/C/0/0/0",
    "/cube/data/c/1e0/0/0", "/cube/data/c/0x0/0/0", "/cube/data/c/ 0/0/0", "/cube/data/c/0 /0/0", f"/cube/data/c/{'9' * 5000}/0/0", f"/cube/data/c/{'9' * 5000}/", "/cube/data/.zarray", "/cube/.zgroup",
    "/cube/../cube/zarr.json", "/cube/./zarr.json", "/cube/data/../zarr.json", "/cube/data/c/../c/0/0/0", "/cube\\zarr.json", "/cube/data\\zarr.json", "/cube/zarr.json/", "/cube/zarr.json\0", "/cube/\0",
    "/etc/passwd", "/cube/../../../../../../etc/passwd", "/../etc/passwd", "/cube//etc/passwd", "/cube/data//c/0/0/0", "/C:/windows", "/cube/c:\\", "/.zapz/head", "/cube/.zapz/head", "/cube/.zapz/",
]  # fmt: skip


@pytest.mark.parametrize("path", NOT_THERE, ids=range(len(NOT_THERE)))
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_not_there(tmp_path: Path, path: str, method: str) -> None:
    make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4))
    core = Core({"cube": tmp_path / "cube"})
    answer = core.ask(path, method)
    assert answer.status == 404, path
    assert answer.headers["cache-control"] == "no-store"
    if method == "GET":
        assert answer.json["error"]["status"] == 404


def test_slashes(tmp_path: Path) -> None:
    make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4), nested=True)
    core = Core({"cube": tmp_path / "cube"})
    for path in ("/cube", "/cube.v2", "/cube/data", "/cube/deep", "/cube/deep/er"):
        answer = core.ask(f"{path}?x=1")
        assert (answer.status, answer.headers["location"]) == (308, f"{path}/?x=1"), path
    for path in ("/cube/data/c", "/cube/data/c/0", "/cube/data/c/9"):
        assert core.ask(path).status == 404, "a client could take the page for a chunk"


def test_a_slash_too_many(tmp_path: Path) -> None:
    """obstore joins an address that ends in a slash and a key so."""
    make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4))
    core = Core({"cube": tmp_path / "cube"})
    for key in ("zarr.json", "data/zarr.json", "data/c/0/0/0", "", "data/"):
        assert core.ask(f"/cube//{key}").body == core.ask(f"/cube/{key}").body
        assert core.ask(f"/cube//{key}").status == 200


def test_methods(tmp_path: Path) -> None:
    write_group(tmp_path / "cube", zarr_format=3)
    core = Core({"cube": tmp_path / "cube"})
    for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE", "get"):
        answer = core.ask("/cube/zarr.json", method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS"), method
    answer = core.ask("/cube/zarr.json", "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    "path", ["/", "/cube/", "/cube/zarr.json", "/cube/data/", "/cube/data/c/0/0/0", "/healthz", "/cube/data/c/9/9/9"]
)
def test_head_is_get_without_body(tmp_path: Path, path: str) -> None:
    make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4))
    core = Core({"cube": tmp_path / "cube"})
    core.ask(path)
    got, head = core.ask(path), core.ask(path, "HEAD")
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


def test_index(tmp_path: Path) -> None:
    make_slice(tmp_path / "b", zarr_format=3, chunks=(2, 3, 4), root_attrs={"title": "The <b> & title"})
    make_slice(tmp_path / "a", zarr_format=2, chunks=(2, 3, 4))
    core = Core({"b": tmp_path / "b", "a": tmp_path / "a"})
    assert links(core, "/") == ["a/", "b/"]
    html = core.ask("/").body.decode()
    assert "The &lt;b&gt; &amp; title" in html
    assert "2020-01-01 to 2020-01-03" in html
    card = core.ask("/", headers={"accept": "application/json"}).json["datasets"][1]
    assert (card["name"], card["dims"]["time"], card["zarr_format"]) == ("b", 3, 3)
    assert card["labels"]["time"] == ["2020-01-01T00:00:00", "2020-01-03T00:00:00"]
    (tmp_path / "a").rename(tmp_path / "gone")
    answer = core.ask("/", headers={"accept": "application/json"})
    assert answer.status == 200
    assert "error" in answer.json["datasets"][0]
    assert "error" not in answer.json["datasets"][1]


def test_pages_say_how_to_open(tmp_path: Path) -> None:
    make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4), nested=True)
    core = Core({"cube": tmp_path / "cube"})
    fields = {"host": "localhost:9999", "accept": "application/json"}
    assert core.ask("/cube/", headers=fields).json["open"][-1] == 'ds = xarray.open_zarr("http://localhost:9999/cube/")'
    assert (
        "zarr.open_array(&quot;http:<wbr>//localhost:9999/cube/data&quot;"
        in core.ask("/cube/data/", headers={"host": "localhost:9999"}).body.decode()
    )
    assert (
        "zarr.open_group(&quot;http:<wbr>//localhost:9999/cube.v2/deep&quot;"
        in core.ask("/cube.v2/deep/", headers={"host": "localhost:9999"}).body.decode()
    )
    facts = {each["path"]: each for each in core.ask("/cube/", headers=fields).json["variables"]}
    assert facts["data"]["shape"] == [3, 4, 6]
    assert facts["data"]["chunks"] == [2, 3, 4]
    assert facts["data"]["dims"] == ["time", "y", "x"]
    assert facts["deep/er/extra"]["dtype"] == "int16"


def test_names_are_escaped(tmp_path: Path) -> None:
    write_group(tmp_path / "cube", zarr_format=3, attrs={"x": "<script>alert(1)</script>"})
    for name in ("a b", "ü", "a&b", "a?b", "a#b", "<b>", "a%20b", '"q"', "+"):
        write_array(tmp_path / "cube", name, values_of((2,), "<i4"), zarr_format=3)
    core = Core({"cube": tmp_path / "cube"})
    html = core.ask("/cube/").body.decode()
    assert "<script>" not in html
    assert "<b>" not in html
    from html import unescape
    from urllib.parse import unquote

    found = {unquote(unescape(link)) for link in links(core, "/cube/")}
    assert found == {"a b/", "ü/", "a&b/", "a?b/", "a#b/", "<b>/", "a%20b/", '"q"/', "+/", "zarr.json"}
    for name in found - {"zarr.json", "a?b/"}:
        assert core.ask(f"/cube/{name}zarr.json").status == 200, name
    policy = core.ask("/cube/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
