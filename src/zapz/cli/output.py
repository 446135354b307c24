"""Output of ``zapz info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zapz.cli.words import count
from zapz.operations import info_words
from zapz.pictures import timeline
from zapz.pictures.look import Look, columns
from zapz.pictures.table import table

if TYPE_CHECKING:
    from zapz.operations.describe import Info, StepInfo

_GAPS = 5
"""Maximum number of gaps listed."""
_INDENT = 12
"""Maximum indent of a timeline, in columns."""


def describe(info: Info, look: Look, place: str) -> list[str]:
    """Return the lines that describe a target.

    Args:
        info: The target.
        look: What the terminal, or the pipe, can show.
        place: The target's path or URI, in characters that can be printed.
    """
    facts = look.text(" · ".join(info_words.facts(info)))
    lines = [look.paint(place, "head"), *look.wrapped(facts)]
    if look.width is None or columns(f"{place}   {facts}") <= look.width:
        lines = [f"{look.paint(place, 'head')}   {facts}"]
    lines += [look.paint(line, "warn") for each in info_words.trouble(info) for line in look.wrapped(look.text(each))]
    for path, ends, words in info_words.label_lines(info):
        lines += _labels(info, path, ends, words, look)
    lines += [line for each in info_words.level_lines(info) for line in look.wrapped(look.text(each), "", "  ")]
    lines.append("")
    cells = [[look.text(cell) for cell in row] for row in info_words.rows(info)]
    lines += table([look.text(name) for name in info_words.HEAD], cells, look)
    if total := info_words.total(info):
        lines += ["", *look.wrapped(look.text(total))]
    lines += ["", *_next(info, look)]
    lines += [line for note in info.notes for line in look.wrapped(look.text(f"note: {note}"), "", "  ")]
    return lines


def _labels(info: Info, path: str, ends: str, words: str, look: Look) -> list[str]:
    """Return the lines about labels: first and last label, timeline, missing labels."""
    name = look.text(path)
    indent = min(_INDENT, columns(name) + 2)
    start = " " * indent
    first = name.ljust(indent) if columns(name) < indent else f"{name}  "
    lines = look.wrapped(look.text(f"{ends}   {words}"), first, start)
    steps = info.steps.get(path)
    if steps is None or not steps.ranges:
        return lines
    lines += timeline.draw(info_words.stretches(steps), look, indent)
    if gone := info_words.missing(steps):
        lines += look.wrapped(look.text(f"missing: {gone}"), start, f"{start}  ")
    return lines


def _next(info: Info, look: Look) -> list[str]:
    found = info_words.next_append(info)
    if not found:
        return look.wrapped(look.text(f"no variable has the append dimension {info.append_dim}"))
    same = "a slice that is stored like the target is"
    lines = look.wrapped(f"next append: at step {info.length:,}; {same}")
    for paths, words, _ in found:
        lines += look.wrapped(look.text(f"{paths}: {words}"), "  ", "    ")
    return [*lines, *(line for each in info_words.whole_labels(info) for line in look.wrapped(look.text(each)))]


def steps_text(steps: StepInfo) -> str:
    """Return the regular step of labels and their gaps, as text for ``zapz check``.

    Args:
        steps: A regular step.
    """
    if not steps.gaps:
        return f"{steps.step}, none missing"
    listed = [f"{gap.missing} between {gap.after} and {gap.before}" for gap in steps.first[:_GAPS]]
    more = ["…"] if steps.gaps > len(listed) else []
    return f"{steps.step}, {steps.missing} missing in {count(steps.gaps, 'gap')}: {', '.join([*listed, *more])}"
