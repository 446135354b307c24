"""Arrays with far more chunks than exist: select the steps that have an effect.

A plan has a step for every chunk that it touches. If there are very many, and a chunk that the
slice lacks is read as missing in the target too, then only those steps are executed whose chunk
exists in the slice or in the target::

    touched chunks    [ . . . . . a . . . . . . . b . . . . . . ]
    in the slice                  x                                  copied, or encoded
    at the target's key                           x                  cleared: is read as missing
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from zapz.errors import SliceError, StoreError, ZapzError
from zapz.format.buffers import Cells
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Box, Index, ceil_div, count, indices
from zapz.planning.missing_cells import missing_value
from zapz.planning.plan import Plan
from zapz.planning.steps import ArrayPlan
from zapz.storage.presence import MANY, IndexSet, present
from zapz.storage.store import ReadableStore

VERY_MANY = 1 << 22
"""Maximum number of chunks that are written because the slice lacks them. A remote slice is listed
only if it has more chunks."""
_DENSE = 8
"""If at least one chunk in this many exists, all steps are executed, in cache order."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What exists of arrays with very many chunks."""

    present: Mapping[str, IndexSet] = field(default_factory=dict)
    """Chunks (shards) of the slice, per array."""
    needed: Mapping[str, IndexSet] = field(default_factory=dict)
    """Chunks of the target to write, per array: those that chunks of the slice touch. Existing ones
    are added later."""
    notes: tuple[str, ...] = ()
    """Notes for the user."""

    def steps(self, plan: ArrayPlan) -> int:
        """Return the number of steps of an array that have an effect."""
        return len(self.needed[plan.path]) if plan.path in self.needed else plan.copies + plan.encodes


def look(plan: Plan, source: ReadableStore, target: ReadableStore) -> Found:
    """Find what exists of the slice's arrays with very many chunks.

    Raises:
        SliceError: The slice lacks more chunks than can be written.
        StoreError: The slice cannot be listed, or an object store would need more chunks than can
            be written.
    """
    found: dict[str, IndexSet] = {}
    needed: dict[str, IndexSet] = {}
    notes: list[str] = []
    local = not target.abilities.requests
    for path, each in _apart(plan).items():
        touched, size = count(each.spans), _size(each)
        if size <= MANY or not source.abilities.listable:
            continue
        unfit: ZapzError | None = None
        try:
            value, is_fill = missing_value(each, plan.slice_uri)
        except ZapzError as error:  # matters only if the slice lacks a chunk
            value, is_fill, unfit = fill_cells(each.target), False, error
        written = not (local and is_fill)
        if size <= VERY_MANY and (written or source.abilities.requests):
            continue
        there = IndexSet(_stored(each))
        if each.source is not None:
            for index in present(source, path, each.source.keys, _stored(each), strict=True):
                there.add(index)
        if written:
            lacking = touched - len(_touched(each, there))
            if lacking and unfit is not None:
                raise unfit
            each_has = 1 if is_fill else each.target.grid.chunk_size // each.target.units.chunk_size
            _require_few(plan, each, lacking * each_has, value, is_fill=is_fill)
            continue
        goal = _touched(each, there)
        if len(goal) * _DENSE >= touched:
            continue
        found[path], needed[path] = there, goal
        notes.append(f"{path}: {touched:,} chunks, {len(there):,} of them in the slice; the others are read as missing")
    return Found(present=found, needed=needed, notes=tuple(notes))


def _apart(plan: Plan) -> Mapping[str, ArrayPlan]:
    """Return the arrays from which nothing is derived: else each cell is needed."""
    finest = {each.source for each in plan.placement.derived.values()}
    return {path: each for path, each in plan.arrays.items() if path not in finest and each.derivation is None}


def _size(plan: ArrayPlan) -> int:
    """Return the number of units (inner chunks, if sharded) that would be visited."""
    return max(count(plan.unit_spans), math.prod(plan.source.units.counts) if plan.source is not None else 0)


def _stored(plan: ArrayPlan) -> Box:
    """Return the range of all chunks that the slice may have of an array."""
    return tuple((0, n) for n in plan.source.grid.counts) if plan.source is not None else ((0, 0),)


def _touched(plan: ArrayPlan, there: IndexSet) -> IndexSet:
    """Return the target's chunks that chunks of the slice touch."""
    goal = IndexSet(plan.spans)
    for index in there:
        for each in indices(_covered(plan, index)):
            goal.add(each)
    return goal


def _covered(plan: ArrayPlan, index: Index) -> Box:
    assert plan.source is not None  # noqa: S101 - for the type checker
    box = plan.source.grid.box(index)
    chunks = plan.target.grid.chunks
    return tuple(((a + o) // c, ceil_div(b + o, c)) for (a, b), o, c in zip(box, plan.origin, chunks, strict=True))


def _require_few(plan: Plan, each: ArrayPlan, lacking: int, value: Cells, *, is_fill: bool) -> None:
    """Refuse to write more chunks than is practical.

    Raises:
        StoreError: On an object store, too many chunks would have to be written.
        SliceError: Too many chunks would have another value in the target.
    """
    if lacking <= VERY_MANY:
        return
    where = f"{plan.slice_uri}, {each.path}"
    found = f"{lacking:,} chunks that the slice lacks"
    if is_fill:
        raise StoreError(
            "the slice lacks too many chunks: on object stores each of them must be written",
            where=where,
            expected=f"at most {VERY_MANY:,}",
            found=found,
            hint="Append to a local copy of the target, or create the target with larger chunks.",
        )
    fill = fill_cells(each.target)[()]
    remedy = (
        f"Add {each.path} to the slice with fill value {fill!s}"
        if each.source is None
        else f"Rewrite {each.path} of the slice with fill value {fill!s}"
    )
    raise SliceError(
        "the slice lacks too many chunks that would have another value in the target",
        where=where,
        expected=f"at most {VERY_MANY:,}, or the target's fill value {fill!s}",
        found=f"{found}, which are read as {np.asarray(value)[()]!s}",
        hint=f"{remedy}, as in the target. Then missing chunks stay missing.",
    )
