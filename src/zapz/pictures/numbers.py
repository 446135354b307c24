"""Numbers as text: counts, sizes, shapes."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB")


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 chunk, 1,024 chunks."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Return a number of bytes in decimal units: 12 B, 48.6 kB."""
    power = 0
    while number >= 1000 and power < len(_UNITS) - 1:  # noqa: PLR2004 - decimal units
        number, power = number / 1000, power + 1
    return f"{number:.0f} B" if power == 0 else f"{number:.1f} {_UNITS[power]}"


def shape(lengths: Sequence[int]) -> str:
    """Return a shape as text: 1×90×180; "scalar" without axes."""
    return "×".join(map(str, lengths)) or "scalar"


def day(label: str) -> str:
    """Return a label as text, without the time of day if that is midnight."""
    return label.removesuffix("T00:00:00")
