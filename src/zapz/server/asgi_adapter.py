"""The server as an ASGI application, without a framework."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import Future
from typing import Any

from zapz.server.answering import (
    Answering,
    CutReplyError,
    asked,
    content_length,
    has_body,
    internal_error,
    log_cut,
    release,
)
from zapz.server.messages import HttpReply, HttpRequest, Stream
from zapz.server.patience import Patience
from zapz.server.pool import DaemonPool
from zapz.server.repeats import Repeats

_LOG = logging.getLogger("zapz.server")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_WHOLE = 1 << 18
"""Bytes of a body up to which it is not waited until the client has read most of it."""
_SMALL = 1 << 15
"""Bytes of a body that a connection takes without waiting for the client."""
_PIECE = 1 << 20
"""Bytes of a body that are handed to the server at once."""
_ABORT = 1.0
"""Seconds that an aborted connection may take to be gone."""


class AsgiAdapter:
    """An ASGI 3 application that gives requests to the core and sends its replies.

    The core is asked in the event loop first. What would block, there and in streams, is done in
    threads of the adapter's own.
    """

    def __init__(self, core: Answering, *, threads: int = 16, most: int = 64, send_timeout: float = 60.0) -> None:
        """Make an application.

        Args:
            core: What answers requests.
            threads: Most threads that wait for replies and pieces of streams.
            most: Most tasks that wait for a thread; the core refuses requests beyond.
            send_timeout: Seconds that a client may take to receive 1 MiB. A slower one is cut off.
        """
        self._core = core
        self._pool = DaemonPool(threads)
        self._most = most
        self._patience = Patience(send_timeout)
        self._repeats = Repeats()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, as ASGI specifies it."""
        kind = scope["type"]
        if kind == "http":
            repeated = self._repeats.find(scope)
            if repeated is not None:
                await self._send_again(scope, receive, send, *repeated)
                return
            exchange = _Exchange(scope, receive, send)
            try:
                reply = asked(self._core, exchange.request, inline=True) or await self._by_thread(exchange)
                if reply is not None:
                    if reply.repeat is not None:
                        self._repeats.note(scope, reply.repeat)
                    await self._send(exchange, reply)
            finally:
                exchange.end()
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    async def _send_again(
        self, scope: Scope, receive: Receive, send: Send, reply: HttpReply, body: bytes, start: Message
    ) -> None:
        """Send a reply whose body is in memory, at the least cost."""
        sent = 0
        try:
            if len(body) <= _SMALL:
                await send(start)
                await send({"type": "http.response.body", "body": body})
            else:
                with self._patience.limited():
                    await send(start)
                    await send({"type": "http.response.body", "body": body})
            sent = len(body)
        except CutReplyError as error:
            exchange = _Exchange(scope, receive, send)
            log_cut(exchange.request, error)
            if not await exchange.aborted():
                raise
        except OSError:
            _LOG.debug("the client is gone")
        finally:
            reply.done(sent)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        kind = ""
        while kind != "lifespan.shutdown":
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                self.close()
            await send({"type": f"{kind}.complete"})

    async def _by_thread(self, exchange: _Exchange) -> HttpReply | None:
        """Return the reply, or None if the client has gone."""
        if self._pool.waiting >= self._most:
            return self._core.busy(exchange.request)
        future = self._pool.submit(functools.partial(asked, self._core, exchange.request, inline=False))
        waiting = asyncio.wrap_future(future)
        try:
            # To ask whether the client is gone is to ask for the body, if there is one.
            watched = () if exchange.has_body else (exchange.gone(),)
            await asyncio.wait((waiting, *watched), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            if not waiting.done():
                waiting.cancel()
                _forget(future)
        return None

    async def _send(self, exchange: _Exchange, reply: HttpReply) -> None:
        try:
            start = _start(exchange, reply)
        except ValueError:
            _LOG.exception("%s %s: not a valid reply", exchange.request.method, ascii(exchange.request.path))
            release(reply, 0)
            reply = internal_error()
            start = _start(exchange, reply)
        try:
            if isinstance(reply.body, bytes):
                await self._send_bytes(exchange, start, reply, reply.body)
            else:
                await self._send_stream(exchange, start, reply, reply.body)
        except CutReplyError as error:
            log_cut(exchange.request, error)
            if not await exchange.aborted():
                raise
        except OSError:
            _LOG.debug("%s: the client is gone", exchange.request.method)

    async def _send_bytes(self, exchange: _Exchange, start: Message, reply: HttpReply, body: bytes) -> None:
        send, length = exchange.send, len(body)
        sent = 0
        try:
            with self._patience.limited():
                await send(start)
                if length <= _WHOLE:
                    await send({"type": "http.response.body", "body": body})
                    sent = length
                    return
            while sent < length:
                piece = body if length <= _PIECE else body[sent : sent + _PIECE]
                with self._patience.limited():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                sent += len(piece)
            with (
                self._patience.limited()
            ):  # servers wait before they take more, so this one is taken when most was read
                await send({"type": "http.response.body", "body": b""})
        finally:
            reply.done(sent)

    async def _send_stream(self, exchange: _Exchange, start: Message, reply: HttpReply, stream: Stream) -> None:
        length = content_length(reply) or 0
        sent = 0
        fetching: Future[bytes | None] | None = None
        pieces = _Pieces(stream)
        try:
            with self._patience.limited():
                await exchange.send(start)
            gone = exchange.gone()
            while sent < length:
                fetching = self._pool.submit(pieces.next)
                piece = await _fetched(fetching, sent, length)
                for begin in range(0, len(piece), _PIECE):
                    if gone.done():
                        return
                    part = piece if len(piece) <= _PIECE else piece[begin : begin + _PIECE]
                    with self._patience.limited():
                        await exchange.send({"type": "http.response.body", "body": part, "more_body": True})
                    if gone.done():
                        return
                    sent += len(part)
            with self._patience.limited():
                await exchange.send({"type": "http.response.body", "body": b""})
        finally:
            end = functools.partial(release, reply, sent)
            if fetching is None or fetching.done():
                await asyncio.shield(asyncio.wrap_future(self._pool.submit(end)))
            else:
                fetching.add_done_callback(lambda _: end())


class _Exchange:
    """A request with its channel to the client."""

    __slots__ = ("_gone", "_is_http_1", "has_body", "receive", "request", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.receive = receive
        self.send = send
        self.request = request_of(scope)
        self.has_body = has_body(self.request)
        self._is_http_1: bool = scope.get("http_version", "1.1") in {"1.1", "1.0"}
        self._gone: asyncio.Task[None] | None = None

    @property
    def must_close(self) -> bool:
        """Whether the connection must be closed after the reply: the body is never read."""
        return self.has_body and self._is_http_1

    def gone(self) -> asyncio.Task[None]:
        """Return a task that ends when the client is gone; it drops the request's body."""
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._wait())
        return self._gone

    async def _wait(self) -> None:
        try:
            while (await self.receive())["type"] != "http.disconnect":
                continue
        except OSError:
            return

    async def aborted(self) -> bool:
        """Abort the connection; return whether it is gone.

        ASGI has no message for it. Servers close the connection if the application raises, but log
        a traceback, and a client that does not read can delay it for ever. uvicorn's transport can
        be reached, so there it is aborted, and nothing needs to be raised.
        """
        transport: Any = getattr(getattr(self.send, "__self__", None), "transport", None)
        if not self._is_http_1 or not hasattr(transport, "abort"):
            return False
        transport.abort()
        done, _ = await asyncio.wait((self.gone(),), timeout=_ABORT)
        return bool(done)

    def end(self) -> None:
        """Wait for the client no longer."""
        if self._gone is not None:
            self._gone.cancel()


class _Pieces:
    """The pieces of a stream; its iterator is made by the thread that asks for the first one."""

    __slots__ = ("_iterator", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._iterator: Iterator[bytes] | None = None

    def next(self) -> bytes | None:
        """Return the next piece, or None at the end."""
        if self._iterator is None:
            self._iterator = iter(self._stream)
        return next(self._iterator, None)


async def _fetched(fetching: Future[bytes | None], sent: int, length: int) -> bytes:
    """Return the next piece of a stream.

    Raises:
        CutReplyError: There is none, or it is too long, or the stream raised.
    """
    try:
        piece = await asyncio.wrap_future(fetching)
    except Exception as error:
        raise CutReplyError(f"cut off after {sent} of {length} bytes, the source failed") from error
    if piece is None or sent + len(piece) > length:
        raise CutReplyError(f"cut off after {sent} of {length} bytes, the source ended early or has more")
    return piece


def _forget(future: Future[HttpReply | None]) -> None:
    """Release a reply that no client waits for: now, or as soon as it is there."""

    def dispose(future: Future[HttpReply | None]) -> None:
        if not future.cancelled():
            reply = future.result()
            if reply is not None:
                release(reply, 0)

    future.cancel()
    future.add_done_callback(dispose)


@functools.lru_cache(maxsize=256)
def _field_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def _start(exchange: _Exchange, reply: HttpReply) -> Message:
    """Return the message that begins a reply.

    Raises:
        ValueError: A header field cannot be encoded, or the length of a stream is missing.
    """
    headers = [(_field_name(name), value.encode("latin-1")) for name, value in reply.headers]
    if not isinstance(reply.body, bytes) and content_length(reply) is None:
        raise ValueError("a stream without Content-Length")
    if exchange.must_close:
        headers.append((b"connection", b"close"))
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


def request_of(scope: Scope) -> HttpRequest:
    """Return the request of an ASGI scope of type ``http``."""
    fields = scope["headers"]
    # httptools keeps spaces behind a value.
    headers = {name.decode("latin-1").lower(): value.decode("latin-1").strip(" \t") for name, value in fields}
    if len(headers) < len(fields):
        headers = {}
        for name, value in fields:
            field, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
            headers[field] = f"{headers[field]}, {text}" if field in headers else text
    path: str = scope["path"]
    mount: str = scope.get("root_path", "").rstrip("/")
    # Older servers leave the mount out of the path; newer ones begin the path with it.
    if mount and path.startswith(mount) and path[len(mount) : len(mount) + 1] in {"", "/"}:
        path = path[len(mount) :]
    server = scope.get("server")
    return HttpRequest(
        method=scope["method"],
        path=path if path.startswith("/") else f"/{path}",
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        mount=mount,
        scheme=scope.get("scheme", "http"),
        address=server[0] if server else "",
    )
