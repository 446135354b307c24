"""The ASGI adapter: what ASGI alone shows, and what happens in the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from kit.wire import PATIENCE, Client, FakeCore, Pieces, eventually, reply, uvicorn_running

from zapz.server.answering import CutReplyError
from zapz.server.asgi_adapter import AsgiAdapter
from zapz.server.exchanges import request_of

MIB = 1 << 20


def scope_of(**more: Any) -> dict[str, Any]:
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "server": ("127.0.0.1", 80),
    }
    return {**scope, **more}


class Channel:
    """What a server gives an application: messages to receive, and a place for those that are sent."""

    def __init__(self, block_at: int = 1000) -> None:
        self.sent: list[dict[str, Any]] = []
        self.block_at = block_at
        """Number of the message that is never taken."""
        self.gone = asyncio.Event()
        self.asked = False

    async def receive(self) -> dict[str, Any]:
        if not self.asked:
            self.asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if len(self.sent) == self.block_at:
            await asyncio.Event().wait()
        self.sent.append(dict(message))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(PATIENCE):
            await body()

    asyncio.run(limited())


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  # it is set by a thread
        await asyncio.sleep(0.005)


def held(core: FakeCore) -> threading.Event:
    """Let replies wait for an event."""
    event, function = threading.Event(), core.function

    def waits(request: Any) -> Any:
        assert event.wait(PATIENCE)
        return function(request)

    core.function, core.by_thread = waits, True
    return event


# -- scopes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "path", "mount", "below"),
    [
        ("", "/a/b", "", "/a/b"),
        ("/data", "/data/a", "/data", "/a"),
        ("/data", "/a", "/data", "/a"),
        ("/data", "/data", "/data", "/"),
        ("/data", "/data/", "/data", "/"),
        ("/data/", "/data/a", "/data", "/a"),
        ("/data", "/database/a", "/data", "/database/a"),
        ("/x/y", "/x/y/z", "/x/y", "/z"),
        ("", "", "", "/"),
        ("", "*", "", "/*"),
    ],
)
def test_paths_below_a_mount(root: str, path: str, mount: str, below: str) -> None:
    request = request_of(scope_of(root_path=root, path=path))
    assert (request.mount, request.path) == (mount, below)


def test_a_scope_with_the_least() -> None:
    request = request_of(scope_of(server=None, headers=[(b"Host", b"x")]))
    assert (request.address, request.scheme, request.mount, dict(request.headers)) == ("", "http", "", {"host": "x"})
    assert request_of(scope_of(scheme="https", server=("::1", None))).address == "::1"


def test_lifespan() -> None:
    async def body() -> None:
        before = set(threading.enumerate())
        app = AsgiAdapter(FakeCore(by_thread=True))
        sent: list[Any] = []
        coming: list[Any] = []

        async def receive() -> Any:
            return coming.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        for _ in range(2):
            channel = Channel()
            await app(scope_of(), channel.receive, channel.send)
            assert channel.body == b"ok"
            coming[:] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
            sent.clear()
            await app({"type": "lifespan"}, receive, send)
            assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
            await until(lambda: set(threading.enumerate()) <= before)

    run(body)


def test_websockets_are_closed() -> None:
    async def body() -> None:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await AsgiAdapter(FakeCore())({"type": "websocket"}, receive, send)
        assert sent == [{"type": "websocket.close", "code": 1000}]
        await AsgiAdapter(FakeCore())({"type": "something new"}, receive, send)
        assert len(sent) == 1

    run(body)


# -- threads -----------------------------------------------------------------------------------------------------------


def test_what_would_block_is_asked_in_a_thread() -> None:
    async def body() -> None:
        core = FakeCore(by_thread=True)
        app = AsgiAdapter(core)
        channel = Channel()
        await app(scope_of(), channel.receive, channel.send)
        (_, inline, here), (_, inline_there, there) = core.asked
        assert (inline, inline_there) == (True, False)
        assert here == threading.current_thread().name
        assert there.startswith("zapz-server")
        core.by_thread = False
        await app(scope_of(), channel.receive, channel.send)
        assert len(core.asked) == 3
        assert channel.body == b"okok"

    run(body)


def test_threads_end() -> None:
    async def body() -> None:
        core = FakeCore()
        app = AsgiAdapter(core, threads=3)
        held(core).set()
        before = set(threading.enumerate())
        channels = [Channel() for _ in range(20)]
        await asyncio.gather(*(app(scope_of(), each.receive, each.send) for each in channels))
        assert all(each.body == b"ok" for each in channels)
        assert len(set(threading.enumerate()) - before) <= 3
        app.close()
        await until(lambda: set(threading.enumerate()) <= before)
        channel = Channel()
        await app(scope_of(), channel.receive, channel.send)
        assert channel.body == b"ok"
        app.close()

    run(body)


def test_requests_beyond_the_limit_are_refused() -> None:
    """A request counts until its thread is done; a piece of another reply that is fetched meanwhile does not."""

    async def body() -> None:
        event = threading.Event()
        pieces = Pieces(b"abc", lambda: event.wait(PATIENCE) and None, b"def")
        core = FakeCore(lambda request: reply(pieces, length=6) if request.path == "/slow" else reply())
        core.most = 1
        app = AsgiAdapter(core, threads=4)

        async def statuses(*paths: str) -> list[int]:
            channels = [Channel() for _ in paths]
            scopes = [scope_of(path=path, query_string=b"new") for path in paths]
            await asyncio.gather(*(app(scope, c.receive, c.send) for scope, c in zip(scopes, channels, strict=True)))
            return [channel.sent[0]["status"] for channel in channels]

        slow = asyncio.create_task(statuses("/slow"))
        await until(lambda: pieces.busy)
        core.by_thread = True
        assert await statuses("/a") == [200]
        there, before = held(core), len(core.asked)
        first = asyncio.create_task(statuses("/a"))
        await until(lambda: len(core.asked) == before + 2)
        assert await statuses("/b", "/c") == [503, 503]
        there.set()
        assert await first == [200]
        assert await statuses("/b") == [200]
        event.set()
        assert await slow == [200]

    run(body)


def test_a_reply_that_no_client_waits_for() -> None:
    """The request is cancelled while a thread makes its reply: the reply is released, once."""

    async def body() -> None:
        pieces = Pieces(b"abc")
        core = FakeCore(lambda _: reply(pieces, length=3))
        event = held(core)
        channel = Channel()
        task = asyncio.create_task(AsgiAdapter(core)(scope_of(), channel.receive, channel.send))
        await until(lambda: len(core.asked) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert core.done == []
        event.set()
        await until(lambda: core.done)
        assert (core.done, pieces.closed, pieces.taken, channel.sent) == ([0], 1, 0, [])

    run(body)


def test_a_client_that_goes_while_it_waits() -> None:
    """Work that no thread has begun with is not done; work in a thread is waited for by no one."""

    async def body() -> None:
        core = FakeCore()
        event = held(core)
        app = AsgiAdapter(core, threads=1)
        first, second = Channel(), Channel()
        tasks = [asyncio.create_task(app(scope_of(), each.receive, each.send)) for each in (first, second)]
        await until(lambda: len(core.asked) == 3)
        for channel in (second, first):
            channel.gone.set()
        await asyncio.gather(*tasks)
        assert (core.done, first.sent, second.sent) == ([], [], [])
        event.set()
        await until(lambda: core.done)
        await asyncio.sleep(0.05)
        assert core.done == [0]
        assert len(core.asked) == 3

    run(body)


@pytest.mark.parametrize("threads", [1, 2])
def test_cancelled_while_a_piece_is_fetched(threads: int) -> None:
    """The stream is closed when its thread is out of it."""

    async def body() -> None:
        event = threading.Event()
        pieces = Pieces(b"abc", lambda: event.wait(PATIENCE) and None, b"def")
        core = FakeCore(lambda _: reply(pieces, length=6))
        channel = Channel()
        task = asyncio.create_task(AsgiAdapter(core, threads=threads)(scope_of(), channel.receive, channel.send))
        await until(lambda: pieces.busy)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (core.done, pieces.closed) == ([], 0)
        event.set()
        await until(lambda: core.done)
        assert (core.done, pieces.closed, pieces.closed_while_busy) == ([3], 1, False)

    run(body)


@pytest.mark.parametrize("block_at", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["bytes", "small", "stream"])
def test_cancelled_while_it_is_sent(block_at: int, kind: str) -> None:
    async def body() -> None:
        pieces = Pieces(b"a" * MIB, b"b" * MIB)
        bodies = {"stream": reply(pieces, length=2 * MIB), "bytes": reply(b"a" * (2 * MIB)), "small": reply(b"a")}
        core = FakeCore(lambda _: bodies[kind])
        channel = Channel(block_at)
        task = asyncio.create_task(AsgiAdapter(core)(scope_of(), channel.receive, channel.send))
        await until(lambda: len(channel.sent) == block_at or task.done())
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: core.done)
        assert len(core.done) == 1
        assert core.done[0] == sum(len(message.get("body", b"")) for message in channel.sent)
        assert pieces.closed == (kind == "stream")

    run(body)


# -- clients that are slow or gone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_at", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["bytes", "small", "stream"])
def test_a_server_that_does_not_take_it(block_at: int, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where the transport cannot be reached, the application raises, and the server closes the connection."""

    async def body() -> None:
        pieces = Pieces(b"a" * MIB, b"b" * MIB)
        bodies = {"stream": reply(pieces, length=2 * MIB), "bytes": reply(b"a" * (2 * MIB)), "small": reply(b"a")}
        core = FakeCore(lambda _: bodies[kind])
        channel = Channel(block_at)
        app = AsgiAdapter(core, send_timeout=0.08)
        if kind == "small" and block_at > 1:
            await app(scope_of(), channel.receive, channel.send)
            return
        with pytest.raises(CutReplyError):
            await app(scope_of(), channel.receive, channel.send)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await until(lambda: core.done)
        assert len(core.done) == 1
        assert pieces.closed == (kind == "stream")
        (line,) = caplog.records
        assert "too slowly" in line.getMessage()

    caplog.set_level(logging.WARNING)
    run(body)


