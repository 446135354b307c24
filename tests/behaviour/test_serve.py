"""``zapz serve`` as its users meet it: one process or several, growing cubes, a configuration that changes, tokens, web pages."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.zapz_server import SOURCE, Answered, serving

import zapz

SERVERS = [[], ["--stdlib"]]


def eventually(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.05)


def make_cube(folder: Path, name: str = "cube.zarr", **options: object) -> Path:
    cubes.make_slice(folder / "first", zarr_format=3, chunks=(1, 4, 6), consolidated=True, **options)  # type: ignore[arg-type]
    zapz.append(folder / name, folder / "first", label_chunk="keep")
    return folder / name


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_served_and_appended_to(tmp_path: Path, options: list[str]) -> None:
    import xarray

    cube = make_cube(tmp_path)
    cubes.make_slice(tmp_path / "second", zarr_format=3, start=3, steps=2, chunks=(1, 4, 6))
    with serving(*options, cube) as server:
        assert server.lines[-2:] == [f"Serving cube at {server.url}cube/", "Press Ctrl-C to stop."]
        with cubes.quiet(), xarray.open_zarr(f"{server.url}cube", chunks=None) as data:
            assert data.sizes["time"] == 3
        done = subprocess.run(
            [sys.executable, "-m", "zapz", "append", cube, tmp_path / "second"],
            env={**os.environ, "PYTHONPATH": SOURCE},
            capture_output=True,
            check=True,
        )
        assert done.returncode == 0
        with cubes.quiet(), xarray.open_zarr(f"{server.url}cube", chunks=None) as data:
            assert data.sizes["time"] == 5
            np.testing.assert_array_equal(data["data"].values, cubes.read(cube)["data"])
        assert server.stop() in {0, 143}
        assert server.said == []


@pytest.mark.parametrize("options", SERVERS, ids=str)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_replies_end(tmp_path: Path, options: list[str], number: int) -> None:
    (tmp_path / "slow_arrays.py").write_text(
        "import time, numpy as np\n"
        "class Slow:\n"
        "    shape, dtype, chunks = (4,), np.dtype('i4'), (4,)\n"
        "    def __getitem__(self, index):\n"
        "        open('begun', 'w').close(); time.sleep(1.5); return np.arange(4, dtype='i4')[index]\n"
        "def make(): return {'a': (('x',), Slow())}\n"
    )
    with serving(*options, "slow=slow_arrays:make", folder=tmp_path) as server:
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(server.get("/slow/a/c/0").status))
        thread.start()
        eventually((tmp_path / "begun").exists)
        began = time.monotonic()
        server.stop(number)
        thread.join()
        assert answers == [200]
        assert time.monotonic() - began < 15


def test_several_workers_share_states(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    cube = make_cube(tmp_path)
    cubes.make_slice(tmp_path / "second", zarr_format=3, start=3, steps=2, chunks=(1, 4, 6))
    with serving("--workers", "3", cube) as server:
        before = server.get("/cube/zarr.json")
        for _ in range(20):
            assert server.get("/cube/zarr.json").headers["zapz-generation"] == before.headers["zapz-generation"]
        zapz.append(cube, tmp_path / "second")
        pinned = f"/cube@{before.headers['zapz-generation']}"
        for _ in range(30):
            assert server.get("/cube/zarr.json").json["consolidated_metadata"]["metadata"]["time"]["shape"] == [5]
            old = server.get(f"{pinned}/zarr.json")
            assert (old.status, old.body) == (200, before.body)
            assert server.get(f"{pinned}/data/c/0/0/0").status == 200


def test_links_are_followed_if_that_is_set(tmp_path: Path) -> None:
    cube = make_cube(tmp_path)
    chunk = cube / "data" / "c" / "0" / "0" / "0"
    data = chunk.read_bytes()
    chunk.rename(tmp_path / "elsewhere")
    chunk.symlink_to(tmp_path / "elsewhere")
    with serving(cube) as server:
        assert server.get("/cube/data/c/0/0/0").status == 501
        eventually(lambda: any("a link in the dataset is not followed" in line for line in server.said))
        assert any("follow_links=True" in line for line in server.said)
    with serving("-s", "follow_links=true", cube) as server:
        assert server.get("/cube/data/c/0/0/0").body == data


FACTORY = """
import numpy as np

def initialise():
    import xarray
    return {
        "numbers": xarray.Dataset({"a": ("x", np.arange(5))}),
        "line": {"b": (("y",), np.arange(3.0))},
    }

def one():
    return np.arange(6).reshape(2, 3)

