"""The servers that `serving.py` compares: started, pinned to a core, observed, stopped."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
READY = re.compile(r"http://127\.0\.0\.1:(\d+)")
PATIENCE = 60.0
"""A server that is not ready after so many seconds has failed."""
TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


class MissingError(Exception):
    """Something that a figure needs is not there, or did not work; the message says what."""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    """What the table calls it."""
    pid: int
    """Its process; its workers are children of it."""
    port: int
    """Its port on 127.0.0.1."""

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[int]:
        """Return the process and all its descendants."""
        parents: dict[int, list[int]] = {}
        for each in Path("/proc").iterdir():
            if each.name.isdigit():
                parents.setdefault(_parent(each), []).append(int(each.name))
        found = [self.pid]
        for pid in found:
            found += parents.get(pid, [])
        return found

    def peak(self) -> int:
        """Return the peak of resident memory in bytes (VmHWM), summed over the processes."""
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in self.processes()]
        return sum(int(size) * 1024 for text in texts for size in re.findall(r"VmHWM:\s+(\d+) kB", text))

    def busy(self) -> float:
        """Return the seconds of processor time that the processes took so far."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.processes()]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS

    def waiting(self) -> float:
        """Return the seconds that the threads of the processes waited so far for their core."""
        tasks = [task for pid in self.processes() for task in Path(f"/proc/{pid}/task").iterdir()]
        waited = 0
        for task in tasks:
            with contextlib.suppress(FileNotFoundError):  # a thread that has ended meanwhile
                waited += int((task / "schedstat").read_text().split()[1])
        return waited / 1e9


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):  # it has just ended
        return -1


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Run what is inside, and the processes that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores() -> tuple[int, int]:
    """Return the cores of servers and of the load."""
    found = sorted(os.sched_getaffinity(0))
    if len(found) < 2:  # noqa: PLR2004 - one each
        raise MissingError("two cores are needed, one for servers and one for the load")
    return found[0], found[-1]


def require_uvicorn() -> None:
    """Raise if this Python lacks a part of the fast server.

    Raises:
        MissingError: With what to install.
    """
    missing = [name for name in ("uvicorn", "httptools", "uvloop") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingError(f"{sys.executable} has no {', '.join(missing)}: pip install uvicorn httptools uvloop")


def program(name: str, package: str) -> str:
    """Return where a program is.

    Raises:
        MissingError: With what to install.
    """
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MissingError(f"{name} is not installed: apt-get install -y {package}")
    return found


def zapz(datasets: dict[str, str], *options: str) -> list[str]:
    """Return the command of `zapz serve`. This is the one place that knows it."""
    places = [f"{name}={place}" for name, place in datasets.items()]
    return [sys.executable, "-m", "zapz", "serve", *places, "--port", "0", *options]


def bare(application: str) -> list[str]:
    """Return the command of a bare ASGI application, with the event loop and parser of zapz."""
    fast = ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", f"serving_bare:{application}", "--port", "0", *fast]


@contextmanager
def running(
    name: str, command: list[str], folder: Path, *, port: int | None = None, **variables: str
) -> Iterator[Server]:
    """Start a server, and stop it at the end.

    Args:
        name: What the table calls it.
        command: Its command. It prints its address when it is ready, unless ``port`` is given.
        folder: Where its output goes.
        port: The port that it is told to use.
        variables: Variables of its environment.

    Raises:
        MissingError: It does not start.
    """
    log = folder / f"{name.replace(' ', '-')}.log"
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | variables
    with log.open("wb") as output, pinned(cores()[0]):
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Server(name, process.pid, _port(process, log, port, name))
    finally:
        _stop(process)


def _port(process: subprocess.Popen[bytes], log: Path, port: int | None, name: str) -> int:
    """Wait until a server is ready, and return its port."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        text = log.read_text(errors="replace")
        if process.poll() is not None:
            raise MissingError(f"{name} did not start: {' / '.join(text.strip().splitlines()[-3:])}")
        announced = READY.search(text)
        ready = port or (int(announced[1]) if announced else None)
        if ready is not None and _answers(ready):
            return ready
        time.sleep(0.02)
    raise MissingError(f"{name} was not ready after {PATIENCE:.0f} s: see its output: {text[-300:]!r}")


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: nothing else is in the group
        process.wait()


@contextmanager
def nginx(root: Path, folder: Path) -> Iterator[Server]:
    """Start nginx with the files of a folder; its own files are in ``folder``.

    Raises:
        MissingError: It is not installed, or does not start.
    """
    binary = program("nginx", "nginx-light")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = folder / "nginx"
    own.mkdir(exist_ok=True)
    # Started by root, its workers would run as a user who may not enter the folder.
    user = "" if os.geteuid() else "user root root;"
    (own / "nginx.conf").write_text(NGINX.format(folder=own, port=port, root=root, user=user))
    command = [binary, "-e", "stderr", "-p", str(own), "-c", str(own / "nginx.conf")]
    with running("nginx", command, folder, port=port) as server:
        yield server
