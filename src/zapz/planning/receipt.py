"""The record of a written chunk, so that parts of a plan can be executed elsewhere. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.format.grid import Index


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction needs to know about a chunk that was written for it."""

    path: str
    """The array."""
    index: Index
    """The chunk (shard)."""
    length: int
    """Size of what was written, in bytes."""
    staged: bool = False
    """Whether it is staged: it replaces the object at its key after the commit."""
