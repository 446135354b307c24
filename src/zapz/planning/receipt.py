"""What became of a chunk that was written: a value, so that parts of a plan may be carried out elsewhere and accounted for here. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.format.grid import Index


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction knows of a chunk that was written for it."""

    path: str
    """The array."""
    index: Index
    """The chunk (shard)."""
    length: int
    """Bytes written."""
    staged: bool = False
    """Whether it lies aside: it replaces what is at its key once the transaction is decided."""