def broken():
    raise RuntimeError("no data")
"""


def test_factories(tmp_path: Path) -> None:
    (tmp_path / "my_data.py").write_text(FACTORY)
    with serving("my_data:initialise", "grid=my_data:one", folder=tmp_path) as server:
        index = server.get("/", headers={"Accept": "application/json"}).json["datasets"]
        assert [card["name"] for card in index] == ["grid", "line", "numbers"]
        import zarr

        assert zarr.open_group(f"{server.url}numbers", mode="r")["a"][...].tolist() == [0, 1, 2, 3, 4]
        assert zarr.open_group(f"{server.url}grid.v2", mode="r")["data"][...].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing.zarr"], 6, "no such dataset"),
        (["x=my_data:broken"], 2, "RuntimeError: no data"),
        (["x=my_data:nothing"], 2, "nothing"),
        (["--host", "0.0.0.0", "x=my_data:one"], 2, "--token-file"),
        (["--workers", "2", "--stdlib", "x=my_data:one"], 2, "one process"),
        (["my_data:initialise", "line=my_data:one"], 2, "same name"),
    ],
)
def test_what_does_not_start(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    (tmp_path / "my_data.py").write_text(FACTORY)
    command = [sys.executable, "-m", "zapz", "serve", "--port", "0", *arguments]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_configuration_is_followed(tmp_path: Path) -> None:
    make_cube(tmp_path, "a.zarr")
    make_cube(tmp_path / "deeper", "b.zarr")
    config = tmp_path / "serve.toml"

    def write(**datasets: Path | str) -> None:
        lines = [
            f"[serve.datasets.{name}]\nplace = {json.dumps(str(place))}\ntitle = {json.dumps(name.upper())}\n"
            for name, place in datasets.items()
        ]
        config.with_suffix(".new").write_text("\n".join(lines))
        config.with_suffix(".new").replace(config)

    write(a=tmp_path / "a.zarr")
    with serving("-c", config) as server:

        def names() -> dict[str, str]:
            return {
                card["name"]: card["title"]
                for card in server.get("/", headers={"Accept": "application/json"}).json["datasets"]
            }

        assert names() == {"a": "A"}
        state = server.get("/a/zarr.json").headers["zapz-generation"]
        write(a=tmp_path / "a.zarr", b=tmp_path / "deeper" / "b.zarr")
        eventually(lambda: names() == {"a": "A", "b": "B"})
        assert server.get(f"/a@{state}/zarr.json").status == 200
        assert server.get("/b/zarr.json").status == 200
        config.write_text("[serve\n")
        eventually(lambda: any("stay as they are" in line for line in server.said))
        assert names() == {"a": "A", "b": "B"}
        write(b=tmp_path / "deeper" / "b.zarr")
        eventually(lambda: names() == {"b": "B"})
        assert server.get("/a/zarr.json").status == 404
        write(b=tmp_path / "deeper" / "b.zarr", c=tmp_path / "missing.zarr")
        eventually(lambda: any("missing.zarr" in line for line in server.said))
        assert names() == {"b": "B"}


def test_tokens(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("sesame-open-1\n# a comment\nanother-token-2\n")
    tokens.chmod(0o600)
    with serving("--token-file", tokens, "--log", make_cube(tmp_path)) as server:
        for path in ("/", "/cube/", "/cube/zarr.json", "/cube/data/c/0/0/0", "/metrics", "/nothing"):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic sesame-open-1"}):
                answer = server.get(path, headers=headers)
                assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
        for token in ("sesame-open-1", "another-token-2"):
            assert server.get("/cube/zarr.json", headers={"Authorization": f"Bearer {token}"}).status == 200
        assert server.get("/cube/zarr.json").status == 401, "an answer to one client is not given to others"
        assert server.get("/healthz").status == 200
        assert server.get("/cube/zarr.json?token=sesame-open-1").status == 401
        assert not [line for line in (*server.lines, *server.said) if "sesame" in line or "another-token" in line]
        eventually(lambda: any(line.startswith("GET /cube/zarr.json 200 ") for line in server.lines))


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_web_pages(tmp_path: Path, options: list[str]) -> None:
    cube = make_cube(tmp_path)
    (cube / "data" / "c" / "2" / "0" / "0").unlink()
    with serving(*options, "--cors", "https://maps.example", cube) as server:
        paths = {
            "/cube/zarr.json": 200,
            "/cube/data/c/0/0/0": 200,
            "/cube/data/c/2/0/0": 404,
            "/cube/data/c/9/0/0": 404,
            "/nothing": 404,
            "/": 200,
            "/cube": 308,
        }
        for path, status in paths.items():
            for _ in range(2):
                answer = server.get(path, headers={"Origin": "https://maps.example"})
                assert (answer.status, answer.headers["access-control-allow-origin"]) == (
                    status,
                    "https://maps.example",
                ), path
                assert "Content-Range" in answer.headers["access-control-expose-headers"]
                for origin in ({"Origin": "https://other.example"}, {}):
                    assert "access-control-allow-origin" not in server.get(path, headers=origin).headers, path
        origin = {"Origin": "https://maps.example"}
        tag = server.get("/cube/zarr.json", headers=origin).headers["etag"]
        for headers, status in (
            ({"If-None-Match": tag}, 304),
            ({"Range": "bytes=0-3"}, 206),
            ({"Range": "bytes=999999-"}, 416),
            ({"Host": "evil.example"}, 421),
        ):
            answer = server.get("/cube/zarr.json", headers={**origin, **headers})
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "https://maps.example")
        before = server.get(
            "/cube/zarr.json",
            "OPTIONS",
            {**origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"},
        )
        assert before.status == 204
        assert "Range" in before.headers["access-control-allow-headers"]
        assert "GET" in before.headers["access-control-allow-methods"]
        cube.rename(tmp_path / "away")
        answer = server.get("/cube/data/c/0/0/0", headers=origin)
        assert (answer.status // 100, answer.headers["access-control-allow-origin"]) == (5, "https://maps.example")
    with serving(*options, tmp_path / "away") as server:
        assert "access-control-allow-origin" not in server.get("/away/zarr.json", headers=origin).headers


def test_metrics(tmp_path: Path) -> None:
    with serving(make_cube(tmp_path)) as server:
        for _ in range(5):
            server.get("/cube/zarr.json")
            server.get("/cube/.zmetadata")
            server.get("/cube/data/c/0/0/0")
        text = server.get("/metrics").body.decode()
        assert 'zapz_requests_total{dataset="cube",kind="metadata",status="200"} 5' in text
        assert 'zapz_requests_total{dataset="cube",kind="metadata",status="404"} 5' in text
        assert 'zapz_requests_total{dataset="cube",kind="chunk",status="200"} 5' in text
        assert 'zapz_generations_total{dataset="cube",event="published"} 1' in text


def test_mounted_in_another_application(tmp_path: Path) -> None:
    applications = pytest.importorskip("starlette.applications", reason="starlette is not installed")
    from starlette.routing import Mount

    from zapz.server import asgi

    cube = make_cube(tmp_path)
    app = applications.Starlette(
        routes=[Mount("/data", asgi({"cube": cube, "numbers": {"a": (("x",), np.arange(3))}}))]
    )
    for _ in range(2):
        answer = called(app, "/data/cube/zarr.json")
        assert answer.status == 200
        assert answer.headers["link"].startswith("</data/cube@")
        assert called(app, "/data/cube").headers["location"] == "/data/cube/"
        assert called(app, "/data/numbers/a/c/0").status == 200
        assert called(app, "/data/").status == 200
        assert called(app, "/cube/zarr.json").status == 404
        assert b"http:<wbr>//testserver/data/cube/" in called(app, "/data/cube/").body


def test_one_text_is_one_token_origin_or_host(tmp_path: Path) -> None:
    """A text is a collection of its characters, of which none must become a token."""
    from zapz.server import asgi

    page = "https://maps.example.org"
    app = asgi({"cube": make_cube(tmp_path)}, tokens="secret", origins=page, hosts="testserver")
    statuses = [called(app, "/cube/zarr.json", Authorization=f"Bearer {token}").status for token in ("secret", "s", "")]
    assert statuses == [200, 401, 401]
    answer = called(app, "/cube/zarr.json", Authorization="Bearer secret", Origin=page)
    assert answer.headers["access-control-allow-origin"] == page
    assert called(asgi({}, hosts="other"), "/").status == 421


@pytest.mark.parametrize("name", [1, "", "a/b", "metrics"])
def test_names_that_cannot_be_in_a_url(name: Any) -> None:
    from zapz.server import asgi

    with pytest.raises(zapz.ConfigError, match="invalid name of a served dataset, datasets"):
        asgi({name: {"a": (("x",), np.arange(3))}})


def called(app: Any, path: str, **fields: str) -> Answered:
    """Call an ASGI application."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"testserver"), *((k.lower().encode(), v.encode()) for k, v in fields.items())],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
