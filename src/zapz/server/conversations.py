"""One connection of the server on the standard library: its requests and replies."""

from __future__ import annotations

import email.utils
import logging
import re
import socket
import time
from collections.abc import Iterator
from http import HTTPStatus

from zapz.server.answering import (
    Answering,
    CutReplyError,
    asked,
    content_length,
    error_body,
    error_reply,
    has_body,
    internal_error,
    log_cut,
    release,
)
from zapz.server.connections import Connection, ConnectionLimits, Connections
from zapz.server.messages import Events, HttpReply, HttpRequest, Stream
from zapz.server.request_heads import BadRequestError, RequestReader

_LOG = logging.getLogger("zapz.server")
_PIECE = 1 << 20
"""Bytes of a body that are sent at once."""
_SMALL = 1 << 16
"""Bytes of a body up to which it is sent together with its head."""
_LINGER = (1.0, 1 << 20)
"""Seconds and bytes for which the rest of a request is received before its connection is closed. A
connection that is closed before that is reset, and the client may lose the reply."""
_NO_CONTENT = frozenset((204, 304))
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Conversation:
    """One connection, served by one thread."""

    def __init__(
        self, core: Answering, connection: Connection, connections: Connections, limits: ConnectionLimits
    ) -> None:
        self._core = core
        self._connection = connection
        self._connections = connections
        self._limits = limits
        self._channel = connection.channel

    def run(self) -> None:
        """Serve the connection until it is closed, and close it."""
        try:
            with self._channel:
                self._channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._replied_to_all():
                    self._linger()
        except CutReplyError:
            _LOG.debug("a connection was cut off")
        except OSError as error:
            _LOG.debug("a connection was lost: %s", error)
        except Exception:  # noqa: BLE001 - logged
            _LOG.exception("a connection failed")
        finally:
            self._connections.remove(self._connection)

    def _replied_to_all(self) -> bool:
        """Serve requests until the last one; return whether the client may not be done with it."""
        reader = RequestReader(self._channel)
        while self._connections.wait_for_request(self._connection):
            if not reader.wait(self._limits.idle):
                return False
            self._connections.serve(self._connection)
            try:
                head = reader.read(self._limits.head)
            except BadRequestError as error:
                reply = error_reply(error.status, error.message)
                self._write(_head_of(reply, keeps=False) + error_body(error.message))
                return True
            if not self._replied(head.request, keeps=head.keeps and not has_body(head.request)):
                return True
        return False

    def _replied(self, request: HttpRequest, *, keeps: bool) -> bool:
        """Reply to a request, and return whether the connection can be used again.

        Raises:
            CutReplyError: The reply was begun and could not be completed.
            OSError: The connection was lost.
        """
        reply = asked(self._core, request, inline=False) or internal_error()
        keeps = keeps and not self._connections.draining and _keeps(reply)
        try:
            head, body = _head_of(reply, keeps=keeps), _body_of(reply, request)
        except ValueError:
            _LOG.exception("%s %s: not a valid reply", request.method, ascii(request.path))
            release(reply, 0)
            reply, keeps = internal_error(), False
            head, body = _head_of(reply, keeps=False), _body_of(reply, request)
        sent = 0
        try:
            if reply.events is not None:
                self._write(head)
                sent = self._told(reply.events)
            elif isinstance(body, bytes) and len(body) <= _SMALL:
                self._write(head + body)
                sent = len(body)
            else:
                self._write(head)
                for piece in _pieces(body, content_length(reply) or 0):
                    self._write(piece)
                    sent += len(piece)
        except TimeoutError:
            log_cut(request, CutReplyError(f"cut off after {sent} bytes, the client reads too slowly"))
            raise
        except CutReplyError as error:
            log_cut(request, error)
            raise
        finally:
            release(reply, sent)
        return keeps

    def _told(self, events: Events) -> int:
        """Send events until the server stops; return the number of bytes.

        Raises:
            OSError: The client is gone.
        """
        sent = 0
        while not self._connections.draining:
            data = events.poll()
            if data:
                self._write(data)
                sent += len(data)
            time.sleep(events.pause)
        return sent

    def _write(self, data: bytes | memoryview) -> None:
        self._channel.settimeout(self._limits.send)
        self._channel.sendall(data)

    def _linger(self) -> None:
        """Receive what the client is sending still, until it has the reply and closes as well."""
        seconds, left = _LINGER
        end = time.monotonic() + seconds
        self._channel.shutdown(socket.SHUT_WR)
        while left > 0 and time.monotonic() < end:
            self._channel.settimeout(max(end - time.monotonic(), 0.001))
            received = len(self._channel.recv(1 << 16))
            if not received:
                return
            left -= received


def _pieces(body: bytes | Stream, length: int) -> Iterator[memoryview]:
    """Yield a body in pieces.

    Raises:
        CutReplyError: The stream raised, ended early, or has more.
    """
    sent = 0
    source: Iterator[bytes] | None = None
    while sent < length:
        try:
            source = source or iter((body,) if isinstance(body, bytes) else body)
            piece = next(source, None)
        except Exception as error:
            raise CutReplyError(f"cut off after {sent} of {length} bytes, the source failed") from error
        if piece is None or sent + len(piece) > length:
            raise CutReplyError(f"cut off after {sent} of {length} bytes, the source ended early or has more")
        for start in range(0, len(piece), _PIECE):
            yield memoryview(piece)[start : start + _PIECE]
        sent += len(piece)


def _keeps(reply: HttpReply) -> bool:
    """Return whether a reply's end can be seen without closing the connection, and it is wanted."""
    fields = {name.lower(): value.lower() for name, value in reply.headers}
    return fields.get("connection") != "close" and ("content-length" in fields or reply.status in _NO_CONTENT)


def _body_of(reply: HttpReply, request: HttpRequest) -> bytes | Stream:
    """Return the body to send.

    Raises:
        ValueError: Its length is not what the header says.
    """
    if request.method == "HEAD" or reply.status in _NO_CONTENT:
        return b""
    length = content_length(reply)
    if not isinstance(reply.body, bytes):
        if length is None:
            raise ValueError("a stream without Content-Length")
    elif length not in {None, len(reply.body)}:
        raise ValueError(f"Content-Length {length} of a body of {len(reply.body)} bytes")
    return reply.body


def _head_of(reply: HttpReply, *, keeps: bool) -> bytes:
    """Return the head of a reply.

    Raises:
        ValueError: A header field is not valid.
    """
    fields = [*reply.headers, ("Date", email.utils.formatdate(usegmt=True)), ("Server", "zapz")]
    if not keeps:
        fields = [*((name, value) for name, value in fields if name.lower() != "connection"), ("Connection", "close")]
    if any(_CONTROL.search(name) or _CONTROL.search(value) for name, value in fields):
        raise ValueError("a header field with control characters")
    try:
        reason = HTTPStatus(reply.status).phrase
    except ValueError:
        reason = ""
    lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")
