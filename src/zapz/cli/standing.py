"""What stands after an error in a run of many slices, and what to do."""

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
    (StoreError, "Run the same command again once that is solved."),
    (LockedError, "Run the same command again when the other run has ended."),
    ((ConflictError, CancelledError), "Run the same command again."),
)


def standing(
    error: BaseException, slices: Sequence[str], done: Sequence[SliceReport], *, recognised: bool = True
) -> str:
    """Say how many slices are in, at which one it stopped, and what to do; nothing, if that is not about the slices.

    Args:
        error: What ended the run.
        slices: The slices, as they were given.
        done: What became of the first ones.
        recognised: Whether slices that are in are recognised although they have no labels.
    """
    if len(slices) <= 1 or len(done) >= len(slices):
        return ""
    twice = not recognised and any(report.outcome == "appended" and not report.last for report in done)
    again = f" {_rest(slices, done)}" if twice else " Run the same command again to go on."
    if not isinstance(error, ZapzError):
        return f"{_in(slices, done)}{again}" if done else ""
    about = slice_in(error.where, slices)
    name = slices[len(done)] if done else about[0] if about is not None else ""
    if not name:
        return ""  # of the target, before any slice
    advice = _rest(slices, done) if twice else _advice(error)
    return " ".join(
        part for part in (_in(slices, done), f"Stopped at {visible(last_part(shown(name)))}.", advice) if part
    )


def _advice(error: ZapzError) -> str:
    """Say what to do next; the hint has said it, where another command helps than the same one."""
    if error.remedies:
        return (
            "" if "force_new" in error.remedies else "Slices that are in are passed over when the command is run again."
        )
    return next((words for kinds, words in _ADVICE if isinstance(error, kinds)), "")


def _rest(slices: Sequence[str], done: Sequence[SliceReport]) -> str:
    """Say what to give next time, if slices that are in would be appended once more."""
    name = visible(last_part(shown(slices[len(done)])))
    return (
        "The slices have no labels, so those that are in are not recognised: do not give them again, "
        f"give {name} and what comes after it."
    )


def _in(slices: Sequence[str], done: Sequence[SliceReport]) -> str:
    """Say how many slices are in the target; those that are empty are not."""
    outcomes = [report.outcome for report in done]
    if not done:
        return ""
    empty, there = outcomes.count("empty"), outcomes.count("already") + outcomes.count("skipped")
    would = "planned" in outcomes
    words = f"{len(done) - empty:,} of {count(len(slices), 'slice')} {'would be' if would else 'are'} in"
    more = [
        f"{number:,} {'was' if number == 1 else 'were'} {what}"
        for number, what in ((there, "there already"), (empty, "empty"))
        if number
    ]
    return f"{words} ({', '.join(more)})." if more else f"{words}."
