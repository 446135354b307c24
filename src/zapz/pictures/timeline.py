"""Timeline of existing and missing labels: a row of cells, each of which is a range of steps.

::

    2024-01  Feb    Mar     Apr     May     Jun
    ███████████▄████████████████████░███████████
    █ 3 steps, none missing   ▄ some missing   ░ all missing
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zapz.pictures.look import Look, Role
from zapz.pictures.numbers import count, day
from zapz.pictures.page import Markup, escaped
from zapz.pictures.scale import line as scale_line
from zapz.pictures.scale import marks

_UNLIMITED = 80
"""Maximum number of cells on a medium of unlimited width."""
_WIDEST = 6
"""Maximum width of a cell, in columns."""
_SVG_WIDTH, _SVG_HEIGHT, _SVG_TOP = 720, 18, 18
"""Width and height of the row of cells, and height of the scale above it, in units of the SVG."""
_SVG_CELLS = 120
"""Maximum number of cells of the SVG."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of steps."""

    label: str
    """Its first label, as text."""
    steps: int
    """Number of steps, including missing ones."""
    missing: int
    """Number of missing steps."""

    @property
    def state(self) -> int:
        """0: no step is missing; 1: some are missing; 2: all are missing."""
        return 0 if not self.missing else 2 if self.missing >= self.steps else 1


_SIGNS = ("█", "▄", "░")
_ROLES: tuple[Role, Role, Role] = ("good", "warn", "bad")
_STATES = ("none missing", "some missing", "all missing")
_CLASSES = ("there", "part", "gone")
_ONE_STEP = ("present", "", "missing")


def cells(stretches: Sequence[Stretch], most: int) -> list[Stretch]:
    """Return ranges joined to at most ``most`` cells, equally many per cell except in the last.

    A cell with any missing step is shown as such, so that no missing step is lost.
    """
    together = max(1, -(-len(stretches) // max(1, most)))
    groups = [stretches[i : i + together] for i in range(0, len(stretches), together)]
    return [Stretch(group[0].label, sum(s.steps for s in group), sum(s.missing for s in group)) for group in groups]


def draw(stretches: Sequence[Stretch], look: Look, indent: int = 0) -> list[str]:
    """Return a timeline: a line of marks, a line of cells, and a legend if steps are missing.

    Args:
        stretches: Ranges of equally many steps, in order; the last may be shorter.
        look: What the medium can show.
        indent: Spaces before each line.
    """
    if not stretches:
        return []
    room = _UNLIMITED if look.width is None else max(1, look.width - indent)
    found = cells(stretches, room)
    wide = max(1, min(_WIDEST, room // len(found)))
    start = " " * indent
    marked = scale_line([day(cell.label) for cell in found for _ in range(wide)])
    row = "".join(look.paint(look.text(_SIGNS[cell.state]) * wide, _ROLES[cell.state]) for cell in found)
    lines = [start + look.paint(look.shortened(look.text(marked), room), "dim"), start + row]
    states = sorted({cell.state for cell in found} | {0})
    if states == [0]:
        return lines
    words = [f"{found[0].steps:,} steps, none missing", *_STATES[1:]] if found[0].steps > 1 else _ONE_STEP
    legend = [f"{look.paint(look.text(_SIGNS[s]), _ROLES[s])} {words[s]}" for s in states]
    return [*lines, *look.side_by_side(legend, start)]


def timeline_svg(stretches: Sequence[Stretch], name: str) -> Markup:
    """Return a timeline as SVG; a cell's tooltip shows its first label and its missing steps.

    Args:
        stretches: Ranges of equally many steps, in order; the last may be shorter.
        name: Description of the timeline, for screen readers.
    """
    found = cells(stretches, _SVG_CELLS)
    width = _SVG_WIDTH / max(1, len(found))
    parts = []
    for place, cell in enumerate(found):
        kind = _CLASSES[cell.state]
        words = f"{day(cell.label)}: {count(cell.steps, 'step')}, "
        words += f"{cell.missing:,} missing" if cell.missing else _STATES[0]
        parts.append(
            f'<rect class="zapz-{kind}" x="{place * width:.2f}" y="{_SVG_TOP}" width="{width + 0.2:.2f}" '
            f'height="{_SVG_HEIGHT}"><title>{escaped(words)}</title></rect>'
        )
    scale = _SVG_WIDTH / _SVG_CELLS
    rows = cells(stretches, int(_SVG_CELLS * scale / _LETTER))
    step = _SVG_WIDTH / max(1, len(rows))
    texts = [
        f'<text x="{mark.place * step:.1f}" y="{_SVG_TOP - 5}">{escaped(mark.text)}</text>'
        for mark in marks([day(cell.label) for cell in rows])
    ]
    height = _SVG_TOP + _SVG_HEIGHT
    return Markup(
        f'<svg class="zapz-timeline" viewBox="0 0 {_SVG_WIDTH} {height}" role="img" '
        f'aria-label="{escaped(name)}">{"".join(texts)}{"".join(parts)}</svg>'
    )


def timeline_legend(stretches: Sequence[Stretch]) -> Markup:
    """Return the legend of the SVG's colours; empty if no step is missing."""
    found = cells(stretches, _SVG_CELLS)
    states = sorted({cell.state for cell in found} | {0})
    if states == [0]:
        return Markup("")
    words = [f"{found[0].steps:,} steps, none missing", *_STATES[1:]] if found[0].steps > 1 else _ONE_STEP
    parts = [
        f'<span class="zapz-key"><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="zapz-{_CLASSES[state]}" '
        f'width="12" height="12"/></svg>{escaped(words[state])}</span>'
        for state in states
    ]
    return Markup(f'<div class="zapz-legend">{"".join(parts)}</div>')


_LETTER = 7.2
"""Maximum width of a letter of the scale, in units of the SVG."""
