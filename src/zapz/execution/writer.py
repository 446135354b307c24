"""Write what a step makes: the only place that asks what lies at a chunk's key, and that counts."""

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
    """Where steps write to; a transaction is one."""

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk, and return what became of it."""

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether something lies at a chunk's key already."""

    def replaced(self) -> Iterable[str]:
        """Return the keys at which something lies already, where only those are replaced."""


@dataclass(slots=True, kw_only=True, eq=False)
class Counts:
    """What a run did."""

    copied: int = 0
    """Chunks (shards) whose bytes were copied."""
    encoded: int = 0
    """Chunks that were put together from decoded cells, or shards from inner chunks."""
    bytes: int = 0
    """Bytes written to chunks."""
    notes: tuple[str, ...] = ()
    """What is worth telling."""

    def add(self, other: Counts) -> None:
        """Add another run's counts."""
        self.copied += other.copied
        self.encoded += other.encoded
        self.bytes += other.bytes


def write_step(builder: ChunkBuilder, step: Step, sink: Sink, counts: Counts) -> Receipt | None:
    """Carry out one step; return what was written, None if nothing had to be.

    Args:
        builder: Makes the chunks of its array.
        step: The step.
        sink: Where chunks are written.
        counts: Is added to.

    Raises:
        ZapzError: As ``ChunkBuilder.build`` and the sink do.
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
