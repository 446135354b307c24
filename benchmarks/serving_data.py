"""The datasets that `serving.py` serves from files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import zarr

CHUNKS, SIDE = 200, 160
SIZE = SIDE * SIDE * 4
"""Bytes of one chunk: 102,400."""
LARGE, LARGE_SIZE = 4, 256 * 1024 * 1024


def small_chunks(path: Path) -> None:
    """Write a v3 dataset with one array of 200 chunk files of 100 KB, and its labels."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    root.attrs["title"] = "chunks of 100 KB"
    dims, shape, chunks = ("time", "y", "x"), (CHUNKS, SIDE, SIDE), (1, SIDE, SIDE)
    cells = root.create_array(
        "v", shape=shape, chunks=chunks, dtype="f4", compressors=None, fill_value=float("nan"), dimension_names=dims
    )
    cells[:] = np.random.default_rng(0).normal(size=shape).astype("f4")
    for name, size in zip(dims, shape, strict=True):
        labels = root.create_array(name, shape=(size,), chunks=(size,), dtype="i8", dimension_names=(name,))
        labels[:] = np.arange(size)
    root["time"].attrs["units"] = "days since 2000-01-01"
    consolidate(path)


def large_chunks(path: Path) -> None:
    """Write a v3 dataset with one array of 4 chunk files of 256 MB: zeros, sparse on the disk."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    shape, chunks = (LARGE, LARGE_SIZE // 8), (1, LARGE_SIZE // 8)
    root.create_array("v", shape=shape, chunks=chunks, dtype="f8", compressors=None, dimension_names=("time", "x"))
    time = root.create_array("time", shape=(LARGE,), chunks=(LARGE,), dtype="i8", dimension_names=("time",))
    time[:] = np.arange(LARGE)
    time.attrs["units"] = "days since 2000-01-01"
    consolidate(path)
    for number in range(LARGE):
        file = path / f"v/c/{number}/0"
        file.parent.mkdir(parents=True)
        with file.open("wb") as sparse:
            sparse.truncate(LARGE_SIZE)


def consolidate(path: Path) -> None:
    """Write all metadata into the root's document; zarr warns that other tools may not know it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path, zarr_format=3)
