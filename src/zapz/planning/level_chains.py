"""Levels that are derived one from the other, with the same result as each one alone. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from zapz.cf.aggregation import Factors, steps_of
from zapz.planning.derivation import Derivation


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Levels of one variable, each derived from the one before."""

    stages: tuple[tuple[str, Factors], ...]
    """Each array, and the number of cells of the level before that become one, per axis. The path
    is "" for a level that is not stored."""
    rounded: bool
    """Whether stored cells are handed on; else sums and counts."""

    @property
    def factors(self) -> Factors:
        """Number of cells of the finest level per cell of the coarsest one, per axis."""
        return tuple(math.prod(each) for each in zip(*(ratio for _, ratio in self.stages), strict=True))


def chains_of(derivations: Mapping[str, Derivation]) -> list[Chain]:
    """Return the levels of one variable as few chains.

    Args:
        derivations: The derived arrays by path; all have the same method.
    """
    chains: list[Chain] = []
    for path, each in sorted(derivations.items(), key=lambda item: (math.prod(item[1].factors), item[0])):
        for number, chain in enumerate(chains):
            if (more := _after(chain, path, each)) is not None:
                chains[number] = more
                break
        else:
            rounded = len(each.reductions) > 1
            stages = tuple(("", ratio) for ratio in each.reductions[:-1])
            chains.append(Chain(stages=(*stages, (path, each.reductions[-1])), rounded=rounded))
    return chains


def _after(chain: Chain, path: str, derivation: Derivation) -> Chain | None:
    """Return a chain with one more level; None if the level does not follow from it."""
    before = tuple(ratio for _, ratio in chain.stages)
    if derivation.reductions[: len(before)] == before and len(derivation.reductions) > len(before):
        more = derivation.reductions[len(before) :]
        stages = (*chain.stages, *(("", ratio) for ratio in more[:-1]), (path, more[-1]))
        return Chain(stages=stages, rounded=True)
    if chain.rounded or len(derivation.reductions) > 1 or derivation.method in {"median", "mode"}:
        return None
    wide, narrow = derivation.factors, chain.factors
    if any(f % g for f, g in zip(wide, narrow, strict=True)):
        return None
    ratio = tuple(f // g for f, g in zip(wide, narrow, strict=True))
    if steps_of(narrow) + steps_of(ratio) != steps_of(wide):
        return None
    return Chain(stages=(*chain.stages, (path, ratio)), rounded=False)
