"""A server in a process of its own, and what a test does with it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kit import TESTS
from kit.wire import PATIENCE, Client, Pieces, reply
from zapz.errors import ConfigError
from zapz.server.messages import HttpReply, HttpRequest

SOURCE = TESTS.parent / "src"


class TimedCore:
    """``/pid`` gives the process, ``/slow`` and ``/stream`` take as many seconds as the query says, ``/exit`` ends the process."""

    most = 64

    def busy(self, request: HttpRequest) -> HttpReply:
        """Say that there is no thread."""
        del request
        return HttpReply(status=503, headers=[("Content-Length", "0"), ("Retry-After", "1")])

    def answer(self, request: HttpRequest, *, inline: bool = False) -> HttpReply | None:
        if inline and request.path == "/slow":
            return None
        if request.path == "/slow":
            time.sleep(float(request.query))
        if request.path == "/stream":
            seconds = float(request.query)
            return reply(Pieces(b"a" * 500_000, lambda: time.sleep(seconds), b"b" * 500_000), length=1_000_000)
        if request.path == "/exit":
            os._exit(7)
        return reply(str(os.getpid()).encode())


def make(settings: str) -> TimedCore:
    """Make a core, or fail as told."""
    if settings == "fails":
        raise ConfigError("not a setting", where="x", found="fails")
    if settings == "exits":
        os._exit(3)
    if settings == "bug":
        raise ZeroDivisionError("a bug")
    if settings == "slow":
        os.write(1, b"making\n")
        time.sleep(PATIENCE)
    return TimedCore()


def main() -> None:
    """Serve as the arguments say; print the URL, and a word at the end. With ``early``, a signal arrives with the URL."""
    from zapz.server.running import RunSettings, run

    settings = {"host": "127.0.0.1", "port": 0, **json.loads(sys.argv[1])}
    made = functools.partial(make, settings.pop("core", ""))
    early = settings.pop("early", False)

    def ready(url: str) -> None:
        print(url, flush=True)
        if early:
            signal.raise_signal(signal.SIGTERM)

    run(made, RunSettings(**settings), ready)
    print("ended", flush=True)


@dataclass
class Served:
    """A process that serves."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> bytes:
        with Client(self.port) as client:
            return client.get(path).body

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end; return the exit code, and what it printed on both channels."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@contextlib.contextmanager
def started(**settings: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a process that serves; it is ended at the end of the context at the latest."""
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"}
    code = "from kit.served import main; main()"
    command = [sys.executable, "-W", "error", "-c", code, json.dumps(settings)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()


@contextlib.contextmanager
def served(**settings: Any) -> Iterator[Served]:
    """Serve in a process; give it when it accepts connections."""
    with started(**settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline()
        assert url.startswith("http://127.0.0.1:"), (url, process.communicate())
        yield Served(process, int(url.rpartition(":")[2]))


def is_running(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
