"""An array of a coarser level as a value: from which array it follows, and by which windows. Pure.

Windows are those of the finest level, whatever chunks it has::

    finest level   | a b | c d | e      factor 2      windows are clipped at the end, or
    coarser level  |  w  |  x  | y                    the incomplete one has no cell
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zapz.cf.aggregation import Aggregation, Factors, Method, Rounding
from zapz.cf.encoding import Encoding
from zapz.format.grid import Box, ceil_div


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How the cells of an array follow from those of the same variable at the finest level."""

    source: str
    """Path of the array at the finest level."""
    reductions: tuple[Factors, ...]
    """Number of cells that become one, per axis: one reduction, or several in turn if each level
    was made from the one before, rounded."""
    method: Method
    """How the cells of a window become one."""
    encoding: Encoding
    """The meaning of the stored cells, which is the same at all levels."""
    rounding: Rounding = "even"
    """How means and medians of integers are rounded."""

    @property
    def aggregation(self) -> Aggregation:
        """How cells are aggregated."""
        return Aggregation(method=self.method, encoding=self.encoding, rounding=self.rounding)

    @property
    def factors(self) -> Factors:
        """Number of cells of the finest level per cell, along each axis."""
        return tuple(math.prod(each) for each in zip(*self.reductions, strict=True))

    def box(self, box: Box, shape: tuple[int, ...]) -> Box:
        """Return the cells of the finest level from which cells follow.

        Args:
            box: Range of cells of the coarser level, per axis.
            shape: Shape of the array at the finest level.
        """
        return tuple((a * f, min(b * f, n)) for (a, b), f, n in zip(box, self.factors, shape, strict=True))

    def to_json(self) -> dict[str, object]:
        """Return the derivation as values that JSON stores exactly."""
        return {
            "source": self.source,
            "reductions": [list(each) for each in self.reductions],
            "method": self.method,
            "encoding": self.encoding.to_json(),
            "rounding": self.rounding,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Derivation:
        """Return the derivation that ``to_json`` returned as JSON values."""
        return cls(
            source=data["source"],
            reductions=tuple(tuple(each) for each in data["reductions"]),
            method=data["method"],
            encoding=Encoding.from_json(data["encoding"]),
            rounding=data["rounding"],
        )


def common_factor(lengths: Sequence[tuple[int, int]], expected: Sequence[int], edge: str) -> int | None:
    """Return the factor by which all axes became shorter; None if no integer explains it.

    Args:
        lengths: Lengths of each axis at the finest and at the coarser level, in cells; at least 1.
        expected: A factor that is tried first, and one whose multiples are tried next.
        edge: What happens at the end of an axis: "ceil" if the last window is clipped, "floor" if
            an incomplete one has no cell.
    """
    first, unit = expected
    least = max(1, *(n // (m + 1) for n, m in lengths))
    most = min((ceil_div(n, m - 1) for n, m in lengths if m > 1), default=max(n for n, _ in lengths))
    fitting = range(least, most + 1)
    factor: int
    for factor in (first, *(f for f in fitting if f % unit == 0), *fitting):
        found = [ceil_div(n, factor) if edge == "ceil" else n // factor for n, _ in lengths]
        if found == [m for _, m in lengths]:
            return factor
    return None
