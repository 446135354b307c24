"""What recovery did, on any kind of storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class RecoveredAppend(NamedTuple):
    """An append that an earlier run had begun."""

    id: str
    """Name of its transaction."""
    slice: str
    """What was appended; empty if that is not known."""
    target: str
    """Where to."""
    outcome: Literal["finished", "removed", "abandoned", "replaced", "not replaced"]
    """"finished": it had been committed, and is visible now. "removed": it had not, and nothing of
    it remains. "abandoned": it had not, and what it left, beyond the target's shape, is for
    ``vacuum``. "replaced": a new target had taken the place of the old one, of which nothing
    remains. "not replaced": it had not, and the old one stays."""
    process: int = 0
    """Number of the process; 0 if that is not known."""
    host: str = ""
    """Name of its machine; empty if that is not known."""
    since: str = ""
    """When the append had begun, UTC, ISO 8601; empty if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What recovery did."""

    rolled_forward: tuple[str, ...] = ()
    """Transactions that had been committed and are visible now."""
    rolled_back: tuple[str, ...] = ()
    """Transactions that had not, and of which nothing remains."""
    made_root: bool = False
    """Whether the target's folder had been made by a transaction that was rolled back."""
    notes: tuple[str, ...] = ()
    """What was kept, and where."""
    appends: tuple[RecoveredAppend, ...] = ()
    """The same transactions, with what is known of each: slice, process, time, outcome."""

    def joined(self, other: Recovery) -> Recovery:
        """Return what two recoveries did."""
        return Recovery(
            rolled_forward=self.rolled_forward + other.rolled_forward,
            rolled_back=self.rolled_back + other.rolled_back,
            made_root=self.made_root or other.made_root,
            notes=self.notes + other.notes,
            appends=self.appends + other.appends,
        )

    @property
    def clean(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.rolled_forward or self.rolled_back)
