"""What was asked before is answered without reading the request anew, as long as the answer is right."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit.cubes import make_slice
from kit.serving import Core

import zapz
from zapz.server import loading
from zapz.server.asgi_adapter import AsgiAdapter

CHUNK = "/cube/data/c/0/0/0"


class Asked:
    """An adapter, asked as by a server."""

    def __init__(self, core: Core) -> None:
        self.adapter = AsgiAdapter(core.application)
        self.anew = 0
        answer = core.application.answer

        def counted(*args: Any, **more: Any) -> Any:
            self.anew += 1
            return answer(*args, **more)

        core.application.answer = counted  # type: ignore[method-assign]

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        sent: list[dict[str, Any]] = []
        fields = [
            (b"host", b"localhost:1"),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ]
        where, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": where,
            "query_string": query.encode(),
            "headers": fields,
            "server": ("127.0.0.1", 1),
        }

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        asyncio.run(self.adapter(scope, receive, send))
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert len(found) == len(sent[0]["headers"])
        return sent[0]["status"], found, b"".join(message["body"] for message in sent[1:])

    def again(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask; the answer must come without reading the request anew."""
        before = self.anew
        found = self.ask(path, method, **headers)
        assert self.anew == before, path
        return found


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    make_slice(tmp_path / "first", zarr_format=3, chunks=(2, 4, 6), consolidated=True)
    zapz.append(tmp_path / "cube", tmp_path / "first", label_chunk="keep")
    return tmp_path / "cube"


@pytest.fixture
def asked(cube: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    monkeypatch.setattr(loading, "_YOUNG", 0.0)
    found = Asked(Core({"cube": cube}))
    yield found
    found.adapter.close()


def longer(cube: Path) -> None:
    make_slice(cube.with_name("second"), zarr_format=3, start=3, steps=2, chunks=(2, 4, 6))
    zapz.append(cube, cube.with_name("second"), label_chunk="keep")


def test_documents_are_sent_again_until_they_change(asked: Asked, cube: Path) -> None:
    paths = [
        "/cube/zarr.json",
        "/cube.v2/.zmetadata",
        "/cube/data/zarr.json",
        "/cube/.zgroup",
        "/cube/data/c/9/0/0",
    ]
    first = {path: asked.ask(path) for path in paths}
    for _ in range(3):
        assert {path: asked.again(path) for path in paths} == first
    longer(cube)
    second = {path: asked.ask(path) for path in paths}
    assert {path for path in paths if second[path] != first[path]} == {
        "/cube/zarr.json",
        "/cube.v2/.zmetadata",
        "/cube/data/zarr.json",
    }
    assert {path: asked.again(path) for path in paths} == second


def test_chunks_are_read_again(asked: Asked, cube: Path) -> None:
    first = asked.ask(CHUNK)
    assert asked.again(CHUNK) == first
    file = cube / "data" / "c" / "0" / "0" / "0"
    file.with_suffix(".new").write_bytes(first[2][::-1])
    file.with_suffix(".new").replace(file)
    status, headers, body = asked.again(CHUNK)
    assert (status, body) == (200, first[2][::-1])
    assert headers["etag"] != first[1]["etag"]
    assert headers.keys() == first[1].keys()


@pytest.mark.parametrize(
    "kind", ["gone", "link", "folder", "linked folder", "dataset gone", "large", "another dataset"]
)
def test_a_chunk_that_is_not_there_any_more(asked: Asked, cube: Path, kind: str, tmp_path: Path) -> None:
    asked.ask(CHUNK)
    asked.again(CHUNK)
    file = cube / "data" / "c" / "0" / "0" / "0"
    (tmp_path / "canary").write_bytes(b"canary")
    if kind == "linked folder":
        shutil.copytree(file.parent, tmp_path / "outside")
        (tmp_path / "outside" / "0").write_bytes(b"canary")
        shutil.rmtree(file.parent)
        file.parent.symlink_to(tmp_path / "outside")
    elif kind == "dataset gone":
        cube.rename(tmp_path / "away")
    elif kind == "another dataset":
        zapz.append(cube, tmp_path / "first", force_new=True, label_chunk="keep")
    else:
        file.unlink()
        if kind == "link":
            file.symlink_to(tmp_path / "canary")
        elif kind == "folder":
            file.mkdir()
        elif kind == "large":
            file.write_bytes(bytes(2 << 20))
    status, _, body = asked.ask(CHUNK)
    assert b"canary" not in body
    assert status in {"gone": {404}, "large": {200}, "another dataset": {200}}.get(kind, {500, 501, 502, 503})
    assert kind != "large" or len(body) == 2 << 20


def test_other_requests_are_read_anew(asked: Asked) -> None:
    for path in ("/cube/zarr.json", CHUNK):
        whole = asked.ask(path)
        asked.again(path)
        asked.again(path, user_agent="x", accept="*/*", accept_encoding="gzip")
        before = asked.anew
        assert asked.ask(path, range="bytes=0-3")[2] == whole[2][:4]
        assert asked.ask(path, if_none_match=whole[1]["etag"])[0] == 304
        assert asked.ask(path, "HEAD")[2] == b""
        assert asked.ask(f"{path}?x=1")[2] == whole[2]
        assert asked.ask(path, unknown="1")[2] == whole[2]
        assert asked.anew - before >= 5
        assert asked.again(path) == whole


def test_a_missing_chunk_is_looked_for_each_time(asked: Asked, cube: Path) -> None:
    file = cube / "data" / "c" / "1" / "0" / "0"
    data = file.read_bytes()
    file.unlink()
    path = "/cube/data/c/1/0/0"
    assert [asked.ask(path)[0] for _ in range(3)] == [404, 404, 404]
    file.write_bytes(data)
    assert asked.ask(path)[2] == data


def test_what_is_sent_again_is_counted(cube: Path) -> None:
    core = Core({"cube": cube})
    asked = Asked(core)
    for _ in range(5):
        size = len(asked.ask("/cube/zarr.json")[2])
        asked.ask("/cube/.zgroup")
        chunk = len(asked.ask(CHUNK)[2])
    text = core.ask("/metrics").body.decode()
    assert 'zapz_requests_total{dataset="cube",kind="metadata",status="200"} 5' in text
    assert 'zapz_requests_total{dataset="cube",kind="metadata",status="404"} 5' in text
    assert 'zapz_requests_total{dataset="cube",kind="chunk",status="200"} 5' in text
    sent = next(
        int(line.split()[-1]) for line in text.splitlines() if line.startswith('zapz_sent_bytes_total{dataset="cube"}')
    )
    assert sent >= 5 * (size + chunk)
    asked.adapter.close()


def test_what_is_remembered_is_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    from zapz.server import repeats

    monkeypatch.setattr(repeats, "_MOST", 10)
    for number in range(50):
        asked.ask(f"/cube/nothing{number}")
        assert len(asked.adapter._repeats._known) <= 10
    assert asked.ask("/cube/zarr.json")[0] == 200
