"""The report of a dry run on one slice: summary of the plan, labels, sizes, missing chunks."""

from __future__ import annotations

from zapz.errors import StoreError
from zapz.execution import sparse
from zapz.format.grid import count
from zapz.operations.plan_slice import Prepared
from zapz.planning.pattern import by_column, runs
from zapz.planning.plan import Plan
from zapz.planning.steps import ArrayPlan, CopyChunk
from zapz.reports import PlanSummary
from zapz.storage.store import ReadableStore

_MOST = 4096
"""Maximum number of chunks per array whose sizes are read: for files, about 0.1 seconds."""


def foresee(
    prepared: Prepared, plan: Plan, target: ReadableStore, *, ordered: bool
) -> tuple[PlanSummary, tuple[str, ...]]:
    """Return what a dry run reports of a plan, and notes about arrays with very many chunks.

    The summary extends that of ``Plan.summary`` with: ``labels``, the slice's first and last label
    as text; ``gap``, the number of steps missing before the slice; ``copied_bytes``, the stored
    size of the copied chunks in bytes, None if it is not known. Where sizes are known, ``chunks``
    reports chunks that the slice lacks as "empty".

    Args:
        prepared: The slice.
        plan: Its plan.
        target: Store from which the target is read.
        ordered: Whether labels have an order; without an order there are no gaps.

    Raises:
        SliceError: The slice lacks more chunks than can be written.
        StoreError: Storage failed.
    """
    source = prepared.source.store
    notes = sparse.look(plan, source, target).notes
    summary = plan.summary()
    sizes = {path: _weighed(each, source) for path, each in plan.arrays.items() if each.copies}
    for variable in summary["variables"]:
        if (found := sizes.get(variable["path"])) is not None:
            variable["chunks"] = found[0]
    known = all(found is not None for found in sizes.values())
    summary["copied_bytes"] = sum(found[1] for found in sizes.values() if found is not None) if known else None
    lines = [found.new for found in prepared.labels]
    summary["labels"] = [lines[0].text(0), lines[0].text(-1)] if lines and lines[0].values else []
    summary["gap"] = _gap(prepared) if ordered else 0
    return summary, notes


def _weighed(plan: ArrayPlan, source: ReadableStore) -> tuple[list[tuple[str, int]], int] | None:
    """Return runs of the chunks to copy, and their total bytes; None if that is too slow."""
    able = source.abilities
    if able.requests or not able.stored or plan.source is None or count(plan.spans) > _MOST:
        return None
    kinds, total = [], 0
    for index in by_column(plan):
        step = plan.step(index)
        try:
            size = source.size(plan.source.key(step.source)) if isinstance(step, CopyChunk) else None
        except StoreError:  # the append itself reports it
            return None
        kinds.append("copied" if size is not None else "empty")
        total += size or 0
    return runs(kinds), total


def _gap(prepared: Prepared) -> int:
    """Return the number of steps missing between the target's labels and the slice's."""
    jumping = [labels for labels in prepared.labels if labels.jumps]
    if not jumping:
        return 0
    from zapz.planning.gaps import gap_before  # imported where used: most slices follow without a gap

    return max((found.missing for labels in jumping if (found := gap_before(labels)) is not None), default=0)
