"""What an append tells its caller."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from zapz.checks.budget import Compared
from zapz.execution.writer import Counts
from zapz.txn.recovery import RecoveredAppend, Recovery

__all__ = ["Compared", "Phase", "Progress", "RecoveredAppend", "Recovery", "Report", "SliceReport"]

Phase = Literal[
    "looking", "waiting", "opening", "computing", "checking", "copying", "encoding", "syncing", "committing"
]
"""What a run is doing with a slice."""


class Progress(NamedTuple):
    """Where a run is at one moment."""

    phase: Phase
    """"looking" (at all slices before the first is written), "waiting" (for the slice, or for a
    target that another process holds), "opening" the slice, "computing" what is lazy, "checking"
    whether it may follow, "copying" its chunks ("encoding", if none can be copied), "syncing", or
    "committing"."""
    slice: str
    """The slice; while another process is waited for, the target."""
    number: int
    """How many slices come before this one. With ``prefetch``, slices ahead of the one that is
    written are told of as well."""
    slices: int | None = None
    """How many slices there are; None if that is not known."""
    chunks: int = 0
    """Chunks (shards) of the slice that are done."""
    total: int = 0
    """Chunks of the slice in all; 0 before that is known."""
    bytes: int = 0
    """Bytes of chunks written for the slice."""
    wait: float = 0.0
    """Seconds for which it is waited at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReport:
    """What became of one slice."""

    slice: str
    """The slice."""
    outcome: str
    """"appended", "already" (it was there and equal), "skipped" (its labels were there), "empty",
    or "planned" (dry run)."""
    steps: int
    """Its length along the append dimension."""
    copied_chunks: int = 0
    """Chunks copied as bytes."""
    encoded_chunks: int = 0
    """Chunks encoded, or shards put together."""
    bytes_written: int = 0
    """Bytes of chunks written."""
    seconds: float = 0.0
    """Time it took."""
    compared: Compared | None = None
    """What was compared of a slice that is there already; None if nothing was."""
    notes: tuple[str, ...] = ()
    """What is worth knowing: variables that were filled, or ignored although they differ; and, once
    in a call, other differences."""
    plan: Mapping[str, Any] | None = None
    """Summary of the plan, in a dry run, or if it was asked for (``explain``)."""
    times: Mapping[str, float] | None = None
    """Seconds of each part of the append, if that was asked for (``explain``); of "reading",
    "encoding" and "writing", which are parts of "copying", those of all threads together."""
    filled: tuple[str, ...] = ()
    """Variables of the target that it lacks and that were filled with missing values (``on_missing
    = "fill"``)."""
    created: bool = False
    """Whether the target was made from it, where there was none."""
    length: int = 0
    """Length of the target along the append dimension, after it."""
    last: str = ""
    """Last label of the target after it, as text; empty if neither has labels, or the slice is
    empty."""

    def counted(self, counts: Counts) -> SliceReport:
        """Return the report of a slice that has been appended."""
        return replace(
            self,
            outcome="appended",
            copied_chunks=counts.copied,
            encoded_chunks=counts.encoded,
            bytes_written=counts.bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an append did."""

    target: str
    """The target."""
    appended: int = 0
    """Slices appended."""
    already: int = 0
    """Slices that were there already, and equal."""
    skipped: int = 0
    """Slices passed over: empty, or there already by their labels."""
    copied_chunks: int = 0
    """Chunks copied as bytes."""
    encoded_chunks: int = 0
    """Chunks encoded, or shards put together."""
    bytes_written: int = 0
    """Bytes of chunks written."""
    seconds: float = 0.0
    """Time it took."""
    length: int = 0
    """Length of the target along the append dimension, afterwards; 0 if no slice's turn came and it
    is not known."""
    last: str = ""
    """Last label of the target, as text; empty if it has none, or no slice with labels came."""
    created: bool = False
    """Whether the target was made, where there was none."""
    recovered: Recovery = field(default_factory=Recovery)
    """What an earlier run had left, and what was done about it."""
    slices: tuple[SliceReport, ...] = ()
    """One report per slice, in order."""
    notes: tuple[str, ...] = ()
    """What became of settings that do not do what their names say, and of files that were kept."""

    def _repr_html_(self) -> str:
        """Return the report as HTML, for notebooks."""
        from zapz.pictures.append_pages import report_page  # imported where used: appends do without

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
    """Return a frozen value of the API as what ``json.dumps`` takes."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: as_json(getattr(value, name)) for name in value.__dataclass_fields__}
    if hasattr(value, "_asdict"):  # a named tuple
        return as_json(value._asdict())
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(v) for v in value]
    if hasattr(value, "tolist") and hasattr(value, "ndim"):  # an array: what is not a number is null
        return as_json(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
