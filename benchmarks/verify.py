"""Say whether a run did what it claims: a fast wrong answer must not count.

Runs in the environment of the peers. The job comes as JSON on standard input; what is wrong goes to
standard error, with exit code 1.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

# How many slices, and how many windows of a variable in each of them, are compared cell by cell.
SLICES = 6
WINDOWS = 4
WINDOW = 128


def main() -> None:
    """Do the check of standard input."""
    job = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    checks = {"append": check_append, "tree": check_tree}
    problem = checks[job["check"]](job)
    if problem:
        sys.exit(problem)


def check_append(job: dict[str, Any]) -> str | None:
    """Compare the target with the slices and with its state before; return what differs."""
    target = opened(job["target"], consolidated=job["consolidated"])
    old = opened(job["base"]).sizes["time"] if job["base"] else 0
    slices = job["slices"]
    first = opened(slices[0])
    steps = first.sizes["time"]
    length = job["expected_length"] or old + len(slices) * steps
    if target.sizes["time"] != length:
        return f"the target has {target.sizes['time']} labels instead of {length}"
    labels = target["time"].values
    if not (labels[1:] > labels[:-1]).all():
        return "the labels of the target do not increase"
    start = length - len(slices) * steps
    picked = np.unique(np.linspace(0, len(slices) - 1, SLICES).astype(int))
    for number in picked:
        problem = difference(target, opened(slices[number]), start + int(number) * steps)
        if problem:
            return f"slice {number}: {problem}"
    return difference(target, opened(job["base"]), 0) if job["base"] and old else None


def opened(path: str, *, consolidated: bool | None = None) -> Any:
    """Open a dataset lazily, without dask."""
    return importlib.import_module("xarray").open_zarr(path, chunks=None, consolidated=consolidated)


def difference(target: Any, part: Any, offset: int) -> str | None:
    """Return the first difference between a dataset and its steps in the target."""
    generator = np.random.default_rng()
    steps = part.sizes["time"]
    if set(target.variables) != set(part.variables):
        return f"variables {sorted(target.variables)} instead of {sorted(part.variables)}"
    for name in part.variables:
        there, expected = target[name], part[name]
        if "time" not in expected.dims:
            if not np.array_equal(there.values, expected.values):
                return f"{name} differs"
            continue
        if expected.dims == ("time",):
            if not np.array_equal(there.values[offset : offset + steps], expected.values):
                return f"the labels of {name} differ"
            continue
        for _ in range(WINDOWS):
            step = int(generator.integers(steps))
            row, column = (int(generator.integers(max(1, size - WINDOW + 1))) for size in expected.shape[1:])
            window = (slice(row, row + WINDOW), slice(column, column + WINDOW))
            found = there[(offset + step, *window)].values
            if not np.array_equal(found, expected[(step, *window)].values, equal_nan=True):
                return f"values of {name} differ at step {offset + step}, row {row}, column {column}"
    return None


def check_tree(job: dict[str, Any]) -> str | None:
    """Compare names and sizes of the copied files with those of the slices; return what differs."""
    for path in job["slices"]:
        found, expected = sizes(Path(job["target"], Path(path).name)), sizes(Path(path))
        if found != expected:
            return f"the copy of {path} has {len(found)} files, {sum(found.values())} bytes"
    return None


def sizes(root: Path) -> dict[str, int]:
    """Return the size of every file below a folder."""
    return {str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()}


if __name__ == "__main__":
    main()
