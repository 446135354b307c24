"""What clients of Zarr over HTTP read from ``zapz serve`` is what they read from the files."""

from __future__ import annotations

import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.http_clients import CLIENTS, assert_same, everything, members
from kit.zapz_server import Running, serving

FACTORY = """
import numpy as np

DTYPES = ["?", "<i1", "<i2", ">i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f2", "<f4", ">f8", "<c8", "<c16"]
SHAPES = {"scalar": (), "line": (7,), "plane": (5, 7), "empty": (0, 3)}


def values(dtype, shape):
    cells = np.arange(int(np.prod(shape, dtype=int))).reshape(shape)
    return (cells % 2 == 0) if dtype == "?" else cells.astype(dtype)


def arrays():
    found = {}
    for dtype in DTYPES:
        for name, shape in SHAPES.items():
            found[f"{name}-{np.dtype(dtype).kind}{np.dtype(dtype).itemsize}{'big' if dtype[0] == '>' else ''}"] = (
                tuple(f"{name}{i}" for i in range(len(shape))), values(dtype, shape), {}, {"chunks": [3] * len(shape)}
            )
    return found


def main():
    return {"matrix": arrays(), "text": {"t": (("x",), np.array(["a", "bc", "\\u00e9"], dtype=object))}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for zarr_format in (2, 3):
        for consolidated in (False, True):
            cubes.make_slice(
                folder / f"cube{zarr_format}{'c' if consolidated else ''}",
                zarr_format=zarr_format,
                chunks=(2, 3, 4),
                nested=True,
                consolidated=consolidated,
            )
    cubes.make_slice(folder / "sharded", zarr_format=3, chunks=(1, 2, 2), shards=(2, 4, 4), consolidated=True)
    (folder / "many_arrays.py").write_text(FACTORY)
    return folder


STORES = ["cube2", "cube2c", "cube3", "cube3c", "sharded"]


@pytest.fixture(scope="module", params=["uvicorn", "stdlib"])
def server(request: pytest.FixtureRequest, place: Path) -> Iterator[Running]:
    options = ["--stdlib"] if request.param == "stdlib" else []
    with serving(*options, *STORES, "many_arrays:main", folder=place) as running:
        yield running


@pytest.mark.parametrize("store", STORES)
def test_all_clients_read_what_is_stored(server: Running, place: Path, store: str) -> None:
    expected = cubes.read(place / store)
    paths = list(expected)
    own = 2 if "2" in store else 3
    for suffix, formats, but in (("", [None], ["tensorstore"]), ("", [own], []), (".v2", [2], []), (".v3", [3], [])):
        found = everything(
            f"{server.url}{store}{suffix}", paths, formats, but
        )  # older versions of tensorstore do not find the format
        assert len(found) == len(CLIENTS) - len(but)
        for who, arrays in found.items():
            assert_same(arrays, expected, (who, store, suffix))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("consolidated", [None, False])
def test_members(server: Running, place: Path, store: str, consolidated: bool | None) -> None:
    import zarr

    with cubes.quiet():
        expected = {
            path: type(each).__name__.lower()
            for path, each in zarr.open_group(place / store, mode="r").members(max_depth=None)
        }
    for suffix in ("", ".v2", ".v3"):
        assert members(f"{server.url}{store}{suffix}", consolidated=consolidated) == expected


def test_parts_of_shards(server: Running, place: Path) -> None:
    expected = cubes.read(place / "sharded")["data"]
    part = (slice(1, 2), slice(0, 2), slice(2, 4))
    for client, read in CLIENTS.items():
        found = read(f"{server.url}sharded", {"data": part}, 3)
        np.testing.assert_array_equal(found["data"], expected[part], err_msg=client)


def test_every_dtype(server: Running, place: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(FACTORY, "many_arrays", "exec"), names)  # the module that the server imports
    expected = {name: entry[1] for name, entry in names["arrays"]().items()}
    assert len(expected) == 56
    for suffix, zarr_format in (("", 3), (".v2", 2)):
        for client, read in CLIENTS.items():
            wanted = {n: v for n, v in expected.items() if not (client == "tensorstore" and v.size == 0)}
            assert_same(read(f"{server.url}matrix{suffix}", list(wanted), zarr_format), wanted, (client, suffix))
    text = CLIENTS["fsspec"](f"{server.url}text", ["t"])["t"]
    assert text.tolist() == ["a", "bc", "é"]


def raw(server: Running, text: bytes, patience: float = 20) -> bytes:
    """Send bytes; return all that comes back until the server closes the connection."""
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=patience) as connection:
        connection.sendall(text)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


WHOLE = (
    b"GET /cube3c/data/c/0/0/0 HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip, br\r\nConnection: close\r\n\r\n"
)


def test_what_is_on_the_wire(server: Running, place: Path) -> None:
    data = (place / "cube3c" / "data" / "c" / "0" / "0" / "0").read_bytes()
    head, _, body = raw(server, WHOLE).partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 200 ok"
    assert f"content-length: {len(data)}" in lines
    assert not [line for line in lines if line.startswith(("transfer-encoding", "content-encoding"))]
    assert body == data
    head, _, body = raw(server, WHOLE.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
    assert f"content-length: {len(data)}" in head.decode().lower().split("\r\n")
    assert body == b""


TRAVERSALS = [
    "..%2f..%2fcanary", "%2e%2e/%2e%2e/canary", "../../canary", "..\\..\\canary", "%2e%2e%5c..%5ccanary", "%00canary", "canary%00.zarr", "/etc/passwd", "%2fetc%2fpasswd", "cube3/../canary",
    "cube3/%2e%2e/canary", "cube3/..%2fcanary", "cube3/data/..%2f..%2f..%2fcanary", "cube3//canary", "cube3/%2e/zarr.json", "cube3/canary", "cube3/data/canary", "C:%5ccanary", "file:///canary",
    "cube3/.zapz/head", "cube3/%2ezapz/head", "cube3/.zapz%2fhead", "cube3/data/c/0/0/0%2f..%2f..%2f..%2f..%2fcanary", "cube3/%252e%252e/canary", "%c0%ae%c0%ae/canary", "cube3/..;/canary", "?../canary",
    "cube3/data/c/%2e%2e/%2e%2e/canary", "cube3@../canary", "cube3@%2e%2e%2fcanary/", "cube3.v2/../../canary", "\u2025/canary".encode().hex(),
]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_traversal(server: Running, place: Path, path: str) -> None:
    for folder in (place.parent, place, place / "cube3", place / "cube3" / "data", place / "cube3" / ".zapz"):
        folder.mkdir(exist_ok=True)
        (folder / "canary").write_text("the-canary")
    (place / "cube3" / ".zapz" / "head").write_text("the-canary")
    answer = raw(server, f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b"the-canary" not in answer
    assert b"root:" not in answer
    status = int(answer.split(b" ")[1])
    assert status in ({200} if path.startswith("?") else {410, 404} if "@" in path else {404, 400}), answer[:200]


ABUSES = {
    "no version": b"GET /\r\n\r\n",
    "rubbish": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "long line": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "long header": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "
    + b"a" * 1_000_000
    + b"\r\nConnection: close\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    + b"X: 1\r\n" * 20_000
    + b"\r\n",
    "two lengths": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    "smuggling": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "body": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    "folded": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", ABUSES)
def test_header_abuse(server: Running, name: str) -> None:
    try:
        answer = raw(server, ABUSES[name], 5)
    except (ConnectionError, TimeoutError):  # what is no whole request waits until it is cut off
        answer = b""
    assert b"Traceback" not in answer
    assert not answer or int(answer.split(b" ")[1]) < 500 or b"501" in answer[:20]
    assert server.get("/healthz").status == 200
    assert not any("Traceback" in line for line in server.said)


def test_hosts(server: Running) -> None:
    for host, status in (
        ("localhost", 200),
        ("127.0.0.1:1", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("169.254.169.254", 421),
    ):
        answer = raw(server, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert int(answer.split(b" ")[1]) == status, host
