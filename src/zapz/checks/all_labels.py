"""Read all labels of a variable, to find gaps, wrong order and duplicates; not used by appends."""

from __future__ import annotations

import numpy as np

from zapz.checks.reading import Reading
from zapz.format.buffers import Cells
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import indices

MOST_CHUNKS = 4096
"""Maximum number of label chunks that are read unasked from files: about half a second."""
MOST_REQUESTS = 512
"""Maximum number of label chunks that are read unasked from an object store: about two seconds."""
_AT_ONCE = 16
"""Maximum number of concurrent requests."""


def chunks_of_labels(reading: Reading, path: str) -> int:
    """Return the number of chunks (with shards: inner chunks) that the labels have."""
    return reading.dataset.arrays[path].units.counts[0]


def are_few(reading: Reading, path: str) -> bool:
    """Return whether all labels can be read at so little cost that the user need not request it."""
    most = MOST_REQUESTS if reading.store.abilities.requests else MOST_CHUNKS
    return chunks_of_labels(reading, path) <= most


def all_labels(reading: Reading, path: str) -> Cells:
    """Return all labels of a variable as stored; missing chunks read as the fill value.

    Returns:
        An array of shape (steps,) in the stored dtype.

    Raises:
        ChunkError: A chunk is damaged.
        StoreError: Storage failed.
    """
    array = reading.dataset.arrays[path]
    reader, chunk, length = reading.reader(path), array.units.chunks[0], array.shape[0]
    out = np.empty(length, array.dtype)
    out[...] = fill_cells(array)

    def read(number: int) -> None:
        cells = reader.unit((number,))
        if cells is not None:
            start = number * chunk
            out[start : start + chunk] = cells[: length - start]

    numbers = [number for (number,) in indices(((0, array.units.counts[0]),))]
    if len(numbers) > 1 and reading.store.abilities.requests:
        from concurrent.futures import ThreadPoolExecutor  # imported where used: files are read one by one

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="zapz") as threads:
            list(threads.map(read, numbers))
    else:
        for number in numbers:
            read(number)
    return out
