"""Serving with uvicorn, in this process.

uvicorn waits for ever for the head of a request, whatever its size, and for a client that does not
read the end of a reply. Both are limited here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

from zapz.server.answering import Answering, CutReplyError, error_body
from zapz.server.asgi_adapter import AsgiAdapter

_KEEP_ALIVE = 75
"""Seconds that a connection may be idle. Clients that keep connections should be the first to close
them: one that is closed while it sends a request sees an error."""
_HEAD_SECONDS = 20.0
"""Seconds that the head of a request may take to arrive."""
_HEAD_BYTES = 1 << 16
"""Bytes of the longest head of a request."""
_TICKS = 10
"""Ticks of uvicorn's, 0.1 seconds each, between checks of connections that wait."""
_BACKLOG = 2048
"""Connections that may wait to be accepted."""
_BODY = error_body("the header is too long")
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_BODY), _BODY)
)


def serve_by_uvicorn(
    core: Answering,
    listener: socket.socket,
    drain: float,
    ready: Callable[[], None],
    stopped: Callable[[], bool],
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        core: What answers requests.
        listener: A socket that listens; it is closed.
        drain: Seconds that replies may take to end.
        ready: Called when connections are accepted.
        stopped: Whether a signal had arrived before uvicorn noted signals.
    """
    adapter = AsgiAdapter(core)
    try:
        with _quiet():
            server_of(adapter, drain, ready, stopped).run(sockets=[listener])
    finally:
        adapter.close()


def server_of(
    adapter: AsgiAdapter, drain: float, ready: Callable[[], None], stopped: Callable[[], bool], http: Any = None
) -> Any:
    """Return a server of uvicorn's.

    Args:
        adapter: The application.
        drain: Seconds that replies may take to end.
        ready: Called when connections are accepted.
        stopped: Whether a signal had arrived before uvicorn noted signals.
        http: One of uvicorn's HTTP protocols; None for the one with httptools, if that is
            installed, else the one with h11.
    """
    import uvicorn
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    class Server(uvicorn.Server):  # type: ignore[misc]  # uvicorn is not always installed
        should_exit: bool

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.should_exit or stopped():
                self.should_exit = False
                asyncio.get_running_loop().call_soon(setattr, self, "should_exit", True)  # noqa: FBT003
            elif self.started:
                ready()

        def handle_exit(self, sig: int, frame: types.FrameType | None) -> None:
            # The loop runs it later. Older versions do not close their sockets if `should_exit` is
            # set between `startup` and their main loop, and with uvloop the process never ends.
            asyncio.get_running_loop().call_soon_threadsafe(super().handle_exit, sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            adapter.stop()
            await super().shutdown(sockets)

        async def on_tick(self, counter: int) -> bool:
            if counter % _TICKS == 0:
                now = time.monotonic()
                for connection in list(self.server_state.connections):
                    connection.expire(now)
            return bool(await super().on_tick(counter))

    config = uvicorn.Config(
        adapter,
        http=limited(http or AutoHTTPProtocol),
        loop="auto",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=_BACKLOG,
        workers=1,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=drain,
    )
    return Server(config)


def limited(protocol: Any) -> Any:
    """Return one of uvicorn's HTTP protocols, with limits for the heads of requests."""

    class Limited(protocol):  # type: ignore[misc]  # uvicorn is not always installed
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.head_size = 0
            self.waiting = _Waiting()

        def data_received(self, data: bytes) -> None:
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                if self.head_size > _HEAD_BYTES:
                    self.transport.write(_TOO_LONG)
                    self.transport.close()
                    return
                self.head_size += len(data)
            super().data_received(data)
            if self.cycle is not cycle:
                self.head_size = 0

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            timer: Any = getattr(self, "timeout_keep_alive_task", None)
            if timer is not None:  # uvicorn keeps it, and so the connection, after a reset
                timer.cancel()
                setattr(self, "timeout_keep_alive_task", None)  # noqa: B010 - a type checker does not know its type

        def expire(self, now: float) -> None:
            """Abort the connection if it has waited too long for a request, or to be closed."""
            if self.waiting.is_too_long(self.cycle, now):
                self.transport.abort()

    return Limited


class _Waiting:
    """How long a connection has waited for a request, after which reply."""

    __slots__ = ("_after", "_since")

    def __init__(self) -> None:
        self._after: Any = None
        self._since = time.monotonic()

    def is_too_long(self, cycle: Any, now: float) -> bool:
        """Return whether it has waited too long; ``cycle`` is uvicorn's latest reply, or None."""
        if cycle is not self._after or (cycle is not None and not cycle.response_complete):
            self._after, self._since = cycle, now
        return now - self._since > _HEAD_SECONDS + (_KEEP_ALIVE if cycle is not None else 0)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tracebacks of replies that were cut off on purpose out of uvicorn's log."""

    def is_news(record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, CutReplyError | asyncio.CancelledError)

    log = logging.getLogger("uvicorn.error")
    log.addFilter(is_news)
    try:
        yield
    finally:
        log.removeFilter(is_news)
