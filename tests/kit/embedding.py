"""Slices by the day, and what a target holds of them, for programs around zapz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kit.slices_kit import days, reading

Slice = dict[str, Any]
CHUNKED: dict[str, Any] = {"variables": {"v": {"encoding": {"chunks": [1, 2, 6]}}}, "label_chunk": "keep"}


def day(number: int, steps: int = 1, value: float | None = None) -> Slice:
    """Return a slice: ``v`` says which days they are, unless a value is given."""
    cells = np.arange(number, number + steps, dtype="f4")[:, None, None] + np.zeros((steps, 4, 6), "f4")
    return {
        "time": ("time", days(number, steps)),
        "v": (("time", "y", "x"), cells if value is None else np.full_like(cells, value)),
    }


def labels(target: Path) -> list[int]:
    """Return the days that a target holds, and see that their cells are theirs."""
    found = reading(target)
    numbers = [int(n) for n in (found["time"].values - days(0, 1)[0]) // np.timedelta64(24, "h")]
    np.testing.assert_array_equal(found["v"].values[:, 0, 0], np.array(numbers, "f4"))
    return numbers


class OwnError(Exception):
    """An error of the program around."""
