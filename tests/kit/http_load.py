"""Many clients of an HTTP server at once: some read, some read slowly, some disconnect. What they got is counted.

``run_load`` asks for paths through raw sockets for some seconds, and looks at the memory of the server meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import statistics
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

Judge = Callable[["Answer"], str | None]
"""Says what is wrong with an answer, or None."""

PIECE = 1024
"""A slow reader reads so many bytes, and then sleeps."""
NAP = (0.005, 0.02)
"""For so long, from the shortest to the longest, in seconds."""
SLOWLY = 4.0
"""After so many seconds it reads the rest of the answer at once, so that the run ends."""
KEPT = 20
"""Of each kind of fault, so many are described."""


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    path: str
    status: int
    headers: dict[str, str]
    """By name, in lower case."""
    body: bytes


@dataclass
class Load:
    """What the clients got."""

    statuses: Counter[int] = field(default_factory=Counter)
    """Whole answers, by status."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Whole answers, by kind of client; for those who disconnect, how often they did."""
    faults: Counter[str] = field(default_factory=Counter)
    """How many of each of the four kinds there were; the lists describe the first twenty."""
    hangs: list[str] = field(default_factory=list)
    """Connections on which nothing came for too long, and where they were then."""
    cut: list[str] = field(default_factory=list)
    """Answers that the server ended early. A source may fail after the status was sent, so some may be."""
    refused: list[str] = field(default_factory=list)
    """Connections that the server did not accept, or reset before it answered."""
    wrong: list[str] = field(default_factory=list)
    """Answers that are not HTTP, or that the judge rejects."""
    memory: list[int] = field(default_factory=list)
    """Resident memory of the server in bytes, four times a second."""
    longest: float = 0.0
    """The longest time from a request to its status, in seconds."""

    def grown(self) -> int:
        """How much more memory there is in the last quarter of the run than in the second one, in bytes."""
        quarter = len(self.memory) // 4
        assert quarter, "too few looks at the memory"
        return int(statistics.median(self.memory[-quarter:]) - statistics.median(self.memory[quarter : 2 * quarter]))

    def note(self, fault: str, what: str) -> None:
        """Count a fault (hangs, cut, refused, wrong), and describe it if it is one of the first."""
        self.faults[fault] += 1
        if self.faults[fault] <= KEPT:
            getattr(self, fault).append(what)


def well_formed(answer: Answer) -> str | None:
    """Judge what every answer must be: failures say why in JSON, and who shall come again is told when."""
    if answer.status == 503 and "retry-after" not in answer.headers:
        return "no Retry-After"
    if answer.status < 500:
        return None
    try:
        json.loads(answer.body)
    except ValueError:
        return f"not JSON: {answer.body[:80]!r}"
    return None


class _EarlyEndError(Exception):
    """The server closed the connection."""


