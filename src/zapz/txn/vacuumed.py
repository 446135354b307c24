"""The result of ``vacuum``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuumed:
    """What ``vacuum`` did."""

    removed: int = 0
    """Objects (files) removed."""
    kept: int = 0
    """Objects of aborted runs that are too young to be removed."""
