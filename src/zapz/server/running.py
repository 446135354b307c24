"""Running the server until it is told to stop, with uvicorn or on the standard library."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from zapz.errors import ConfigError, StoreError
from zapz.server.allocation import keep_memory_small
from zapz.server.answering import Answering
from zapz.server.stop_signals import StopSignals

_BACKLOG = 2048
"""Connections that may wait to be accepted."""
_PORTS = 65535
"""The highest number of a port."""
_INSTALL = "`pip install 'zapz[serve]'`"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How a server runs."""

    host: str
    """Name or address to listen on."""
    port: int
    """Port to listen on; 0 for any that is free."""
    workers: int = 1
    """Number of processes that answer requests."""
    stdlib: bool | None = None
    """Whether to serve on the standard library; None: only if uvicorn is not installed."""
    drain: float = 10.0
    """Seconds that replies may take to end after a signal."""


def run(make: Callable[[], Answering], settings: RunSettings, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, and let replies end. A second signal cuts them off.

    Args:
        make: Makes what answers requests. With several workers it is pickled, and called in each of
            them.
        settings: How to serve.
        ready: Called once with the URL, when connections are accepted.

    Raises:
        ConfigError: uvicorn is needed and not installed, or a setting is wrong.
        StoreError: The host and port cannot be listened on.
        ZapzError: A worker could not start.
    """
    standard = by_standard_library(settings)
    keep_memory_small()
    with listen(settings.host, settings.port) as listener:
        url = url_of(settings.host, listener)
        core = make() if settings.workers == 1 else None
        with StopSignals(wake=standard or core is None) as signals:
            if core is None:
                from zapz.server.workers import WorkerJob, run_workers

                run_workers(
                    settings.workers, WorkerJob(make=make, drain=settings.drain), listener, lambda: ready(url), signals
                )
            elif standard:
                _run_standard(core, listener, settings.drain, lambda: ready(url), signals)
            else:
                from zapz.server.uvicorn_server import serve_by_uvicorn

                serve_by_uvicorn(core, listener, settings.drain, lambda: ready(url), signals.stopped)


def _run_standard(
    core: Answering, listener: socket.socket, drain: float, ready: Callable[[], None], signals: StopSignals
) -> None:
    from zapz.server.standard_adapter import StandardAdapter

    adapter = StandardAdapter(core, listener)
    thread = threading.Thread(target=adapter.serve_forever, name="zapz-accept", daemon=True)
    thread.start()
    try:
        ready()
        signals.wait()
    finally:
        adapter.shutdown(drain, signals.hurry)
        thread.join()


def by_standard_library(settings: RunSettings) -> bool:
    """Return whether the standard library serves.

    Raises:
        ConfigError: uvicorn is needed and not installed, or not allowed.
    """
    installed = _is_installed("uvicorn")
    if settings.workers < 1:
        raise ConfigError(
            "wrong number of worker processes", where="workers", expected="1 or more", found=str(settings.workers)
        )
    if settings.workers > 1 and settings.stdlib:
        raise ConfigError(
            "the server of the standard library is one process",
            where="workers",
            expected="1",
            found=str(settings.workers),
            hint="Leave `--stdlib` out, and uvicorn serves by several."
            if installed
            else f"uvicorn serves by several: {_INSTALL}.",
        )
    if not installed and (settings.workers > 1 or settings.stdlib is False):
        raise ConfigError(
            "several worker processes need uvicorn" if settings.workers > 1 else "uvicorn is not installed",
            where="workers" if settings.workers > 1 else "stdlib",
            found=f"{settings.workers}, and zapz[serve] is not installed" if settings.workers > 1 else "",
            hint=f"{_INSTALL} installs it.",
        )
    return settings.stdlib if settings.stdlib is not None else not installed


def advice(*, stdlib: bool) -> str:
    """Return a line that says how to get a faster server, or "" if it is as fast as it can be.

    Args:
        stdlib: Whether the standard library serves.
    """
    if not stdlib:
        missing = [name for name in ("httptools", "uvloop") if not _is_installed(name)]
        if not missing:
            return ""
        return f"{' and '.join(missing)} not installed: `pip install 'zapz[serve-fast]'` gets a faster server."
    if _is_installed("uvicorn"):
        return ""
    return (
        f"zapz[serve] is not installed: served by Python's standard library, slower; {_INSTALL} gets the fast server."
    )


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: The port is no number of a port.
        StoreError: The host is not known or not of this machine, or the port is in use or
            reserved.
    """
    if not 0 <= port <= _PORTS:
        raise ConfigError("wrong port", where="port", expected=f"0 (any that is free) to {_PORTS}", found=str(port))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise _refused(where, error) from error
    return listener


def _refused(where: str, error: OSError) -> StoreError:
    if error.errno == errno.EADDRINUSE:
        hint = "Another process uses the port: choose another one, or `--port 0` for any that is free."
    elif error.errno == errno.EACCES:
        hint = "Ports below 1024 are reserved: choose another one, or `--port 0` for any that is free."
    else:
        hint = "The host must be a name or an address of this machine, such as `--host 127.0.0.1`."
    refusal = StoreError("the server cannot listen", where=where, found=str(error), hint=hint)
    refusal.errno = error.errno
    return refusal


def url_of(host: str, listener: socket.socket) -> str:
    """Return the URL at which a socket that listens is reached."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
