"""Execute a plan as one transaction: with how many threads, and on which conditions."""

from __future__ import annotations

import os
from collections.abc import Callable

from zapz import execution
from zapz.array_task import Counts
from zapz.config import Config
from zapz.errors import CancelledError, SliceError
from zapz.existing import fingerprint_of
from zapz.planning import Plan
from zapz.sources.source import SourceStore
from zapz.sources.stores import OpenSlice
from zapz.storage.local import LocalStore
from zapz.storage.store import Store
from zapz.storage.uris import place_of
from zapz.txn.head import Commit
from zapz.txn.sessions import Session

MAX_WORKERS = 8
_IN_FLIGHT = 64
"""Requests to object services that are under way together, at most."""
_BYTES_IN_FLIGHT = 1 << 28
"""Bytes of chunks that are under way together, where their number is not set."""


def workers_of(config: Config, plan: Plan, *stores: Store) -> int:
    """Return the number of threads to use: as many as there are processors, or as hide the time that requests take."""
    if config.workers:
        return config.workers
    # Regions are read no larger than they are needed.
    regions = any(isinstance(store, SourceStore) and store.has_cells for store in stores)
    needs = (4 * p.target.unit_bytes if regions else p.working_set for p in plan.arrays.values())
    most = max(1, config.memory_limit // max(1, max(needs, default=1)))
    if not all(isinstance(store, LocalStore | SourceStore) for store in stores):
        largest = max((p.target.chunk_bytes for p in plan.arrays.values()), default=1)
        return min(most, max(2, min(_IN_FLIGHT, _BYTES_IN_FLIGHT // max(1, largest))))
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(most, MAX_WORKERS, processors)


def _fingerprint(plan: Plan, source: OpenSlice) -> str:
    """Return what a slice is recognised by if it comes again; one that lies in no place is not recognised."""
    if isinstance(source.store, SourceStore):
        return os.urandom(16).hex()
    return fingerprint_of(place_of(plan.slice_uri), plan.slice.documents)


def run_plan(
    plan: Plan,
    source: OpenSlice,
    session: Session,
    config: Config,
    *,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Counts:
    """Execute a plan as one transaction of a session.

    Args:
        plan: The plan.
        source: The slice.
        session: A turn at the target.
        config: Settings.
        progress: Called with chunks done and chunks planned, from any thread.
        cancelled: Asked between chunks whether to stop.

    Raises:
        CancelledError: ``cancelled`` said so; nothing was appended.
        SliceError: The slice's metadata changed while it was copied.
        ZapzError: As ``append`` does.
    """
    total = sum(p.copies + p.encodes for p in plan.arrays.values()) if progress is not None else 0
    done = [0]

    def count(steps: int) -> None:
        if cancelled is not None and cancelled():
            raise CancelledError(
                "cancelled", where=plan.slice_uri, hint="This slice was not appended; those before it stay."
            )
        done[0] += steps
        if progress is not None:
            progress(done[0], total)

    commit = Commit(
        fingerprint=_fingerprint(plan, source),
        offset=plan.placement.offset,
        length=plan.placement.length,
    )
    with session.begin(plan, commit, os.urandom(8).hex()) as transaction:
        counts = execution.run(
            plan,
            source.store,
            transaction.reading,
            transaction,
            workers=workers_of(config, plan, source.store, transaction.reading),
            verify=config.verify,
            progress=count if progress is not None or cancelled is not None else None,
        )
        if not source.is_unchanged(plan.slice.documents):
            raise SliceError(
                "the slice's metadata changed while it was copied",
                where=plan.slice_uri,
                hint="Something still writes to it. Append it when it is complete: --wait SECONDS, slice_ready, slice_complete.",
            )
        return counts