@dataclass
class _Client:
    """One client, which makes one connection after the other."""

    kind: str
    port: int
    paths: Sequence[str]
    patience: float
    judge: Judge | None
    load: Load
    random: random.Random
    end: float

    async def run(self) -> None:
        while time.monotonic() < self.end:
            try:
                reader, writer = await asyncio.wait_for(self.connected(), self.patience)
            except TimeoutError:
                self.load.note("hangs", f"{self.kind}: connecting")
                continue
            except OSError as error:
                self.load.note("refused", f"{self.kind}: {error!r}")
                await asyncio.sleep(0.05)
                continue
            try:
                await (self.leaves(reader, writer) if self.kind == "leaving" else self.stays(reader, writer))
            finally:
                writer.transport.abort()  # what was not read is not waited for

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. The buffers of slow readers are small: else the kernel would read for them."""
        slow = self.kind == "slow"
        sock = socket.socket()
        sock.setblocking(False)
        if slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * PIECE)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
            return await asyncio.open_connection(sock=sock, limit=4 * PIECE if slow else 1 << 18)
        except BaseException:
            sock.close()
            raise

    async def stays(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send one request after the other, and read each answer to its end."""
        for _ in range(self.random.randint(1, 50)):
            path = self.random.choice(self.paths)
            if time.monotonic() >= self.end or not await self.asked(path, reader, writer):
                return

    async def asked(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Return whether the connection can be used once more."""
        where = f"{self.kind}: {path}"
        started = time.monotonic()
        head: tuple[int, dict[str, str]] | None = None
        try:
            writer.write(self.request(path))
            head = await self.head(reader)
            self.load.longest = max(self.load.longest, time.monotonic() - started)
            body = await self.body(reader, int(head[1]["content-length"]))
        except TimeoutError:
            self.load.note("hangs", f"{where}: {'within the answer' if head else 'no answer'}")
            return False
        except (_EarlyEndError, OSError) as error:
            self.load.note("cut" if head else "refused", f"{where}: {error!r}")
            return False
        except (ValueError, KeyError) as error:
            self.load.note("wrong", f"{where}: {error!r}")
            return False
        answer = Answer(path, head[0], head[1], body)
        self.load.statuses[answer.status] += 1
        self.load.kinds[self.kind] += 1
        problem = self.judge(answer) if self.judge else None
        if problem:
            self.load.note("wrong", f"{where}: {answer.status}: {problem}")
        return answer.headers.get("connection", "").lower() != "close"

    async def leaves(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Disconnect at any point: within the request, before the answer, within it; orderly or not."""
        request = self.request(self.random.choice(self.paths))
        point = self.random.choice(("request", "answer", "body"))
        writer.write(request[: self.random.randrange(len(request))] if point == "request" else request)
        try:
            await asyncio.wait_for(writer.drain(), self.patience)
            if point == "body":
                _, headers = await self.head(reader)
                some = self.random.randint(0, min(20_000, int(headers.get("content-length", 0))))
                await asyncio.wait_for(reader.read(some), self.patience)
            await asyncio.sleep(self.random.random() * 0.05)
            if self.random.random() < 0.5:
                reset = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            else:
                writer.write_eof()
        except TimeoutError:
            self.load.note("hangs", f"{self.kind}: no answer")
        except ValueError as error:
            self.load.note("wrong", f"{self.kind}: {error!r}")
        except (OSError, _EarlyEndError) as error:
            self.load.note("refused", f"{self.kind}: {error!r}")
        self.load.kinds[self.kind] += 1

    def request(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode()

    async def head(self, reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
        """Return status and headers."""
        try:
            text = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), self.patience)
        except asyncio.IncompleteReadError as error:
            raise _EarlyEndError(f"after {error.partial!r}") from None
        except asyncio.LimitOverrunError:
            raise ValueError("the head is too long") from None
        status, *lines = text.decode("latin-1").split("\r\n")[:-2]
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", status)
        if found is None:
            raise ValueError(f"not a status: {status[:80]!r}")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(found[1]), headers

    async def body(self, reader: asyncio.StreamReader, size: int) -> bytes:
        """Return the body; a slow reader takes its time."""
        pieces, left = [], size
        slowly = time.monotonic() + SLOWLY if self.kind == "slow" else 0.0
        while left:
            slow = time.monotonic() < min(slowly, self.end)
            most = min(left, PIECE) if slow else left
            piece = await asyncio.wait_for(reader.read(most), self.patience)
            if not piece:
                raise _EarlyEndError(f"{left} of {size} bytes are missing")
            pieces.append(piece)
            left -= len(piece)
            if slow:
                await asyncio.sleep(self.random.uniform(*NAP))
        return b"".join(pieces)


def processes(pid: int) -> list[int]:
    """Return a process and its descendants."""
    parents: dict[int, list[int]] = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with suppress(OSError):  # it has just ended
                parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(each.name))
    found = [pid]
    for known in found:
        found += parents.get(known, [])
    return found


def memory_of(pid: int, what: str = "VmRSS") -> int:
    """Return the resident memory of a process and its descendants in bytes; ``VmHWM`` for its peak."""
    total = 0
    for each in processes(pid):
        with suppress(OSError):
            found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{each}/status").read_text())
            total += int(found[1]) * 1024 if found else 0
    return total


async def _looks(pid: int, load: Load) -> None:
    while True:
        load.memory.append(memory_of(pid))
        await asyncio.sleep(0.25)


async def _run(clients: list[_Client], pid: int | None, load: Load) -> None:
    looks = asyncio.create_task(_looks(pid, load)) if pid else None
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.run())
    if looks:
        looks.cancel()


def run_load(
    port: int,
    paths: Sequence[str],
    *,
    seconds: float,
    clients: int = 64,
    slow: int = 12,
    leaving: int = 12,
    slow_paths: Sequence[str] | None = None,
    patience: float = 10.0,
    judge: Judge | None = None,
    pid: int | None = None,
    seed: int = 0,
) -> Load:
    """Let clients request paths at random.

    Args:
        port: Port of the server on 127.0.0.1.
        paths: What is requested.
        seconds: For how long; answers that are being read then are read to their end.
        clients: How many there are.
        slow: So many of them read 1 KB and then sleep.
        leaving: So many of them disconnect before they have read an answer.
        slow_paths: What slow readers request instead. Only an answer of more than 4 MB lets the server wait: less fits in the kernel's buffers.
        patience: A connection on which nothing comes for so many seconds hangs.
        judge: Called with every whole answer; says what is wrong with it.
        pid: Process of the server, whose memory is looked at.
        seed: Of all that is random.
    """
    load = Load()
    kinds = ["slow"] * slow + ["leaving"] * leaving + ["normal"] * (clients - slow - leaving)
    end = time.monotonic() + seconds
    made = [
        _Client(
            kind,
            port,
            (slow_paths or paths) if kind == "slow" else paths,
            patience,
            judge,
            load,
            random.Random(f"{seed}-{number}"),
            end,
        )
        for number, kind in enumerate(kinds)
    ]
    asyncio.run(_run(made, pid, load))
    return load
