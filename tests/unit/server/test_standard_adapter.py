"""The server on the standard library: what it refuses, how long it waits, and how it stops."""

from __future__ import annotations

import json
import logging
import select
import socket
import threading
import time
from typing import Any

import pytest
from kit.wire import PATIENCE, Client, FakeCore, Pieces, ask, eventually, is_accepting, reply, standard_running

from zapz.server import connections
from zapz.server.connections import Connection, ConnectionLimits, Connections
from zapz.server.messages import HttpReply
from zapz.server.running import listen
from zapz.server.standard_adapter import StandardAdapter

MALFORMED = {
    "no version": (b"GET /\r\n\r\n", 400),
    "noise": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n\r\n", 400),
    "no method": (b" / HTTP/1.1\r\n\r\n", 400),
    "version of letters": (b"GET / HTTP/x.y\r\n\r\n", 400),
    "not ASCII": (b"GET /\xc3\xbc HTTP/1.1\r\n\r\n", 400),
    "many empty lines": (b"\r\n\r\n\r\n\r\n", 400),
    "later version": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "no colon": (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\n: x\r\n\r\n", 400),
    "space behind the name": (b"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", 400),
    "folded": (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400),
    "control character": (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", 400),
    "bare return": (b"GET / HTTP/1.1\r\nA: b\rContent-Length: 3\r\n\r\n", 400),
    "long path": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    "endless path": (b"GET /" + b"a" * 500_000, 414),
    "long field": (b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 431),
    "long fields": (b"GET / HTTP/1.1\r\n" + (b"A: " + b"b" * 1000 + b"\r\n") * 70 + b"\r\n", 431),
    "many fields": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 129 + b"\r\n", 431),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    """It never reaches the core; the reply is short, and the connection ends."""
    request, status = MALFORMED[case]
    core = FakeCore()
    with standard_running(core) as port, Client(port) as client:
        client.send(request)
        answer = client.answer()
        assert (answer.status, answer.cut) == (status, False)
        assert answer.headers["server"] == "zapz"
        assert answer.headers["content-type"] == "application/json"
        assert list(json.loads(answer.body)) == ["error"]
        assert len(answer.body) < 100
        assert client.is_closed()
    assert core.asked == []


def test_what_is_let_pass() -> None:
    core = FakeCore()
    fields = "".join(f"A{number}: b\r\n" for number in range(128))
    requests = [
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        f"GET /{'a' * 8000} HTTP/1.1\r\n{fields}\r\n",
        f"GET / HTTP/1.1\r\nA:{' ' * 60_000}b{' ' * 1000}\r\n\r\n",
        "M-SEARCH * HTTP/1.1\r\n\r\n",
        "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    with standard_running(core) as port, Client(port) as client:
        for request in requests:
            client.send(request)
            answer = client.answer()
            assert (answer.body, answer.headers["server"]) == (b"ok", "zapz")
    assert core.asked[3][0].headers == {"a": "b"}
    assert [request.path for request, _, _ in core.asked[4:]] == ["/*", "/http://x/a"]


def test_a_client_that_goes_in_the_midst_of_its_request(caplog: pytest.LogCaptureFixture) -> None:
    core = FakeCore()
    with standard_running(core) as port:
        for request in (b"", b"GET", b"GET / HTTP/1.1\r\nHost"):
            with Client(port) as client:
                client.send(request)
        with Client(port) as client:
            assert client.get("/").body == b"ok"
    assert len(core.asked) == 1
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_client_that_only_reads() -> None:
    """It has ended its side: after a request it gets the reply, after half of one nothing."""
    core = FakeCore()
    with standard_running(core) as port:
        with Client(port) as client:
            client.send("GET / HTTP/1.1\r\n\r\n")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.answer().body == b"ok"
            assert client.is_closed()
        with Client(port) as client:
            client.send("GET / HTTP/1.1\r\nHost: x\r\nRange: byt")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_closed()


@pytest.mark.parametrize("wrong", [reply(b"ab", ("X", "a\r\nb")), reply(b"ab", ("X\n", "a")), reply(b"ab", length=3)])
def test_replies_that_would_mislead(wrong: HttpReply, caplog: pytest.LogCaptureFixture) -> None:
    core = FakeCore(lambda _: wrong)
    with standard_running(core) as port, Client(port) as client:
        answer = client.get("/")
        assert (answer.status, answer.headers["connection"]) == (500, "close")
        assert core.wait_done() == [0]
    assert len(caplog.records) == 1


def test_what_a_client_sends_unasked_does_not_reset_the_reply() -> None:
    """Closing with something unread would."""
    core = FakeCore(lambda _: reply(b"a" * 1_000_000))
    with standard_running(core) as port:
        for _ in range(5):
            with Client(port) as client:
                client.send(b"POST / HTTP/1.1\r\nContent-Length: 300000\r\n\r\n" + b"b" * 300_000)
                time.sleep(0.02)
                assert not client.answer().cut
                assert client.is_closed()


# -- how long it waits -------------------------------------------------------------------------------------------------


def test_idle_connections_end() -> None:
    with standard_running(FakeCore(), ConnectionLimits(idle=0.2)) as port:
        with Client(port) as client:
            assert client.get("/").body == b"ok"
            assert client.is_closed()
        with Client(port) as client:
            assert client.is_closed()


def test_a_request_that_takes_too_long() -> None:
    """Bytes that come one by one do not help."""
    with standard_running(FakeCore(), ConnectionLimits(idle=PATIENCE, head=0.2)) as port, Client(port) as client:
        begin = time.monotonic()
        for letter in "GET / HTTP/1.1\r\n":
            client.send(letter)
            time.sleep(0.005)
        answer = client.answer()
        assert answer.status == 408
        assert time.monotonic() - begin < PATIENCE / 2
        assert client.is_closed()


# -- how many it serves ------------------------------------------------------------------------------------------------


class Busy:
    """A core whose replies wait for leave."""

    def __init__(self) -> None:
        self.leave = threading.Event()
        self.core = FakeCore(self._waits)

    def _waits(self, request: Any) -> Any:
        if request.path == "/slow":
            assert self.leave.wait(PATIENCE)
        return reply()


def busy_clients(port: int, count: int, busy: Busy) -> list[Client]:
    before = len(busy.core.asked)
    clients = [Client(port) for _ in range(count)]
    for client in clients:
        client.send("GET /slow HTTP/1.1\r\n\r\n")
    eventually(lambda: len(busy.core.asked) == before + count)
    return clients


def test_more_clients_than_are_served() -> None:
    busy = Busy()
    with standard_running(busy.core, ConnectionLimits(connections=3)) as port:
        clients = busy_clients(port, 3, busy)
        with Client(port) as client:
            answer = client.get("/")
            assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
            assert client.is_closed()
        assert len(busy.core.asked) == 3
        silent = [Client(port) for _ in range(32)]
        with Client(port) as client:
            assert client.is_closed()
        busy.leave.set()
        for client in (*clients, *silent):
            if client in clients:
                assert client.answer().body == b"ok"
            client.socket.close()
        eventually(lambda: status_of(port) == 200)


def status_of(port: int) -> int:
    """Return the status of a reply; 0 if the connection was dropped, as those beyond the limit are."""
    with Client(port) as client:
        try:
            return client.get("/").status
        except (EOFError, ConnectionError):
            return 0


def test_an_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_EVICTED", PATIENCE)
    busy = Busy()
    with standard_running(busy.core, ConnectionLimits(connections=3)) as port:
        first, second = Client(port), Client(port)
        assert second.get("/").body == b"ok"
        assert first.get("/").body == b"ok"
        clients = busy_clients(port, 1, busy)
        with Client(port) as client:
            assert client.get("/").status == 503
        monkeypatch.setattr(connections, "_EVICTED", 0)
        with Client(port) as client:
            assert client.get("/").status == 200
            ((ended,), _, _) = select.select([first.socket, second.socket], [], [], PATIENCE)
            evicted, other = (first, second) if ended is first.socket else (second, first)
            assert evicted.is_closed()
            assert other.get("/").status == 200
        busy.leave.set()
        for each in (first, second, *clients):
            each.socket.close()


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    start = threading.Thread.start
    fails = True

    def starts(thread: threading.Thread) -> None:
        if fails and thread.name == "zapz-connection":
            raise RuntimeError("can't start new thread")
        start(thread)

    with standard_running(FakeCore(), ConnectionLimits(connections=1)) as port:
        monkeypatch.setattr(threading.Thread, "start", starts)
        for _ in range(2):
            with Client(port) as client:
                assert client.is_closed()
        fails = False
        with Client(port) as client:
            assert client.get("/").body == b"ok"
    assert [record.levelname for record in caplog.records if record.name == "zapz.server"] == ["ERROR"] * 2


def test_no_connection_can_be_accepted(caplog: pytest.LogCaptureFixture) -> None:
    """Neither ends the server: no descriptors are left, and a client that is gone already."""

    errors = [OSError(24, "Too many open files"), ConnectionAbortedError(), BlockingIOError()]

    class Listener(socket.socket):
        def accept(self) -> tuple[socket.socket, Any]:
            if errors:
                raise errors.pop(0)
            return super().accept()

    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        adapter = StandardAdapter(FakeCore(), Listener(fileno=listener.detach()))
        thread = threading.Thread(target=adapter.serve_forever)
        thread.start()
        with Client(port) as client:
            assert client.get("/").body == b"ok"
        adapter.shutdown(PATIENCE)
        thread.join(PATIENCE)
    assert [record.levelname for record in caplog.records if record.name == "zapz.server"] == ["ERROR"]


# -- how it stops ------------------------------------------------------------------------------------------------------


class Stopping:
    """A server that can be stopped while the test looks on."""

    def __init__(self, core: FakeCore) -> None:
        listener = listen("127.0.0.1", 0)
        self.port: int = listener.getsockname()[1]
        self.adapter = StandardAdapter(core, listener)
        self.threads = [threading.Thread(target=self.adapter.serve_forever)]
        self.threads[0].start()
        self.hurry = False

    def stop(self, drain: float) -> None:
        self.threads.append(threading.Thread(target=self.adapter.shutdown, args=(drain, lambda: self.hurry)))
        self.threads[1].start()

    def is_stopped(self) -> bool:
        for thread in self.threads:
            thread.join(PATIENCE)
        return not any(thread.is_alive() for thread in self.threads)


def test_it_stops_at_once_if_nothing_is_to_do(caplog: pytest.LogCaptureFixture) -> None:
    server = Stopping(FakeCore())
    clients = [Client(server.port) for _ in range(3)]
    assert clients[0].get("/").body == b"ok"
    begin = time.monotonic()
    server.stop(PATIENCE)
    assert server.is_stopped()
    assert time.monotonic() - begin < 1
    for client in clients:
        assert client.is_closed()
        client.socket.close()
    with pytest.raises(ConnectionRefusedError):
        Client(server.port)
    assert caplog.records == []


def test_replies_end_before_it_stops() -> None:
    """It accepts nothing more, and says so in the reply."""
    busy = Busy()
    server = Stopping(busy.core)
    (client,) = busy_clients(server.port, 1, busy)
    server.stop(PATIENCE)
    eventually(lambda: not is_accepting(server.port))
    busy.leave.set()
    answer = client.answer()
    assert (answer.body, answer.headers["connection"]) == (b"ok", "close")
    assert client.is_closed()
    client.socket.close()
    assert server.is_stopped()


@pytest.mark.parametrize("how", ["in time", "at once"])
def test_replies_that_take_too_long_are_cut_off(how: str, caplog: pytest.LogCaptureFixture) -> None:
    leave = threading.Event()
    pieces = Pieces(b"a" * 1000, lambda: leave.wait(PATIENCE) and None, b"b" * 1000)
    core = FakeCore(lambda _: reply(pieces, length=2000))
    server = Stopping(core)
    with Client(server.port) as client:
        client.send("GET / HTTP/1.1\r\n\r\n")
        eventually(lambda: pieces.busy)
        server.stop(0.1 if how == "in time" else PATIENCE)
        if how == "at once":
            server.hurry = True
        assert server.is_stopped()
        answer = client.answer()
        assert (answer.cut, len(answer.body)) == (True, 1000)
        leave.set()
        assert core.wait_done() == [1000]
        assert pieces.closed == 1
    assert "1 replies were cut off" in caplog.text


def test_no_connection_waits_for_a_request_once_it_stops() -> None:
    """Not even one that ends its reply just then."""
    pair = socket.socketpair()
    with pair[0], pair[1]:
        both = Connections(2)
        connection = Connection(channel=pair[0])
        assert both.admit(connection) == "serve"
        both.serve(connection)
        assert both.wait_for_request(connection)
        both.serve(connection)
        both.drain()
        assert not both.wait_for_request(connection)
        assert both.admit(Connection(channel=pair[1])) == "drop"


def test_bytes_until_the_connection_ends() -> None:
    """What ``ask`` sees is the whole reply, and nothing else."""
    with standard_running(FakeCore()) as port:
        head, _, body = ask(port, "GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b"ok"
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 200 OK"
    assert sorted(line.split(b":")[0] for line in head.split(b"\r\n")[1:]) == [
        b"Connection",
        b"Content-Length",
        b"Date",
        b"Server",
    ]
