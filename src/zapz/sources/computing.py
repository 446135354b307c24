"""Compute lazily computed arrays (dask) once each, all of a slice in one go, in bounded memory.

Arrays of one slice share inputs, and a rechunked one needs every input chunk for several of its own. So their graph is run as a whole,
before the target is locked, into memory or, beyond the limit, into unnamed files, which vanish with the process that made them.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from zapz.errors import SliceError, StoreError
from zapz.sources.arraylikes import filled

Cells = np.ndarray[Any, Any]
_SEQUENTIAL = ("sync", "synchronous", "single-threaded")


def is_lazy(data: Any) -> bool:
    """Return whether something is a dask array, without importing dask."""
    return all(hasattr(data, part) for part in ("__dask_graph__", "dask", "chunks", "dtype"))


def computed(
    arrays: Mapping[str, Any], limit: int, folder: str | None, *, on_disk: bool, where: str
) -> dict[str, Cells]:
    """Compute dask arrays.

    Args:
        arrays: The arrays, by name.
        limit: Bytes that their cells may take in memory; beyond it they go to unnamed files.
        folder: Where such files lie; the system's temporary folder if None.
        on_disk: Whether they go to files whatever they take.
        where: The slice, for messages.

    Raises:
        SliceError: The shape of one is not known before it is computed.
        StoreError: There is no space for the files.
    """
    if not arrays:
        return {}
    import dask  # imported where used: whoever has dask arrays has dask
    import dask.array

    for name, array in arrays.items():
        if any(isinstance(n, float) and math.isnan(n) for n in array.shape):
            raise SliceError(
                "a lazily computed array does not know its shape",
                where=f"{where}, {name}",
                found=str(array.shape),
                hint="Call compute_chunk_sizes() on it.",
            )
    arrays = {name: _unmasked(array) for name, array in arrays.items()}
    total = sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays.values())
    spill = on_disk or total > limit
    made = {name: _room(tuple(a.shape), a.dtype, folder if spill else None, spill=spill) for name, a in arrays.items()}
    scheduler = dask.config.get("scheduler", None)
    dask.array.store(
        list(arrays.values()),
        list(made.values()),
        lock=False,
        compute=True,
        scheduler=scheduler if scheduler in _SEQUENTIAL else "threads",
    )
    return made


def _unmasked(array: Any) -> Any:
    """Return a dask array whose blocks are not masked."""
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
            if hasattr(os, "posix_fallocate"):  # a page of a mapping that finds no space later would kill the process
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
    except OSError as error:
        raise StoreError(
            "no room for a computed slice",
            where=folder or tempfile.gettempdir(),
            expected=f"{size} bytes",
            found=error.strerror or str(error),
            hint="Set temp_dir to a folder with more space, or raise memory_limit.",
        ) from error
