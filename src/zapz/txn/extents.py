"""The chunks that a transaction may write: integer ranges, never a listing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from zapz.format.grid import Box, count, indices
from zapz.format.metadata import ChunkKeys, join

_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Chunk keys of one array that a transaction may create or replace."""

    path: str
    """Path of the array."""
    keys: ChunkKeys
    """Its chunk key encoding."""
    spans: Box
    """Range of chunk indices per axis."""

    def all(self) -> Iterator[str]:
        """Yield every key."""
        return (join(self.path, self.keys.key(index)) for index in indices(self.spans))

    def holds(self, key: str) -> bool:
        """Return whether a key is one of them, without iterating over them."""
        prefix = f"{self.path}/" if self.path else ""
        numbers = key[len(prefix) :]
        if self.keys.style == "default":
            numbers = numbers.removeprefix("c").removeprefix(self.keys.separator)
        parts = numbers.split(self.keys.separator) if self.spans else []
        if len(parts) != len(self.spans) or not all(_NUMBER.fullmatch(part) for part in parts):
            return False
        index = tuple(map(int, parts))
        inside = all(a <= i < b for i, (a, b) in zip(index, self.spans, strict=True))
        return inside and join(self.path, self.keys.key(index)) == key

    def begins(self, name: str) -> bool:
        """Return whether ``name`` is the first part of one of them, without iterating over them."""
        if self.path:
            return self.path.partition("/")[0] == name
        if self.keys.separator == "." or not self.spans:
            return self.holds(name)
        if self.keys.style == "default":
            return name == "c" and self.count > 0
        (a, b), *_ = self.spans
        return self.count > 0 and _NUMBER.fullmatch(name) is not None and a <= int(name) < b

    @property
    def count(self) -> int:
        """Number of keys."""
        return count(self.spans)
