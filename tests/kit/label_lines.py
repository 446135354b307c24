"""Slices that are little more than their labels."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kit.cf_cubes import quiet
from kit.cubes import write_array, write_group

DAYS = {"units": "days since 2024-01-01", "calendar": "standard"}


def line(
    path: Path,
    labels: Any,
    attrs: dict[str, Any] | None = None,
    *,
    dtype: Any = None,
    zarr_format: int = 3,
    values: Any = None,
    dim: str = "time",
    chunk: int | None = None,
) -> Path:
    """Write a slice of labels and one variable that is unlike at every label."""
    stored = np.asarray(labels, dtype)
    write_group(path, zarr_format=zarr_format)
    fill: dict[str, Any] = {"fill": None} if zarr_format == 2 else {}
    write_array(
        path,
        dim,
        stored,
        zarr_format=zarr_format,
        dims=[dim],
        attrs=attrs,
        chunks=[chunk or max(1, stored.size)],
        **fill,
    )
    data = np.arange(stored.size) + zlib.crc32(path.name.encode()) % 1000 if values is None else np.asarray(values)
    write_array(
        path, "v", np.asarray(data, "i8"), zarr_format=zarr_format, dims=[dim], chunks=[max(1, stored.size)], **fill
    )
    return path


def lines(here: Path, *parts: Any, attrs: dict[str, Any] | None = None, **options: Any) -> list[Path]:
    return [line(here / f"{n}.zarr", labels, attrs, **options) for n, labels in enumerate(parts)]


def stored(path: Path, name: str = "time") -> list[Any]:
    """The labels as they are stored."""
    import zarr

    with quiet():
        return np.asarray(zarr.open_group(str(path), mode="r", use_consolidated=False)[name][...]).tolist()  # type: ignore[no-any-return, index]
