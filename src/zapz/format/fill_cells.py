"""The cells that no chunk contains, as NumPy arrays."""

from __future__ import annotations

import numpy as np

from zapz.format.buffers import Cells
from zapz.format.dtypes import undefined
from zapz.format.metadata import Array


def fill_cells(array: Array) -> Cells:
    """Return the fill value as a 0-dimensional array.

    Where the format leaves it undefined, it is what zarr-python reads: zero or empty.
    """
    value = array.fill.value
    out = np.zeros((), dtype=array.dtype)
    if value is None:
        value = b"" if array.unit_codecs.serializer == "vlen-bytes" else undefined(array.dtype)
    out[()] = value
    return out
