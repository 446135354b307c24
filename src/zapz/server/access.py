"""Who may read: host names, tokens, and the origins of web pages. Pure.

A page of another site can make a browser send requests to a server on loopback, under a name that
resolves to 127.0.0.1 (DNS rebinding). So the ``Host`` of every request is compared with the names
under which the server is known.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass

from zapz.server.content import Headers
from zapz.server.messages import HttpRequest

METHODS = "GET, HEAD, OPTIONS"
"""Methods that the server answers."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_EXPOSED = "Accept-Ranges, Content-Length, Content-Range, ETag, Link, Retry-After, Warning, Zapz-Generation"
_ALLOWED = "Accept, Authorization, Cache-Control, If-Match, If-None-Match, If-Range, Range"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may read."""

    hosts: frozenset[str] | None = None
    """Host names of the server, besides loopback and the address of the connection; None if the
    ``Host`` of requests is not checked, because another application does that."""
    tokens: Collection[str] = ()
    """Tokens of which a request must have one; none if reading is free."""
    origins: frozenset[str] = frozenset()
    """Origins whose pages may read; "*" for all."""

    def knows_host(self, request: HttpRequest) -> bool:
        """Return whether a request names this server."""
        if self.hosts is None or "host" not in request.headers:
            return True
        name = host_of(request.headers["host"])
        return name in _LOOPBACK or name == request.address or name in self.hosts

    def is_granted(self, request: HttpRequest) -> bool:
        """Return whether a request has a token, if one is needed; all are compared in full."""
        if not self.tokens:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        offered = given.strip().encode("utf-8", "replace")
        found = [hmac.compare_digest(offered, token.encode()) for token in self.tokens]
        return kind.lower() == "bearer" and bool(offered) and any(found)

    def sharing(self, request: HttpRequest) -> Headers:
        """Return the header fields that let a page of another origin read a reply."""
        if not self.origins:
            return []
        origin = request.headers.get("origin")
        if "*" in self.origins:
            return [("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", _EXPOSED)]
        if origin is None or origin not in self.origins:
            return [("Vary", "Origin")]
        return [
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _EXPOSED),
            ("Vary", "Origin"),
        ]

    def preflight(self) -> Headers:
        """Return the further header fields of the reply to an OPTIONS request."""
        allowed = [("Allow", METHODS)]
        if not self.origins:
            return allowed
        return [
            *allowed,
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", _ALLOWED),
            ("Access-Control-Max-Age", "600"),
        ]


def host_of(text: str) -> str:
    """Return the name in a ``Host`` header, in lower case, without port and final dot."""
    text = text.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.rpartition(":")
    return (name if name and port.isdecimal() else text).rstrip(".")
