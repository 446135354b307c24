"""Run the finest level of a variable together with all that is derived from it.

Each chunk of the slice is read once and decoded once. The chunks of the finest level are visited
along a Z-order curve, so that those of coarser levels become complete one after the other, and few
of them are in memory::

    0 1 | 4 5
    2 3 | 6 7        0 to 3 make a chunk of level 1, 0 to 15 one of level 2
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from zapz.execution.cascade import Cascade, Stage
from zapz.execution.chunk_builder import ChunkBuilder
from zapz.execution.level_builder import LevelBuilder
from zapz.execution.level_cells import filled
from zapz.format.buffers import Cells
from zapz.format.grid import Box, Index, ceil_div, count, indices, intersect, shift, slices
from zapz.format.z_order import z_order
from zapz.planning.level_chains import Chain, chains_of
from zapz.planning.missing_cells import missing_value
from zapz.planning.plan import Plan
from zapz.planning.steps import ArrayPlan, ReduceChunk, Step

_MOST_JOINED = 16
"""Maximum number of blocks that wait for one another; otherwise the slice is read again."""

Write = Callable[[Step], None]
"""Writes the chunk of a step."""


def families_of(plan: Plan) -> list[Family]:
    """Return the variables of a plan whose coarser levels are derived on the way.

    Raises:
        ZapzError: The slice's fill value cannot be stored in the target's encoding.
    """
    derived: dict[str, list[ArrayPlan]] = {}
    for each in plan.arrays.values():
        if each.derivation is not None and each.derivation.source in plan.arrays:
            derived.setdefault(each.derivation.source, []).append(each)
    found = [
        Family(finest := plan.arrays[path], several, missing_value(finest, plan.slice_uri)[0])
        for path, several in derived.items()
    ]
    return [family for family in found if family.walked]


class Family:
    """A variable at its finest level, and its derived levels."""

    def __init__(self, finest: ArrayPlan, derived: Sequence[ArrayPlan], absent: Cells) -> None:
        """Plan what is derived together.

        Args:
            finest: The plan of the finest level.
            derived: The plans of the coarser levels.
            absent: The target's value of cells without a chunk, 0-dimensional.
        """
        self.finest = finest
        self._absent = absent
        self._plans = {each.path: each for each in derived}
        derivations = {each.path: each.derivation for each in derived if each.derivation is not None}
        first = next(iter(derivations.values()))
        self._aggregation, self._factors = first.aggregation, first.factors
        self._keeps = self._aggregation.keeps(absent)
        chains = chains_of(derivations)
        self._chains = [chain for chain in chains if self._is_joined(chain)]
        self.walked = [path for chain in self._chains for path, _ in chain.stages if path]
        """The arrays that are derived on the way; others need steps of their own."""
        self._cascades: list[Cascade] = []
        self._outputs: dict[str, LevelOutput] = {}

    def _is_joined(self, chain: Chain) -> bool:
        """Return whether few enough blocks must wait for one another."""
        blocks, ratio = self.finest.target.units.chunks, chain.stages[0][1]
        joined = math.prod(math.lcm(c, r) // c for c, r in zip(blocks, ratio, strict=True))
        return self._aggregation.carries or joined <= _MOST_JOINED

    def begin(self, builders: Mapping[str, ChunkBuilder], write: Write) -> None:
        """Begin to derive.

        Args:
            builders: The builders of the derived arrays.
            write: Writes the chunk of a step, once it can be built; called from any thread.
        """
        for path in self.walked:
            builder = builders[path]
            assert isinstance(builder, LevelBuilder)  # noqa: S101 - for the type checker
            self._outputs[path] = LevelOutput(self._plans[path], builder, write)
        self._cascades = [self._cascade(chain) for chain in self._chains]

    def _cascade(self, chain: Chain) -> Cascade:
        return Cascade(
            self._aggregation,
            self._stages(chain),
            self._take,
            region=self.finest.new_box,
            block=self.finest.target.units.chunks,
            absent=self._absent,
            rounded=chain.rounded,
        )

    def _stages(self, chain: Chain) -> list[Stage]:
        """Return the stages of a chain; levels that are not stored have what the next one needs."""
        factors, stages = chain.factors, list[Stage]()
        region = next(self._plans[path].new_box for path, _ in reversed(chain.stages) if path)
        for path, ratio in reversed(chain.stages):
            if path:
                region = self._plans[path].new_box
            stages.append(Stage(path=path, ratio=ratio, region=region))
            factors = tuple(f // r for f, r in zip(factors, ratio, strict=True))
            lengths = [ceil_div(n, f) for (_, n), f in zip(self.finest.new_box, factors, strict=True)]
            region = tuple((a * r, min(b * r, n)) for (a, b), r, n in zip(region, ratio, lengths, strict=True))
        return stages[::-1]

    def _take(self, path: str, box: Box, cells: Cells | None) -> None:
        if path:
            self._outputs[path].add(box, cells)

    def tap(self, box: Box, cells: Cells | None) -> None:
        """Take new cells of the finest level; see ``TappedBuilder``."""
        if cells is None and not self._keeps:
            cells = filled(box, self._absent)
        for cascade in self._cascades:
            cascade.add(box, cells)

    def steps(self) -> Iterator[Step]:
        """Yield the steps of the finest level, in an order in which few chunks are open."""
        plan, spans = self.finest, self.finest.spans
        reduced = [i for i, f in enumerate(self._factors) if f > 1]
        others = [i for i in range(len(spans)) if i not in reduced and i != plan.axis]
        for column in self._columns():
            for rest in indices(tuple(spans[i] for i in others)):
                for square in z_order(tuple(spans[i] for i in reduced)):
                    place = dict(zip((*others, *reduced), (*rest, *square), strict=True))
                    for step in range(*column):
                        yield plan.step(tuple(place.get(i, step) for i in range(len(spans))))

    def _columns(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of chunks along the append axis that end with chunks of all levels."""
        axis, plan = self.finest.axis, self.finest
        if axis is None:
            yield (0, 1)
            return
        own = plan.target.grid.chunks[axis]
        longest = max(each.target.grid.chunks[axis] for each in (plan, *self._plans.values()))
        start, stop = plan.spans[axis]
        while start < stop:
            end = min(stop, max(start + 1, (start * own // longest + 1) * longest // own))
            yield (start, end)
            start = end

    def check_ended(self) -> None:
        """Check that every derived cell was written."""
        rest = [path for path, output in self._outputs.items() if output.remaining]
        if rest:
            raise AssertionError(f"cells of {', '.join(rest)} were not derived")


@dataclass(slots=True, kw_only=True, eq=False)
class _Open:
    """A unit of a coarser level that is not complete."""

    step: ReduceChunk
    remaining: int
    made: Cells | None = None


class LevelOutput:
    """Puts derived cells together to the chunks of one array, and has complete ones written."""

    def __init__(self, plan: ArrayPlan, builder: LevelBuilder, write: Write) -> None:
        self._plan = plan
        self._builder = builder
        self._write = write
        self._absent = builder.absent
        self.open: dict[Index, _Open] = {}
        """Units that are not complete."""
        self._shards: dict[Index, int] = {}
        self._guard = threading.Lock()
        self.remaining = math.prod(b - a for a, b in plan.new_box)
        """Number of cells that have not come."""

    def add(self, box: Box, cells: Cells | None) -> None:
        """Add derived cells: their range per axis, and the cells; None if there is no chunk."""
        units = self._plan.target.units
        for unit in indices(units.covering(box)):
            common = intersect(units.box(unit), box)
            if common is None:
                continue
            part = None if cells is None else cells[slices(shift(common, [a for a, _ in box], -1))]
            self._put(unit, common, part)

    def _put(self, unit: Index, box: Box, cells: Cells | None) -> None:
        size = math.prod(b - a for a, b in box)
        with self._guard:
            if unit not in self.open:
                step = self._plan.inner_step(unit)
                assert isinstance(step, ReduceChunk)  # noqa: S101 - for the type checker: the unit has new cells
                self.open[unit] = _Open(step=step, remaining=math.prod(b - a for a, b in step.put))
            found = self.open[unit]
            start = [
                i * c + a for i, c, (a, _) in zip(unit, self._plan.target.units.chunks, found.step.put, strict=True)
            ]
            put = shift(box, start, -1)
            shape = tuple(b - a for a, b in found.step.put)
            if cells is not None and cells.shape == shape:
                found.made = cells
            elif cells is not None:
                if found.made is None:
                    found.made = filled(found.step.put, self._absent)
                found.made[slices(put)] = cells
            found.remaining -= size
            self.remaining -= size
            if found.remaining:
                return
            del self.open[unit]
        self._complete(found)

    def _complete(self, found: _Open) -> None:
        self._builder.give(found.step, found.made)
        plan = self._plan
        if plan.target.codecs.shards is None:
            self._write(found.step)
            return
        shard = tuple(u // n for u, n in zip(found.step.index, plan.target.units_per_axis, strict=True))
        with self._guard:
            if shard not in self._shards:
                new = intersect(plan.target.grid.box(shard), plan.new_box)
                self._shards[shard] = 0 if new is None else count(plan.target.units.covering(new))
            self._shards[shard] -= 1
            if self._shards[shard]:
                return
            del self._shards[shard]
        self._write(plan.step(shard))
