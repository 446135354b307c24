"""Format numbers and names for display."""

from __future__ import annotations

import re
from typing import TextIO

from zapz.pictures.numbers import count, size

__all__ = [
    "can_show",
    "clock",
    "count",
    "fitting",
    "is_terminal",
    "last_part",
    "shown",
    "size",
    "visible",
]

_PLAIN = str.maketrans({"·": "-", "…": "..."})
"""Replacements for characters that an encoding lacks."""


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


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal; a closed one is not."""
    try:
        return stream.isatty()
    except ValueError:
        return False


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
