"""Write what a step builds: the only module that checks existing keys, and that counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from zapz.execution.chunk_builder import ChunkBuilder
from zapz.format.grid import Index
from zapz.planning.receipt import Receipt
from zapz.planning.steps import Step
from zapz.storage.store import Parts


class Sink(Protocol):
    """Destination of steps, such as a transaction."""

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk, and return its receipt."""

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether there is already an object at a chunk's key."""

    def replaced(self) -> Iterable[str]:
        """Return the existing keys of planned chunks, if only those are replaced."""


@dataclass(slots=True, kw_only=True, eq=False)
class Counts:
    """Counts of a run."""

    copied: int = 0
    """Number of chunks (shards) whose bytes were copied."""
    encoded: int = 0
    """Number of chunks that were built from decoded cells, or shards from inner chunks."""
    bytes: int = 0
    """Number of bytes written to chunks."""
    notes: tuple[str, ...] = ()
    """Notes for the user."""

    def add(self, other: Counts) -> None:
        """Add the counts of another run."""
        self.copied += other.copied
        self.encoded += other.encoded
        self.bytes += other.bytes


def write_step(builder: ChunkBuilder, step: Step, sink: Sink, counts: Counts) -> Receipt | None:
    """Execute one step; return what was written, or None if nothing had to be.

    Args:
        builder: Builds the chunks of its array.
        step: The step.
        sink: Destination of chunks.
        counts: Counts to which the step is added.

    Raises:
        ZapzError: As in ``ChunkBuilder.build``, or from the sink.
    """
    built = builder.build(step)
    if built is None:
        if not sink.replaces(step.path, step.index):
            return None
        built = builder.filled(step)
    receipt = sink.put(step.path, step.index, built.parts)
    counts.bytes += receipt.length
    counts.copied += built.copied
    counts.encoded += not built.copied
    return receipt
