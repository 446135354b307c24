"""The open connections of the server on the standard library."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

_REFUSED = 32
"""Connections beyond the limit that are told so; those beyond that are closed at once."""
_EVICTED = 1.0
"""Seconds that a connection has been idle before it is closed in favour of another one."""

Admission = Literal["serve", "refuse", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits for clients."""

    connections: int = 128
    """Maximum number of open connections. Beyond it, the one that has been idle for longest is
    closed; if all are busy, new ones are answered by status 503."""
    idle: float = 75.0
    """Seconds that a connection may wait for its next request."""
    head: float = 20.0
    """Seconds that a request may take to arrive."""
    send: float = 60.0
    """Seconds that a client may take to receive 1 MiB. A slower one is cut off."""


@dataclass(slots=True, kw_only=True, eq=False)
class Connection:
    """An open connection."""

    channel: socket.socket
    """Its socket."""
    idle_since: float | None = field(default_factory=time.monotonic)
    """When it began to wait for a request, in seconds of the monotonic clock; None while it is
    served."""

    def end_reading(self) -> None:
        """Let it read what has arrived, and then find the end."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RD)

    def abort(self) -> None:
        """End it at once, whatever another thread does with it."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)


class Connections:
    """Limits how many are open, and ends them when the server stops. Any thread may call it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._open: set[Connection] = set()
        self._draining = False

    def admit(self, connection: Connection) -> Admission:
        """Add a connection, and say what to do with it; one to drop is not added.

        If the limit is reached, the connection that has been idle for longest makes room.
        """
        with self._changed:
            count = len(self._open)
            if count >= self._most + _REFUSED or self._draining:
                return "drop"
            admission: Admission = "serve" if count < self._most or self._evict() else "refuse"
            self._open.add(connection)
            return admission

    def _evict(self) -> bool:
        idle = [(each.idle_since, each) for each in self._open if each.idle_since is not None]
        since, longest = min(idle, key=lambda pair: pair[0], default=(None, None))
        if since is None or longest is None or time.monotonic() - since < _EVICTED:
            return False
        longest.idle_since = None
        longest.end_reading()
        return True

    def wait_for_request(self, connection: Connection) -> bool:
        """Note that a connection waits for a request; False if it must not, as the server stops."""
        with self._changed:
            connection.idle_since = time.monotonic()
            return not self._draining

    def serve(self, connection: Connection) -> None:
        """Note that a request has begun."""
        with self._changed:
            connection.idle_since = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    @property
    def draining(self) -> bool:
        """Whether the server stops: a reply is then the last one of its connection."""
        return self._draining

    def drain(self) -> None:
        """Let connections end with their current reply, and idle ones at once."""
        with self._changed:
            self._draining = True
            for each in self._open:
                if each.idle_since is not None:
                    each.end_reading()

    def are_closed(self, seconds: float) -> bool:
        """Wait until all are closed, but no longer than that; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, seconds)

    def abort(self) -> int:
        """End all at once; return how many were served."""
        with self._changed:
            for each in self._open:
                each.abort()
            return sum(each.idle_since is None for each in self._open)
