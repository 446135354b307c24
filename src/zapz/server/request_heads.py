"""Reading the heads of requests from a connection, for the server on the standard library."""

from __future__ import annotations

import io
import re
import socket
import time
from dataclasses import dataclass
from urllib.parse import unquote

from zapz.server.messages import HttpRequest

_LINE = 1 << 13
"""Maximum length of the request line, in bytes."""
_HEAD = 1 << 16
"""Maximum length of the head, in bytes."""
_FIELDS = 128
"""Maximum number of header fields."""
_EMPTY_LINES = 2
"""Maximum number of empty lines before a request."""
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/(\d)\.(\d)\r?\n")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class BadRequestError(Exception):
    """A request that the core never sees."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status code of the reply."""
        self.message = message
        """What is wrong with it."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The head of a request."""

    request: HttpRequest
    """The request."""
    keeps: bool
    """Whether the client wants to go on using the connection."""


class RequestReader:
    """Reads requests from a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._paced = _Paced(connection)
        self._buffer = io.BufferedReader(self._paced, _HEAD)
        self._address: str = connection.getsockname()[0]

    def wait(self, seconds: float) -> bool:
        """Return whether the next request begins within that time; False if the client has gone."""
        self._paced.deadline = time.monotonic() + seconds
        try:
            return bool(self._buffer.peek(1))
        except TimeoutError:
            return False

    def read(self, seconds: float) -> RequestHead:
        """Return the next request.

        Raises:
            BadRequestError: It is malformed, too long, or takes longer than that time.
            OSError: The connection was lost.
        """
        self._paced.deadline = time.monotonic() + seconds
        try:
            return self._read()
        except TimeoutError as error:
            raise BadRequestError(408, "the request takes too long") from error

    def _read(self) -> RequestHead:
        line = self._line(_LINE, 414)
        for _ in range(_EMPTY_LINES):
            if line in {b"\r\n", b"\n"}:
                line = self._line(_LINE, 414)
        match = _REQUEST.fullmatch(line)
        if match is None:
            raise BadRequestError(400, "malformed request line")
        method, target, major, minor = (each.decode("ascii") for each in match.groups())
        if major != "1":
            raise BadRequestError(505, "HTTP/1.0 and HTTP/1.1 are understood")
        headers = self._fields()
        path, _, query = target.partition("?")
        path = unquote(path)
        request = HttpRequest(
            method=method,
            path=path if path.startswith("/") else f"/{path}",
            query=query,
            headers=headers,
            address=self._address,
        )
        options = {each.strip() for each in headers.get("connection", "").lower().split(",")}
        return RequestHead(request, keeps=minor != "0" and "close" not in options)

    def _fields(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        room = _HEAD
        for _ in range(_FIELDS + 1):
            line = self._line(room, 431)
            room -= len(line)
            if line in {b"\r\n", b"\n"}:
                return headers
            field, colon, rest = line.removesuffix(b"\n").removesuffix(b"\r").partition(b":")
            if not colon or not _NAME.fullmatch(field) or _CONTROL.search(rest):
                raise BadRequestError(400, "malformed header field")
            name, value = field.decode("ascii").lower(), rest.strip(b" \t").decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        raise BadRequestError(431, "too many header fields")

    def _line(self, most: int, status: int) -> bytes:
        line = self._buffer.readline(most + 1)
        if len(line) > most:
            raise BadRequestError(status, "the request line or the header is too long")
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the request was not sent to its end")
        return line


class _Paced(io.RawIOBase):
    """What a connection sends, up to a deadline."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self.deadline = 0.0
        """When reading ends, in seconds of the monotonic clock."""

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # narrower than typeshed's
        """Read what is there; wait for it until the deadline.

        Raises:
            TimeoutError: The deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
