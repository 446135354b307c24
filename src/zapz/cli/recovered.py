"""Report in sentences what recovery did."""

from __future__ import annotations

import datetime as dt
import platform

from zapz.cli.words import last_part, visible
from zapz.reports import RecoveredAppend, Recovery


def sentences(recovery: Recovery) -> list[str]:
    """Return one sentence for each append that was recovered."""
    return [_sentence(append) for append in recovery.appends]


def _sentence(append: RecoveredAppend) -> str:
    who = "An earlier run"
    known = [*_process(append), *_time(append.since)]
    if known:
        who = f"{who} ({', '.join(known)})"
    name = visible(last_part(append.slice)) or "a slice"
    target = visible(last_part(append.target))
    match append.outcome:
        case "finished":
            return f"{who} had committed {name}; its append is finished now."
        case "removed":
            return f"{who} was killed while it appended {name}; its leftovers were removed."
        case "abandoned":
            rest = "nothing of it is visible, and `zapz vacuum` removes its leftovers"
            return f"{who} was killed while it appended {name}; {rest}."
        case "replaced":
            return f"{who} had replaced {target}; the rest of the old target was removed now."
        case "not replaced":
            return (
                f"{who} was killed while it replaced {target}; the old target is kept, and the leftovers were removed."
            )


def _process(append: RecoveredAppend) -> list[str]:
    if not append.process:
        return []
    elsewhere = f" on {visible(append.host)}" if append.host not in {"", platform.node()} else ""
    return [f"process {append.process}{elsewhere}"]


def _time(since: str) -> list[str]:
    """Return a time in the local time zone, with the date unless it is today."""
    try:
        when = dt.datetime.fromisoformat(since).astimezone()
    except (ValueError, OverflowError, OSError):
        return []
    return [f"{when:%H:%M}" if when.date() == dt.datetime.now().astimezone().date() else f"{when:%Y-%m-%d %H:%M}"]
