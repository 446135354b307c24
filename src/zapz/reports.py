"""What an append, a recovery and a plan report to their caller. Pure: errors carry a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypedDict

Phase = Literal[
    "looking", "waiting", "opening", "computing", "checking", "copying", "encoding", "syncing", "committing"
]
"""The phase of a run at one slice; ``Progress.phase`` explains each."""
SliceOutcome = Literal["appended", "already", "skipped", "empty", "planned"]
"""The outcome for one slice; ``SliceReport.outcome`` explains each."""


class Progress(NamedTuple):
    """The progress of a run at one moment."""

    phase: Phase
    """"looking" (all slices are inspected before the first is written), "waiting" (for the slice,
    or for a target that another process holds), "opening" the slice, "computing" lazy variables,
    "checking" whether the slice can be appended, "copying" its chunks ("encoding" if none can be
    copied), "syncing", or "committing"."""
    slice: str
    """The slice; the target while the run waits for another process."""
    number: int
    """Number of slices before this one. With ``prefetch``, slices ahead of the one that is being
    written are reported as well."""
    slices: int | None = None
    """Number of slices in the call; None if it is not known."""
    chunks: int = 0
    """Chunks (shards) of the slice that are done."""
    total: int = 0
    """Chunks (shards) of the slice; 0 before the number is known."""
    bytes: int = 0
    """Bytes of chunks written for the slice."""
    wait: float = 0.0
    """Maximum duration of the wait, in seconds."""


class RecoveredAppend(NamedTuple):
    """An append that an earlier run had begun."""

    id: str
    """Name of its transaction."""
    slice: str
    """Name of the slice; empty if it is not known."""
    target: str
    """Path or URI of the target."""
    outcome: Literal["finished", "removed", "abandoned", "replaced", "not replaced"]
    """"finished": it was committed, and is visible now. "removed": it was not committed, and
    nothing of it remains. "abandoned": it was not committed, and ``vacuum`` can remove what it left
    beyond the target's shape. "replaced": a new target had replaced the old one, and nothing of the
    old one remains. "not replaced": the new target had not replaced the old one, which stays."""
    process: int = 0
    """Process number of the writer; 0 if it is not known."""
    host: str = ""
    """Name of its machine; empty if it is not known."""
    since: str = ""
    """When the append began, UTC, ISO 8601; empty if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What recovery did."""

    rolled_forward: tuple[str, ...] = ()
    """Transactions that were committed and are visible now."""
    rolled_back: tuple[str, ...] = ()
    """Transactions that were not committed, and were rolled back or abandoned."""
    made_root: bool = False
    """Whether a transaction that was rolled back had created the target's folder."""
    notes: tuple[str, ...] = ()
    """Which files were kept, and where."""
    appends: tuple[RecoveredAppend, ...] = ()
    """The same transactions, with details: slice, process, time, outcome."""

    def joined(self, other: Recovery) -> Recovery:
        """Return what two recoveries did together."""
        return Recovery(
            rolled_forward=self.rolled_forward + other.rolled_forward,
            rolled_back=self.rolled_back + other.rolled_back,
            made_root=self.made_root or other.made_root,
            notes=self.notes + other.notes,
            appends=self.appends + other.appends,
        )

    @property
    def clean(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.rolled_forward or self.rolled_back)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What was compared for a slice that is already there, and was equal."""

    chunks: int = 0
    """Number of chunks that the slice covers, in the target's chunk grid."""
    lengths: int = 0
    """Number of stored chunks whose lengths were compared."""
    contents: int = 0
    """Number of chunks whose bytes, or decoded cells, were compared."""
    bytes: int = 0
    """Bytes of the slice that were read to compare contents."""

    def plus(self, other: Compared) -> Compared:
        """Return the sum with what was compared for another array."""
        return Compared(
            chunks=self.chunks + other.chunks,
            lengths=self.lengths + other.lengths,
            contents=self.contents + other.contents,
            bytes=self.bytes + other.bytes,
        )


class CheckSummary(TypedDict):
    """A check of one variable that needs the data."""

    check: str
    """Name of the check: "StaticEqual", "NoMarkerAsValue" or "InPackedRange"."""
    path: str
    """Variable."""


class VariableSummary(TypedDict):
    """What happens to the chunks of one variable."""

    path: str
    """Variable."""
    copied_chunks: int
    """Chunks copied as bytes."""
    encoded_chunks: int
    """Chunks encoded, or shards assembled."""
    why: list[str]
    """Why chunks are encoded; empty if all are copied."""
    chunks: list[tuple[str, int]]
    """Runs of chunks with equal treatment ("copied", "joined", "encoded", "boundary" or "empty"),
    and the number of chunks in each run. All chunks at one position along the append dimension come
    first, then those at the next."""
    rows: int
    """Number of chunks that cover one step."""
    old_columns: int
    """Number of chunks along the append dimension before the first one that is written."""
    bytes: int
    """Bytes of the new cells."""


