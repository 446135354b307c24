"""Execute a plan as one transaction, with a suitable number of threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zapz.checks.already_appended import fingerprint_of
from zapz.config.settings import Config
from zapz.errors import CancelledError, SliceError
from zapz.execution import run, sparse
from zapz.execution.writer import Counts, Sink
from zapz.planning.plan import Plan
from zapz.reports import Progress, Recovery, SliceReport
from zapz.sources.open_slice import OpenSlice
from zapz.storage.store import ReadableStore
from zapz.storage.uris import canonical_uri, redact
from zapz.txn.protocol import Session
from zapz.txn.register import Commit

if TYPE_CHECKING:
    from zapz.operations.phases import Phases
    from zapz.operations.timing import Timing

MAX_WORKERS = 8
"""Maximum number of threads on local storage."""
_IN_FLIGHT = 64
"""Maximum number of concurrent requests to an object store."""
_BYTES_IN_FLIGHT = 1 << 28
"""Maximum number of bytes of chunks in flight, where ``workers`` is not set."""


def workers_of(config: Config, plan: Plan, *stores: ReadableStore) -> int:
    """Return the number of threads to use.

    On local storage this is at most the number of processors. With an object store it is larger,
    to hide the latency of requests. ``memory_limit`` limits both.
    """
    if config.workers:
        return config.workers
    # Regions are never larger than what is needed of them.
    regions = any(store.abilities.regions for store in stores)
    needs = (4 * p.target.unit_bytes if regions else p.working_set for p in plan.arrays.values())
    most = max(1, config.memory_limit // max(1, max(needs, default=1)))
    if any(store.abilities.requests for store in stores):
        largest = max((p.target.chunk_bytes for p in plan.arrays.values()), default=1)
        return min(most, max(2, min(_IN_FLIGHT, _BYTES_IN_FLIGHT // max(1, largest))))
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(most, MAX_WORKERS, processors)


def _fingerprint(plan: Plan, source: OpenSlice) -> str:
    """Return what identifies a slice that is given again; random if it has no path or URI."""
    if not source.has_place:
        return os.urandom(16).hex()
    return fingerprint_of(canonical_uri(plan.slice_uri), plan.slice.documents)


class Watch:
    """The callbacks of a run: progress, cancellation, recovery, timing; each may be missing."""

    def __init__(
        self,
        progress: Callable[[int, int], object] | None = None,
        cancelled: Callable[[], bool] | None = None,
        told: Callable[[Progress], object] | None = None,
        recovered: Callable[[Recovery], object] | None = None,
        *,
        explain: bool = False,
    ) -> None:
        self.progress = progress
        """Called with the chunks done and the chunks planned, from any thread."""
        self.cancelled = cancelled
        """Returns whether to stop; called between chunks."""
        self.recovered = recovered
        """Called with what was recovered, if anything was, before a slice is inspected."""
        self.phases: Phases | None = None
        """Reports progress; None if the caller does not request it."""
        if told is not None:
            from zapz.operations.phases import Phases  # imported where used: few callers request it

            self.phases = Phases(told)
        self.timing: Timing | None = None
        """Measures the duration of each part; None without ``explain``."""
        if explain:
            from zapz.operations.timing import Timing  # imported where used: few callers request it

            self.timing = Timing()

    def expect(self, items: Iterable[Any]) -> None:
        """Record the number of slices, if it is known."""
        if self.phases is not None:
            self.phases.expect(items)

    def begin(self, name: str) -> None:
        """Report that the next slice begins."""
        if self.phases is not None:
            self.phases.begin(name)
        if self.timing is not None:
            self.timing.begin()

    @property
    def enter(self) -> Callable[[str], None] | None:
        """Callback for each further phase of a transaction; None if no caller needs it."""
        return None if self.phases is None and self.timing is None else self._enter

    def _enter(self, phase: str) -> None:
        if self.phases is not None:
            self.phases.enter(phase)
        if self.timing is not None:
            self.timing.enter(phase)

    @property
    def waits(self) -> Callable[[str, float], None] | None:
        """Callback for a wait for the target; None if no caller needs it."""
        return None if self.phases is None else self.phases.wait_for_target


def counted(report: SliceReport, counts: Counts) -> SliceReport:
    """Return the report of a slice that has been appended."""
    done = replace(report, outcome="appended", copied_chunks=counts.copied, encoded_chunks=counts.encoded)
    return replace(done, bytes_written=counts.bytes)


def run_plan(
    plan: Plan,
    source: OpenSlice,
    session: Session,
    config: Config,
    target: ReadableStore,
    watch: Watch | None = None,
) -> Counts:
    """Execute a plan as one transaction of a session.

    Args:
        plan: The plan.
        source: The slice.
        session: The open session, which holds the target's lock.
        config: Settings.
        target: The target.
        watch: Callbacks of the caller.

    Returns:
        The numbers of chunks copied and encoded and of bytes written, with notes.

    Raises:
        CancelledError: The caller cancelled the run; nothing was appended.
        SliceError: The slice's metadata changed while it was copied.
        ZapzError: As ``zapz.append``.
    """
    found = sparse.look(plan, source.store, target)
    commit = Commit(
        fingerprint=_fingerprint(plan, source),
        offset=plan.placement.offset,
        length=plan.placement.length,
        name=redact(source.called),
    )
    watch = watch or Watch()
    reading, timing = source.store, watch.timing
    if timing is not None:
        timing.enter("preparing")
    with session.begin(plan, commit, os.urandom(8).hex(), watch.enter) as transaction:
        sink: Sink = transaction
        if timing is not None:
            timing.enter("copying")
            reading, sink = timing.reads(reading), timing.writes(transaction)
        counts = run.run(
            plan,
            reading,
            transaction.reading,
            sink,
            workers=workers_of(config, plan, source.store, transaction.reading),
            verify=config.verify,
            progress=_counting(plan, found, watch),
            found=found,
            spent=timing.spent if timing is not None else None,
        )
        if not source.is_unchanged(plan.slice.documents):
            raise SliceError(
                "the slice's metadata changed while it was copied",
                where=plan.slice_uri,
                hint="Another process may still be writing the slice. Append it when it is complete. {slice_polling.timeout} waits "
                "until it stops changing, at most this many seconds. slice_ready and slice_complete define when a slice is complete.",
                remedies={"slice_polling.timeout": 60},
            )
        return replace(counts, notes=found.notes)


def _counting(plan: Plan, found: sparse.Found, watch: Watch) -> Callable[[int, int], object] | None:
    """Return a callback for finished steps that counts them and stops a cancelled run.

    It may be called from any thread. None if no caller needs it.
    """
    progress, cancelled, phases = watch.progress, watch.cancelled, watch.phases
    if progress is None and cancelled is None and phases is None:
        return None
    asked = progress is not None or phases is not None
    total = sum(map(found.steps, plan.arrays.values())) if asked else 0
    copies = phases is not None and any(p.copies for p in plan.arrays.values())
    done = [0, 0]

    def count(steps: int, written: int) -> None:
        if cancelled is not None and cancelled():
            raise CancelledError(
                "cancelled", where=plan.slice_uri, hint="This slice was not appended. Slices before it stay."
            )
        done[0] += steps
        done[1] += written
        if progress is not None:
            progress(done[0], max(done[0], total))
        if phases is not None:
            phases.move(copies=copies, chunks=done[0], total=max(done[0], total), written=done[1])

    if phases is not None:
        phases.move(copies=copies, chunks=0, total=total, written=0)
    return count
