"""Ranges, conditions, HEAD, access and limits: what HTTP says, without a socket."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from zapz.errors import ChunkError
from zapz.server.access import Access, host_of
from zapz.server.content import PIECE, MemoryContent, etag_of, reply_with
from zapz.server.limits import BusyError, Limit
from zapz.server.messages import HttpReply, HttpRequest
from zapz.server.ranges import part_of

SIZE = 100

RANGES: dict[str, Any] = {
    "bytes=0-0": (0, 1),
    "bytes=5-": (5, 100),
    "bytes=0-99": (0, 100),
    "bytes=0-1000": (0, 100),
    "bytes=99-": (99, 100),
    "bytes=-1": (99, 100),
    "bytes=-100": (0, 100),
    "bytes=-1000": (0, 100),
    " BYTES=1-2 ": (1, 3),
    "bytes=100-": False,
    "bytes=1000-2000": False,
    "bytes=-0": False,
    "bytes=5-3": False,
    "bytes=+0-1": False,
    "bytes=0x1-2": False,
    "bytes=-": False,
    "bytes=": False,
    "bytes=a-b": False,
    "bytes=\u0661-2": False,
    "bytes=99999999999999999999999-": False,
    "bytes=0-1,5-6": None,
    "items=0-1": None,
    "0-1": None,
    "": None,
}


@pytest.mark.parametrize("text", RANGES)
def test_range(text: str) -> None:
    assert part_of(text, SIZE) == RANGES[text]
    assert type(part_of(text, SIZE)) is not bool or part_of(text, SIZE) is False


def test_no_range_of_nothing() -> None:
    assert part_of("bytes=0-", 0) is False
    assert part_of("bytes=-5", 0) is False
    assert part_of(None, 0) is None


def ask(method: str = "GET", **headers: str) -> HttpRequest:
    return HttpRequest(
        method=method, path="/x", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


class Counted(MemoryContent):
    """Content that counts what is read, and whether it was closed."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        super().__init__(data)
        self.size = len(data) if size is None else size
        self.reads = 0
        self.closed = 0

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return self._data[offset : offset + length]

    def close(self) -> None:
        self.closed += 1


def fields(reply: HttpReply) -> dict[str, str]:
    assert len(dict(reply.headers)) == len(reply.headers)
    return dict(reply.headers)


DATA = bytes(range(SIZE))


def test_whole() -> None:
    content = Counted(DATA)
    reply = reply_with(ask(), content, '"t"', [("Cache-Control", "no-cache")])
    assert (reply.status, reply.body) == (200, DATA)
    assert fields(reply)["Content-Length"] == "100"
    assert fields(reply)["ETag"] == '"t"'
    assert fields(reply)["Accept-Ranges"] == "bytes"
    assert content.closed == 1


def test_part() -> None:
    reply = reply_with(ask(range="bytes=-10"), Counted(DATA), "", [])
    assert (reply.status, reply.body) == (206, DATA[-10:])
    assert fields(reply)["Content-Range"] == "bytes 90-99/100"
    assert fields(reply)["Content-Length"] == "10"
    assert "ETag" not in fields(reply)


def test_outside() -> None:
    content = Counted(DATA)
    reply = reply_with(ask(range="bytes=100-"), content, '"t"', [])
    assert (reply.status, reply.body, content.reads, content.closed) == (416, b"", 0, 1)
    assert fields(reply)["Content-Range"] == "bytes */100"
    assert fields(reply)["Content-Length"] == "0"


@pytest.mark.parametrize("size", [0, 5, PIECE, PIECE + 1])
def test_head_is_get_without_body(size: int) -> None:
    data = bytes(size)
    got, head = Counted(data), Counted(data)
    whole, bare = reply_with(ask(), got, '"t"', []), reply_with(ask("HEAD", range="bytes=0-1"), head, '"t"', [])
    assert (bare.status, bare.headers, bare.body) == (200, whole.headers, b"")
    assert (head.reads, head.closed) == (0, 1)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"if_none_match": '"t"'}, 304),
        ({"if_none_match": 'W/"t"'}, 304),
        ({"if_none_match": '"a", "t"'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"a"'}, 200),
        ({"if_match": '"t"'}, 200),
        ({"if_match": '"a"'}, 412),
        ({"if_match": 'W/"t"'}, 412),
        ({"if_match": "*"}, 200),
        ({"range": "bytes=0-1", "if_range": '"t"'}, 206),
        ({"range": "bytes=0-1", "if_range": '"a"'}, 200),
        ({"range": "bytes=0-1", "if_range": 'W/"t"'}, 200),
        ({"range": "bytes=500-", "if_none_match": '"t"'}, 304),
    ],
)
def test_conditions(given: dict[str, str], status: int) -> None:
    content = Counted(DATA)
    reply = reply_with(ask(**given), content, '"t"', [])
    assert reply.status == status
    assert content.closed == 1
    assert fields(reply)["ETag"] == '"t"'
    if status in {304, 412}:
        assert (content.reads, reply.body) == (0, b"")


