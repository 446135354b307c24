"""Requests and replies of the server, independent of any framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HttpRequest:
    """A request, as far as the server reads it. It has no body."""

    method: str
    """Its method, in upper case."""
    path: str
    """Its path, percent-decoded, below the path at which the application is mounted. It begins with
    a slash."""
    query: str = ""
    """Its query, as sent, without the question mark."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Its header fields by name, in lower case. Of repeated fields, values are joined by commas."""
    mount: str = ""
    """Path at which the application is mounted in another one; "" if it is not mounted."""
    scheme: str = "http"
    """``http`` or ``https``."""
    address: str = ""
    """Local address on which the connection arrived; "" if it is not known."""


class Stream(Protocol):
    """A body that is sent in pieces. Its length is the reply's ``Content-Length``."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces. This may block.

        Raises:
            ZapzError: Storage failed, or the object ended early: the connection must be aborted.
        """

    def close(self) -> None:
        """Release what it holds; may be called several times, also before it was iterated."""


class Events(Protocol):
    """A body without an end: an adapter asks from time to time what is to be sent."""

    pause: float
    """Seconds between two questions."""

    def poll(self) -> bytes:
        """Return what is to be sent now; nothing is usual. It may read storage."""


def _nothing(_sent: int) -> None:
    """Do nothing about a reply that was sent."""


@dataclass(slots=True, kw_only=True, eq=False)
class HttpReply:
    """A reply; adapters send it as it is."""

    status: int
    """HTTP status code."""
    headers: list[tuple[str, str]]
    """Header fields. ``Content-Length`` is among them, except in replies that have no content
    (204, 304), and in those with events."""
    body: bytes | Stream = b""
    """The body; empty for HEAD."""
    events: Events | None = None
    """Events to be sent instead of the body, until the client leaves."""
    lasts: Callable[[], bool] | None = None
    """Returns whether this reply still answers an equal request; it does not wait. Not set if no
    reply may be sent again."""
    repeat: Callable[[], HttpReply | None] | None = None
    """Returns the reply to another equal request, without waiting; None if the request must be
    answered anew. A reply that has ``repeat`` itself is the same each time. Not set if no reply may
    be repeated so."""
    done: Callable[[int], None] = _nothing
    """Called once each time that the reply was sent or its connection was lost, with the number of
    bytes of the body that were sent. It does not block."""
