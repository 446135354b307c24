"""Time appends of slices with levels, and of flat slices, beside `cp -r` of the same slices.

    python benchmarks/levels.py [ROUNDS]

Needs zapz alone. Contenders take turns; what is printed are ratios of medians from this run.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import zapz

SIDE, CHUNK, LEVELS, SLICES = 2048, 256, 4, 3
SETTINGS: dict[str, Any] = {"durability": "process", "workers": 2, "label_units": "keep"}


def write(path: Path, side: int, day: int) -> None:
    """Write a dataset of one step: rounded random numbers, as in the other benchmarks."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    time_ = root.create_array("time", shape=(1,), chunks=(1,), dtype="i8", fill_value=None)
    time_[:] = day
    time_.attrs.update({"_ARRAY_DIMENSIONS": ["time"], "units": "days since 2000-01-01"})
    for name in "abcd":
        chunk = min(CHUNK, side)
        array = root.create_array(name, shape=(1, side, side), chunks=(1, chunk, chunk), dtype="f4")
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "y", "x"]
        array[:] = np.random.default_rng([day, side]).normal(10, 3, (1, side, side)).round(2)
    zarr.consolidate_metadata(path, zarr_format=2)


def copied(slices: list[Path], target: Path) -> None:
    """Copy slices, one after the other, with `cp -r`."""
    target.mkdir()
    for number, each in enumerate(slices):
        subprocess.run(["cp", "-r", each, target / str(number)], check=True)


def appended(slices: list[Path], target: Path) -> None:
    """Append slices with zapz."""
    zapz.append(target, slices, **SETTINGS)


def main(rounds: int = 9) -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        flat, levels = ([folder / f"{day}{end}" for day in range(SLICES)] for end in (".zarr", ".levels"))
        for day in range(SLICES):
            write(flat[day], SIDE, day)
            for level in range(LEVELS):
                write(levels[day] / f"{level}.zarr", SIDE >> level, day)
        jobs: dict[str, tuple[Callable[[list[Path], Path], None], list[Path], str]] = {
            "cp -r flat": (copied, flat, "copy"),
            "zapz flat": (appended, flat, "target.zarr"),
            "cp -r levels": (copied, levels, "copy"),
            "zapz levels": (appended, levels, "target.levels"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        for turn in itertools.chain([-1], range(rounds)):  # the first turn warms the caches
            for name, (run, slices, end) in jobs.items():
                target = folder / end
                started = time.perf_counter()
                run(slices, target)
                if turn >= 0:
                    seconds[name].append(time.perf_counter() - started)
                shutil.rmtree(target)
        middle = {name: statistics.median(found) for name, found in seconds.items()}
        for kind in ("flat", "levels"):
            print(f"{kind}: {middle[f'zapz {kind}'] / middle[f'cp -r {kind}']:.2f} of `cp -r`")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
