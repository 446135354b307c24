"""The data of a chunk: stored bytes as a uniform view, and decoded cells."""

from __future__ import annotations

from typing import Any

import numpy as np

Buffer = bytes | bytearray | memoryview | np.ndarray[Any, Any]
"""Bytes, in any object that holds them."""
Cells = np.ndarray[Any, Any]
"""Decoded cells: one axis per dimension."""


def octets(data: Buffer) -> memoryview:
    """Return any buffer as a flat view of bytes, without copying contiguous data."""
    if isinstance(data, np.ndarray):
        flat: Any = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        return memoryview(flat)
    return memoryview(data).cast("B")
