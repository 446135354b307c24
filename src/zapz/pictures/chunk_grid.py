"""What happens to the chunks of an array: one symbol per chunk, or a grid.

::

    ■■■■ ▣▣▣▣            text: chunks in order of the append dimension

    old   old   new      SVG: one column per chunk of the append dimension,
    [ ]   [ ]   [■]      one row per chunk of the other dimensions
    [ ]   [ ]   [■]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from zapz.pictures.look import Look
from zapz.pictures.numbers import count
from zapz.pictures.page import Markup, escaped

Kind = Literal["copied", "joined", "encoded", "boundary", "empty"]
"""What happens to a chunk that is written."""
Runs = Sequence[tuple[Kind, int]]
"""Consecutive chunks as pairs: their kind, and the number of chunks."""


class _Sign(NamedTuple):
    symbol: str
    words: str


_SIGNS: dict[Kind, _Sign] = {
    "copied": _Sign("■", "copied byte for byte"),
    "joined": _Sign("▤", "shard, inner chunks copied"),
    "encoded": _Sign("▣", "re-encoded"),
    "boundary": _Sign("◧", "boundary chunk, rewritten"),
    "empty": _Sign("∙", "empty: reads as the fill value"),
}
_MOST = 48
"""Maximum number of chunks drawn one by one; of more, the number of each kind is shown."""
_OLD, _COLUMNS, _ROWS = 4, 20, 8
"""Maximum numbers of old columns, of all columns, and of rows that a grid draws."""
_CELL, _GAP, _LETTER = 14, 2, 6.5
"""Size of a chunk, distance between chunks, and width of a letter, in units of the SVG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkGrid:
    """The chunks of one array that an append touches, and those before them."""

    old: int
    """Number of columns (chunks along the append dimension) that stay unchanged."""
    rows: int
    """Number of chunks in each column."""
    runs: Runs
    """The chunks that are written, column by column."""

    @property
    def total(self) -> int:
        """Number of chunks that are written."""
        return sum(number for _, number in self.runs)

    def kind(self, place: int) -> Kind:
        """Return what happens to a chunk.

        Args:
            place: Index of the chunk among the chunks that are written.

        Raises:
            IndexError: There is no such chunk.
        """
        for kind, number in self.runs:
            if place < number:
                return kind
            place -= number
        raise IndexError(place)


def counted(runs: Runs) -> dict[Kind, int]:
    """Return the number of chunks of each kind that occurs, in the order of the legend."""
    found = {kind: sum(number for other, number in runs if other == kind) for kind in _SIGNS}
    return {kind: number for kind, number in found.items() if number}


def symbols(runs: Runs, look: Look, room: int | None = None) -> str:
    """Return one symbol per chunk or, for many chunks, one symbol and a number per kind.

    Args:
        runs: The chunks.
        look: What the medium can show.
        room: Columns available for the symbols; None if only the usual limit applies.
    """
    total = sum(number for _, number in runs)
    if total <= min(_MOST, _MOST if room is None else room):
        return "".join(look.paint(look.text(_SIGNS[kind].symbol) * number, kind) for kind, number in runs)
    parts = [
        f"{look.paint(look.text(_SIGNS[kind].symbol), kind)} {look.text('×')} {number:,}"
        for kind, number in counted(runs).items()
    ]
    return "  ".join(parts)


def legend(kinds: Iterable[Kind], look: Look) -> list[str]:
    """Return the lines that explain the symbols of these kinds."""
    wanted = set(kinds)
    parts = [
        f"{look.paint(look.text(sign.symbol), kind)} {sign.words}" for kind, sign in _SIGNS.items() if kind in wanted
    ]
    return look.side_by_side(parts)


def html_legend(kinds: Iterable[Kind]) -> Markup:
    """Return the legend of the colours of a grid."""
    wanted = set(kinds)
    names: list[tuple[str, str]] = [("old", "old chunk, unchanged")]
    names += [(kind, sign.words) for kind, sign in _SIGNS.items() if kind in wanted]
    parts = [
        f'<span class="zapz-key"><svg viewBox="0 0 {_CELL} {_CELL}" aria-hidden="true">{_chunk(kind, 0, 0, words)}</svg>'
        f"{escaped(words)}</span>"
        for kind, words in names
    ]
    return Markup(f'<div class="zapz-legend">{"".join(parts)}</div>')


def grid_svg(grid: ChunkGrid, name: str) -> Markup:
    """Return a grid as SVG: the last old columns, then new ones; omitted columns are counted.

    Args:
        grid: The chunks.
        name: Description of the grid, for screen readers.
    """
    rows, new = max(1, grid.rows), -(-grid.total // max(1, grid.rows))
    old = min(grid.old, _OLD)
    shown = min(new, _COLUMNS - old)
    drawn = min(rows, _ROWS)
    before = f"{grid.old - old:,} more …" if grid.old > old else ""
    after = f"… {new - shown:,} more" if new > shown else ""
    left = len(before) * _LETTER + (_GAP * 3 if before else 0)
    parts = []
    for column in range(old + shown):
        for row in range(drawn):
            place = (column - old) * rows + row
            if column >= old and place >= grid.total:
                continue
            kind = "old" if column < old else grid.kind(place)
            words = "old chunk, unchanged" if column < old else _SIGNS[grid.kind(place)].words
            parts.append(_chunk(kind, left + column * (_CELL + _GAP), row * (_CELL + _GAP), words))
    right = left + (old + shown) * (_CELL + _GAP)
    height = drawn * (_CELL + _GAP)
    middle = height / 2 + 3
    if before:
        parts.append(f'<text x="0" y="{middle:.1f}">{before}</text>')
    if after:
        parts.append(f'<text x="{right + _GAP:.1f}" y="{middle:.1f}">{after}</text>')
    if rows > drawn:
        height += _CELL
        parts.append(f'<text x="{left:.1f}" y="{height - 3:.1f}">{count(rows, "chunk")} in each column</text>')
    width = max(right + len(after) * _LETTER + _GAP, left + (len("chunk") + 24) * _LETTER if rows > drawn else 0)
    return Markup(
        f'<svg class="zapz-grid" viewBox="0 0 {width:.1f} {height:.1f}" style="width:{width:.0f}px" role="img" '
        f'aria-label="{escaped(name)}">{"".join(parts)}</svg>'
    )


def _chunk(kind: str, x: float, y: float, words: str) -> str:
    """Return one chunk; the kinds differ in shape as well as in colour."""
    box = f'<rect class="zapz-{kind}" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{_CELL - 1}" height="{_CELL - 1}" rx="2"/>'
    extra = ""
    if kind == "boundary":
        extra = "".join(
            f'<path class="zapz-hatch" d="M{x + a:.1f} {y + b:.1f} L{x + c:.1f} {y + d:.1f}"/>'
            for a, b, c, d in ((1, 8, 8, 1), (1, 13, 13, 1), (6, 13, 13, 6))
        )
    elif kind == "encoded":
        extra = f'<rect class="zapz-core" x="{x + 4:.1f}" y="{y + 4:.1f}" width="{_CELL - 8}" height="{_CELL - 8}"/>'
    elif kind == "joined":
        extra = "".join(f'<path class="zapz-hatch" d="M{x + 1:.1f} {y + h:.1f} H{x + _CELL - 1:.1f}"/>' for h in (5, 9))
    return f"<g>{box}{extra}<title>{escaped(words)}</title></g>"
