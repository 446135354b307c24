"""The load of `serving.py`: many requests by wrk, few large ones or single ones by sockets."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_servers import MissingError, Server, cores, pinned, program

CONNECTIONS = 16
SCRIPT = """\
local requests, n = {}, 0
function init(args)
  for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
end
function request()
  n = n % #requests + 1
  return requests[n]
end
function done(summary)
  local e = summary.errors
  print(string.format("FIGURES %d %d %d %d %d", summary.duration, summary.requests, summary.bytes,
                      e.connect + e.read + e.write + e.timeout, e.status))
end
"""
FIGURES = re.compile(r"^FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)
PIECE = 1 << 20


@dataclass(frozen=True)
class Round:
    """What one contender did in one round."""

    rate: float
    """Answers in a second."""
    work: float
    """Processor seconds of the server for one answer."""
    idle: float
    """Share of the time in which the server neither ran nor waited for its core: it had no work."""


@dataclass(frozen=True)
class Wanted:
    """The requests of a load, and what every answer must be."""

    paths: Sequence[str]
    """Paths, requested in turn."""
    status: int
    """Status of every answer."""
    size: int
    """Least size of the body of an answer in bytes."""


def wrk(server: Server, wanted: Wanted, seconds: int, folder: Path) -> Round:
    """Load a server for some seconds with 16 connections that are kept alive.

    Raises:
        MissingError: wrk is not installed; or an answer was not what is wanted.
    """
    script, paths = folder / "wrk.lua", folder / "paths.txt"
    script.write_text(SCRIPT)
    paths.write_text("".join(f"{path}\n" for path in wanted.paths))
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script)]
    command = [program("wrk", "wrk"), *options, server.url, "--", str(paths)]
    busy, waiting = server.busy(), server.waiting()
    with pinned(cores()[1]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    used, waited = server.busy() - busy, server.waiting() - waiting
    found = FIGURES.search(done.stdout)
    if found is None:
        raise MissingError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
    micros, requests, size, broken, refused = map(int, found.groups())
    expected = requests if wanted.status >= 400 else 0  # noqa: PLR2004 - wrk counts these as errors
    if broken or refused != expected or not requests or size < requests * wanted.size:
        raise MissingError(
            f"{server.name}: of {requests} answers ({size} bytes) {broken} were cut and {refused} had a status of 400 or more"
        )
    return Round(requests / micros * 1e6, used / requests, max(0.0, 1 - (used + waited) / micros * 1e6))


def fetched(server: Server, paths: Iterable[str]) -> list[tuple[int, bytes]]:
    """Return status and body of each path, requested one after the other through one connection.

    Raises:
        MissingError: The server ended the connection.
    """
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    found = []
    try:
        for path in paths:
            connection.request("GET", path)
            answer = connection.getresponse()
            found.append((answer.status, answer.read()))
    except (OSError, http.client.HTTPException) as error:
        raise MissingError(f"{server.name}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    return found


def one_by_one(server: Server, paths: Sequence[str]) -> float:
    """Return the seconds that each answer takes on average, one request after the other.

    The client reads with a bare socket, so that almost all of this time is the server's.

    Raises:
        MissingError: An answer has another status than 200.
    """
    buffer = bytearray(PIECE)
    with pinned(cores()[1]), socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        for path in paths:
            _one(connection, server, path, buffer)
        return (time.perf_counter() - started) / len(paths)


def _one(connection: socket.socket, server: Server, path: str, buffer: bytearray, pause: float = 0.0) -> int:
    """Request a path and read its answer to the end; return the length of its body."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            raise MissingError(f"{server.name}: {path}: no answer")
        head += piece
    time.sleep(pause)
    head, _, body = head.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if not head.startswith(b"HTTP/1.1 200") or length is None:
        raise MissingError(f"{server.name}: {path}: {head.splitlines()[0].decode()}")
    size, read = int(length[1]), len(body)
    while read < size:
        count = connection.recv_into(buffer)
        if not count:
            raise MissingError(f"{server.name}: {path}: the answer ends after {read} of {size} bytes")
        read += count
    return size


def at_once(server: Server, paths: Sequence[str], pause: float) -> list[int]:
    """Read large answers at the same time; return their lengths.

    Args:
        server: The server.
        paths: What is requested.
        pause: Seconds that each reader waits after the first bytes: a server that does not wait for
            its readers fills its memory then.

    Raises:
        MissingError: An answer is not whole.
    """
    lengths: list[int] = []
    failures: list[Exception] = []

    def read(path: str) -> None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                lengths.append(_one(connection, server, path, bytearray(PIECE), pause))
        except (OSError, MissingError) as error:
            failures.append(error)

    threads = [threading.Thread(target=read, args=(path,)) for path in paths]
    with pinned(cores()[1]):
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise MissingError(f"{server.name}: {failures[0]}")
    return lengths
