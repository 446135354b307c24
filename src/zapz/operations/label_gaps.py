"""The regular step between labels, and the gaps: for ``info`` and ``check``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from zapz.cf.conversion import Encoding, format_instant
from zapz.checks.all_labels import all_labels, are_few, chunks_of_labels
from zapz.checks.reading import Reading
from zapz.errors import ChunkError, StoreError
from zapz.format.buffers import Cells
from zapz.format.grid import ceil_div
from zapz.planning.gaps import FEWEST, Gap, Rhythm, between, rhythm_of
from zapz.planning.labels import day_of

_LISTED = 100
"""Maximum number of gaps listed."""
_RANGES = 240
"""Maximum number of ranges of the timeline. It has many divisors, so that ranges can be joined
evenly."""
_FAR = 1 << 53
"""Number of missing steps above which no timeline is drawn."""
_DATE = re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?P<rest>T.*)")
_SAFE_DAY = 28
"""Last day that every month has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapInfo:
    """A place where steps are missing."""

    after: str
    """The label before it."""
    before: str
    """The label after it."""
    missing: int
    """Number of missing steps."""
    index: int = 0
    """Index of the label before it."""
    first: str = ""
    """The first missing label; empty if it is not known."""
    last: str = ""
    """The last missing label; empty if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeInfo:
    """A range of steps of the timeline."""

    first: str
    """Its first label, even if missing; or the next existing one, if a missing one is not known."""
    steps: int
    """Number of steps, including missing ones."""
    missing: int
    """Number of missing steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """The regular step of labels, and where steps are missing."""

    step: str
    """The most common difference between labels, such as "1 day"; empty if there is no regular
    step."""
    gaps: int = 0
    """Number of gaps."""
    missing: int = 0
    """Total number of missing steps."""
    first: tuple[GapInfo, ...] = ()
    """The first gaps, at most 100."""
    ranges: tuple[RangeInfo, ...] = field(default=(), repr=False)
    """All steps from the first label to the last, as at most 240 ranges of equally many steps; the
    last may be shorter."""


def steps_of(encoding: Encoding, stored: Cells) -> StepInfo:
    """Return the regular step of labels, and where steps are missing.

    Args:
        encoding: The encoding of the labels.
        stored: All labels as stored; shape (steps,).
    """
    found = rhythm_of(encoding, stored)
    if found is None:
        return StepInfo(step="")
    first = []
    for gap in found.gaps[:_LISTED]:
        after, before = between(encoding, stored[gap.start], stored[gap.start + 1])
        ends = [_missing_label(encoding, stored, gap, found.months, place) for place in (1, gap.missing)]
        if after == day_of(after):
            ends = [day_of(end) for end in ends]
        first.append(
            GapInfo(after=after, before=before, missing=gap.missing, index=gap.start, first=ends[0], last=ends[1])
        )
    return StepInfo(
        step=found.step,
        gaps=len(found.gaps),
        missing=found.missing,
        first=tuple(first),
        ranges=_ranges(encoding, stored, found),
    )


def _missing_label(encoding: Encoding, stored: Cells, gap: Gap, months: int, place: int) -> str:
    """Return a missing label as text; empty if it is not known exactly.

    Args:
        encoding: The encoding of the labels.
        stored: The existing labels as stored; shape (steps,).
        gap: The place where labels are missing.
        months: Months of a step; 0 if steps are not months.
        place: Distance of the missing label from the label before the gap, in steps.
    """
    if months:
        return _months_later(format_instant(encoding, stored[gap.start]), months * place)
    cells = stored.view(np.int64) if stored.dtype.kind in "mM" else stored
    if encoding.reinterpreted:  # the attribute _Unsigned
        cells = cells.view(encoding.plain.dtype)
    if cells.dtype.kind not in "iu":
        return ""
    a, b = (int(cells[gap.start + i]) for i in range(2))
    step, rest = divmod(b - a, gap.missing + 1)
    return "" if rest else format_instant(encoding, np.array([a + step * place], cells.dtype).view(stored.dtype)[0])


def _months_later(label: str, months: int) -> str:
    """Return a label some months later, as text; empty if not every month has its day."""
    found = _DATE.fullmatch(label)
    if found is None or int(found["day"]) > _SAFE_DAY:
        return ""
    years, month = divmod(int(found["month"]) - 1 + months, 12)
    return f"{int(found['year']) + years:04d}-{month + 1:02d}-{found['day']}{found['rest']}"


def _ranges(encoding: Encoding, stored: Cells, rhythm: Rhythm) -> tuple[RangeInfo, ...]:
    """Return the timeline of labels; steps between two labels are missing ones."""
    if rhythm.missing > _FAR:
        return ()
    jumps = np.ones(len(stored), np.int64)
    jumps[0] = 0
    for gap in rhythm.gaps:
        jumps[gap.start + 1] += gap.missing
    places = np.cumsum(jumps)
    total = int(places[-1]) + 1
    length = ceil_div(total, _RANGES)
    edges = [*range(0, total, length), total]
    at = np.searchsorted(places, edges).tolist()
    gaps = {gap.start + 1: gap for gap in rhythm.gaps}

    def first(edge: int, index: int) -> str:
        """Return the first label of a range; a missing one as it would be, if known."""
        gap = gaps.get(index) if places[index] != edge else None
        text = ""
        if gap is not None:
            text = _missing_label(encoding, stored, gap, rhythm.months, edge - int(places[gap.start]))
        return text or format_instant(encoding, stored[index])

    return tuple(
        RangeInfo(
            first=first(edges[i], at[i]),
            steps=edges[i + 1] - edges[i],
            missing=edges[i + 1] - edges[i] - (at[i + 1] - at[i]),
        )
        for i in range(len(edges) - 1)
    )


def looked_for(reading: Reading, path: str, encoding: Encoding) -> StepInfo | str | None:
    """Read all labels of a variable and return their regular step and gaps.

    Returns:
        The step and gaps. A text with the reason, if they are not known. None if there are none,
        because the labels are text or too few.
    """
    array = reading.dataset.arrays[path]
    if array.shape[0] < FEWEST or array.dtype.kind not in "iufmM":
        return None
    if not are_few(reading, path):
        chunks = chunks_of_labels(reading, path)
        return f"gaps in {path} were not searched: its {array.shape[0]:,} labels are in {chunks:,} chunks"
    try:
        return steps_of(encoding, all_labels(reading, path))
    except (ChunkError, StoreError) as error:
        return f"gaps in {path} were not searched: {error}"
