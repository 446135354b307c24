"""The dataset as it will be after an append, for expressions in attributes.

Cells of target and slice are read one by one, when an expression needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.expressions.evaluator import Cell, cell_of, evaluate
from zapz.format.attributes import plain
from zapz.format.grid import resized
from zapz.planning.configured_variables import described
from zapz.planning.meaning import meaning_of
from zapz.planning.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Target and slice as one dataset."""

    target: Reading
    """The target before the append; a new target is empty."""
    slice: Reading
    """The slice."""
    placement: Placement
    """Where the slice is placed."""
    creates: bool
    """Whether the append creates the target."""
    attrs: Mapping[str, Any]
    """The root's attributes after the append, without the configured ones."""

    @property
    def variables(self) -> Mapping[str, Grown]:
        """The target's variables after the append."""
        return _Variables(self)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of every dimension after the append, in cells."""
        placement = self.placement
        return {**self.target.dataset.sizes, placement.dim: placement.offset + placement.length}


@dataclass(frozen=True, slots=True)
class _Variables(Mapping[str, "Grown"]):
    after: After

    def __getitem__(self, path: str) -> Grown:
        if path not in self.after.target.dataset.arrays:
            raise KeyError(path)
        return Grown(self.after, path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.after.target.dataset.arrays)

    def __len__(self) -> int:
        return len(self.after.target.dataset.arrays)


@dataclass(frozen=True, slots=True)
class Grown:
    """One variable after the append."""

    after: After
    path: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape after the append."""
        array, placement = self.after.target.dataset.arrays[self.path], self.after.placement
        axis = array.axis(placement.dim)
        return resized(array.shape, axis, placement.offset + placement.length)

    def cell(self, index: tuple[int, ...]) -> Cell:
        """Return the decoded value of one cell; None if it is missing.

        Args:
            index: Index of the cell in the target after the append, one integer per axis.
        """
        after, path = self.after, self.path
        placement, dataset = after.placement, after.target.dataset
        axis = dataset.arrays[path].axis(placement.dim)
        offset = placement.offset if axis is not None else 0
        is_new = after.creates or (axis is not None and index[axis] >= offset)
        if not is_new:
            stored = after.target.cells(path, tuple((i, i + 1) for i in index))
        elif path in placement.conversions:
            place = tuple(i - offset if n == axis else i for n, i in enumerate(index))
            stored = after.slice.cells(path, tuple((i, i + 1) for i in place))
            stored = placement.conversions[path].apply(stored)
        else:
            return None
        return cell_of(meaning_of(dataset, path), stored.reshape(-1)[0])


def configured_attributes(after: After, config: Config) -> dict[str, dict[str, Any]]:
    """Return the configured attributes, with expressions evaluated.

    Every append writes them if they have changed.

    Returns:
        Attributes by path of the node; "" is the root.

    Raises:
        ConfigError: An expression is invalid for this dataset.
    """
    found: dict[str, dict[str, Any]] = {}
    if config.attrs:
        values = evaluate(config.attrs, after)
        found[""] = {key: plain(value, f"attrs.{key}") for key, value in values.items()}
    for path in after.target.dataset.arrays if config.variables else ():
        attrs = config.variable(path).attrs
        if attrs:
            described(attrs, path)
            values = evaluate(attrs, after, f"variables.{path}.attrs")
            found[path] = {key: plain(value, f"variables.{path}.attrs.{key}") for key, value in values.items()}
    return found
