"""Is a target sound? ``check`` reads it, changes nothing, and says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zapz.checks.findings import Finding, finding_of
from zapz.checks.stored_chunks import MOST_FINDINGS, ChunkCounts, StoredChunks
from zapz.config.settings import Config
from zapz.errors import JournalError
from zapz.operations.inspection import Seen, inspect_target
from zapz.operations.label_gaps import StepInfo
from zapz.storage.hierarchy import digest
from zapz.storage.requirements import Requirements
from zapz.storage.store import Holder, Store
from zapz.txn.session import state_of

__all__ = ["Checked", "ChunkCounts", "Finding", "check_store"]

_TRIES = 3
"""So often documents are read again if somebody changes them meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check has seen."""

    uri: str
    """The target."""
    sound: bool
    """Whether nothing is wrong."""
    findings: tuple[Finding, ...]
    """What is wrong."""
    zarr_format: int | None
    """2 or 3; None if the documents cannot be read."""
    documents: int
    """How many documents were read."""
    arrays: int
    """How many arrays they describe."""
    labels: Mapping[str, int]
    """How many labels of each label variable were read."""
    steps: Mapping[str, StepInfo]
    """The step that the labels of each of these keep, and where steps are missing: gaps are no
    damage."""
    chunks: ChunkCounts | None
    """What became of the chunks; None if they were not read."""
    lock: Holder | None
    """Who holds the lock: a process that is appending."""
    journal: tuple[str, ...]
    """What a crashed run left: recovery is no damage."""
    changed: bool
    """Whether the target changed during the check, so that what was seen may be a mixture."""
    notes: tuple[str, ...] = ()
    """What was not checked, and why."""


def check_store(
    store: Store, config: Config, *, chunks: bool = False, on_progress: Callable[[int, int], object] | None = None
) -> Checked:
    """Check a target; nothing is written, and no lock is taken.

    Args:
        store: The target.
        config: ``append_dim``, ``label_order``, ``workers``, ``memory_limit``.
        chunks: Whether every chunk is read and decoded.
        on_progress: Called with chunks done and chunks in all, from any thread.

    Raises:
        LockedError: Another process is just creating it.
        FormatError: There is something else than a dataset.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
    """
    for _ in range(_TRIES):
        seen = inspect_target(store, config)
        changed = _is_changed(store, seen)
        if not (changed and seen.findings):
            break
    counts = None
    if chunks and seen.dataset is not None:
        pass_ = StoredChunks(store, seen.dataset, config.workers, config.memory_limit, on_progress)
        counts = pass_.check()
        seen.findings += pass_.findings
        seen.notes += pass_.notes
        if counts.damaged > MOST_FINDINGS:
            seen.notes.append(f"{counts.damaged - MOST_FINDINGS:,} more chunks are damaged")
        changed = changed or _is_changed(store, seen)
    lock: Holder | None = None
    journal: tuple[str, ...] = ()
    try:
        lock, journal = state_of(store)
    except JournalError as error:
        seen.findings.append(finding_of(error, store.uri))
    return Checked(
        uri=store.uri,
        sound=not seen.findings,
        findings=tuple(seen.findings),
        zarr_format=None if seen.dataset is None else seen.dataset.zarr_format,
        documents=len(seen.documents),
        arrays=0 if seen.dataset is None else len(seen.dataset.arrays),
        labels=seen.labels,
        steps=seen.steps,
        chunks=counts,
        lock=lock,
        journal=journal,
        changed=changed,
        notes=tuple(seen.notes),
    )


def _is_changed(store: Store, seen: Seen) -> bool:
    """Return whether the documents are no longer what was read."""
    digests = {key: digest(data) for key, data in seen.documents.items()}
    return bool(Requirements(digests).violations(store.read_many(digests)))