def test_patience_is_for_each_message() -> None:
    """A long reply to a client that keeps reading is not cut off."""

    async def body() -> None:
        core = FakeCore(lambda _: reply(Pieces(*[b"a"] * 12), length=12))
        channel = Channel()

        async def slowly(message: Any) -> None:
            await asyncio.sleep(0.02)
            await channel.send(message)

        await AsgiAdapter(core, send_timeout=0.1)(scope_of(), channel.receive, slowly)
        assert channel.body == b"a" * 12

    run(body)


def test_patience_in_several_event_loops() -> None:
    core = FakeCore()
    app = AsgiAdapter(core, send_timeout=0.05)
    for _ in range(2):

        async def body() -> None:
            channel = Channel(block_at=1)
            with pytest.raises(CutReplyError):
                await app(scope_of(), channel.receive, channel.send)

        run(body)
    assert core.done == [0, 0]


def test_a_server_that_says_that_the_client_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """As of version 2.4, ASGI's ``send`` raises."""

    async def body() -> None:
        pieces = Pieces(b"a" * MIB, b"b" * MIB)
        for made, sent in ((reply(b"a"), 0), (reply(b"a" * (2 * MIB)), 0), (reply(pieces, length=2 * MIB), 0)):
            core = FakeCore(lambda _, made=made: made)

            async def send(message: Any) -> None:
                if message["type"] == "http.response.body":
                    raise ConnectionResetError

            await AsgiAdapter(core)(scope_of(), Channel().receive, send)
            await until(lambda core=core: core.done)
            assert core.done == [sent]
        assert pieces.closed == 1

    caplog.set_level(logging.WARNING)
    run(body)
    assert caplog.records == []


