"""Format numbers and names for display."""

from __future__ import annotations

import re
from typing import TextIO

_PLAIN = str.maketrans({"·": "-", "…": "..."})
"""Replacements for characters that an encoding lacks."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in singular or plural."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Return a number of bytes for display, in decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004 - decimal units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def clock(seconds: float) -> str:
    """Return a duration in seconds as hours, minutes and seconds: 0:00:05."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def last_part(name: str) -> str:
    """Return the last part of a path or URI, which differs between slices; else the whole name."""
    return re.split(r"[/\\]", name.rstrip("/"))[-1] or name


def shown(place: str) -> str:
    """Return a path unchanged; of a URI, which may contain a password, only the last part."""
    if "://" not in place and "::" not in place:
        return place
    return last_part(place.partition("?")[0]).rpartition("@")[2]


def visible(text: str) -> str:
    """Return a text with ``?`` in place of control characters and other non-printable ones."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def can_show(stream: TextIO | None, text: str) -> bool:
    """Return whether a stream's encoding has all these characters."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def fitting(text: str, stream: TextIO | None) -> str:
    """Return a text in characters that a stream's encoding has; None is a closed stream."""
    if text.isascii():
        return text
    if not can_show(stream, "·…"):
        text = text.translate(_PLAIN)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text
