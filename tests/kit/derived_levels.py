"""Pyramids whose levels are made by the definition, and flat slices that continue them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kit import cubes
from kit.level_definition import defined

FILLS: Mapping[str, Any] = {"f": math.nan, "i": -9, "u": 255}


@dataclass(kw_only=True)
class Pyramid:
    """A variable at several levels, in a ``.levels`` dataset."""

    cells: np.ndarray[Any, Any]
    """The finest level: steps, rows, columns."""
    factors: Sequence[int] = (2, 4)
    method: str = "mean"
    marker: Any = None
    """``_FillValue``; None: floats have NaN, integers have no missing cells."""
    chunks: Sequence[tuple[int, ...]] = ((1, 4, 4),)
    """Chunks of each level; the last ones are those of all coarser levels."""
    shards: Sequence[tuple[int, ...] | None] = (None,)
    zarr_format: int = 3
    floor: bool = False
    rounded: bool = False
    """Whether each level is made from the stored cells of the one before."""
    rounding: str = "even"
    fill: Any = "default"
    """Fill value of the arrays."""
    extra: Callable[[Path, int, int], None] | None = None
    """Writes more into a level: its folder, the first step and the number of steps."""
    written: dict[int, np.ndarray[Any, Any]] = field(default_factory=dict)

    def level(self, number: int) -> np.ndarray[Any, Any]:
        """Return the cells of a level, by the definition."""
        if number == 0:
            return self.cells
        if number not in self.written:
            before = self.level(number - 1) if self.rounded else self.cells
            factor = self.factors[number - 1]
            if self.rounded and number > 1:
                factor //= self.factors[number - 2]
            self.written[number] = self.derived(before, (1, factor, factor), self.rounding)
        return self.written[number]

    def derived(self, cells: np.ndarray[Any, Any], factors: Sequence[int], rounding: str) -> np.ndarray[Any, Any]:
        """Return a coarser level, by the definition."""
        marker = self.marker
        return defined(
            cells,
            factors,
            self.method,
            missing=lambda value: value != value or (marker is not None and value == marker),  # noqa: PLR0124 - NaN
            fill=marker if marker is not None else FILLS[cells.dtype.kind],
            rounding=rounding,
            floor=self.floor,
        )

    def write(self, path: Path, start: int, stop: int, levels: int | None = None) -> Path:
        """Write steps as a ``.levels`` dataset."""
        count = len(self.factors) + 1 if levels is None else levels
        for number in range(count):
            self.write_level(path / f"{number}.zarr", number, start, stop)
        meta = {"version": "1.0", "num_levels": count, "use_saved_levels": False, "agg_methods": {"v": self.method}}
        (path / ".zlevels").write_text(json.dumps(meta))
        return path

    def write_level(self, path: Path, number: int, start: int, stop: int) -> Path:
        """Write steps of one level as a dataset; of level 0, this is the flat slice."""
        cubes.write_group(path, zarr_format=self.zarr_format)
        attributes = {} if self.marker is None else {"_FillValue": self.marker}
        cells = self.level(number)[start:stop]
        chunks = self.chunks[min(number, len(self.chunks) - 1)]
        shards = self.shards[min(number, len(self.shards) - 1)]
        fill = self.fill if self.fill != "default" or self.marker is None else self.marker
        cubes.write_array(
            path, "v", cells, zarr_format=self.zarr_format, dims=("time", "y", "x"), chunks=chunks, shards=shards,
            attrs=attributes, fill=fill, write_empty=False,
        )  # fmt: skip
        cubes.write_array(
            path, "time", np.arange(start, stop, dtype="i8"), zarr_format=self.zarr_format, dims=("time",), chunks=(5,),
            attrs={"units": "days since 2020-01-01"}, fill=None if self.zarr_format == 2 else "default",
        )  # fmt: skip
        if self.extra is not None:
            self.extra(path, start, stop)
        cubes.consolidate(path, zarr_format=self.zarr_format)
        return path

    def check(self, path: Path, stop: int) -> None:
        """Assert that all levels of a dataset are what the definition says."""
        for number in range(len(self.factors) + 1):
            found = cubes.read(path / f"{number}.zarr")
            expected = self.level(number)[:stop]
            assert found["v"].dtype == expected.dtype
            np.testing.assert_array_equal(found["v"], expected, err_msg=f"level {number}")
            assert found["time"].tolist() == list(range(stop))
