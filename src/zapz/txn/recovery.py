"""What recovery did, on any kind of storage."""

from __future__ import annotations

from dataclasses import dataclass


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

    def joined(self, other: Recovery) -> Recovery:
        """Return what two recoveries did."""
        return Recovery(
            rolled_forward=self.rolled_forward + other.rolled_forward,
            rolled_back=self.rolled_back + other.rolled_back,
            made_root=self.made_root or other.made_root,
            notes=self.notes + other.notes,
        )

    @property
    def clean(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.rolled_forward or self.rolled_back)
