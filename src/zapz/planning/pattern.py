"""What happens to each chunk of an array, as runs of equal treatment: for pictures. Pure.

Runs follow the append dimension: all chunks of the first touched column, then those of the next::

    append dimension ->    [boundary] [encoded] [encoded]
                           [boundary] [encoded] [encoded]      runs: 2 boundary, 4 encoded
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from zapz.format.grid import Index, count, indices
from zapz.planning.missing_cells import missing_value
from zapz.planning.steps import ArrayPlan

Run = tuple[str, int]
"""What happens to consecutive chunks, and their number."""


def runs_of(plan: ArrayPlan) -> list[Run]:
    """Return what happens to the chunks that an array plan touches, as far as the plan tells.

    Returns:
        Runs of "copied" (bytes unchanged), "joined" (inner chunks are copied to a shard, which may
        hold old ones), "encoded", "boundary" (holds old cells and is rewritten), "empty" (the slice
        lacks the array, and the chunk is read as the fill value).
    """
    total, kind = count(plan.spans), _kind(plan)
    partly_filled = plan.axis is not None and plan.offset % plan.target.grid.chunks[plan.axis] > 0
    boundary = min(total, rows_of(plan)) if partly_filled and kind != "joined" else 0
    return [run for run in (("boundary", boundary), (kind, total - boundary)) if run[1]]


def kind_of(plan: ArrayPlan, index: Index) -> str:
    """Return what happens to one touched chunk, in the words of ``runs_of``."""
    kind = _kind(plan)
    return "boundary" if kind != "joined" and plan.is_boundary(index) else kind


def _kind(plan: ArrayPlan) -> str:
    if plan.source is None:
        return "empty" if missing_value(plan, "")[1] else "encoded"
    if plan.verbatim:
        return "copied"
    return "joined" if plan.inner_verbatim and plan.target.codecs.shards is not None else "encoded"


def rows_of(plan: ArrayPlan) -> int:
    """Return the number of chunks in a column: the product over all axes but the append axis."""
    return count(tuple(span for i, span in enumerate(plan.spans) if i != plan.axis))


def old_columns(plan: ArrayPlan) -> int:
    """Return the number of columns of chunks that are full and stay unchanged."""
    return 0 if plan.axis is None else plan.offset // plan.target.grid.chunks[plan.axis]


def by_column(plan: ArrayPlan) -> Iterator[Index]:
    """Yield the index of every touched chunk, in the order of ``runs_of``."""
    axis = plan.axis
    if axis is None:
        yield from indices(plan.spans)
        return
    others = tuple(span for i, span in enumerate(plan.spans) if i != axis)
    for column in range(*plan.spans[axis]):
        for rest in indices(others):
            yield (*rest[:axis], column, *rest[axis:])


def runs(kinds: Iterable[str]) -> list[Run]:
    """Return consecutive equal kinds as runs."""
    return [(kind, sum(1 for _ in equal)) for kind, equal in groupby(kinds)]
