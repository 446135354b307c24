"""Words of ``xarray.Dataset.to_zarr`` that are no settings: what to do instead. Only messages need them."""

from __future__ import annotations

from collections.abc import Mapping

_FREE_CHUNKS = "Slice and target may have any chunks: leave it out."

OTHER_WORDS: Mapping[str, str] = {
    "mode": "zapz.append always appends, and makes a target where there is none: leave mode out. force_new replaces a target.",
    "region": "zapz.append puts slices behind the last step: leave region out.",
    "compute": "What is lazy is computed when its turn comes: leave compute out.",
    "storage_options": "There are two: target_storage_options and slice_storage_options.",
    "safe_chunks": _FREE_CHUNKS,
    "align_chunks": _FREE_CHUNKS,
    "encoding": "zapz.append and zapz.plan take it as an argument; in a configuration it is variables.NAME.encoding.",
}
"""What to do, by word."""
