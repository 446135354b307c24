"""Range requests (RFC 9110, section 14). Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_RANGE = re.compile(
    r"bytes=(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{0,18})|-(?P<suffix>[0-9]{1,18}))", re.ASCII | re.IGNORECASE
)


class Part(NamedTuple):
    """A part of an object."""

    start: int
    """Offset of its first byte."""
    stop: int
    """Offset after its last byte."""


def part_of(text: str | None, size: int) -> Part | bool | None:
    """Return the part of an object that a Range header requests.

    Args:
        text: The header's value; None without the header.
        size: Size of the object, in bytes.

    Returns:
        The part; None for the whole object, also if several ranges or another unit are requested;
        False if the range is invalid or outside of the object (416, as nginx answers).
    """
    if text is None or not text.lstrip().lower().startswith("bytes=") or "," in text:
        return None
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return False
    if found["suffix"] is not None:
        length = int(found["suffix"])
        return Part(max(0, size - length), size) if length and size else False
    first, last = int(found["first"]), int(found["last"]) if found["last"] else size - 1
    return Part(first, min(last + 1, size)) if first < size and first <= last else False
