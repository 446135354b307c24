"""What a dry run reports of a plan: the plan's summary, labels, sizes, missing chunks."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.errors import StoreError
from zapz.execution import sparse
from zapz.format.documents import foreign_document
from zapz.format.grid import Index, count, indices, intersect, shift
from zapz.operations.plan_slice import Prepared
from zapz.planning.missing_cells import missing_value
from zapz.planning.pattern import by_column, kind_of, runs
from zapz.planning.plan import Plan
from zapz.planning.steps import ArrayPlan
from zapz.reports import PlanSummary
from zapz.storage.chunk_reader import require_codecs
from zapz.storage.store import ReadableStore

_MOST = 1 << 15
"""Maximum number of chunks that a dry run looks at: for files, about a second."""


class Foresight:
    """What a dry run reports of the plans of one call."""

    def __init__(self, target: ReadableStore, *, ordered: bool) -> None:
        """Report on plans for a target.

        Args:
            target: Store from which the target is read.
            ordered: Whether labels have an order; without an order there are no gaps.
        """
        self._target = target
        self._ordered = ordered
        self._left = _MOST

    def foresee(self, prepared: Prepared, plan: Plan) -> tuple[PlanSummary, tuple[str, ...]]:
        """Return what a dry run reports of a plan, and notes about arrays with very many chunks.

        The summary is that of ``Plan.summary``. Where the dry run can look at the slice's chunks,
        its numbers of chunks are those of the run, and ``chunks`` reports chunks that the slice
        lacks and that are read as the fill value as "empty". It also has: ``exact``, ``labels``,
        ``gap``, ``copied_bytes`` (``reports.PlanSummary``).

        Args:
            prepared: The slice.
            plan: Its plan.

        Raises:
            SliceError: The slice lacks more chunks than can be written; or it lacks chunks, and its
                fill value cannot be stored in the target.
            UnsupportedError: Chunks must be re-encoded, and a codec is not known.
            StoreError: Storage failed.
        """
        source = prepared.source.store
        notes = sparse.look(plan, source, self._target).notes
        summary = plan.summary()
        summary["exact"], summary["copied_bytes"] = True, 0
        for variable in summary["variables"]:
            each = plan.arrays[variable["path"]]
            found = self._look(each, source, plan.slice_uri) if each.source is not None else None
            kinds = {kind for kind, _ in variable["chunks"]} if found is None else set(found.kinds)
            if kinds & {"encoded", "boundary"}:
                _require_codecs(plan, each)
            if found is not None:
                variable["chunks"] = runs(found.kinds)
                variable["copied_chunks"], variable["encoded_chunks"] = found.copied, found.encoded
                variable["why"] += found.why
            elif each.source is not None:
                summary["exact"] = False
            elif not self._target.abilities.requests:
                variable["encoded_chunks"] -= sum(number for kind, number in variable["chunks"] if kind == "empty")
            if each.copies and summary["copied_bytes"] is not None:
                summary["copied_bytes"] = None if found is None else summary["copied_bytes"] + found.bytes
        for name in ("copied_chunks", "encoded_chunks"):
            summary[name] = sum(variable[name] for variable in summary["variables"])
        lines = [found.new for found in prepared.labels]
        summary["labels"] = [lines[0].text(0), lines[0].text(-1)] if lines and lines[0].values else []
        summary["gap"] = _gap(prepared) if self._ordered else 0
        return summary, notes

    def _look(self, plan: ArrayPlan, source: ReadableStore, where: str) -> _Seen | None:
        """Return what happens to each chunk of an array; None if looking at them takes too long."""
        able = source.abilities
        if able.requests or not able.stored or plan.source is None:
            return None
        whole = tuple((0, n) for n in plan.source.grid.counts)
        effort = max(count(plan.spans), count(whole))
        if effort > self._left:
            return None
        self._left -= effort
        try:
            sizes = {index: source.size(plan.source.key(index)) for index in indices(whole)}
        except StoreError:  # the append itself reports it
            return None
        absent_is_fill = None not in sizes.values() or missing_value(plan, where)[1]
        kinds = [_kind(plan, index, sizes, absent_is_fill=absent_is_fill) for index in by_column(plan)]
        encoded = sum(kind not in {"copied", "empty"} for kind in kinds)
        if self._target.abilities.requests:  # there, chunks of fill values are written too
            encoded += kinds.count("empty")
        return _Seen(
            kinds=kinds,
            copied=kinds.count("copied"),
            encoded=encoded,
            bytes=sum(size or 0 for size in sizes.values()) if plan.verbatim else 0,
            why=["the slice lacks chunks, and its fill value is not the target's"]
            if plan.verbatim and "encoded" in kinds
            else [],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What happens to the chunks of one array."""

    kinds: list[str]
    """What happens to each touched chunk, column by column."""
    copied: int
    """Number of chunks that are copied."""
    encoded: int
    """Number of chunks that are encoded, or assembled."""
    bytes: int
    """Stored size of the copied chunks, in bytes."""
    why: list[str]
    """Further reasons for encoding."""


def _kind(plan: ArrayPlan, index: Index, sizes: dict[Index, int | None], *, absent_is_fill: bool) -> str:
    """Return what happens to a chunk; "empty" if it is not written because the slice lacks it."""
    kind = kind_of(plan, index)
    if kind == "boundary" or plan.source is None:
        return kind
    cells = intersect(plan.target.grid.box(index), plan.new_box) if plan.target.ndim else ()
    if cells is None:
        return kind
    needed = shift(cells, plan.origin, -1)
    if plan.derivation is not None:
        needed = plan.derivation.box(needed, plan.source.shape)
    covered = plan.source.grid.covering(needed)
    if any(sizes[each] is not None for each in indices(covered)):
        return kind
    return "empty" if absent_is_fill else "encoded"


def _require_codecs(plan: Plan, each: ArrayPlan) -> None:
    """Check that chunks of an array can be re-encoded."""
    require_codecs(each.target, foreign_document(plan.after.documents, each.path), plan.target_uri)
    if each.source is not None:
        require_codecs(each.source, foreign_document(plan.slice.documents, each.path), plan.slice_uri)


def _gap(prepared: Prepared) -> int:
    """Return the number of steps missing between the target's labels and the slice's."""
    jumping = [labels for labels in prepared.labels if labels.jumps]
    if not jumping:
        return 0
    from zapz.planning.gaps import gap_before  # imported where used: most slices follow without a gap

    return max((found.missing for labels in jumping if (found := gap_before(labels)) is not None), default=0)
