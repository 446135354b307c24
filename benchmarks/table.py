"""The outcome as one Markdown table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cases import Bound, Case, Quantity
    from runner import Outcome

HEADER = ("row", "contender", "median (least to most)", "reference", "ratio", "bound", "reached")


def lines(results: Mapping[str, tuple[Case, Mapping[str, Outcome]]]) -> Iterator[str]:
    """Return the lines of the table: first every contender, then every bound of each case."""
    yield row(*HEADER)
    yield row(*("---" for _ in HEADER))
    for case, outcomes in results.values():
        title = f"**{case.name}**: {case.title}"
        for name, outcome in outcomes.items():
            bounds = [bound for bound in case.bounds if bound.job == name]
            if outcome.failure or not bounds:
                held = any(bound.limit is not None for bound in bounds)
                yield row(title, name, figure(outcome, "seconds"), "", "", "", "no" if held else "")
                title = ""
                continue
            for bound in bounds:
                yield row(title, name, figure(outcome, bound.quantity), *judged(bound, outcomes))
                title = ""


def judged(bound: Bound, outcomes: Mapping[str, Outcome]) -> tuple[str, str, str, str]:
    """Return reference, ratio, bound and verdict."""
    mine = outcomes[bound.job].median(bound.quantity)
    if mine is None:
        return "", "", bound.text, "no"
    if not bound.references:
        limit = bound.limit or 0
        return "", f"{mine / limit:.3g}", bound.text, "yes" if mine <= limit else "no"
    known = {name: outcomes[name].median(bound.quantity) for name in bound.references if name in outcomes}
    measured = {name: value for name, value in known.items() if value is not None}
    if not measured:
        return " or ".join(bound.references), "", bound.text, "not measured: no reference"
    reference = min(measured, key=lambda name: measured[name])
    theirs = measured[reference]
    ratio = mine / theirs if theirs else float(mine > 0)
    verdict = "" if bound.limit is None else "yes" if mine <= bound.limit * theirs else "no"
    return reference, f"{ratio:.3g}", bound.text, verdict


def figure(outcome: Outcome, quantity: Quantity) -> str:
    """Return the median of a figure with its range, or why there is none."""
    median = outcome.median(quantity)
    if outcome.failure:
        return f"failed: {outcome.failure}"
    if median is None:
        return "not run"
    values = outcome.values(quantity)
    low, high = shown(min(values), quantity), shown(max(values), quantity)
    return f"{shown(median, quantity)} ({low} to {high}, {len(values)} runs)"


def shown(value: float, quantity: Quantity) -> str:
    """Return a figure with its unit."""
    if quantity == "peak":
        return f"{value / 1e6:.0f} MB"
    if quantity == "opens":
        return f"{value:.0f} opens"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def row(*cells: str) -> str:
    """Return one line of the table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
