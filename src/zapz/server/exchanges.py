"""A request of an ASGI server, with its channel to the client."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from zapz.server.answering import content_length, has_body
from zapz.server.messages import HttpReply, HttpRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_ABORT = 1.0
"""Seconds that an aborted connection may take to be gone."""


class Exchange:
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


@functools.lru_cache(maxsize=256)
def _field_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def start_of(exchange: Exchange, reply: HttpReply) -> Message:
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
