"""Read all labels of a variable, for what is worth that: gaps, order, duplicates. An append never does."""

from __future__ import annotations

import numpy as np

from zapz.checks.reading import Reading
from zapz.format.buffers import Cells
from zapz.format.grid import indices
from zapz.storage.chunk_reader import fill_cells

MOST_CHUNKS = 4096
"""Labels in more chunks than that are read only where they must be: files that take half a second."""
MOST_REQUESTS = 512
"""The same on object services: requests that take two seconds."""
_AT_ONCE = 16
"""Requests that are under way together."""


def chunks_of_labels(reading: Reading, path: str) -> int:
    """Return in how many chunks (inner chunks, if there are shards) the labels lie."""
    return reading.dataset.arrays[path].units.counts[0]


def are_few(reading: Reading, path: str) -> bool:
    """Return whether reading all labels costs so little that it may be done without being asked for."""
    most = MOST_REQUESTS if reading.store.abilities.requests else MOST_CHUNKS
    return chunks_of_labels(reading, path) <= most


def all_labels(reading: Reading, path: str) -> Cells:
    """Return all labels of a variable as they are stored; missing chunks read as the fill value.

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
