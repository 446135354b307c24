"""Pages about appends: what a plan would do, and what a run did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zapz.pictures import chunk_grid, plan_words
from zapz.pictures.numbers import count, day, size
from zapz.pictures.page import Markup, Section, element, escaped, fragment, html_table, join, listed
from zapz.pictures.plan_words import Summary

_DRAWN = 12
"""Maximum number of variables whose chunks are drawn."""
_ROWS = 200
"""Maximum number of slices listed on the page of a report."""


def plan_page(plan: Summary, source: Sequence[str] = ()) -> Markup:
    """Return the page of a plan.

    Args:
        plan: Summary of the plan.
        source: Facts about the slice, such as its name.
    """
    title = "would create" if plan["creates"] else "would append to"
    facts = [
        *source,
        plan_words.steps(plan),
        *plan_words.chunk_counts([plan]),
    ]
    why = plan_words.reasons([("", plan)])
    joined = plan_words.reasons([("", plan)], joined=True)
    checks = plan_words.checks(plan)
    sections = [
        Section(title="Chunks", body=grids(plan), aside=plan_words.totals([plan])),
        *_section("Re-encoded because", why),
        *_section("Shards assembled because", joined),
        *_section("Checks", checks, is_open=False),
        *_section("Notes", plan["notes"]),
    ]
    text = "\n".join([f"Plan to {plan_words.headline(plan)}", *why, *joined, *checks])
    return fragment(f"plan · {title}", plan["target"], facts, sections, text)


def _section(title: str, items: Sequence[str], *, is_open: bool = True) -> list[Section]:
    return [Section(title=title, body=listed(items), is_open=is_open, aside=f"{len(items)}")] if items else []


def grids(plan: Summary) -> Markup:
    """Return the chunk grids of a plan's variables, largest first, with a legend."""
    variables = sorted((v for v in plan["variables"] if v["chunks"]), key=lambda v: (-v["bytes"], v["path"]))
    found = [(v["path"] or "/", plan_words.grid_of(v)) for v in variables]
    rows = [
        (path, _kinds(grid), chunk_grid.grid_svg(grid, f"chunks of {path}: {_kinds(grid)}"))
        for path, grid in found[:_DRAWN]
    ]
    kinds = {kind for _, grid in found for kind, _ in grid.runs}
    more = len(found) - _DRAWN
    rest = element("p", f"… and {count(more, 'variable')} more") if more > 0 else ""
    return join([chunk_grid.html_legend(kinds), html_table(("variable", "chunks", "append dimension →"), rows), rest])


def _kinds(grid: chunk_grid.ChunkGrid) -> str:
    words = {"encoded": "re-encoded"}
    return ", ".join(f"{number:,} {words.get(kind, kind)}" for kind, number in chunk_grid.counted(grid.runs).items())


_OUTCOMES = {
    "appended": "appended",
    "planned": "planned, nothing written",
    "already": "already there",
    "skipped": "skipped: labels already there",
    "empty": "empty",
}


def report_page(report: Mapping[str, Any]) -> Markup:
    """Return the page that shows what an append did.

    Args:
        report: The report as plain values, as ``reports.as_json`` returns it.
    """
    slices = report["slices"]
    outcomes = [each["outcome"] for each in slices]
    counts = [f"{outcomes.count(name):,} {word}" for name, word in _OUTCOMES.items() if name in outcomes]
    last = [f"last label {day(report['last'])}"] if report["last"] else []
    facts = [
        *(counts or ["no slices"]),
        f"length {report['length']:,}",
        *last,
        f"{size(report['bytes_written'])} in {report['seconds']:.1f} s",
    ]
    drawn = next((each for each in reversed(slices) if each["plan"]), None)
    folder = _folder([each["slice"] for each in slices])
    inside = f"in {folder}" if folder else ", ".join(counts)
    sections = [Section(title="Slices", body=_slices(slices, len(folder)), aside=inside)] if slices else []
    if drawn is not None:
        aside = f"of {drawn['slice'][len(folder) :]}"
        sections.append(Section(title="Chunks", body=grids(drawn["plan"]), aside=aside, is_open=len(slices) == 1))
        plans = [(each["slice"][len(folder) :], each["plan"]) for each in slices if each["plan"]]
        sections += _section("Re-encoded because", plan_words.reasons(plans))
        sections += _section("Shards assembled because", plan_words.reasons(plans, joined=True))
    sections += _section("Recovered", [_recovered(each) for each in report["recovered"]["appends"]])
    notes = [
        *report["notes"],
        *(f"{each['slice'][len(folder) :]}: {note}" for each in slices for note in each["notes"]),
    ]
    sections += _section("Notes", notes)
    text = f"{report['target']}: {', '.join(facts)}"
    return fragment("append · created" if report["created"] else "append", report["target"], facts, sections, text)


def _recovered(each: Mapping[str, Any]) -> str:
    return f"{each['slice'] or each['target']}: {each['outcome']}"


def _folder(names: Sequence[str]) -> str:
    """Return the folder that contains all slices, with its slash; empty if there is none."""
    folders = {name[: name.rfind("/") + 1] for name in names}
    return folders.pop() if len(folders) == 1 else ""


def _slices(slices: Sequence[Mapping[str, Any]], cut: int) -> Markup:
    """Return the table of slices, without the first ``cut`` characters of their names."""
    rows = [
        (
            each["slice"][cut:],
            _OUTCOMES.get(each["outcome"], each["outcome"]),
            f"{each['steps']:,}",
            day(each["last"]),
            f"{each['copied_chunks']:,}" if each["copied_chunks"] else "",
            f"{each['encoded_chunks']:,}" if each["encoded_chunks"] else "",
            size(each["bytes_written"]) if each["bytes_written"] else "",
        )
        for each in slices[:_ROWS]
    ]
    head = ("slice", "outcome", "steps", "last label", "copied chunks", "re-encoded", "written")
    more = len(slices) - _ROWS
    rest = element("p", f"… and {count(more, 'slice')} more") if more > 0 else escaped("")
    return join([html_table(head, rows, "zapz-plain"), rest])
