"""Replies from content: conditions, ranges, HEAD, and bodies in pieces (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from zapz.errors import ChunkError
from zapz.server.messages import HttpReply, HttpRequest
from zapz.server.ranges import Part, part_of

PIECE = 1 << 20
"""Size of the pieces in which a large body is sent, in bytes. Smaller bodies are sent at once."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)
Headers = list[tuple[str, str]]
"""Header fields."""


_OCTETS: Headers = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes")]


class Content(Protocol):
    """Something that a reply sends."""

    size: int
    """Its length, in bytes."""
    tag: str
    """Text that differs between its states; "" if there is none."""

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from ``offset``."""

    def close(self) -> None:
        """Release it; may be called several times."""


class MemoryContent:
    """Content in memory."""

    tag = ""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """See ``Content``."""
        return self._data if length == self.size else self._data[offset : offset + length]

    def close(self) -> None:
        """See ``Content``."""


class Pieces:
    """A part of content as a stream of pieces of equal size."""

    def __init__(self, content: Content, part: Part, where: str) -> None:
        self._content = content
        self._part = part
        self._where = where

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces.

        Raises:
            ChunkError: The object ended before the length that the reply states.
            ZapzError: Storage failed.
        """
        position, stop = self._part
        while position < stop:
            piece = self._content.read(position, min(PIECE, stop - position))
            if not piece:
                raise ChunkError(
                    "an object ended early", where=self._where, expected=f"{stop} bytes", found=f"{position}"
                )
            yield piece
            position += len(piece)

    def close(self) -> None:
        """Release the content."""
        self._content.close()


def etag_of(tag: str, mark: str = "") -> str:
    """Return the entity tag for the tag of a stored object; "" without one.

    Args:
        tag: The object's tag.
        mark: Text that tells apart what is made of one object.
    """
    return f'"{_UNSAFE.sub("_", tag)}{mark}"' if tag else ""


def reply_with(
    request: HttpRequest, content: Content, etag: str, headers: Headers, *, kind: str = "application/octet-stream"
) -> HttpReply:
    """Return the reply to a GET or HEAD request: 200, 206, 304, 412 or 416.

    The content is closed, or belongs to the reply's body.

    Args:
        request: The request.
        content: What is requested.
        etag: Its entity tag, in quotation marks; "" without one.
        headers: Further header fields.
        kind: Its media type.

    Raises:
        ChunkError: The content is shorter than its size.
        ZapzError: Storage failed.
    """
    keeps = False
    try:
        reply, keeps = _reply(request, content, etag, headers, kind)
        return reply
    finally:
        if not keeps:
            content.close()


def whole_reply(data: bytes, tag: str, headers: Headers) -> HttpReply:
    """Return the reply to a plain GET request: 200.

    Args:
        data: The content.
        tag: Its tag, which may be in an entity tag as it is; "" without one.
        headers: Header fields, besides those of the content.
    """
    fields = [*_OCTETS, *headers, ("Content-Length", str(len(data)))]
    if tag:
        fields.append(("ETag", f'"{tag}"'))
    return HttpReply(status=200, headers=fields, body=data)


def _reply(request: HttpRequest, content: Content, etag: str, headers: Headers, kind: str) -> tuple[HttpReply, bool]:
    given = request.headers
    tagged = [*headers, ("ETag", etag)] if etag else headers
    if "if-match" in given and not _matches(given["if-match"], etag, weak=False):
        return empty(412, tagged), False
    if "if-none-match" in given and _matches(given["if-none-match"], etag, weak=True):
        return HttpReply(status=304, headers=tagged), False
    tagged = [("Content-Type", kind), ("Accept-Ranges", "bytes"), *tagged]
    asked = given.get("range") if request.method == "GET" else None
    if asked is not None and "if-range" in given and (not etag or given["if-range"].strip() != etag):
        asked = None
    part = part_of(asked, content.size)
    if isinstance(part, bool):
        return empty(416, [*tagged, ("Content-Range", f"bytes */{content.size}")]), False
    status = 200
    if part is None:
        part = Part(0, content.size)
    else:
        status = 206
        tagged.append(("Content-Range", f"bytes {part.start}-{part.stop - 1}/{content.size}"))
    length = part.stop - part.start
    tagged.append(("Content-Length", str(length)))
    if request.method == "HEAD":
        return HttpReply(status=status, headers=tagged), False
    if length > PIECE:
        return HttpReply(status=status, headers=tagged, body=Pieces(content, part, request.path)), True
    data = content.read(part.start, length)
    if len(data) != length:
        raise ChunkError("an object ended early", expected=f"{length} bytes", found=f"{len(data)}")
    return HttpReply(status=status, headers=tagged, body=data), False


def _matches(text: str, etag: str, *, weak: bool) -> bool:
    """Return whether a list of entity tags contains one (RFC 9110, section 8.8.3)."""
    if text.strip() == "*":
        return True
    tags = [each.strip() for each in text.split(",")]
    if weak:
        tags = [each.removeprefix("W/") for each in tags]
    return bool(etag) and etag in tags


def empty(status: int, headers: Headers) -> HttpReply:
    """Return a reply without content."""
    return HttpReply(status=status, headers=[*headers, ("Content-Length", "0")])
