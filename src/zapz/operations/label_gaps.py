"""The regular step between labels, and the gaps: for ``info`` and ``check``."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.cf.conversion import Encoding
from zapz.checks.all_labels import all_labels, are_few, chunks_of_labels
from zapz.checks.reading import Reading
from zapz.errors import ChunkError, StoreError
from zapz.format.buffers import Cells
from zapz.planning.gaps import FEWEST, between, rhythm_of

_LISTED = 100
"""Maximum number of gaps listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapInfo:
    """A place where steps are missing."""

    after: str
    """The label before it."""
    before: str
    """The label after it."""
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
        first.append(GapInfo(after=after, before=before, missing=gap.missing))
    return StepInfo(step=found.step, gaps=len(found.gaps), missing=found.missing, first=tuple(first))


def looked_for(reading: Reading, path: str, encoding: Encoding) -> StepInfo | str | None:
    """Read all labels of a variable, and return their regular step and gaps.

    Returns:
        The steps. A text with the reason if they are not known. None if they do not exist: the
        labels are text, or too few.
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
