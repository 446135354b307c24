"""A program that embeds zapz: a job with progress, stopped by signals, results as JSON lines.

    python embedding.py CUBE SLICE...

SIGINT and SIGTERM stop it after the chunks in progress. What was not committed is rolled back, and
the same command continues later where this one stopped.
"""

import json
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import zapz


@dataclass
class Job:
    """One append in a thread of its own."""

    cube: str
    slices: Sequence[str]
    cancel: threading.Event = field(default_factory=threading.Event)
    result: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """Append, and keep what became of it."""
        try:
            report = zapz.append(
                self.cube,
                self.slices,
                lock_wait=60,
                on_phase=self.progress,
                on_slice=lambda done: say("slice", name=done.slice, outcome=done.outcome, bytes=done.bytes_written),
                on_recovery=lambda found: say("recovery", clean=found.clean),
                cancel=self.cancel,
            )
            self.result = {"exit_code": 0, "appended": report.appended, "length": report.length}
        except zapz.ZapzError as error:  # also a CancelledError
            self.result = {"exit_code": error.exit_code, "code": error.code, "message": str(error)}

    def progress(self, at: zapz.Progress) -> None:
        """Say what the run is doing; called from any thread."""
        if at.chunks in {0, at.total}:
            say("progress", phase=at.phase, slice=at.number, of=at.slices, chunks=at.chunks, total=at.total)


def say(event: str, **facts: Any) -> None:
    """Print one event as one line."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def main(cube: str, *slices: str) -> int:
    """Run a job to its end, and return its exit code."""
    job = Job(cube, slices)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: job.cancel.set())
    thread = threading.Thread(target=job.run)
    thread.start()
    while thread.is_alive():
        thread.join(timeout=0.1)  # a signal is handled between two waits
    say("end", **job.result)
    return int(job.result["exit_code"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
