"""What all HTTP adapters do alike, seen on the wire: under uvicorn with h11 and httptools, and on the standard library."""

from __future__ import annotations

import http.client
import json
import logging
import threading
from collections.abc import Iterator

import pytest
from kit.wire import PATIENCE, SERVERS, Client, FakeCore, Pieces, Servers, eventually, reply, servers_running

from zapz.errors import StoreError
from zapz.server.messages import HttpReply, HttpRequest

MIB = 1 << 20
NONE = HttpReply(status=204, headers=[])


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with servers_running() as running:
        yield running


pytestmark = pytest.mark.parametrize("server", SERVERS)


def complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_reply(server: str, servers: Servers) -> None:
    core = FakeCore(lambda request: reply(request.path.encode(), ("ETag", '"a"'), ("X-A", "ü")))
    with servers.serving(server, core) as port, Client(port) as client:
        for path in ("/a", "/b/c"):
            answer = client.get(path)
            assert (answer.status, answer.body) == (200, path.encode())
            assert (answer.headers["etag"], answer.headers["x-a"]) == ('"a"', "ü")
            assert "date" in answer.headers
            assert "connection" not in answer.headers
        assert core.wait_done(2) == [2, 4]


def test_a_request(server: str, servers: Servers) -> None:
    core = FakeCore()
    with servers.serving(server, core) as port, Client(port) as client:
        client.get("/a%20b//%C3%BC%FF%2e%2F+?x=%20&y", "Range: bytes=0-1", "X-A: 1", "x-a:  2 ", "Empty:", "L: \xfc")
        request = core.request
        assert (request.method, request.path, request.query) == ("GET", "/a b//ü\ufffd./+", "x=%20&y")
        assert dict(request.headers) == {
            "host": "localhost",
            "range": "bytes=0-1",
            "x-a": "1, 2",
            "empty": "",
            "l": "ü",
        }
        assert (request.mount, request.scheme, request.address) == ("", "http", "127.0.0.1")
        client.get("/", "A: b c ")
        assert core.request.headers["a"] == "b c"
        for method in ("OPTIONS", "DELETE", "PROPFIND"):
            client.get("/", method=method)
            assert core.request.method == method


@pytest.mark.parametrize("by_thread", [False, True])
def test_no_content(server: str, servers: Servers, by_thread: bool) -> None:
    """The connection can be used again."""

    def function(request: HttpRequest) -> HttpReply:
        if request.path == "/":
            return reply(b"", length=7) if request.method == "HEAD" else reply(b"1234567")
        return reply(b"", ("ETag", '"a"'), length=None, status=int(request.path[1:]))

    def bare(request: HttpRequest) -> HttpReply:
        made = function(request)
        if made.status in {204, 304}:
            made.headers = [field for field in made.headers if field[0] != "Content-Length"]
        return made

    core = FakeCore(bare, by_thread=by_thread)
    with servers.serving(server, core) as port, Client(port) as client:
        for _ in range(2):
            answer = client.get("/", method="HEAD")
            assert (answer.headers["content-length"], answer.body) == ("7", b"")
            for status in (204, 304):
                answer = client.get(f"/{status}")
                assert (answer.status, answer.headers.get("content-length"), answer.headers["etag"]) == (
                    status,
                    None,
                    '"a"',
                )
            assert client.get("/").body == b"1234567"
        assert core.wait_done(8) == [0, 0, 0, 7] * 2


