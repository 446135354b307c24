"""Prove how the levels of a pyramid were made: recompute some of their cells, and compare.

For each variable, a few cells of every level are recomputed from a chunk of the finest level that
has values. What the metadata leave open (whether levels were made from rounded ones, how integers
are rounded) is what the stored cells say. If no way gives them, nothing is derived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from zapz.cf.aggregation import Aggregation, Factors, Rounding
from zapz.cf.encoding import Encoding
from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.errors import SliceError
from zapz.format.buffers import Cells
from zapz.format.grid import Box, ceil_div, shift, slices, unravel
from zapz.format.metadata import Array
from zapz.format.pyramid import Pyramid
from zapz.planning.derivation import Derivation
from zapz.planning.level_windows import Windows, derivation_of

_CHUNKS = 8
"""Maximum number of chunks of the finest level in which values are looked for."""
_PER_STEP = 4
"""Maximum number of these that contain the same steps."""
_ULP = 2
"""Allowed difference of means and medians of floats, in units in the last place of the largest
value of the window: tools add in other orders, and in float32."""
_FROM_ROUNDED = ("geozarr", "ome")
"""Conventions whose tools make each level from the stored cells of the one before."""
_TO_ZERO = ("xcube", "ome")
"""Conventions whose tools round means of plain integers toward 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """Cells of a level, and the cells of the finest level from which they follow."""

    windows: Windows
    box: Box
    fine: Cells
    stored: Cells


