"""Words about plans, as ``Plan.summary`` returns them: checks, reasons for encoding, totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from zapz.pictures.chunk_grid import ChunkGrid, Kind, counted
from zapz.pictures.numbers import count, day, size

Summary: TypeAlias = Mapping[str, Any]
"""Summary of a plan, or a part of one."""

_NAMED = 3
"""Maximum number of slices, or variables, that are named; of more, only their number is given."""


def grid_of(variable: Summary) -> ChunkGrid:
    """Return the chunk grid of one variable in a plan's summary."""
    runs: list[tuple[Kind, int]] = [(kind, number) for kind, number in variable["chunks"]]
    return ChunkGrid(old=variable["old_columns"], rows=variable["rows"], runs=runs)


def checks(summary: Summary, equal: str = "compared with the target's") -> list[str]:
    """Return the checks of a slice's values, in words.

    Labels are left out: planning has already read them.

    Args:
        summary: Summary of the plan.
        equal: Text for static variables.
    """
    words = {
        "StaticEqual": equal,
        "NoMarkerAsValue": "values are compared with the target's missing value when the data are read",
        "InPackedRange": "converted; whether each value fits is checked when the data are read",
    }
    found: dict[str, list[str]] = {}
    for check in summary["checks"]:
        if check["path"].rpartition("/")[2] != summary["dim"]:
            found.setdefault(check["check"], []).append(check["path"])
    return [f"{', '.join(paths)}: {words[name]}" for name, paths in found.items()]


def reasons(plans: Sequence[tuple[str, Summary]], *, joined: bool = False) -> list[str]:
    """Return the reasons for encoding chunks: each one once, with its variables and slices.

    Args:
        plans: Names of slices, and summaries of their plans.
        joined: Return those for assembling shards from copied inner chunks instead.
    """
    holds: dict[tuple[str, str], list[str]] = {}
    for name, plan in plans:
        for variable in plan["variables"]:
            if ("joined" in dict(variable["chunks"])) is joined:
                for why in variable["why"]:
                    holds.setdefault((variable["path"] or "/", why), []).append(name)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (path, why), names in holds.items():
        alike.setdefault((why, tuple(names)), []).append(path)
    lines = []
    for (why, slices), paths in alike.items():
        where = "" if len(slices) == len(plans) else f" ({_some(slices, 'slice')})"
        lines.append(f"{_some(paths, 'variable')}{where}: {why}")
    return lines


def _some(names: Sequence[str], noun: str) -> str:
    return ", ".join(names) if len(names) <= _NAMED else count(len(names), noun)


def totals(plans: Sequence[Summary]) -> str:
    """Return the chunks, the bytes to write, and the largest working memory of plans, in words."""
    known = [plan.get("copied_bytes") for plan in plans]
    fresh = sum(plan["decoded_bytes"] for plan in plans)
    parts = chunk_counts(plans)
    if None in known:
        total = sum(v["bytes"] for plan in plans for v in plan["variables"])
        parts.append(f"{size(total)} to write before compression")
    else:
        parts.append(f"{size(sum(each for each in known if each is not None))} to copy")
        if fresh:
            parts.append(f"{size(fresh)} to encode")
    parts.append(f"at most {size(max((plan['working_set'] for plan in plans), default=0))} of memory per worker")
    return " · ".join(parts)


def chunk_counts(plans: Sequence[Summary]) -> list[str]:
    """Return how many chunks plans copy, assemble and encode, in words."""
    found: Counter[str] = Counter()
    for plan in plans:
        for variable in plan["variables"]:
            found.update(counted(variable["chunks"]))
    at_most = "" if all(plan.get("exact", True) for plan in plans) else "at most "
    joined = [f"{count(found['joined'], 'shard')} assembled from copied inner chunks"] if found["joined"] else []
    return [
        f"{at_most}{count(found['copied'], 'chunk')} copied",
        *joined,
        f"{found['encoded'] + found['boundary']:,} re-encoded",
    ]


def headline(plan: Summary) -> str:
    """Return what a plan does, in one sentence without a period."""
    verb = "create" if plan["creates"] else "append"
    return f"{verb} {steps(plan)}: {', '.join(chunk_counts([plan]))}"


def steps(plan: Summary) -> str:
    """Return how many steps are appended, in how many levels, and where."""
    levels = f" in {count(plan['levels'], 'level')}" if plan["levels"] else ""
    return f"{count(plan['length'], 'step')}{levels} at step {plan['offset']:,}"


def labels(plan: Summary) -> str:
    """Return a slice's first and last label; its position in steps if it has none."""
    found = [day(label) for label in plan.get("labels", ())]
    if not found:
        last = plan["offset"] + plan["length"] - 1
        return f"step {plan['offset']:,}" + (f" to {last:,}" if last > plan["offset"] else "")
    return found[0] if plan["length"] == 1 or found[0] == found[-1] else f"{found[0]} to {found[-1]}"
