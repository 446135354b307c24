"""Execute a plan as one transaction: with how many threads, and on which conditions."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from zapz import execution
from zapz.array_task import Counts
from zapz.config import Config
from zapz.errors import FormatError, NotFoundError, SliceError
from zapz.existing import fingerprint_of
from zapz.planning import Plan
from zapz.storage.dataset import documents_of
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
    if not all(isinstance(store, LocalStore) for store in stores):
        largest = max((p.target.chunk_bytes for p in plan.arrays.values()), default=1)
        return max(2, min(_IN_FLIGHT, _BYTES_IN_FLIGHT // max(1, largest)))
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, processors)


def run_plan(
    plan: Plan,
    source: Store,
    session: Session,
    config: Config,
    *,
    without: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Execute a plan as one transaction of a session.

    Args:
        plan: The plan.
        source: The slice.
        session: A turn at the target.
        config: Settings.
        without: Variables that were left out of the plan; None if that is not known.
        progress: Called with chunks done and chunks planned, from any thread.

    Raises:
        SliceError: The slice's metadata changed while it was copied.
        ZapzError: As ``append`` does.
    """
    total = sum(p.copies + p.encodes for p in plan.arrays.values()) if progress is not None else 0
    done = [0]

    def count(steps: int) -> None:
        done[0] += steps
        if progress is not None:
            progress(done[0], total)

    commit = Commit(
        fingerprint=fingerprint_of(place_of(plan.slice_uri), plan.slice.documents),
        offset=plan.placement.offset,
        length=plan.placement.length,
    )
    with session.begin(plan, commit, os.urandom(8).hex()) as transaction:
        counts = execution.run(
            plan,
            source,
            transaction.reading,
            transaction,
            workers=workers_of(config, plan, source, transaction.reading),
            verify=config.verify,
            progress=count if progress is not None else None,
        )
        if not is_unchanged(plan, source, without):
            raise SliceError(
                "the slice's metadata changed while it was copied",
                where=plan.slice_uri,
                hint="Something still writes to it. Append it when it is complete: --wait SECONDS, slice_ready, slice_complete.",
            )
        return counts


def is_unchanged(plan: Plan, source: Store, without: Collection[str] | None) -> bool:
    """Return whether a slice has the documents that a plan was made for.

    Args:
        plan: The plan.
        source: The slice.
        without: Variables that were left out of the plan; None if that is not known, and documents that have been added cannot be told.
    """
    try:
        here = source.read_many(plan.slice.documents) if without is None else documents_of(source, without)
    except (FormatError, NotFoundError):
        return False
    return here == dict(plan.slice.documents)
