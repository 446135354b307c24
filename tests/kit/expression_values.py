"""Values that expressions in attributes look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from zapz.expressions.evaluator import Cell, Time, check, evaluate

DAY = 86400


@dataclass
class Values:
    """A variable whose cells come from a function, and which remembers the ones that were read."""

    shape: tuple[int, ...]
    of: Callable[[tuple[int, ...]], Cell]
    read: list[tuple[int, ...]] = field(default_factory=list)

    def cell(self, index: tuple[int, ...]) -> Cell:
        assert len(index) == len(self.shape)
        assert all(0 <= i < n for i, n in zip(index, self.shape, strict=True))
        self.read.append(index)
        return self.of(index)


@dataclass
class Cube:
    variables: Mapping[str, Values]
    sizes: Mapping[str, int] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)


def line(*cells: Cell) -> Values:
    return Values((len(cells),), lambda index: cells[index[0]])


def times(*days: float | None, calendar: str = "standard") -> Values:
    return line(*(Time(seconds=None if d is None else Fraction(d) * DAY, calendar=calendar) for d in days))


def cube(**variables: Values) -> Cube:
    table = Values((2, 3), lambda index: index[0] * 10 + index[1])
    known = {
        "time": times(19723, 19724, 19725.5),
        "time_noleap": times(59, calendar="noleap"),
        "gaps": times(19723, None),
        "falling": line(3.0, 2.0, 1.0),
        "x": line(0.1, 1.6, 3.1),
        "even": line(0, 2, 4),
        "one": line(5),
        "none": line(),
        "odd": line(float("nan"), float("inf"), -float("inf"), None, True, "text"),
        "table": table,
        "scalar": Values((), lambda _: 7),
        "fine/time": times(0),
        "2m": line(1),
        "sizes": line(2),
        "__x": line(3),
        "größe": line(4),
        **variables,
    }
    return Cube(
        known, {"time": 3, "x y": 4, "__d": 1}, {"title": "T", "list": [1, {"a": "é"}], "flag": True, "a-b": 2.5}
    )


def value(text: Any, dataset: Cube | None = None) -> Any:
    attributes = {"a": text}
    check(attributes, "attrs")
    return evaluate(attributes, dataset or cube())["a"]