def test_several_requests_at_once(server: str, servers: Servers) -> None:
    core = FakeCore(lambda request: reply(request.path.encode()))
    with servers.serving(server, core) as port, Client(port) as client:
        client.send(
            "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert [client.answer().body for _ in range(3)] == [b"/1", b"/2", b"/3"]


@pytest.mark.parametrize("size", [0, 1, 300_000, 3 * MIB + 1])
def test_bytes_of_any_size(server: str, servers: Servers, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    core = FakeCore(lambda _: reply(body))
    with servers.serving(server, core) as port, Client(port) as client:
        assert client.get("/").body == body
        assert client.get("/").body == body
        assert core.wait_done(2) == [size, size]


@pytest.mark.parametrize("by_thread", [False, True])
def test_a_stream(server: str, servers: Servers, by_thread: bool) -> None:
    pieces = Pieces(b"ab", b"", b"c" * (3 * MIB), b"d")
    core = FakeCore(lambda _: reply(pieces, length=3 * MIB + 3), by_thread=by_thread)
    with servers.serving(server, core) as port, Client(port) as client:
        assert client.get("/").body == b"ab" + b"c" * (3 * MIB) + b"d"
        assert core.wait_done() == [3 * MIB + 3]
        assert pieces.closed == 1
        assert threading.current_thread().name not in pieces.threads
        core.function = lambda _: reply(b"next")
        assert client.get("/").body == b"next"


def test_an_empty_stream(server: str, servers: Servers) -> None:
    pieces = Pieces()
    core = FakeCore(lambda _: reply(pieces, length=0))
    with servers.serving(server, core) as port, Client(port) as client:
        assert not client.get("/").cut
        assert core.wait_done() == [0]
        assert pieces.closed == 1


def test_a_stream_that_cannot_be_closed(server: str, servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Pieces):
        def close(self) -> None:
            raise OSError("stuck")

    core = FakeCore(lambda _: reply(Stuck(b"abc"), length=3))
    with servers.serving(server, core) as port, Client(port) as client:
        for count in (1, 2):
            assert client.get("/").body == b"abc"
            assert core.wait_done(count) == [3] * count
    assert len(complaints(caplog)) == 2


CUT = {
    "raises": (Pieces(b"a" * 1000, StoreError("the disk\nfailed")), 1000, "the disk failed"),
    "raises at once": (Pieces(OSError("no")), 0, "no"),
    "ends early": (Pieces(b"a" * 1000, b"b"), 1001, "ended early"),
    "has too much": (Pieces(b"a" * 1000, b"b" * 4001), 1000, "has more"),
}


@pytest.mark.parametrize("case", CUT)
def test_a_stream_that_fails(server: str, servers: Servers, case: str, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets less than it was promised, and knows it. There is one line about it."""
    template, sent, why = CUT[case]
    pieces = Pieces(*template.steps)
    core = FakeCore(lambda _: reply(pieces, length=5000))
    with servers.serving(server, core) as port:
        with Client(port) as client:
            answer = client.get("/path%0aname")
            assert answer.cut
            assert answer.status == 200
            assert len(answer.body) <= sent
        assert core.wait_done() == [sent]
        assert pieces.closed == 1
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/")
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            connection.getresponse().read()
        connection.close()
        core.wait_done(2)
    lines = complaints(caplog)
    assert len(lines) == 2
    for line in lines:
        assert line.name == "zapz.server"
        assert line.exc_info is None
        assert "\n" not in line.getMessage()
        assert why in line.getMessage()


def test_the_cause_of_a_bug_is_logged(server: str, servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    core = FakeCore(lambda _: reply(Pieces(b"a", ZeroDivisionError("a bug")), length=5000))
    with servers.serving(server, core) as port, Client(port) as client:
        assert client.get("/").cut
        core.wait_done()
    (line,) = complaints(caplog)
    assert line.exc_info is not None
    assert line.exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize("kind", ["bytes", "stream"])
def test_a_slow_reader(server: str, servers: Servers, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    size = 64 * MIB
    pieces = Pieces(*[b"a" * MIB] * (size // MIB))
    core = FakeCore(lambda _: reply(pieces, length=size) if kind == "stream" else reply(b"a" * size))
    with servers.serving(server, core, send_timeout=0.3) as port, Client(port, buffer=4096) as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        (sent,) = core.wait_done()
        assert sent < size
        if kind == "stream":
            assert pieces.closed == 1
            assert pieces.taken * MIB < size
        assert client.answer().cut
        (line,) = complaints(caplog)
        assert "too slowly" in line.getMessage()
        core.function = lambda _: reply()
        with Client(port) as other:
            assert other.get("/").body == b"ok"


def test_a_client_that_goes(server: str, servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    goes = threading.Event()
    size = 64 * MIB
    pieces = Pieces(b"a", lambda: goes.wait(PATIENCE) and None, *[b"a" * MIB] * (size // MIB))
    core = FakeCore(lambda _: reply(pieces, length=size + 1))
    with servers.serving(server, core) as port:
        with Client(port) as client:
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.socket.recv(1)
        goes.set()
        (sent,) = core.wait_done()
        assert sent < size
        assert pieces.closed == 1
        assert pieces.taken < 10
    assert complaints(caplog) == []


@pytest.mark.parametrize(
    ("field", "body"), [("Content-Length: 4", "GET "), ("Transfer-Encoding: chunked", "4\r\nGET \r\n0\r\n\r\n")]
)
@pytest.mark.parametrize("is_sent", [True, False])
def test_a_request_with_a_body(server: str, servers: Servers, field: str, body: str, is_sent: bool) -> None:
    """It is not read; the reply arrives whole, and the connection ends."""
    core = FakeCore(lambda _: reply(b"a" * 400_000))
    with servers.serving(server, core) as port, Client(port) as client:
        client.send(f"POST / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n{body if is_sent else ''}")
        answer = client.answer()
        assert (len(answer.body), answer.cut, answer.headers["connection"].lower()) == (400_000, False, "close")
        assert client.is_closed()
    assert {request.path for request, _, _ in core.asked} == {"/"}


def test_a_client_that_waits_for_leave_to_send(server: str, servers: Servers) -> None:
    core = FakeCore()
    with servers.serving(server, core) as port, Client(port) as client:
        answer = client.get("/", "Content-Length: 4", "Expect: 100-continue", method="PUT")
        assert (answer.status, answer.body) == (200, b"ok")
        assert client.is_closed()


def test_old_clients(server: str, servers: Servers) -> None:
    core = FakeCore()
    with servers.serving(server, core) as port:
        for request in ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            with Client(port) as client:
                client.send(request)
                answer = client.answer()
                assert (answer.body, answer.headers.get("connection", "close").lower()) == (b"ok", "close")
                assert client.is_closed()


@pytest.mark.parametrize("by_thread", [False, True])
def test_a_core_that_raises(server: str, servers: Servers, by_thread: bool, caplog: pytest.LogCaptureFixture) -> None:
    def function(_: HttpRequest) -> HttpReply:
        raise RuntimeError("a secret")

    core = FakeCore(function, by_thread=by_thread)
    with servers.serving(server, core) as port, Client(port) as client:
        answer = client.get("/")
        assert (answer.status, answer.headers["content-type"]) == (500, "application/json")
        assert json.loads(answer.body) == {"error": {"message": "internal error"}}
        core.function = lambda _: reply()
        assert client.get("/").body == b"ok"
    (line,) = complaints(caplog)
    assert line.name == "zapz.server"
    assert line.exc_info is not None
    assert "a secret" in str(line.exc_info[1])


@pytest.mark.parametrize("fault", ["header", "length", "none"])
def test_a_reply_that_is_wrong(server: str, servers: Servers, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    pieces = Pieces(b"abc")
    wrong = {"header": reply(pieces, ("X", "\u2603"), length=3), "length": reply(pieces), "none": None}
    core = FakeCore(lambda _: wrong[fault])
    with servers.serving(server, core) as port, Client(port) as client:
        answer = client.get("/")
        assert (answer.status, json.loads(answer.body)) == (500, {"error": {"message": "internal error"}})
        if fault != "none":
            assert core.wait_done() == [0]
            assert pieces.closed == 1
    assert len(complaints(caplog)) == 1


def test_many_clients(server: str, servers: Servers) -> None:
    """Each gets its own."""
    core = FakeCore(
        lambda request: reply(Pieces(*[request.path.encode()] * 10), length=10 * len(request.path)), by_thread=True
    )
    with servers.serving(server, core) as port:
        wrong: list[str] = []

        def work(number: int) -> None:
            with Client(port) as client:
                for count in range(10):
                    path = f"/{number}/{count}"
                    if client.get(path).body != path.encode() * 10:
                        wrong.append(path)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert wrong == []
        eventually(lambda: len(core.done) == 240)
