"""The server on Python's standard library alone: HTTP/1.1, a thread for each connection."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable

from zapz.server.answering import Answering, error_reply
from zapz.server.connections import Connection, ConnectionLimits, Connections
from zapz.server.conversations import Conversation
from zapz.server.messages import HttpReply, HttpRequest

_LOG = logging.getLogger("zapz.server")
_PAUSE = 0.1
"""Seconds to wait if no connection can be accepted, and between checks whether to hurry."""


class StandardAdapter:
    """Serves the core on a socket that listens already."""

    def __init__(self, core: Answering, listener: socket.socket, limits: ConnectionLimits | None = None) -> None:
        self._core = core
        self._listener = listener
        self._limits = limits or ConnectionLimits()
        self._connections = Connections(self._limits.connections)
        self._stopped, self._stop = socket.socketpair()

    def serve_forever(self) -> None:
        """Serve until ``shutdown`` is called."""
        self._listener.settimeout(0)  # a client may be gone before it is accepted
        with selectors.DefaultSelector() as selector, self._listener, self._stopped:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._stopped, selectors.EVENT_READ)
            while all(key.fileobj is not self._stopped for key, _ in selector.select()):
                try:
                    channel, _ = self._listener.accept()
                except (BlockingIOError, ConnectionError):
                    continue
                except OSError:
                    _LOG.exception("no connection can be accepted")
                    time.sleep(_PAUSE)
                    continue
                self._accept(channel)

    def shutdown(self, drain: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop accepting, let replies end, and then close all connections.

        Args:
            drain: Seconds that replies may take to end.
            hurry: Called again and again meanwhile; True means not to wait any longer.
        """
        self._connections.drain()
        with self._stop:
            self._stop.send(b"x")
        end = time.monotonic() + drain
        while not self._connections.are_closed(min(_PAUSE, drain)):
            if time.monotonic() > end or hurry():
                cut = self._connections.abort()
                _LOG.warning("%d replies were cut off, they took longer than %g s", cut, drain)
                return

    def _accept(self, channel: socket.socket) -> None:
        connection = Connection(channel=channel)
        admission = self._connections.admit(connection)
        if admission == "drop":
            channel.close()
            return
        core = self._core if admission == "serve" else _Refusing()
        work = Conversation(core, connection, self._connections, self._limits)
        try:
            threading.Thread(target=work.run, name="zapz-connection", daemon=True).start()
        except RuntimeError:
            _LOG.exception("no thread can be started for a connection")
            self._connections.remove(connection)
            channel.close()


class _Refusing:
    """The core for a connection beyond the limit."""

    most = 0

    def answer(self, request: HttpRequest, *, inline: bool = False) -> HttpReply:
        """Return status 503, and close the connection."""
        del inline
        return self.busy(request)

    def busy(self, request: HttpRequest) -> HttpReply:
        """Return status 503, and close the connection."""
        del request
        reply = error_reply(503, "too many connections")
        reply.headers += [("Retry-After", "1"), ("Connection", "close")]
        return reply