class LevelProofs:
    """How the levels of one target were made, as far as this call has found out."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._found: dict[str, Derivation] = {}
        self._notes: list[str] = []

    def derived(
        self, target: Reading, windows: Mapping[str, Windows], length: int
    ) -> tuple[Mapping[str, Derivation], Sequence[str]]:
        """Return how arrays of coarser levels are derived, as the target's own cells were.

        Args:
            target: The target.
            windows: The arrays.
            length: Length of the target along the append dimension, in steps.

        Returns:
            The derivation of each array, and notes for the user.

        Raises:
            SliceError: Cells of the target were made in another way.
        """
        new = [each for path, each in windows.items() if path not in self._found]
        for pyramid in dict.fromkeys(each.pyramid for each in new):
            self._look(target, pyramid, [each for each in new if each.pyramid is pyramid], length)
        return {path: self._found[path] for path in windows}, self._notes

    def _look(self, target: Reading, pyramid: Pyramid, windows: Sequence[Windows], length: int) -> None:
        sources: dict[str, list[Windows]] = {}
        for each in windows:
            sources.setdefault(each.source, []).append(each)
        meanings = {path: several[0].encoding for path, several in sources.items()}
        samples: dict[str, list[_Sample]] = {path: [] for path in sources}
        if self._config.levels.get("proof", True):
            for path, several in sources.items():
                samples[path] = _samples(target, several, self._config.append_dim, length)
                proven = {sample.windows.path for sample in samples[path]}
                open_ = [each.path for each in several if each.path not in proven]
                if open_:
                    self._notes.append(
                        f"{', '.join(open_)}: the method is not proven, because no chunk of {path} that was looked at "
                        "has a whole window with values"
                    )
        first = pyramid.kind in _FROM_ROUNDED
        failed: SliceError | None = None
        for rounded in (first, not first):
            made = {path: _rounding(samples[path], meanings[path], pyramid, rounded=rounded) for path in sources}
            errors = [each for each in made.values() if isinstance(each, SliceError)]
            if not errors:
                for each in windows:
                    rounding = made[each.source]
                    assert not isinstance(rounding, SliceError)  # noqa: S101 - for the type checker
                    self._found[each.path] = derivation_of(each, rounded=rounded, rounding=rounding)
                return
            failed = failed or errors[0]
        if failed is not None:
            raise failed.at(target.store.uri)


def _samples(target: Reading, windows: Sequence[Windows], dim: str, length: int) -> list[_Sample]:
    """Return cells of each level to compare, where there are any with values."""
    path = windows[0].source
    array = target.dataset.arrays[path]
    axis = array.dims.index(dim)
    found: dict[str, _Sample] = {}
    sure: set[str] = set()
    for unit in islice(_units(array, axis, length), _CHUNKS):
        boxes = {
            each.path: box
            for each in windows
            if each.path not in sure
            and (box := _inside(unit, array, target.dataset.arrays[each.path], each.factors)) is not None
        }
        if not boxes:
            continue
        cells = target.cells(path, unit)
        for each in windows:
            if each.path not in boxes:
                continue
            derivation = derivation_of(each)
            fine = derivation.box(boxes[each.path], array.shape)
            part = cells[slices(shift(fine, [a for a, _ in unit], -1))]
            values = part[derivation.aggregation.valid(part)]
            if values.size == 0 or (each.path in found and (values == values[0]).all()):
                continue
            stored = target.cells(each.path, boxes[each.path])
            found[each.path] = _Sample(windows=each, box=boxes[each.path], fine=part, stored=stored)
            if not (values == values[0]).all():
                sure.add(each.path)
        if len(sure) == len(windows):
            break
    return list(found.values())


def _units(array: Array, axis: int, length: int) -> Iterator[Box]:
    """Yield boxes of one step in chunks of an array, from its last step backwards."""
    units, step = array.units, length - 1
    while step >= 0:
        spans = tuple((0, 1) if i == axis else (0, n) for i, n in enumerate(units.counts))
        total = int(np.prod([b for _, b in spans]))
        stride = max(1, round(total * 0.382))
        for number in dict.fromkeys((total // 2 + n * stride) % total for n in range(min(total, _PER_STEP))):
            index = unravel(number, spans)
            yield tuple((step, step + 1) if i == axis else span for i, span in enumerate(units.box(index)))
        step = step // units.chunks[axis] * units.chunks[axis] - 1


def _inside(unit: Box, fine: Array, coarse: Array, factors: Factors) -> Box | None:
    """Return the cells of a level whose windows lie in a box of the finest level; None if none."""
    box = []
    for (a, b), n, m, f in zip(unit, fine.shape, coarse.shape, factors, strict=True):
        stop = min(ceil_div(b, f), m) if b == n else b // f
        if ceil_div(a, f) >= stop:
            return None
        box.append((ceil_div(a, f), stop))
    return tuple(box)


def _rounding(
    samples: Sequence[_Sample], meaning: Encoding, pyramid: Pyramid, *, rounded: bool
) -> Rounding | SliceError:
    """Return the rounding with which all samples are what is stored; else the first difference."""
    packed = meaning.scale is not None or meaning.offset is not None or bool(meaning.markers)
    order: tuple[Rounding, ...] = ("even", "zero")
    if pyramid.kind in _TO_ZERO and not packed:
        order = ("zero", "even")
    failed: SliceError | None = None
    for rounding in order:
        errors = [error for each in samples if (error := _difference(each, rounded=rounded, rounding=rounding))]
        if not errors:
            return rounding
        failed = failed or errors[0]
    assert failed is not None  # noqa: S101 - for the type checker: there are two roundings
    return failed


def _difference(sample: _Sample, *, rounded: bool, rounding: Rounding) -> SliceError | None:
    """Return an error about the first cell that is not what is stored; None if there is none."""
    derivation = derivation_of(sample.windows, rounded=rounded, rounding=rounding)
    how, cells = derivation.aggregation, sample.fine
    for step in derivation.reductions[:-1]:
        cells = how.apply(cells, step)
    made = how.apply(cells, derivation.reductions[-1])
    same = _alike(made, sample, derivation)
    if how.method == "mean" and made.dtype.kind in "iu" and not same.all():
        near = np.abs(made.astype(object) - sample.stored.astype(object)) <= 1
        same |= near.astype(bool) & _ties(how, cells, derivation.reductions[-1])
    if same.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~same)[0])
    cell = tuple(a + i for (a, _), i in zip(sample.box, place, strict=True))
    return SliceError(
        "the target's levels were not made as zapz would derive them",
        where=f"{sample.windows.path}, cell {cell}",
        expected=f"{made[place].item()!r}, the {how.method} of cells of {derivation.source}",
        found=f"{sample.stored[place].item()!r}",
        hint="Append a slice that has all levels, created by the tool that created those of the target.",
    )


def _alike(made: Cells, sample: _Sample, derivation: Derivation) -> Cells:
    """Return a mask of cells that are what is stored, but for the order of additions."""
    stored, fine = sample.stored, sample.fine
    valid = [derivation.aggregation.valid(each) for each in (made, stored, fine)]
    same: Cells = np.asarray(made == stored) | ~(valid[0] | valid[1])
    if made.dtype.kind == "f":
        sizes = np.where(valid[2], np.abs(fine), 0).astype(made.dtype)
        largest = Aggregation(method="max", encoding=Encoding(dtype=sizes.dtype)).apply(sizes, derivation.factors)
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.abs(made - stored) <= _ULP * np.spacing(largest)
        same |= close & valid[0] & valid[1]
    return same


def _ties(how: Aggregation, cells: Cells, factors: Factors) -> Cells:
    """Return a mask of means that lie exactly between two integers."""
    windows = how.grouped(how.partial(cells), factors)
    if windows.counts is None:
        raise AssertionError("means have counts")
    counts = np.maximum(windows.counts, 1).astype(windows.values.dtype)
    return np.asarray(2 * (windows.values % counts) == counts, bool)
