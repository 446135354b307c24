"""Arguments of ``xarray.Dataset.to_zarr`` that are not settings, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping

_FREE_CHUNKS = "Remove it: slice and target may have different chunks."

OTHER_WORDS: Mapping[str, str] = {
    "mode": "Remove mode: zapz.append always appends, and creates a missing target. force_new replaces a target.",
    "region": "Remove region: zapz.append writes slices after the last step.",
    "compute": "Remove compute: lazy data are computed when they are written.",
    "storage_options": "Use target_storage_options or slice_storage_options.",
    "safe_chunks": _FREE_CHUNKS,
    "align_chunks": _FREE_CHUNKS,
    "encoding": "It is an argument of zapz.append and zapz.plan. In a configuration, use variables.NAME.encoding.",
}
"""What to do, by argument."""
