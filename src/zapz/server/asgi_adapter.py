"""The server as an ASGI application, without a framework."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator
from concurrent.futures import Future

from zapz.server.answering import (
    Answering,
    CutReplyError,
    asked,
    content_length,
    internal_error,
    log_cut,
    release,
)
from zapz.server.exchanges import Exchange, Message, Receive, Scope, Send, start_of
from zapz.server.limits import BusyError, Limit
from zapz.server.messages import Events, HttpReply, Stream
from zapz.server.patience import Patience
from zapz.server.pool import DaemonPool
from zapz.server.repeats import Repeats

_LOG = logging.getLogger("zapz.server")

_WHOLE = 1 << 18
"""Bytes of a body up to which it is not waited until the client has read most of it."""
_SMALL = 1 << 17
"""Bytes of a body that a connection takes at once, if it is not waiting for the client."""
_PIECE = 1 << 20
"""Bytes of a body that are handed to the server at once."""


class AsgiAdapter:
    """An ASGI 3 application that gives requests to the core and sends its replies.

    The core is asked in the event loop first. What would block, there and in streams, is done in
    threads of the adapter's own.
    """

    def __init__(self, core: Answering, *, threads: int = 16, send_timeout: float = 60.0) -> None:
        """Make an application.

        Args:
            core: What answers requests.
            threads: Maximum number of threads that wait for replies and pieces of streams.
            send_timeout: Seconds that a client may take to receive 1 MiB. A slower one is cut off.
        """
        self._core = core
        self._waiting = Limit(core.most)  # requests alone: pieces of streams, and events, are short
        self._pool = DaemonPool(threads)
        self._patience = Patience(send_timeout)
        self._repeats = Repeats()
        self._stops = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request, as ASGI specifies it."""
        kind = scope["type"]
        if kind == "http":
            repeated = self._repeats.find(scope)
            if repeated is not None:
                await self._send_again(scope, receive, send, *repeated)
                return
            exchange = Exchange(scope, receive, send)
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
            if len(body) <= _SMALL and not _is_paused(send):
                await send(start)
                await send({"type": "http.response.body", "body": body})
            else:
                with self._patience.limited():
                    await send(start)
                    await send({"type": "http.response.body", "body": body})
            sent = len(body)
        except CutReplyError as error:
            exchange = Exchange(scope, receive, send)
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

    async def _by_thread(self, exchange: Exchange) -> HttpReply | None:
        """Return the reply, or None if the client has gone."""
        try:
            give_back = self._waiting.take()
        except BusyError:
            return self._core.busy(exchange.request)
        try:
            future = self._pool.submit(functools.partial(asked, self._core, exchange.request, inline=False))
        except RuntimeError:  # there is no thread
            give_back()
            raise
        future.add_done_callback(lambda _: give_back())
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

    async def _send(self, exchange: Exchange, reply: HttpReply) -> None:
        try:
            start = start_of(exchange, reply)
        except ValueError:
            _LOG.exception("%s %s: not a valid reply", exchange.request.method, ascii(exchange.request.path))
            release(reply, 0)
            reply = internal_error()
            start = start_of(exchange, reply)
        try:
            if reply.events is not None:
                await self._send_events(exchange, start, reply, reply.events)
            elif isinstance(reply.body, bytes):
                await self._send_bytes(exchange, start, reply, reply.body)
            else:
                await self._send_stream(exchange, start, reply, reply.body)
        except CutReplyError as error:
            log_cut(exchange.request, error)
            if not await exchange.aborted():
                raise
        except OSError:
            _LOG.debug("%s: the client is gone", exchange.request.method)

    async def _send_bytes(self, exchange: Exchange, start: Message, reply: HttpReply, body: bytes) -> None:
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

    async def _send_stream(self, exchange: Exchange, start: Message, reply: HttpReply, stream: Stream) -> None:
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

    async def _send_events(self, exchange: Exchange, start: Message, reply: HttpReply, events: Events) -> None:
        """Send events until the client is gone, or the server stops."""
        sent = 0
        try:
            with self._patience.limited():
                await exchange.send(start)
            gone = exchange.gone()
            while not (gone.done() or self._stops):
                data = await asyncio.wrap_future(self._pool.submit(events.poll))
                if data:
                    with self._patience.limited():
                        await exchange.send({"type": "http.response.body", "body": data, "more_body": True})
                    sent += len(data)
                await asyncio.wait((gone,), timeout=events.pause)
            if not gone.done():
                with self._patience.limited():
                    await exchange.send({"type": "http.response.body", "body": b""})
        finally:
            reply.done(sent)

    def stop(self) -> None:
        """End all events: the server is about to stop."""
        self._stops = True


def _is_paused(send: Send) -> bool:
    """Return whether sending may wait for the client; True if that cannot be known.

    uvicorn's connections tell: it saves the watch over the wait, which costs as much as the rest.
    """
    flow = getattr(getattr(send, "__self__", None), "flow", None)
    return bool(getattr(flow, "write_paused", True))


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

    future.add_done_callback(dispose)
