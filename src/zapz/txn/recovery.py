"""What recovery did, on any type of storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class RecoveredAppend(NamedTuple):
    """An append that an earlier run had begun."""

    id: str
    """Name of its transaction."""
    slice: str
    """Name of the slice; empty if it is not known."""
    target: str
    """Path or URI of the target."""
    outcome: Literal["finished", "removed", "abandoned", "replaced", "not replaced"]
    """"finished": it was committed, and is visible now. "removed": it was not committed, and
    nothing of it remains. "abandoned": it was not committed, and ``vacuum`` can remove what it left
    beyond the target's shape. "replaced": a new target had replaced the old one, and nothing of the
    old one remains. "not replaced": the new target had not replaced the old one, which stays."""
    process: int = 0
    """Process number of the writer; 0 if it is not known."""
    host: str = ""
    """Name of its machine; empty if it is not known."""
    since: str = ""
    """When the append began, UTC, ISO 8601; empty if it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What recovery did."""

    rolled_forward: tuple[str, ...] = ()
    """Transactions that were committed and are visible now."""
    rolled_back: tuple[str, ...] = ()
    """Transactions that were not committed, and were rolled back or abandoned."""
    made_root: bool = False
    """Whether a transaction that was rolled back had created the target's folder."""
    notes: tuple[str, ...] = ()
    """Which files were kept, and where."""
    appends: tuple[RecoveredAppend, ...] = ()
    """The same transactions, with details: slice, process, time, outcome."""

    def joined(self, other: Recovery) -> Recovery:
        """Return what two recoveries did together."""
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
