"""The load of a server finds what is wrong with it: here with a server that does each thing wrong on request."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kit.http_load import Answer, Load, memory_of, run_load, well_formed
from kit.limits import within

LARGE = b"x" * 8_000_000


class Server(ThreadingHTTPServer):
    """Does what the path says."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.quickest: defaultdict[str, float] = defaultdict(lambda: 60.0)
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: Any) -> None:
        self.seen["errors"] += 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen[self.path] += 1
        getattr(self, self.path[1:])()

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(length or len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        started = time.monotonic()
        self.wfile.write(body)
        self.server.quickest[self.path] = min(self.server.quickest[self.path], time.monotonic() - started)

    def good(self) -> None:
        self.answer(200, b"a" * 1000)

    def large(self) -> None:
        self.answer(200, LARGE)

    large_for_slow_readers = large

    def absent(self) -> None:
        self.answer(404, b"")

    def fails(self) -> None:
        self.answer(500, b'{"error": "the source failed"}')

    def fails_silently(self) -> None:
        self.answer(500, b"")

    def busy(self) -> None:
        self.answer(503, b'{"error": "busy"}', {"Retry-After": "1"})

    def busy_for_ever(self) -> None:
        self.answer(503, b'{"error": "busy"}')

    def hangs(self) -> None:
        self.server.over.wait(30)
        self.close_connection = True

    def hangs_within(self) -> None:
        self.answer(200, b"a", length=1000)
        self.hangs()

    def cut(self) -> None:
        self.answer(200, b"a" * 500, length=1000)
        self.close_connection = True

    def dies(self) -> None:
        self.close_connection = True

    def talks_nonsense(self) -> None:
        self.wfile.write(b"Good morning\r\n\r\n")

    def says_no_length(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def loaded(server: Server, *paths: str, **options: Any) -> Load:
    options = {"seconds": 0.6, "clients": 6, "slow": 1, "leaving": 0, "patience": 5.0, "judge": well_formed} | options
    with within(30):
        return run_load(server.server_port, [f"/{path}" for path in paths], **options)


def test_all_kinds_of_clients_are_answered(server: Server) -> None:
    load = loaded(server, "good", "absent", "fails", "busy", clients=24, slow=4, leaving=6, pid=os.getpid())
    assert not load.faults
    assert set(load.statuses) == {200, 404, 500, 503}
    assert set(load.kinds) == {"normal", "slow", "leaving"}
    assert load.kinds["normal"] + load.kinds["slow"] == load.statuses.total()
    assert 0 < load.longest < 5
    assert min(load.memory) > 1_000_000


@pytest.mark.parametrize(
    ("path", "options", "found"),
    [
        ("hangs", {"patience": 0.3}, "hangs"),
        ("hangs", {"patience": 0.3, "slow": 0, "leaving": 6}, "hangs"),
        ("hangs_within", {"patience": 0.3}, "hangs"),
        ("cut", {}, "cut"),
        ("dies", {}, "refused"),
        ("talks_nonsense", {}, "wrong"),
        ("says_no_length", {}, "wrong"),
        ("busy_for_ever", {}, "wrong"),
        ("fails_silently", {}, "wrong"),
    ],
)
def test_each_fault_is_found(server: Server, path: str, options: dict[str, Any], found: str) -> None:
    """One path among good ones is enough."""
    load = loaded(server, "good", path, **options)
    assert set(load.faults) == {found}
    assert len(getattr(load, found)) == min(load.faults[found], 20)
    assert options.get("leaving") or path in getattr(load, found)[0]
    assert options.get("leaving") or load.statuses[200]


def test_a_closed_port_is_refused(server: Server) -> None:
    port = server.server_port
    server.server_close()
    load = run_load(port, ["/good"], seconds=0.2, clients=2, slow=0, leaving=0)
    assert (set(load.faults), load.statuses.total()) == ({"refused"}, 0)


def test_slow_readers_let_the_server_wait(server: Server) -> None:
    """Else the kernel's buffers would hide them."""
    load = loaded(server, "large", clients=2, slow=0)
    assert load.statuses[200] > 2
    assert server.quickest["/large"] < 0.3
    load = loaded(server, "good", slow_paths=["/large_for_slow_readers"], clients=2, slow=2)
    assert load.statuses == {200: 2}
    assert 0.4 < server.quickest["/large_for_slow_readers"] < 60


def test_leaving_clients_break_connections(server: Server) -> None:
    load = loaded(server, "large", clients=8, slow=0, leaving=8)
    assert not load.faults
    assert load.kinds["leaving"] > 8
    assert server.seen["errors"] > 4


def test_a_judge_sees_whole_answers(server: Server) -> None:
    def judge(answer: Answer) -> str | None:
        return None if answer.body == LARGE and answer.headers["content-length"] == str(len(LARGE)) else "other bytes"

    assert not loaded(server, "large", judge=judge).faults
    assert "other bytes" in loaded(server, "large", "good", judge=judge).wrong[0]


def test_memory_is_that_of_all_processes() -> None:
    inner = "x = b'x' * 50_000_000; print(flush=True); input()"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    with subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert memory_of(process.pid) > 50_000_000
        assert memory_of(process.pid, "VmHWM") >= memory_of(process.pid)
        process.communicate(b"\n")
    assert process.returncode == 0


def test_growth_is_between_quarters() -> None:
    """A server may take what it needs at first."""
    assert Load(memory=[10, 10, 50, 50, 50, 50, 50, 50]).grown() == 0
    assert Load(memory=[10, 10, 50, 50, 60, 60, 90, 90]).grown() == 40
