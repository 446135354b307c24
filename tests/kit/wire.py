"""A fake core for the HTTP adapters, the servers that they run in, and a client that sees what is on the wire."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from zapz.server.answering import Answering
from zapz.server.asgi_adapter import AsgiAdapter
from zapz.server.connections import ConnectionLimits
from zapz.server.messages import HttpReply, HttpRequest, Stream
from zapz.server.running import listen
from zapz.server.standard_adapter import StandardAdapter

PATIENCE = 10
"""Seconds that anything here may take."""


class Pieces:
    """A stream: yields pieces, raises errors, calls functions, and knows what was done with it."""

    def __init__(self, *steps: bytes | Exception | Callable[[], None]) -> None:
        self.steps = steps
        self.taken = 0
        self.closed = 0
        self.busy = False
        self.closed_while_busy = False
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[bytes]:
        for step in self.steps:
            self.threads.add(threading.current_thread().name)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, bytes):
                self.taken += 1
                yield step
            else:
                self.busy = True
                step()
                self.busy = False

    def close(self) -> None:
        self.closed += 1
        self.closed_while_busy |= self.busy


@dataclass
class FakeCore:
    """Answers as a function says, and notes what happens."""

    function: Callable[[HttpRequest], HttpReply | None] = lambda _: reply()
    """Makes the replies; None makes a thread ask again."""
    by_thread: bool = False
    """Whether a thread must ask."""
    asked: list[tuple[HttpRequest, bool, str]] = field(default_factory=list)
    """Requests, whether they were asked inline, and the name of the thread."""
    done: list[int] = field(default_factory=list)
    """What replies said at their end."""

    most = 64

    def busy(self, request: HttpRequest) -> HttpReply:
        """Say that there is no thread."""
        del request
        return HttpReply(status=503, headers=[("Content-Length", "0"), ("Retry-After", "1")])

    def answer(self, request: HttpRequest, *, inline: bool = False) -> HttpReply | None:
        self.asked.append((request, inline, threading.current_thread().name))
        if inline and self.by_thread:
            return None
        made = self.function(request)
        if made is not None:
            made.done = self.done.append
        return made

    @property
    def request(self) -> HttpRequest:
        return self.asked[-1][0]

    def wait_done(self, count: int = 1) -> list[int]:
        """Return what replies said at their end, once there are so many."""
        eventually(lambda: len(self.done) >= count)
        return self.done


def reply(
    body: bytes | Stream = b"ok", *fields: tuple[str, str], length: int | None = None, status: int = 200
) -> HttpReply:
    size = len(body) if isinstance(body, bytes) else length
    sized = [] if size is None else [("Content-Length", str(size if length is None else length))]
    return HttpReply(status=status, headers=[*sized, *fields], body=body)


def eventually(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come true"
        time.sleep(0.005)


# -- servers -----------------------------------------------------------------------------------------------------------

SERVERS = ("h11", "httptools", "standard")


class Switch:
    """An ASGI application that hands over to another one, which may be exchanged: a server need not be started for each test."""

    def __init__(self) -> None:
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@contextlib.contextmanager
def uvicorn_running(app: Any, http: str) -> Iterator[int]:
    """Serve an application with uvicorn in a thread; give the port."""
    import uvicorn

    config = uvicorn.Config(
        app, http=http, loop="asyncio", lifespan="off", ws="none", log_config=None, log_level="error", access_log=False
    )
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            eventually(lambda: server.started)
            yield port
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


@contextlib.contextmanager
def standard_running(core: Answering, limits: ConnectionLimits | None = None, drain: float = PATIENCE) -> Iterator[int]:
    """Serve a core on the standard library in a thread; give the port."""
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    adapter = StandardAdapter(core, listener, limits)
    thread = threading.Thread(target=adapter.serve_forever)
    thread.start()
    try:
        yield port
    finally:
        adapter.shutdown(drain)
        thread.join(PATIENCE)
        assert not thread.is_alive()


@dataclass
class Servers:
    """Servers by name; those of uvicorn are started once."""

    switches: dict[str, tuple[Switch, int]]
    """Of each of uvicorn's protocols, the application that may be exchanged, and the port."""

    @contextlib.contextmanager
    def serving(self, name: str, core: Answering, *, send_timeout: float = PATIENCE) -> Iterator[int]:
        """Serve a core; give the port."""
        if name == "standard":
            with standard_running(core, ConnectionLimits(send=send_timeout)) as port:
                yield port
            return
        switch, port = self.switches[name]
        switch.app = adapter = AsgiAdapter(core, send_timeout=send_timeout)
        try:
            yield port
        finally:
            adapter.close()


@contextlib.contextmanager
def servers_running() -> Iterator[Servers]:
    """Start uvicorn with each of its protocols."""
    with contextlib.ExitStack() as stack:
        switches = {}
        for http in ("h11", "httptools"):
            switch = Switch()
            switches[http] = (switch, stack.enter_context(uvicorn_running(switch, http)))
        yield Servers(switches)


# -- a client ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A reply as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False
    """Whether the connection ended before the body did."""


class Client:
    """A connection."""

    def __init__(self, port: int, *, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.socket.close()
            raise
        self.received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode("latin-1") if isinstance(text, str) else text)

    def get(self, path: str, *fields: str, method: str = "GET") -> Answer:
        """Send a request and return the reply."""
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", ""]))
        return self.answer(has_body=method != "HEAD")

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.received += data
        return bool(data)

    def answer(self, *, has_body: bool = True) -> Answer:
        """Return the next reply."""
        while b"\r\n\r\n" not in self.received:
            if not self._more():
                raise EOFError(self.received)
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", first)
        assert match is not None, first
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value
        status = int(match[1])
        assert "transfer-encoding" not in headers
        length = int(headers.get("content-length", 0)) if has_body and status not in {204, 304} else 0
        while len(self.received) < length:
            if not self._more():
                return Answer(status, headers, self.received, cut=True)
        body, self.received = self.received[:length], self.received[length:]
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Return whether the server has closed the connection, and sent nothing more; wait for it."""
        return not self._more() and not self.received


def ask(port: int, request: str | bytes) -> bytes:
    """Send bytes and return all that comes until the server closes the connection."""
    with Client(port) as client:
        client.send(request)
        while client._more():
            pass
        return client.received


def is_accepting(port: int) -> bool:
    """Return whether a server accepts connections."""
    try:
        Client(port).socket.close()
    except ConnectionError:
        return False
    return True
