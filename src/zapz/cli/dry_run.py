"""Output of ``zapz append --dry-run``: one row per slice, one symbol per chunk.

::

    slice            label                   sst       time
    2025-01-11.zarr  2025-01-11              ■■■■■■■■  ◧
    2025-01-14.zarr  2025-01-14 ⚠ 1 missing  ▣▣▣▣▣▣▣▣  ◧
    ■ copied byte for byte   ▣ re-encoded   ◧ boundary chunk, rewritten
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zapz.cli.words import count, last_part
from zapz.config.settings import Config
from zapz.pictures import chunk_grid, plan_words
from zapz.pictures.chunk_grid import Kind
from zapz.pictures.look import Look
from zapz.pictures.plan_words import Summary
from zapz.pictures.table import table
from zapz.reports import SliceReport

_COLUMNS = 5
"""Maximum number of columns of chunks, one per group of variables. The groups with the fewest bytes
share the last column."""
_TOGETHER = 2
"""Maximum number of variables that a column's heading names; of more, only the first is named."""
_ALIKE = 6
"""Maximum number of consecutive rows that differ only in slice and label. Of more, only the first
ones and the last one are shown."""
_FIRST = 3
"""Number of these rows that are shown at the beginning."""

Pattern = tuple[tuple[Kind, int], ...]
"""Chunks of a variable, as runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A slice that was planned."""

    name: str
    """Name of the slice."""
    plan: Summary
    """Summary of its plan."""

    @property
    def patterns(self) -> dict[str, Pattern]:
        """Chunks by variable."""
        return {v["path"]: tuple((kind, number) for kind, number in v["chunks"]) for v in self.plan["variables"]}

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by variable."""
        return {v["path"]: v["bytes"] for v in self.plan["variables"]}


def planned(reports: Sequence[SliceReport], config: Config, look: Look, *, whole: bool) -> list[str]:
    """Return the lines that show what would happen to slices.

    Args:
        reports: Reports of slices that were planned.
        config: The settings of the run.
        look: What the terminal, or the pipe, can show.
        whole: Whether to show all rows, even many that differ only in slice and label.
    """
    rows = [_Row(name=last_part(report.slice), plan=report.plan) for report in reports if report.plan is not None]
    if not rows:
        return []
    groups = _groups(rows)
    head = [look.text(name) for name in ("slice", "label", *(name for name, _ in groups))]
    cells = [_cells(row, groups, look) for row in rows]
    lines = table(head, cells if whole else _shortened(cells, rows, groups, look), look)
    kinds = {kind for row in rows for pattern in row.patterns.values() for kind, _ in pattern}
    lines += ["", *chunk_grid.legend(kinds, look)]
    plans = [(row.name, row.plan) for row in rows]
    why = {"re-encoded": plan_words.reasons(plans), "shards assembled": plan_words.reasons(plans, joined=True)}
    checks = list(dict.fromkeys(line for _, plan in plans for line in plan_words.checks(plan, _equal(config))))
    ends = [
        *checks,
        *_static(plans, config),
        plan_words.totals([p for _, p in plans]),
    ]
    lines.append("")
    for title, found in why.items():
        lines += [f"{title}:"] if found else []
        lines += [line for each in found for line in look.wrapped(look.text(each), "  ", "    ")]
    return [*lines, *(line for each in ends for line in look.wrapped(look.text(each), "", "  "))]


def before_and_after(reports: Sequence[SliceReport], target: str, last: str) -> str:
    """Return the current and the future length of a target; empty if it would be created.

    Args:
        reports: Reports of slices that were planned.
        target: The target, as given by the user.
        last: Last label of the target afterwards.
    """
    first = reports[0].plan
    if first is None or first["creates"]:
        return ""
    words = f", to {last}" if last else ""
    levels = f" in {count(first['levels'], 'level')}" if first["levels"] else ""
    return f"{target} has {count(first['offset'], 'step')}{levels} and would have {reports[-1].length:,}{words}. Nothing is written."


def _equal(config: Config) -> str:
    return (
        "equal to the target's" if isinstance(config.static, str) else f"equal to the target's within {config.static:g}"
    )


def _static(plans: Sequence[tuple[str, Summary]], config: Config) -> list[str]:
    """Return why static variables were not compared; empty if they were."""
    if config.static == "ignore":
        return ["static variables: not compared (static: ignore)"]
    if any(plan["creates"] for _, plan in plans):
        return ["static variables: taken from the first slice"]
    return []


def _groups(rows: Sequence[_Row]) -> list[tuple[str, list[str]]]:
    """Return the columns of chunks: heading, and variables with equal chunks in every slice."""
    sizes: dict[str, int] = {}
    for row in rows:
        for path, size in row.sizes.items():
            sizes[path] = max(size, sizes.get(path, 0))
    alike: dict[tuple[Pattern, ...], list[str]] = {}
    patterns = [row.patterns for row in rows]
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        alike.setdefault(tuple(each.get(path, ()) for each in patterns), []).append(path)
    groups = list(alike.values())
    if len(groups) > _COLUMNS:
        rest = [path for group in groups[_COLUMNS - 1 :] for path in group]
        return [*((_named(group), group) for group in groups[: _COLUMNS - 1]), (f"{len(rest)} others", rest)]
    return [(_named(group), group) for group in groups]


def _named(paths: Sequence[str]) -> str:
    names = [path or "/" for path in paths]
    return ", ".join(names) if len(names) <= _TOGETHER else f"{names[0]} (+{len(names) - 1} equal)"


def _cells(row: _Row, groups: Sequence[tuple[str, list[str]]], look: Look) -> list[str]:
    label = look.text(plan_words.labels(row.plan))
    if gap := row.plan.get("gap"):
        label += " " + look.paint(look.text(f"⚠ {gap:,} missing before"), "warn")
    patterns = row.patterns
    chunks = [_symbols([patterns[path] for path in paths if path in patterns], look) for _, paths in groups]
    return [look.text(row.name), label, *chunks]


def _symbols(patterns: Sequence[Pattern], look: Look) -> str:
    """Return the chunks of the variables of one column; only once if all are equal."""
    if len(set(patterns)) <= 1:
        return chunk_grid.symbols(patterns[0], look) if patterns else ""
    return chunk_grid.symbols([run for pattern in patterns for run in pattern], look, 0)


def _shortened(
    cells: Sequence[Sequence[str]], rows: Sequence[_Row], groups: Sequence[tuple[str, list[str]]], look: Look
) -> list[Sequence[str]]:
    """Return rows without the middle of long runs that differ only in slice and label."""
    found: list[Sequence[str]] = []
    start = 0
    while start < len(cells):
        stop = start + 1
        while stop < len(cells) and cells[stop][2:] == cells[start][2:] and not rows[stop].plan.get("gap"):
            stop += 1
        if stop - start <= _ALIKE:
            found += cells[start:stop]
        else:
            more = look.text(f"… {stop - start - _FIRST - 1:,} similar rows")
            found += [*cells[start : start + _FIRST], [more, "", *("" for _ in groups)], cells[stop - 1]]
        start = stop
    return found
