"""``zapz serve`` behind nginx, with the configuration that ``docs/behind-nginx.md`` shows."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kit import cubes
from kit.nginx import NAME, Nginx, nginx, program, shown
from kit.servers import Missing, tool
from kit.zapz_server import SOURCE, Running, serving

import zapz

CHUNK = "/cube/data/c/0/0/0"
TCP = Path("/proc/net/tcp")
READ = """
import sys, zarr
group = zarr.open_group(sys.argv[1], mode="r")
print(group["time"].shape[0], group["data"].shape[0], float(group["data"][...].sum()))
"""
"""What a client does, in a process of its own: it must trust the certificate."""


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    try:
        program(), tool("openssl")
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two slices, and a sharded cube of the first: clients read it by ranges."""
    folder = tmp_path_factory.mktemp("cube")
    for start in (0, 3):
        cubes.make_slice(
            folder / f"from{start}", zarr_format=3, start=start, chunks=(1, 2, 2), shards=(3, 4, 4), consolidated=True
        )
    zapz.append(folder / "cube.zarr", folder / "from0")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    with serving("--allowed-host", NAME, place / "cube.zarr") as running:
        yield running


@pytest.fixture(scope="module")
def front(server: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx"), server) as running:
        yield running


def test_what_passes_through(front: Nginx, server: Running) -> None:
    for path in ("/", "/cube/", "/cube/zarr.json", CHUNK, "/cube/data/c/9/9/9", "/healthz"):
        own = server.get(path, headers={"Host": NAME})
        for encoding in ("identity", "gzip"):
            found = front.get(path, Accept_Encoding=encoding)
            assert (found.status, found.body) == (own.status, own.body), path
            for name in ("content-length", "content-type", "etag", "cache-control", "zapz-generation", "link", "vary"):
                assert found.headers.get(name) == own.headers.get(name), (path, name)
            assert not {"transfer-encoding", "content-encoding"} & found.headers.keys()
        head = front.get(path, "HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (own.status, b"", str(len(own.body)))


def test_ranges_and_tags(front: Nginx) -> None:
    whole = front.get(CHUNK)
    size, tag = len(whole.body), whole.headers["etag"]
    for words, (start, stop) in {"3-9": (3, 10), "-16": (size - 16, size), "5-": (5, size)}.items():
        part = front.get(CHUNK, Range=f"bytes={words}")
        assert (part.status, part.body) == (206, whole.body[start:stop])
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert part.headers["etag"] == tag
    assert front.get(CHUNK, Range=f"bytes={size}-").status == 416
    for path in (CHUNK, "/cube/zarr.json"):
        again = front.get(path, If_None_Match=front.get(path).headers["etag"])
        assert (again.status, again.body) == (304, b"")


def read(front: Nginx, path: str) -> list[float]:
    """Return what zarr-python finds."""
    trusting = {**os.environ, "SSL_CERT_FILE": str(front.certificate)}
    done = subprocess.run(
        [sys.executable, "-c", READ, f"{front.url}{path}"], env=trusting, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(word) for word in done.stdout.split()]


def event(reply: http.client.HTTPResponse) -> Any:
    lines = []
    while line := reply.readline().decode().rstrip("\n"):
        lines.append(line)
    return json.loads(lines[1].removeprefix("data: "))


def test_a_growing_cube(front: Nginx, place: Path) -> None:
    total = [float(cubes.read(place / f"from{start}")["data"].sum()) for start in (0, 3)]
    assert read(front, "cube") == pytest.approx([3, 3, total[0]])
    with front.open("/cube/events") as events:
        first = event(events)
        assert first["dims"]["time"] == 3
        subprocess.run(
            [sys.executable, "-m", "zapz", "append", place / "cube.zarr", place / "from3"],
            env={**os.environ, "PYTHONPATH": SOURCE},
            capture_output=True,
            check=True,
        )
        assert front.get("/cube/zarr.json").json["consolidated_metadata"]["metadata"]["time"]["shape"] == [6]
        began = time.monotonic()
        assert event(events)["dims"]["time"] == 6
        assert time.monotonic() - began < 10, "nginx keeps events back"
    assert read(front, "cube") == pytest.approx([6, 6, sum(total)])
    assert read(front, f"cube@{first['generation']}") == pytest.approx([3, 3, total[0]])


def test_who_may_read(front: Nginx, server: Running) -> None:
    assert front.get("/cube/zarr.json", Host="localhost").status == 200
    assert front.get("/cube/zarr.json", Host="evil.example").status == 421
    assert front.get("/metrics").status == 403
    assert server.get("/metrics").status == 200
    plain = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=60)
    plain.request("GET", "/cube/", headers={"Host": NAME})
    reply = plain.getresponse()
    assert (reply.status, reply.getheader("Location")) == (301, f"https://{NAME}/cube/")
    plain.close()


def test_without_zapz_it_is_an_error(place: Path, tmp_path: Path) -> None:
    with serving(place / "cube.zarr") as server, nginx(tmp_path, server) as front:
        assert front.get(CHUNK, Host="localhost").status == 200
        server.stop()
        assert front.get(CHUNK, Host="localhost").status == 502


def waiting(port: int) -> int:
    """Return the number of connections with a port that one side has closed in the last minute; 0 where that cannot be known."""
    lines = [line.split() for line in TCP.read_text().splitlines()[1:]] if TCP.exists() else []
    return sum(any(end.endswith(f":{port:04X}") for end in line[1:3]) and line[3] == "06" for line in lines)


LINES = {
    "        proxy_set_header Host $host;": "host",
    "        gzip off;": "length",
    "    keepalive 32;": "connections",
    '        proxy_set_header Connection "";': "connections",
    "        proxy_http_version 1.1;": "connections",
    "        deny all;": "metrics",
}
"""Lines of the configuration, and what is lost without them."""


@pytest.mark.parametrize("without", ["", *LINES])
def test_what_lines_are_for(without: str, server: Running, tmp_path: Path) -> None:
    if not TCP.exists() and LINES.get(without) == "connections":
        pytest.skip("only Linux tells about connections")
    port = urlsplit(server.url).port
    assert port is not None
    with nginx(tmp_path, server, without=without) as front:
        lost = []
        before = waiting(port)
        for _ in range(5):
            reply = front.get("/cube/zarr.json", Accept_Encoding="gzip")
        lost += ["connections"] if waiting(port) - before >= 4 else []
        lost += ["host"] if reply.status == 421 else []
        lost += ["length"] if "content-length" not in reply.headers else []
        lost += ["metrics"] if front.get("/metrics").status != 403 else []
    assert lost == ([LINES[without]] if without else [])
    assert not without or without in shown()
