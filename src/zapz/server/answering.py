"""What an adapter asks of the server's core, and what all adapters do about its replies."""

from __future__ import annotations

import json
import logging
from typing import Protocol

from zapz.errors import ZapzError
from zapz.server.messages import HttpReply, HttpRequest

_LOG = logging.getLogger("zapz.server")


class Answering(Protocol):
    """The core of the server: it turns requests into replies."""

    @property
    def most(self) -> int:
        """Maximum number of requests that are processed at the same time."""

    def answer(self, request: HttpRequest, *, inline: bool = False) -> HttpReply | None:
        """Return the reply; errors become replies as well.

        Args:
            request: The request.
            inline: Do not block. None then means that a thread must ask again without it.
        """

    def busy(self, request: HttpRequest) -> HttpReply:
        """Return the reply to a request for which there is no thread: 503."""


class CutReplyError(Exception):
    """A reply was begun and cannot be completed: its connection must be aborted."""


def asked(core: Answering, request: HttpRequest, *, inline: bool) -> HttpReply | None:
    """Return the core's reply, or status 500 if it raises; the traceback is only logged."""
    try:
        reply = core.answer(request, inline=inline)
    except Exception:  # noqa: BLE001 - logged
        _LOG.exception("%s %s: the server failed", request.method, ascii(request.path))
        return internal_error()
    if reply is None and not inline:
        _LOG.error("%s %s: the server gave no reply", request.method, ascii(request.path))
        return internal_error()
    return reply


def error_body(message: str) -> bytes:
    """Return the body of a reply about an error that the core does not know about."""
    return json.dumps({"error": {"message": message}}).encode()


def error_reply(status: int, message: str) -> HttpReply:
    """Return the reply about an error that the core does not know about."""
    body = error_body(message)
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return HttpReply(status=status, headers=[*fields.items()], body=body)


def internal_error() -> HttpReply:
    """Return the reply for a fault of the server; it tells the client nothing about the fault."""
    return error_reply(500, "internal error")


def content_length(reply: HttpReply) -> int | None:
    """Return the ``Content-Length`` of a reply, or None if it has none.

    Raises:
        ValueError: It is no number.
    """
    return next((int(value) for name, value in reply.headers if name.lower() == "content-length"), None)


def has_body(request: HttpRequest) -> bool:
    """Return whether a request has a body. It is never read, so the connection is then closed."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def release(reply: HttpReply, sent: int) -> None:
    """Close a reply's stream, and report how many bytes of its body were sent."""
    try:
        if not isinstance(reply.body, bytes):
            reply.body.close()
    except Exception:  # noqa: BLE001 - logged
        _LOG.exception("a stream cannot be closed")
    finally:
        reply.done(sent)


def log_cut(request: HttpRequest, error: CutReplyError) -> None:
    """Log a reply that was cut off: in one line, with a traceback only for unexpected causes."""
    cause = error.__cause__
    expected = cause is None or isinstance(cause, ZapzError | OSError)
    why = f"{error}: {type(cause).__name__}: {cause}" if cause else str(error)
    trace = None if expected or cause is None else cause
    _LOG.warning("%s %s: %s", request.method, ascii(request.path), " ".join(why.split()), exc_info=trace)
