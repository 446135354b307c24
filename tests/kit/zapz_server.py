"""``zapz serve`` as a process, and the few requests that tests make themselves."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import zapz

SOURCE = str(Path(zapz.__file__).parents[1])
PATIENCE = 60


@dataclass
class Running:
    """A server that runs."""

    url: str
    """Its URL, with a slash at its end."""
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    """What it has printed."""
    said: list[str] = field(default_factory=list)
    """What it has said on standard error."""

    def client(self) -> Client:
        return Client(self.url)

    def get(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answered:
        """Return the reply to one request on a connection of its own."""
        with self.client() as client:
            return client.get(path, method, headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@dataclass(frozen=True)
class Answered:
    """A reply."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A connection that stays open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answered:
        self._connection.request(method, path, headers=dict(headers or {}))
        reply = self._connection.getresponse()
        body = reply.read()
        fields: dict[str, str] = {}
        for name, value in reply.getheaders():
            assert name.lower() not in fields, f"{name} twice"
            fields[name.lower()] = value
        return Answered(reply.status, fields, body)


@contextlib.contextmanager
def serving(
    *arguments: str | os.PathLike[str], folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run ``zapz serve`` at a free port of loopback until the end of the block.

    Args:
        arguments: Of the command, besides ``--port 0``.
        folder: Folder in which it runs.
        environment: Further environment variables.
    """
    command = [sys.executable, "-m", "zapz", "serve", "--no-config", "--port", "0", *map(os.fspath, arguments)]
    variables = {**os.environ, "PYTHONPATH": SOURCE, **(environment or {})}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=variables
    )
    assert process.stdout is not None
    assert process.stderr is not None
    running = Running("", process)
    threads = []
    try:
        ready = threading.Event()

        def listen(stream: Any, lines: list[str]) -> None:
            for line in stream:
                lines.append(line.rstrip("\n"))
                if "Press Ctrl-C" in line:
                    ready.set()
            ready.set()

        for stream, lines in ((process.stdout, running.lines), (process.stderr, running.said)):
            threads.append(threading.Thread(target=listen, args=(stream, lines), daemon=True))
            threads[-1].start()
        assert ready.wait(PATIENCE), "it does not start"
        found = re.search(r"http://[^/ ]+/", "\n".join(running.lines))
        assert found is not None, (running.lines, running.said, process.poll())
        running.url = found[0]
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        for thread in threads:
            thread.join(PATIENCE)
        process.stdout.close()
        process.stderr.close()
