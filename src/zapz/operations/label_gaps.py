"""What ``info`` says of the steps between labels."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.cf.conversion import Encoding
from zapz.checks.all_labels import all_labels, are_few, chunks_of_labels
from zapz.checks.reading import Reading
from zapz.errors import ChunkError, StoreError
from zapz.format.buffers import Cells
from zapz.planning.gaps import FEWEST, between, rhythm_of

_LISTED = 100
"""So many gaps are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapInfo:
    """A place where steps are missing."""

    after: str
    """The label before it."""
    before: str
    """The label behind it."""
    missing: int
    """How many steps are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """The step that labels keep, and where steps are missing."""

    step: str
    """The commonest difference of the labels, such as "1 day"; empty if they keep none."""
    gaps: int = 0
    """In how many places steps are missing."""
    missing: int = 0
    """How many steps are missing in all."""
    first: tuple[GapInfo, ...] = ()
    """The first of these places, at most a hundred."""


def steps_of(encoding: Encoding, stored: Cells) -> StepInfo:
    """Return the step that labels keep, and where steps are missing.

    Args:
        encoding: What the labels mean.
        stored: All of them, as they are stored.
    """
    found = rhythm_of(encoding, stored)
    if found is None:
        return StepInfo(step="")
    first = []
    for gap in found.gaps[:_LISTED]:
        after, before = between(encoding, stored[gap.start], stored[gap.start + 1])
        first.append(GapInfo(after=after, before=before, missing=gap.missing))
    return StepInfo(step=found.step, gaps=len(found.gaps), missing=found.missing, first=tuple(first))


def looked_for(reading: Reading, path: str, encoding: Encoding) -> StepInfo | str | None:
    """Return the steps of a label variable, all labels of which are read.

    Returns:
        They; or why they are not known; or None where there are none: the labels are text, or too
        few.
    """
    array = reading.dataset.arrays[path]
    if array.shape[0] < FEWEST or array.dtype.kind not in "iufmM":
        return None
    if not are_few(reading, path):
        chunks = chunks_of_labels(reading, path)
        return f"gaps in {path} are not looked for: its {array.shape[0]:,} labels lie in {chunks:,} chunks"
    try:
        return steps_of(encoding, all_labels(reading, path))
    except (ChunkError, StoreError) as error:
        return f"gaps in {path} are not looked for: {error}"