def test_large_body_comes_in_pieces() -> None:
    data = bytes(range(256)) * (PIECE // 64)
    content = Counted(data)
    reply = reply_with(ask(range="bytes=7-"), content, "", [])
    assert not isinstance(reply.body, bytes)
    assert content.closed == 0
    pieces = list(reply.body)
    assert b"".join(pieces) == data[7:]
    assert max(map(len, pieces)) == PIECE
    reply.body.close()
    assert content.closed == 1


@pytest.mark.parametrize("size", [10, 3 * PIECE])
def test_short_content_is_an_error(size: int) -> None:
    content = Counted(bytes(size - 1), size)
    with pytest.raises(ChunkError, match="ended early"):
        b"".join(reply_with(ask(), content, "", []).body)  # type: ignore[arg-type]


def test_etag_is_safe() -> None:
    assert etag_of('a"b\r\nc', "-1") == '"a_b__c-1"'
    assert etag_of("") == ""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("localhost:8080", "localhost"),
        ("LocalHost.", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("evil.example:80", "evil.example"),
        ("localhost.evil.example", "localhost.evil.example"),
    ],
)
def test_host(text: str, name: str) -> None:
    assert host_of(text) == name or text == "::1"


def test_hosts_that_are_known() -> None:
    access = Access(hosts=frozenset({"data.example"}))
    for host in ("localhost", "localhost:1", "127.0.0.1:9", "[::1]:8", "data.example:443", "10.1.2.3:8080"):
        assert access.knows_host(HttpRequest(method="GET", path="/", headers={"host": host}, address="10.1.2.3")), host
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.1.2.4",
        "",
        "data.example.evil",
    ):
        assert not access.knows_host(HttpRequest(method="GET", path="/", headers={"host": host}, address="10.1.2.3")), (
            host
        )


def test_tokens() -> None:
    access = Access(tokens=("secret", "other"))
    for given in ("Bearer secret", "bearer secret", "Bearer other", "Bearer  secret "):
        assert access.is_granted(ask(authorization=given)), given
    for given in (
        "secret",
        "Bearer",
        "Bearer ",
        "Basic secret",
        "Bearer secre",
        "Bearer secret2",
        "Bearer s\u00e9cret",
    ):
        assert not access.is_granted(ask(authorization=given)), given
    assert not access.is_granted(ask())
    assert Access().is_granted(ask())
    for given in ("Bearer", "Bearer ", ""):
        assert not Access(tokens=("",)).is_granted(ask(authorization=given)), given


def test_origins() -> None:
    access = Access(origins=frozenset({"https://a.example"}))
    shared = dict(access.sharing(ask(origin="https://a.example")))
    assert shared["Access-Control-Allow-Origin"] == "https://a.example"
    assert "ETag" in shared["Access-Control-Expose-Headers"]
    assert shared["Vary"] == "Origin"
    assert access.sharing(ask(origin="https://b.example")) == [("Vary", "Origin")]
    assert access.sharing(ask()) == [("Vary", "Origin")]
    assert Access().sharing(ask(origin="https://a.example")) == []
    assert dict(Access(origins=frozenset("*")).sharing(ask()))["Access-Control-Allow-Origin"] == "*"


def test_limit() -> None:
    limit = Limit(10)
    first = limit.take(6)
    with pytest.raises(BusyError):
        limit.take(5)
    second = limit.take(4)
    first()
    first()
    assert (limit.used, limit.refused) == (4, 1)
    second()
    assert limit.used == 0


def test_limit_among_threads() -> None:
    limit, most = Limit(4), []
    start = threading.Barrier(16)

    def use() -> None:
        start.wait()
        for _ in range(200):
            try:
                back = limit.take()
            except BusyError:
                continue
            most.append(limit.used)
            back()

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 4
    assert limit.used == 0
