"""Rows in columns that fit a width; a list if the medium is too narrow for them."""

from __future__ import annotations

from collections.abc import Sequence

from zapz.pictures.look import Look, columns, fold, ljust

_GAP = 2
"""Spaces between two columns of a table."""
NARROW = 60
"""Minimum width for a table, in columns of text; a narrower medium shows a list."""
_LEAST = 9
"""Minimum width of a column, in characters, if its cells are that long."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], look: Look, indent: int = 0) -> list[str]:
    """Return the lines of a table without columns whose cells are all empty.

    Args:
        head: Names of the columns.
        rows: Cells of each row, one per column; may be painted.
        look: What the medium can show.
        indent: Spaces before each line.
    """
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    head = [head[i] for i in kept]
    rows = [[row[i] for i in kept] for row in rows]
    if not kept:
        return []
    widths = _widths([head, *rows], None if look.width is None else look.width - indent)
    if widths is None or (look.width is not None and look.width < NARROW):
        return as_list(head, rows, look, indent)
    folded = _folded([head, *rows], widths)
    widths = _trimmed(folded)
    if look.width is not None and (room := look.width - indent - _GAP * (len(widths) - 1) - sum(widths)) > 0:
        heights = [max(len(row[i]) for row in folded) for i in range(len(widths))]
        widths[heights.index(max(heights))] += room  # the tallest column gets the width that wrapping left over
        folded = _folded([head, *rows], widths)
        widths = _trimmed(folded)
    first, *others = (_lines(row, widths, indent) for row in folded)
    return [*(look.paint(line, "dim") for line in first), *(line for lines in others for line in lines)]


def _folded(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[list[list[str]]]:
    return [[list(fold(cell, width, width)) for cell, width in zip(row, widths, strict=True)] for row in rows]


def _trimmed(folded: Sequence[Sequence[Sequence[str]]]) -> list[int]:
    return [max(columns(line) for row in folded for line in row[i]) for i in range(len(folded[0]))]


def as_list(head: Sequence[str], rows: Sequence[Sequence[str]], look: Look, indent: int = 0) -> list[str]:
    """Return rows as a list: the first cell of each on its own line, the others named below."""
    start = " " * indent
    names = max((columns(name) for name in head[1:]), default=0)
    if look.width is not None:
        names = min(names, max(1, (look.width - indent) // 3))
    lines: list[str] = []
    for row in rows:
        lines += look.wrapped(look.paint(row[0], "head"), start, f"{start}  ")
        for name, cell in zip(head[1:], row[1:], strict=True):
            if cell:
                before = f"{start}  {ljust(look.shortened(name, names), names)}  "
                lines += look.wrapped(cell, before, " " * columns(before))
    return lines


def _widths(rows: Sequence[Sequence[str]], width: int | None) -> list[int] | None:
    """Return the width of each column, the widest ones reduced; None if they cannot fit."""
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]))]
    if width is None:
        return widths
    least = [min(found, max(_LEAST, _longest_word(rows, i))) for i, found in enumerate(widths)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0:
        place = max(range(len(widths)), key=lambda i: (widths[i] > least[i], widths[i]))
        if widths[place] <= least[place]:
            return None
        widths[place] -= 1
        excess -= 1
    return widths


def _longest_word(rows: Sequence[Sequence[str]], place: int) -> int:
    return max(columns(word) for row in rows for word in row[place].split(" "))


def _lines(cells: Sequence[Sequence[str]], widths: Sequence[int], indent: int) -> list[str]:
    """Return the lines of a row whose cells have been folded."""
    height = max(map(len, cells))
    filled = [[*cell, *[""] * (height - len(cell))] for cell in cells]
    gap = " " * _GAP
    return [
        " " * indent + gap.join(ljust(text, width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*filled, strict=True)
    ]
