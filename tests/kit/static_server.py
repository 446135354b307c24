"""A plain static file server over a folder: the control beside ``zapz serve``.

It answers what lies in the files at that moment, and knows nothing of datasets: during an append, its clients see old and new mixed. With
``ranges`` and ``listings`` it is a server that every client can read a finished store from, and its other options make it a wrong one, which a
judge must find.
"""

from __future__ import annotations

import contextlib
import html
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
Headers = list[tuple[str, str]]


def as_it_is(path: str, body: bytes) -> bytes:
    """Change nothing."""
    return body


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a static server does; the defaults are a correct one."""

    ranges: bool = True
    """Whether ``Range`` is obeyed, as by nginx; else it is ignored, as by ``python -m http.server``."""

    heads: bool = True
    """Whether HEAD is answered; else 405."""

    listings: bool = True
    """Whether a folder's page links to its children; else 404."""

    origins: str = "*"
    """``Access-Control-Allow-Origin`` of all replies; "" sends no header of CORS."""

    exposed: str = "Content-Length, Content-Range, ETag"
    """``Access-Control-Expose-Headers``."""

    statuses: dict[str, int] = field(default_factory=dict)
    """Keys below the folder that are answered with a status and no file."""

    content: Callable[[str, bytes], bytes] = as_it_is
    """What is sent instead of a file's bytes, by key below the folder."""


def _of_range(words: str, size: int) -> tuple[int, int] | None:
    """Return first and last position of a range of a body, or None if there is no such byte."""
    match = _RANGE.fullmatch(words.strip())
    assert match, words  # clients send no others
    if match[3]:
        return (max(size - int(match[3]), 0), size - 1) if int(match[3]) and size else None
    return (int(match[1]), min(int(match[2] or size - 1), size - 1)) if int(match[1]) < size else None


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name in the standard library
        """Say nothing on the terminal."""

    def _send(self, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
        behaviour = self.server.behaviour
        self.server.log.append((self.command, self.path, self.headers.get("Range", ""), status))
        self.send_response(status)
        if behaviour.origins:
            self.send_header("Access-Control-Allow-Origin", behaviour.origins)
            self.send_header("Access-Control-Expose-Headers", behaviour.exposed)
        for name, value in [*(headers or []), ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _page(self, place: Path) -> None:
        names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in place.iterdir())
        links = "".join(f'<a href="{html.escape(name)}">{html.escape(name)}</a>\n' for name in names)
        self._send(200, links.encode(), [("Content-Type", "text/html; charset=utf-8")])

    def _file(self, key: str, place: Path) -> None:
        body = self.server.behaviour.content(key, place.read_bytes())
        headers = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes")]
        words = self.headers.get("Range")
        if not (words and self.server.behaviour.ranges):
            self._send(200, body, headers)
        elif (span := _of_range(words, len(body))) is None:
            self._send(416, b"", [("Content-Range", f"bytes */{len(body)}")])
        else:
            place_of_it = ("Content-Range", f"bytes {span[0]}-{span[1]}/{len(body)}")
            self._send(206, body[span[0] : span[1] + 1], [*headers, place_of_it])

    def do_GET(self) -> None:
        key = unquote(urlsplit(self.path).path).strip("/")
        place = self.server.folder / key
        behaviour = self.server.behaviour
        if ".." in PurePosixPath(key).parts:
            self._send(404)
        elif key in behaviour.statuses:
            self._send(behaviour.statuses[key])
        else:
            try:
                if place.is_dir():
                    self._page(place) if behaviour.listings else self._send(404)
                else:
                    self._file(key, place)
            except (FileNotFoundError, NotADirectoryError):
                self._send(404)

    def do_HEAD(self) -> None:
        self.do_GET() if self.server.behaviour.heads else self._send(405)

    def do_OPTIONS(self) -> None:
        wanted = self.headers.get("Access-Control-Request-Headers", "")
        allowed = [("Access-Control-Allow-Methods", "GET, HEAD"), ("Access-Control-Allow-Headers", wanted)]
        self._send(204, b"", allowed if self.server.behaviour.origins else [])


class _Server(ThreadingHTTPServer):
    """The listening socket, and what its handlers share."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        super().__init__((HOST, 0), _Handler)
        self.folder = folder
        self.behaviour = behaviour
        self.log: list[tuple[str, str, str, int]] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that go away."""


@dataclass(frozen=True)
class StaticServer:
    """A running static server."""

    url: str
    """Its root, with the slash at the end."""

    log: list[tuple[str, str, str, int]]
    """Method, path, ``Range`` and status of each request that was answered so far."""


@contextlib.contextmanager
def static_server(folder: Path, behaviour: Behaviour | None = None) -> Iterator[StaticServer]:
    """Serve a folder on a free port of the loopback until the end of the block."""
    with _Server(folder, behaviour or Behaviour()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield StaticServer(f"http://{HOST}:{server.server_address[1]}/", server.log)
        finally:
            server.shutdown()
            thread.join()
