"""What comparing slices that are there already may cost in one call."""

from __future__ import annotations

from dataclasses import dataclass

from zapz.config.settings import Config

_LOOKS = 64
"""Lengths that are asked of a service in one call."""
_UNKNOWN = 8
"""Number of slices that are expected if it is not known."""


@dataclass(slots=True, kw_only=True, eq=False)
class Budget:
    """What comparing may still cost in one call."""

    bytes: int
    """Bytes that may be read."""
    looks: int = _LOOKS
    """Lengths that may be asked of a service."""
    slices: int | None = None
    """Number of slices that are still to come, if that is known."""
    whole: bool = False
    """Whether everything is compared, whatever it costs."""

    @classmethod
    def of(cls, config: Config) -> Budget:
        """Return the budget of a call."""
        return cls(bytes=config.resume_budget, whole=config.verify)

    def share(self) -> Share:
        """Return what one slice may cost."""
        parts = max(1, self.slices if self.slices is not None else _UNKNOWN)
        if self.slices is not None:
            self.slices -= 1
        return Share(budget=self, bytes=self.bytes // parts, looks=self.looks // parts)


@dataclass(slots=True, kw_only=True, eq=False)
class Share:
    """What one slice may cost; what it costs is taken from the budget."""

    budget: Budget
    """Whose it is a share of."""
    bytes: int
    """Bytes that may be read."""
    looks: int
    """Lengths that may be asked of a service."""

    def spend(self, *, bytes_: int = 0, looks: int = 0) -> None:
        """Note what comparing cost."""
        self.bytes -= bytes_
        self.looks -= looks
        self.budget.bytes = max(0, self.budget.bytes - bytes_)
        self.budget.looks = max(0, self.budget.looks - looks)
