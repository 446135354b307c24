"""Time appends of flat slices to a pyramid, beside the work that cannot be avoided.

    python benchmarks/derived_levels.py [ROUNDS]

Needs zapz alone. The work is: copy the files of level 0, decode each of its chunks once, and encode
a third as many cells. Contenders take turns; what is printed are ratios of this run, and memory.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr

import zapz

SIDE, CHUNK, LEVELS, NAMES = 4096, 512, 5, "abcd"
SETTINGS: dict[str, Any] = {"durability": "process", "label_units": "keep"}


def write(path: Path, cells: np.ndarray[Any, Any], day: int) -> None:
    """Write a dataset of one step, with the same cells in each variable."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    time_ = root.create_array("time", shape=(1,), chunks=(1,), dtype="i8", fill_value=None)
    time_[:] = day
    time_.attrs.update({"_ARRAY_DIMENSIONS": ["time"], "units": "days since 2000-01-01"})
    for name in NAMES:
        array = root.create_array(
            name, shape=(1, *cells.shape), chunks=(1, CHUNK, CHUNK), dtype="f4", fill_value=np.nan, compressors=_CODEC
        )
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "y", "x"]
        array[:] = cells[None]
    zarr.consolidate_metadata(path, zarr_format=2)


_MISSING = 0.6
"""Cells with more noise are missing: one in forty."""
_CODEC = numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE)


def grid(day: int) -> np.ndarray[Any, Any]:
    """Return a smooth field with noise, rounded as measurements are; a part of it is missing."""
    rows, columns = np.meshgrid(*2 * [np.linspace(0, 20, SIDE, dtype="f4")], indexing="ij")
    noise = np.random.default_rng(day).normal(0, 0.3, (SIDE, SIDE)).astype("f4")
    cells: np.ndarray[Any, Any] = (10 * np.sin(rows) * np.cos(columns) + noise).round(2)
    cells[noise > _MISSING] = np.nan
    return cells


def coarser(cells: np.ndarray[Any, Any], factor: int) -> np.ndarray[Any, Any]:
    """Return the means of windows."""
    windows = cells.reshape(cells.shape[0] // factor, factor, -1, factor).astype("f8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows without values
        means: np.ndarray[Any, Any] = np.nanmean(windows, axis=(1, 3)).astype("f4")
    return means


def unavoidable(day: Path, target: Path) -> None:
    """Copy level 0, decode each chunk once, encode a third as many cells."""
    target.mkdir()
    done = 0
    for name in NAMES:
        (target / name).mkdir()
        for entry in os.scandir(day / name):
            data = Path(entry.path).read_bytes()
            (target / name / entry.name).write_bytes(data)
            if entry.name.startswith("."):
                continue
            cells = np.frombuffer(_CODEC.decode(data), "f4")
            done += 1
            if done % 3 == 0:
                (target / name / f"{entry.name}-level").write_bytes(_CODEC.encode(cells))


def appended(day: Path, target: Path, workers: int) -> None:
    """Append the slice with zapz."""
    zapz.append(target, day, workers=workers, **SETTINGS)


def peak(day: Path, target: Path, workers: int) -> float:
    """Return the peak memory of an append beyond that of a process that has imported all, in MB."""
    code = (
        "import zapz, zapz.execution.families, zapz.checks.level_proof\n"
        "def high(): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM'))\n"
        "before = high()\n"
        f"zapz.append({str(target)!r}, {str(day)!r}, workers={workers}, durability='process', label_units='keep')\n"
        "print(high() - before)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return int(out) / 1024


def main(rounds: int = 9) -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        before, day = folder / "before.levels", folder / "day.zarr"
        cells = grid(0)
        for level in range(LEVELS):
            write(before / f"{level}.zarr", cells if level == 0 else coarser(cells, 1 << level), 0)
        methods = {"agg_methods": dict.fromkeys(NAMES, "mean")}
        meta = {"version": "1.0", "num_levels": LEVELS, "use_saved_levels": False, **methods}
        (before / ".zlevels").write_text(str(meta).replace("'", '"').replace("False", "false"))
        write(day, grid(1), 1)
        seconds: dict[str, list[float]] = {"work": [], "1": [], "2": []}
        for turn in itertools.chain([-1], range(rounds)):  # the first turn warms the caches
            for name, found in seconds.items():
                target = folder / "target.levels"
                if name != "work":
                    shutil.copytree(before, target)
                started = time.perf_counter()
                unavoidable(day, target) if name == "work" else appended(day, target, int(name))
                if turn >= 0:
                    found.append(time.perf_counter() - started)
                shutil.rmtree(target)
        for name in ("1", "2"):
            ratios = sorted(a / b for a, b in zip(seconds[name], seconds["work"], strict=True))
            middle = statistics.median(seconds[name]) / statistics.median(seconds["work"])
            print(
                f"{name} workers: {middle:.2f} of the work that cannot be avoided ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
        unit = CHUNK * CHUNK * 4 / 1e6
        for workers in (1, 2):
            shutil.copytree(before, target)
            bound = workers * (2 + LEVELS - 1) * unit + (LEVELS - 1) * unit + 64
            print(f"{workers} workers: {peak(day, target, workers):.0f} MB of memory, bound {bound:.0f} MB")
            shutil.rmtree(target)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
