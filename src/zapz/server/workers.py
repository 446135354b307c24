"""Several processes that serve on one socket, and the process that keeps them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait

from zapz.errors import ZapzError
from zapz.server.allocation import keep_memory_small
from zapz.server.answering import Answering
from zapz.server.stop_signals import StopSignals
from zapz.server.uvicorn_server import serve_by_uvicorn

_LOG = logging.getLogger("zapz.server")
_SETTLED = 30.0
"""Seconds after which a worker that ends is not one that fails at its start."""
_PAUSES = (0.1, 30.0)
"""Seconds before a worker is started again: the first time, and at most; doubled each time."""
_GRACE = 1.0
"""Seconds that a worker may need to end, beyond those for its replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """What a worker process does."""

    make: Callable[[], Answering]
    """Makes what answers requests; it can be pickled."""
    drain: float
    """Seconds that replies may take to end when it stops."""


def run_workers(
    count: int, job: WorkerJob, listener: socket.socket, ready: Callable[[], None], signals: StopSignals
) -> None:
    """Serve by several processes until SIGTERM or SIGINT.

    A worker that ends is started again.

    Raises:
        ZapzError: A worker could not start.
        Exception: What ``make`` raised in a worker.
    """
    workers = [_Worker(job, listener) for _ in range(count)]
    try:
        for worker in workers:
            worker.start()
        if _all_ready(workers, signals):
            ready()
            _keep(workers, signals)
    finally:
        listener.close()
        _stop(workers, job.drain, signals)


def _all_ready(workers: Sequence[_Worker], signals: StopSignals) -> bool:
    """Wait until all workers accept connections; return False if a signal comes first."""
    while not signals.stopped():
        waiting = [worker for worker in workers if not worker.is_ready]
        if not waiting:
            return True
        wait([*(worker.report for worker in waiting), signals.channel])
        for worker in waiting:
            worker.listen()
            if worker.error is not None:
                raise worker.error
    return False


def _keep(workers: Sequence[_Worker], signals: StopSignals) -> None:
    """Start workers again that have ended."""
    while not signals.stopped():
        now = time.monotonic()
        for worker in workers:
            worker.tend(now)
        due = min((worker.due for worker in workers if worker.due is not None), default=None)
        ends = [worker.process.sentinel for worker in workers if worker.due is None]
        wait([*ends, signals.channel], None if due is None else max(due - time.monotonic(), 0))


def _stop(workers: Sequence[_Worker], drain: float, signals: StopSignals) -> None:
    """Let workers end their replies, and end those that take too long."""
    started = [worker for worker in workers if worker.is_started]
    for worker in started:
        worker.process.terminate()
    end = time.monotonic() + drain + _GRACE
    while alive := [worker.process.sentinel for worker in started if worker.process.is_alive()]:
        if time.monotonic() > end or signals.hurry():
            break
        signals.clear()
        wait([*alive, signals.channel], max(end - time.monotonic(), 0))
    for worker in started:
        if worker.process.is_alive():
            _LOG.warning("worker %s was ended, its replies took longer than %g s", worker.process.pid, drain)
            worker.process.kill()
        worker.close()


class _Worker:
    """A process that serves, and the next one in its place."""

    def __init__(self, job: WorkerJob, listener: socket.socket) -> None:
        self._job = job
        self._listener = listener
        self._pause = _PAUSES[0]
        self._started = 0.0
        self.is_started = False
        self.is_ready = False
        self.error: Exception | None = None
        self.due: float | None = None

    def start(self) -> None:
        """Start the process."""
        context = multiprocessing.get_context("spawn")
        self.report, report = context.Pipe(duplex=False)
        with report:
            self.process = context.Process(target=work, args=(self._job, self._listener, report), name="zapz-worker")
            self.process.start()
        self.is_started, self.is_ready, self.error, self.due = True, False, None, None
        self._started = time.monotonic()

    def listen(self) -> None:
        """Note whether it is ready, or why it ended."""
        if self.report.closed or not self.report.poll():
            return
        try:
            self.error = self.report.recv()
            self.is_ready = self.error is None
        except EOFError:
            self.process.join(_GRACE)
            code = self.process.exitcode
            self.error = ZapzError("a worker process of the server ended while it started", found=f"exit code {code}")

    def tend(self, now: float) -> None:
        """Start it again if it has ended, after a pause that grows if that happens often."""
        if self.due is not None:
            if now >= self.due:
                self.start()
        elif not self.process.is_alive():
            if now - self._started > _SETTLED:
                self._pause = _PAUSES[0]
            if not self.is_ready:
                self.listen()
            why = f"exit code {self.process.exitcode}" + (f": {self.error}" if self.error else "")
            _LOG.warning("worker %s ended (%s), started again in %g s", self.process.pid, why, self._pause)
            self.close()
            self.due = now + self._pause
            self._pause = min(2 * self._pause, _PAUSES[1])

    def close(self) -> None:
        """Wait for its end, and release what belongs to it."""
        if not self.report.closed:
            self.process.join()
            self.report.close()


def work(job: WorkerJob, listener: socket.socket, report: Pipe[Exception | None, object]) -> None:
    """Be a worker: serve until the parent, or a signal, ends it."""
    keep_memory_small()
    threading.Thread(target=_follow_parent, name="zapz-parent", daemon=True).start()
    with StopSignals(wake=False) as signals, report:
        try:
            core = job.make()
        except Exception as error:  # noqa: BLE001 - raised by the parent
            report.send(error)
            return
        serve_by_uvicorn(core, listener, job.drain, lambda: report.send(None), signals.stopped)


def _follow_parent() -> None:
    """Stop this process if its parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