class _PlanSummary(TypedDict):
    target: str
    """The target."""
    slice: str
    """The slice."""
    creates: bool
    """Whether the target is created."""
    dim: str
    """The append dimension."""
    offset: int
    """Index of the slice's first step along the append dimension."""
    length: int
    """Its length along the append dimension."""
    copied_chunks: int
    """Chunks copied as bytes."""
    encoded_chunks: int
    """Chunks encoded, or shards assembled."""
    bytes: int
    """Bytes of the slice's cells."""
    levels: int
    """Number of levels of pyramids that the target has; 0 if it has none."""
    decoded_bytes: int
    """Bytes of the cells whose chunks are encoded: they are decoded, or read from memory."""
    working_set: int
    """Maximum bytes of memory that one worker needs."""
    checks: list[CheckSummary]
    """Checks that need the data."""
    variables: list[VariableSummary]
    """What happens to each variable that is written."""
    notes: list[str]
    """Differences that change nothing."""


class PlanSummary(_PlanSummary, total=False):
    """Summary of a plan, in values that JSON can hold."""

    replaces: bool
    """Whether the target replaces another one (``force_new``); only in reports of a dry run."""
    exact: bool
    """Whether the numbers of chunks are those of the run; else the slice may lack some of them, and
    they are the most that the run may write; only in reports of a dry run."""
    copied_bytes: int | None
    """Stored bytes of the copied chunks; None if not known; only in reports of a dry run."""
    labels: list[str]
    """First and last label of the slice, as text; empty if it has none; only in reports of a dry
    run."""
    gap: int
    """Number of steps missing before the slice; only in reports of a dry run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReport:
    """The result for one slice."""

    slice: str
    """The slice."""
    outcome: SliceOutcome
    """"appended", "already" (it was already there, and equal), "skipped" (its labels were already
    there), "empty", or "planned" (dry run)."""
    steps: int
    """Length of the slice along the append dimension, in steps."""
    copied_chunks: int = 0
    """Chunks copied as bytes."""
    encoded_chunks: int = 0
    """Chunks encoded, and shards assembled."""
    bytes_written: int = 0
    """Bytes of chunks written."""
    seconds: float = 0.0
    """Duration, in seconds."""
    compared: Compared | None = None
    """What was compared for a slice that is already there; None if nothing was compared."""
    notes: tuple[str, ...] = ()
    """Remarks about the slice. Variables that were filled, or ignored although they differ, are
    named for each slice; other differences are named once per call."""
    plan: PlanSummary | None = None
    """Summary of the plan, in a dry run or with ``explain``; else None."""
    times: Mapping[str, float] | None = None
    """Seconds of each part of the append, with ``explain``; else None. "reading", "encoding" and
    "writing" are parts of "copying"; their seconds are the sum over all threads."""
    levels: int = 0
    """Number of levels of pyramids that the target has; 0 if it has none."""
    filled: tuple[str, ...] = ()
    """Variables of the target that the slice lacks and that were filled with missing values
    (``on_missing = "fill"``)."""
    created: bool = False
    """Whether the target did not exist and was created from this slice."""
    length: int = 0
    """Length of the target along the append dimension after this slice, in steps."""
    last: str = ""
    """Last label of the target after this slice, as text; empty if neither has labels, or the slice
    is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of an append."""

    target: str
    """The target."""
    appended: int = 0
    """Slices appended."""
    already: int = 0
    """Slices that were already there, and equal."""
    skipped: int = 0
    """Slices that were skipped: they are empty, or their labels were already there."""
    copied_chunks: int = 0
    """Chunks copied as bytes."""
    encoded_chunks: int = 0
    """Chunks encoded, and shards assembled."""
    bytes_written: int = 0
    """Bytes of chunks written."""
    seconds: float = 0.0
    """Duration, in seconds."""
    length: int = 0
    """Length of the target along the append dimension after the run, in steps; 0 if it is not
    known because the run ended before its first slice."""
    last: str = ""
    """Last label of the target, as text; empty if it has no labels, or no slice had labels."""
    created: bool = False
    """Whether the target did not exist and was created."""
    recovered: Recovery = field(default_factory=Recovery)
    """What an earlier run had left, and how it was recovered."""
    slices: tuple[SliceReport, ...] = ()
    """One report per slice, in order."""
    notes: tuple[str, ...] = ()
    """Remarks about settings without effect, about settings whose effect differs from what their
    names suggest, and about files that were kept."""

    def _repr_html_(self) -> str:
        """Return the report as HTML, for notebooks."""
        from zapz.pictures.append_pages import report_page  # imported where used: appends do not need it

        return report_page(as_json(self))


def total(target: str, reports: list[SliceReport], length: int, recovered: Recovery, seconds: float) -> Report:
    """Add up the reports of all slices."""
    outcomes = [r.outcome for r in reports]
    return Report(
        target=target,
        appended=outcomes.count("appended"),
        already=outcomes.count("already"),
        skipped=outcomes.count("skipped") + outcomes.count("empty"),
        copied_chunks=sum(r.copied_chunks for r in reports),
        encoded_chunks=sum(r.encoded_chunks for r in reports),
        bytes_written=sum(r.bytes_written for r in reports),
        seconds=seconds,
        length=length,
        last=next((r.last for r in reversed(reports) if r.last), ""),
        created=any(r.created for r in reports),
        recovered=recovered,
        slices=tuple(reports),
    )


def as_json(value: Any) -> Any:
    """Return a frozen value of the API in a form that ``json.dumps`` accepts.

    NaN and infinite numbers become None.
    """
    if hasattr(value, "__dataclass_fields__"):
        return {name: as_json(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "_asdict"):  # a named tuple
        return as_json(value._asdict())
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(v) for v in value]
    if hasattr(value, "tolist") and hasattr(value, "ndim"):  # an array; NaN and infinite numbers become None
        return as_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
