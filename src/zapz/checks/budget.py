"""What comparing slices that are already there may cost in one call."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.config.settings import Config

_LOOKS = 64
"""Maximum number of chunk lengths requested from an object store in one call."""
_UNKNOWN = 8
"""Assumed number of slices, if it is not known."""


@dataclass(slots=True, kw_only=True, eq=False)
class Budget:
    """What comparing may still cost in one call."""

    bytes: int
    """Number of bytes that may still be read."""
    looks: int = _LOOKS
    """Number of chunk lengths that may still be requested from an object store."""
    slices: int | None = None
    """Number of remaining slices; None if it is not known."""
    whole: bool = False
    """Whether everything is compared, at any cost."""

    @classmethod
    def of(cls, config: Config) -> Budget:
        """Return the budget of a call."""
        return cls(bytes=config.resume_budget, whole=config.verify)

    def share(self) -> Share:
        """Return the next slice's share of the budget."""
        parts = max(1, self.slices if self.slices is not None else _UNKNOWN)
        if self.slices is not None:
            self.slices -= 1
        return Share(budget=self, bytes=self.bytes // parts, looks=self.looks // parts)


@dataclass(slots=True, kw_only=True, eq=False)
class Share:
    """What comparing one slice may cost; costs are subtracted from the budget, too."""

    budget: Budget
    """The budget of the call."""
    bytes: int
    """Number of bytes that may still be read."""
    looks: int
    """Number of chunk lengths that may still be requested from an object store."""

    def spend(self, *, bytes_: int = 0, looks: int = 0) -> None:
        """Subtract costs: bytes read, and lengths requested."""
        self.bytes -= bytes_
        self.looks -= looks
        self.budget.bytes = max(0, self.budget.bytes - bytes_)
        self.budget.looks = max(0, self.budget.looks - looks)
