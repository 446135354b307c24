"""Replies to requests that were answered before, found without reading the request anew.

Clients of Zarr ask for the same documents, the same missing ones and the same chunks again and
again. Whether an earlier reply still holds, its own function decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from zapz.server.messages import HttpReply

_LOG = logging.getLogger("zapz.server")
Message = MutableMapping[str, Any]
_MOST = 1 << 14
"""Maximum number of requests that are remembered."""
_FIELDS = 1 << 10
"""Maximum number of header fields that are remembered."""
_HARMLESS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"connection",
        b"dnt",
        b"pragma",
        b"priority",
        b"referer",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"user-agent",
    }
)
"""Names of header fields that change no reply of documents and chunks."""


class Repeats:
    """Requests that may be answered as before. For one event loop."""

    def __init__(self) -> None:
        self._encoded: dict[tuple[str, str], tuple[bytes, bytes]] = {}
        self._known: dict[tuple[str, str, bytes], tuple[Callable[[], HttpReply | None], HttpReply | None, Message]] = {}

    def find(self, scope: MutableMapping[str, Any]) -> tuple[HttpReply, bytes, Message] | None:
        """Return the reply to a request, its body, and the message that begins it.

        Args:
            scope: The ASGI scope of the request.

        Returns:
            None if the request is not known, or has to be answered anew.
        """
        key = self._key(scope)
        known = self._known.get(key) if key is not None else None
        if known is None:
            return None
        repeat, before, start = known
        try:
            reply = repeat()
        except Exception:  # noqa: BLE001 - the request is answered anew
            _LOG.exception("a reply cannot be repeated")
            reply = None
        if reply is None:
            del self._known[key]  # type: ignore[arg-type]  # it is known
            return None
        body: bytes = reply.body  # type: ignore[assignment]  # streams are not repeated
        if reply is before:
            return reply, body, start
        encoded = self._encoded
        headers = [encoded.get(field) or self._encode(field) for field in reply.headers]
        start = {"type": "http.response.start", "status": reply.status, "headers": headers}
        if reply.repeat is not None:  # the same reply is sent each time
            self._known[key] = repeat, reply, start  # type: ignore[index]  # it is known
        return reply, body, start

    def note(self, scope: MutableMapping[str, Any], repeat: Callable[[], HttpReply | None]) -> None:
        """Note how a request may be answered again."""
        key = self._key(scope)
        if key is None:
            return
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = repeat, None, {}

    def _encode(self, field: tuple[str, str]) -> tuple[bytes, bytes]:
        """Return a header field encoded; remember it if it is likely to come again."""
        name = field[0].lower()
        found = name.encode("latin-1"), field[1].encode("latin-1")
        if name != "etag" and len(self._encoded) < _FIELDS:
            self._encoded[field] = found
        return found

    @staticmethod
    def _key(scope: MutableMapping[str, Any]) -> tuple[str, str, bytes] | None:
        """Return what identifies a plain GET request; None for others."""
        if scope["method"] != "GET" or scope["query_string"]:
            return None
        host = b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name not in _HARMLESS:
                return None
        return scope.get("root_path", ""), scope["path"], host
