"""Limits of the error that lossy filters may cause. Pure."""

from __future__ import annotations

import numpy as np

from zapz.format.buffers import Cells
from zapz.format.codec_table import facts
from zapz.format.metadata import Array


def near(array: Array, here: Cells, there: Cells) -> bool:
    """Return whether a lossy chain moved values no further than its filters allow.

    Non-finite and missing cells must be unchanged.

    Args:
        array: The array with the filters.
        here: Cells before encoding.
        there: The same cells, of the same shape, after encoding and decoding, or as stored.
    """
    absolute = relative = 0.0
    for stage in array.unit_codecs.stages:
        if (moves := facts(stage.id).moves) is not None:
            more = moves(stage.config)
            absolute, relative = absolute + more[0], relative + more[1]
    same = here == there
    if here.dtype.kind in "fc":
        same |= (here != here) & (there != there)  # noqa: PLR0124 - NaN is the value unequal to itself
    if bool(np.all(same)) or not (absolute or relative) or here.dtype.kind not in "iuf":
        return bool(np.all(same))
    before, after = here.astype(np.float64), there.astype(np.float64)
    moved = np.abs(after - before)
    rounding = np.finfo(here.dtype).eps if here.dtype.kind == "f" else 0.0
    allowed = moved <= absolute * (1 + 1e-6) + (relative + 4 * rounding) * np.abs(before)
    if array.marker is not None:
        allowed &= here != array.marker
    return bool(np.all(same | (allowed & np.isfinite(after))))
