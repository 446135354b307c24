"""Say after an error which slices are in the target, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from zapz.cli.refusal import slice_in
from zapz.cli.words import count, last_part, shown, visible
from zapz.errors import (
    CancelledError,
    ChunkError,
    ConfigError,
    ConflictError,
    FormatError,
    LockedError,
    SliceError,
    StoreError,
    ZapzError,
)
from zapz.reports import SliceReport

_ADVICE: Sequence[tuple[type[ZapzError] | tuple[type[ZapzError], ...], str]] = (
    (ConfigError, "Correct the setting and run the same command again."),
    ((SliceError, FormatError, ChunkError), "Correct it and run the same command again."),
    (StoreError, "Solve this and run the same command again."),
    (LockedError, "Run the same command again when the other run has ended."),
    ((ConflictError, CancelledError), "Run the same command again."),
)
_BEFORE_WRITING = (ConfigError, SliceError, FormatError)
"""Errors that are raised before anything of a slice is written."""


def standing(
    error: BaseException, slices: Sequence[str], done: Sequence[SliceReport], *, recognised: bool = True
) -> str:
    """Return how many slices are in the target, where the run stopped, and what to do.

    Args:
        error: The error that ended the run.
        slices: The slices, as given.
        done: The reports of the slices before the error.
        recognised: Whether slices without labels are recognised if they are given again.

    Returns:
        A text; empty for a single slice, or an error that is not about a slice.
    """
    if len(slices) <= 1 or len(done) >= len(slices):
        return ""
    twice = not recognised and any(report.outcome == "appended" and not report.last for report in done)
    again = f" {_rest(slices, done)}" if twice else " Run the same command again to continue."
    if not isinstance(error, ZapzError):
        return f"{_in(slices, done)}{again}" if done else ""
    about = slice_in(error.where, slices)
    name = slices[len(done)] if done else about[0] if about is not None else ""
    if not name:
        return ""  # the error concerns the target, before any slice
    advice = _rest(slices, done) if twice else _advice(error)
    begun = _in(slices, done) if done else ""
    if not done and isinstance(error, _BEFORE_WRITING):
        begun, advice = "Nothing was written.", "" if error.remedies else advice
    return " ".join(part for part in (begun, f"Stopped at {visible(last_part(shown(name)))}.", advice) if part)


def _advice(error: ZapzError) -> str:
    """Return what to do next; if the error has remedies, its hint has already named them."""
    if error.remedies:
        return "" if "force_new" in error.remedies else "Slices that are in the target are not appended again."
    return next((words for kinds, words in _ADVICE if isinstance(error, kinds)), "")


def _rest(slices: Sequence[str], done: Sequence[SliceReport]) -> str:
    """Return how to continue if slices in the target would be appended a second time."""
    name = visible(last_part(shown(slices[len(done)])))
    return (
        "The slices have no labels, so zapz cannot recognise those that are in the target. "
        f"Do not give them again: continue with {name}."
    )


def _in(slices: Sequence[str], done: Sequence[SliceReport]) -> str:
    """Return how many slices are in the target; empty slices do not count."""
    outcomes = [report.outcome for report in done]
    empty, there = outcomes.count("empty"), outcomes.count("already") + outcomes.count("skipped")
    would = "planned" in outcomes
    words = f"{len(done) - empty:,} of {count(len(slices), 'slice')} {'would be' if would else 'are'} in the target"
    more = [
        f"{number:,} {'was' if number == 1 else 'were'} {what}"
        for number, what in ((there, "already there"), (empty, "empty"))
        if number
    ]
    return f"{words} ({', '.join(more)})." if more else f"{words}."
