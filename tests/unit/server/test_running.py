"""Running the server in a process: how it starts, stops, and keeps its workers."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kit.served import is_running, served, started
from kit.wire import PATIENCE, Client, FakeCore, Pieces, eventually, is_accepting, reply

from zapz.errors import ConfigError, StoreError
from zapz.server import running, uvicorn_server, workers
from zapz.server.asgi_adapter import AsgiAdapter
from zapz.server.running import RunSettings, advice, by_standard_library, listen, run, url_of
from zapz.server.stop_signals import StopSignals

KINDS = {"uvicorn": {"stdlib": False}, "standard": {"stdlib": True}, "workers": {"workers": 2}}


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_under_way_ends_whole(kind: str, number: int) -> None:
    with (
        served(**KINDS[kind]) as server,
        Client(server.port) as slow,
        Client(server.port) as stream,
        Client(server.port) as idle,
    ):
        assert idle.get("/").status == 200
        slow.send("GET /slow?0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        stream.send("GET /stream?0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        stream.socket.recv(1)
        time.sleep(0.1)
        server.signal(number)
        assert idle.is_closed()
        assert slow.answer().body.isdigit()
        stream.received = b"H"
        answer = stream.answer()
        assert (len(answer.body), answer.cut) == (1_000_000, False)
        assert slow.is_closed()
        assert server.ended() == (0, "ended\n", "")
    with pytest.raises(ConnectionRefusedError):
        Client(server.port)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_that_takes_too_long_is_cut_off(kind: str) -> None:
    with served(**KINDS[kind], drain=0.3) as server, Client(server.port) as client:
        client.send(f"GET /stream?{PATIENCE} HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.recv(1)
        client.received = b"H"
        begin = time.monotonic()
        server.signal()
        code, out, err = server.ended()
        assert (code, out) == (0, "ended\n")
        assert "Traceback" not in err
        assert time.monotonic() - begin < PATIENCE / 2
        assert client.answer().cut


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_signal_does_not_wait(kind: str) -> None:
    with served(**KINDS[kind], drain=PATIENCE) as server, Client(server.port) as client:
        client.send(f"GET /stream?{PATIENCE} HTTP/1.1\r\nHost: x\r\n\r\n")
        client.socket.recv(1)
        begin = time.monotonic()
        server.signal(signal.SIGINT)
        eventually(lambda: not is_accepting(server.port))
        assert server.process.poll() is None
        server.signal(signal.SIGINT)
        code, out, err = server.ended()
        assert (code, out) == (0, "ended\n")
        assert "Traceback" not in err
        assert time.monotonic() - begin < PATIENCE / 2


def test_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopSignals(wake=True) as signals:
        assert not signals.stopped()
        for _ in range(2):
            assert not signals.hurry()
            signal.raise_signal(signal.SIGTERM)
        assert (signals.stopped(), signals.hurry()) == (True, True)
        signals.wait()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_signal_ends_a_wait_that_it_does_not_interrupt() -> None:
    """Such as one that another thread is given, or that arrives just when the wait begins."""
    late = threading.Event()

    def act() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        if not ended.wait(PATIENCE / 2):
            late.set()
            signals._write.send(b"x")

    ended = threading.Event()
    with StopSignals(wake=True) as signals:
        thread = threading.Timer(0.1, act)
        thread.start()
        signals.wait()
        ended.set()
        thread.join()
    assert not late.is_set()


@pytest.mark.parametrize("stdlib", [True, False])
def test_a_signal_before_it_serves(stdlib: bool) -> None:
    """It arrives when the core is there, and nothing is accepted yet."""

    class Early(StopSignals):
        def __enter__(self) -> Any:
            super().__enter__()
            signal.raise_signal(signal.SIGTERM)
            return self

    urls: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "StopSignals", Early)
        run(FakeCore, RunSettings(host="127.0.0.1", port=0, stdlib=stdlib), urls.append)
    assert len(urls) <= stdlib


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_just_when_it_accepts_connections(kind: str) -> None:
    """The older uvicorn did not close its sockets then, and uvloop waited for them for ever."""
    with served(**KINDS[kind], early=True) as server:
        assert server.ended() == (0, "ended\n", "")


# -- workers -----------------------------------------------------------------------------------------------------------


def pids(server: Any, count: int) -> set[int]:
    found: set[int] = set()
    eventually(lambda: found.add(int(server.get("/pid"))) or len(found) == count)
    return found


def test_a_worker_that_ends_is_started_again() -> None:
    with served(workers=2) as server:
        first = pids(server, 2)
        assert server.process.pid not in first
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: not is_running(victim))
        second = pids(server, 2)
        assert len(first & second) == 1
        server.signal()
        code, out, err = server.ended()
        assert (code, out) == (0, "ended\n")
        assert re.fullmatch(rf"worker {victim} ended \(exit code -9\), started again in 0\.1 s\n", err)
        assert not any(is_running(pid) for pid in second)


def test_workers_end_with_their_parent() -> None:
    with served(workers=2) as server:
        found = pids(server, 2)
        server.signal(signal.SIGKILL)
        eventually(lambda: not any(is_running(pid) for pid in found))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"core": "fails"}, "zapz.errors.ConfigError: not a setting, x: found fails"),
        ({"core": "exits"}, "a worker process of the server ended while it started: found exit code 3"),
        ({"core": "bug"}, "ZeroDivisionError: a bug"),
    ],
)
def test_workers_that_cannot_start(settings: dict[str, Any], error: str) -> None:
    with started(workers=2, **settings) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert error in err


def test_a_signal_while_workers_start() -> None:
    with started(workers=2, core="slow", drain=0.1) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "making\n"
        assert process.stdout.readline() == "making\n"
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (0, "ended\n")
    assert "Traceback" not in err


def test_pauses_grow() -> None:
    """A worker that keeps failing is started less and less often."""

    class Process:
        exitcode = 1
        pid = 1
        sentinel = 0

        def is_alive(self) -> bool:
            return False

        def join(self) -> None:
            pass

    starts: list[float] = []

    class Failing(workers._Worker):
        def start(self) -> None:
            starts.append(now)
            self.process: Any = Process()
            self.report, report = socket.socketpair()  # type: ignore[assignment]
            report.close()
            self.is_ready, self.due, self._started = True, None, now

        def close(self) -> None:
            self.report.close()

    job = workers.WorkerJob(make=FakeCore, drain=0)
    now = 1000.0
    worker = Failing(job, None)  # type: ignore[arg-type]
    worker.start()
    for _ in range(200_000):
        now += 0.01
        worker.tend(now)
    pauses = [round(after - before, 2) for before, after in itertools.pairwise(starts)]
    assert pauses[:4] == sorted(pauses[:4])
    assert pauses[0] < 0.15
    assert 29 < max(pauses) < 31
    now += 100
    worker.start()
    now += workers._SETTLED + 1
    worker.tend(now)
    assert worker.due is not None
    assert worker.due - now == pytest.approx(0.1)


# -- hosts and ports ---------------------------------------------------------------------------------------------------


def test_a_port_in_use() -> None:
    called: list[str] = []
    with listen("127.0.0.1", 0) as other:
        port = other.getsockname()[1]
        for workers_count in (1, 2):
            settings = RunSettings(host="127.0.0.1", port=port, workers=workers_count)
            with pytest.raises(StoreError) as caught:
                run(FakeCore, settings, called.append)
            error = caught.value
            assert error.where == f"127.0.0.1:{port}"
            assert "`--port 0`" in error.hint
            assert error.errno is not None
    assert called == []


@pytest.mark.parametrize(
    ("host", "port", "hint"),
    [
        ("192.0.2.1", 0, "address of this machine"),
        ("nothing.invalid", 0, "address of this machine"),
    ],
)
def test_hosts_and_ports_that_cannot_be(host: str, port: int, hint: str) -> None:
    with pytest.raises(StoreError) as caught:
        listen(host, port)
    assert hint in caught.value.hint


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_are_small_numbers(port: int) -> None:
    with pytest.raises(ConfigError, match="65535"):
        listen("127.0.0.1", port)


def test_a_reserved_port(monkeypatch: pytest.MonkeyPatch) -> None:
    class Socket(socket.socket):
        def bind(self, _address: Any) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(running.socket, "socket", Socket)
    with pytest.raises(StoreError, match="Ports below 1024 are reserved") as caught:
        listen("127.0.0.1", 80)
    assert caught.value.denied


@pytest.mark.parametrize("stdlib", [True, False])
def test_ipv6(stdlib: bool) -> None:
    try:
        listen("::1", 0).close()
    except StoreError:
        pytest.skip("this machine has no IPv6")
    with started(host="::1", stdlib=stdlib) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://\[::1\]:\d+", url)
        with socket.create_connection(("::1", int(url.rpartition(":")[2])), PATIENCE) as channel:
            channel.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
            assert channel.makefile("rb").read().endswith(str(process.pid).encode())
        process.terminate()
        assert process.communicate(timeout=PATIENCE) == ("ended\n", "")


def test_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients try both addresses of ``localhost``, or IPv4 alone."""
    both = [(socket.AF_INET6, ("::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0))]
    found = [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for family, address in both]
    monkeypatch.setattr(running.socket, "getaddrinfo", lambda *_, **__: found)
    with listen("localhost", 0) as listener:
        assert listener.family == socket.AF_INET
        port = listener.getsockname()[1]
        assert url_of("localhost", listener) == f"http://localhost:{port}"
        assert url_of("::", listener) == f"http://[::]:{port}"


# -- which server ------------------------------------------------------------------------------------------------------


def installed(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(running, "_is_installed", lambda name: name in packages)


def settings_of(**more: Any) -> RunSettings:
    return RunSettings(**{"host": "127.0.0.1", "port": 0, **more})


def test_which_server(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "uvicorn")
    assert [by_standard_library(settings_of(stdlib=stdlib)) for stdlib in (None, False, True)] == [False, False, True]
    assert not by_standard_library(settings_of(workers=2))
    installed(monkeypatch)
    assert [by_standard_library(settings_of(stdlib=stdlib)) for stdlib in (None, True)] == [True, True]


@pytest.mark.parametrize(
    ("settings", "packages", "hint"),
    [
        ({"workers": 2}, (), "pip install 'zapz[serve]'"),
        ({"workers": 2, "stdlib": True}, (), "pip install 'zapz[serve]'"),
        ({"workers": 2, "stdlib": True}, ("uvicorn",), "Leave `--stdlib` out"),
        ({"stdlib": False}, (), "pip install 'zapz[serve]'"),
        ({"workers": 0}, ("uvicorn",), ""),
    ],
)
def test_what_cannot_serve(
    settings: dict[str, Any], packages: tuple[str, ...], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, *packages)
    with pytest.raises(ConfigError) as caught:
        run(FakeCore, settings_of(**settings), print)
    assert hint in caught.value.hint
    if not packages and "workers" in settings:
        assert "zapz[serve]" in str(caught.value)


def test_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    assert "slower; `pip install 'zapz[serve]'`" in advice(stdlib=True)
    installed(monkeypatch, "uvicorn")
    assert advice(stdlib=True) == ""
    assert advice(stdlib=False).startswith("httptools and uvloop not installed: `pip install 'zapz[serve-fast]'`")
    installed(monkeypatch, "uvicorn", "uvloop")
    assert advice(stdlib=False).startswith("httptools not installed")
    installed(monkeypatch, "uvicorn", "uvloop", "httptools")
    assert advice(stdlib=False) == ""


def test_little_is_loaded() -> None:
    code = "import zapz.server.running, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"uvicorn", "asyncio", "multiprocessing", "numpy", "zarr", "http.server", "concurrent.futures"}


# -- limits that uvicorn lacks -----------------------------------------------------------------------------------------


def protocol_of(name: str) -> Any:
    if name == "h11":
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    return HttpToolsProtocol


@contextlib.contextmanager
def limited_server(core: FakeCore, name: str, buffer: int | None = None) -> Iterator[int]:
    server = uvicorn_server.server_of(AsgiAdapter(core), 0, lambda: None, lambda: False, protocol_of(name))
    with listen("127.0.0.1", 0) as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield port
        finally:
            server.should_exit = server.force_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.mark.parametrize("protocol", ["h11", "httptools"])
def test_heads_have_limits(protocol: str) -> None:
    core = FakeCore()
    with limited_server(core, protocol) as port:
        with Client(port) as client:
            for _ in range(40):
                assert client.get("/", f"A: {'b' * 4000}").status == 200
            client.send("GET / HTTP/1.1\r\nHost: x\r\nA: ")
            with pytest.raises(OSError):  # noqa: PT012  # one of them
                for _ in range(1000):
                    client.send("b" * 10_000)
        with Client(port) as client:
            client.send("GET / HTTP/1.1\r\nHost: x\r\nA: " + "b" * 60_000)
            with contextlib.suppress(OSError):
                for _ in range(3):
                    time.sleep(0.05)
                    client.send("b" * 10_000)
            assert client.answer().status in {400, 431}
            while client._more():
                pass
    assert len(core.asked) == 40


@pytest.mark.parametrize("protocol", ["h11", "httptools"])
def test_waiting_has_limits(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a first request, for the rest of a head, and for a client that does not read; not while a reply is made."""
    monkeypatch.setattr(uvicorn_server, "_HEAD_SECONDS", 0.3)
    monkeypatch.setattr(uvicorn_server, "_KEEP_ALIVE", 0.2)
    monkeypatch.setattr(uvicorn_server, "_TICKS", 1)
    pieces = Pieces(b"a", lambda: time.sleep(1), b"b")
    core = FakeCore(lambda request: reply(pieces, length=2) if request.path == "/slow" else reply(b"a" * 200_000))
    with (
        limited_server(core, protocol, 4096) as port,
        Client(port) as silent,
        Client(port) as begun,
        Client(port) as second,
        Client(port) as slow,
        Client(port, buffer=4096) as deaf,
    ):
        slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        begun.send("GET / HT")
        assert second.get("/").status == 200
        second.send("GET / HT")
        deaf.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert silent.is_closed()
        assert begun.is_closed()
        assert second.is_closed()
        assert slow.answer().body == b"ab"
        while deaf._more():
            pass
        assert len(deaf.received) < 200_000
