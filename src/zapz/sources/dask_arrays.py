"""Compute the dask arrays of a slice once, all together, in bounded memory.

Arrays of a slice share inputs, and a rechunked array needs every input chunk for several of its
own. So their common graph is computed as a whole, before the target is locked. The result is in
memory or, beyond the limit, in unnamed files, which disappear with the process.
"""

from __future__ import annotations

import math
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zapz.errors import SliceError, StoreError
from zapz.format.buffers import Cells
from zapz.format.grid import Box, slices
from zapz.sources.array_like import filled, settled

_SEQUENTIAL = ("sync", "synchronous", "single-threaded")


def is_lazy(data: Any) -> bool:
    """Return whether an object is a dask array, without importing dask."""
    return all(hasattr(data, part) for part in ("__dask_graph__", "dask", "chunks", "dtype"))


class DaskRegion:
    """A dask array; its cells exist once it has been computed, alone or with others."""

    chunks = None

    def __init__(self, array: Any, where: str) -> None:
        self.array = without_masks(array, where)
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = settled(self.array.dtype)
        self.natural = _regular(array.chunks)
        """Shape of its blocks, in cells, which can become the chunk shape of a new target."""
        self.cells: Cells | None = None
        self._guard = threading.Lock()

    def read(self, box: Box) -> Cells:
        """Return the cells of a box; if needed, the whole array is computed first."""
        with self._guard:
            if self.cells is None:
                compute([self], 0, None, on_disk=False)
        cells: Cells = (self.cells if self.cells is not None else np.empty(0))[slices(box)]
        return cells


def _regular(chunks: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
    """Return the chunk shape of a dask array, if all its blocks but the last have it."""
    good = all(
        sizes and sizes[0] and len(set(sizes[:-1])) <= 1 and (len(sizes) == 1 or sizes[-1] <= sizes[0])
        for sizes in chunks
    )
    return tuple(int(sizes[0]) for sizes in chunks) if good else None


def compute(arrays: Sequence[DaskRegion], limit: int, folder: str | None, *, on_disk: bool) -> None:
    """Compute arrays together, each block of their common graph once.

    Args:
        arrays: The arrays; computed ones are skipped.
        limit: Maximum size of their cells in memory, in bytes; beyond it they are stored in unnamed
            files. 0 for no limit.
        folder: Folder for such files; None for the system's temporary folder.
        on_disk: Whether they are always stored in files.

    Raises:
        StoreError: There is not enough space for the files.
    """
    pending = [array for array in arrays if array.cells is None]
    if not pending:
        return
    import dask  # imported here: dask is installed if there are dask arrays
    import dask.array

    total = sum(math.prod(a.shape) * a.dtype.itemsize for a in pending)
    spill = on_disk or 0 < limit < total
    made = [_room(a.shape, a.dtype, folder if spill else None, spill=spill) for a in pending]
    scheduler = dask.config.get("scheduler", None)
    dask.array.store(
        [a.array for a in pending],
        made,
        lock=False,
        compute=True,
        scheduler=scheduler if scheduler in _SEQUENTIAL else "threads",
    )
    for array, cells in zip(pending, made, strict=True):
        array.cells = cells


def without_masks(array: Any, where: str) -> Any:
    """Return a dask array without masked blocks.

    Args:
        array: The dask array.
        where: The variable, for messages.

    Raises:
        SliceError: The lengths of its axes are not known.
    """
    if any(isinstance(n, float) and math.isnan(n) for n in array.shape):
        raise SliceError(
            "dask array of unknown shape",
            where=where,
            found=str(array.shape),
            hint="Call compute_chunk_sizes() on it.",
        )
    meta = getattr(array, "_meta", None)
    if not isinstance(meta, np.ma.MaskedArray):
        return array
    return array.map_blocks(filled, dtype=filled(np.ma.masked_array(np.ones(1, meta.dtype), mask=[True])).dtype)


def _room(shape: tuple[int, ...], dtype: np.dtype[Any], folder: str | None, *, spill: bool) -> Cells:
    size = math.prod(shape) * dtype.itemsize
    if not spill or dtype.hasobject or not size:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(dir=Path(folder).expanduser() if folder else None, prefix="zapz-") as file:
            if hasattr(os, "posix_fallocate"):  # without reserved space, writing to the mapping could kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise StoreError(
            "not enough space for a computed slice",
            where=folder or tempfile.gettempdir(),
            expected=f"{size} bytes",
            found=error.strerror or str(error),
            hint="Set temp_dir to a folder with more space, or raise memory_limit.",
        ) from error
