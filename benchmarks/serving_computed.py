"""A dataset whose chunks are computed, for `zapz serve computed=serving_computed:cube`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.zstd import Zstd

STEPS, SIDE = 10_000_000, 160
"""The array has so many chunks of one step, each of 160 x 160 float32: 102,400 bytes."""
WAVES = 9
"""Each chunk is a sum of so many waves, which takes about 2 ms."""
CELLS = np.linspace(0.0, 50.0, SIDE * SIDE).reshape(1, SIDE, SIDE)
ZSTD = Zstd(level=1)


def step(number: int) -> np.ndarray[Any, Any]:
    """Return the cells of a step."""
    total = np.zeros(CELLS.shape)
    for wave in range(1, WAVES + 1):
        total += np.sin(CELLS * wave + number)
    return total.round(2).astype("f4")


def encoded(number: int) -> bytes:
    """Return a chunk as it is served: computed and encoded."""
    return bytes(ZSTD.encode(step(number)))


class Computed:
    """An array-like whose steps are computed when they are requested."""

    shape = (STEPS, SIDE, SIDE)
    dtype = np.dtype("f4")
    chunks = (1, SIDE, SIDE)

    def __getitem__(self, index: tuple[slice, slice, slice]) -> np.ndarray[Any, Any]:
        steps, *rest = index
        found = [step(number) for number in range(*steps.indices(STEPS))]
        return np.concatenate(found)[(slice(None), *rest)]


def cube() -> dict[str, Any]:
    """Return the dataset: arrays by name, each with its dimensions."""
    return {"v": (("time", "y", "x"), Computed())}