# -- other servers and frameworks --------------------------------------------------------------------------------------


def test_no_field_of_connections_in_http_2() -> None:
    async def body() -> None:
        for version, expected in (("1.1", True), ("2", False)):
            channel = Channel()
            scope = scope_of(http_version=version, headers=[(b"content-length", b"3")])
            await AsgiAdapter(FakeCore())(scope, channel.receive, channel.send)
            assert ((b"connection", b"close") in channel.sent[0]["headers"]) == expected

    run(body)


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_mounted_in_starlette(http: str, caplog: pytest.LogCaptureFixture) -> None:
    """Starlette's middleware hides the transport: a reply that fails is cut off all the same."""
    starlette = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    middleware = pytest.importorskip("starlette.middleware.base")

    async def passes(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    core = FakeCore(lambda request: reply(request.path.encode()))
    app = starlette.Starlette(routes=[routing.Mount("/data", AsgiAdapter(core, send_timeout=0.3))])
    app.add_middleware(middleware.BaseHTTPMiddleware, dispatch=passes)
    with uvicorn_running(app, http) as port:
        with Client(port) as client:
            assert client.get("/data/a/b?c").body == b"/a/b"
            assert (core.request.mount, core.request.query) == ("/data", "c")
        for pieces in (Pieces(b"a" * 1000, OSError("failed")), Pieces(b"a" * 1000)):
            core.function = lambda _, pieces=pieces: reply(pieces, length=5000)
            count = len(core.done)
            with Client(port) as client:
                assert client.get("/data/a").cut
            eventually(lambda count=count: len(core.done) > count)
            assert pieces.closed == 1
    assert [record.levelname for record in caplog.records if record.name == "zapz.server"] == ["WARNING"] * 2
