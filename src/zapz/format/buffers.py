"""What a chunk is made of: stored bytes of any kind, as one kind of view, and decoded cells."""

from __future__ import annotations

from typing import Any

import numpy as np

Buffer = bytes | bytearray | memoryview | np.ndarray[Any, Any]
"""Bytes, whoever holds them."""
Cells = np.ndarray[Any, Any]
"""Decoded cells: an axis for each dimension."""


def octets(data: Buffer) -> memoryview:
    """Return data of any kind as a flat view of bytes, without copying what is contiguous."""
    if isinstance(data, np.ndarray):
        flat: Any = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        return memoryview(flat)
    return memoryview(data).cast("B")
