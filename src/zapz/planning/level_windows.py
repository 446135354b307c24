"""Which arrays of a pyramid follow from its finest level, and by which windows. Pure.

Sources of methods: ``agg_methods`` in the ``.zlevels`` of xcube, ``resampling_method`` of the
convention "multiscales" (GeoZarr), the metadata of ndpyramid; else the setting ``levels.method``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import cast

import numpy as np

from zapz.cf.aggregation import METHODS, Aggregation, Factors, Method, Rounding
from zapz.cf.encoding import Encoding
from zapz.cf.markers import is_nan, scalar_of
from zapz.config.settings import Config
from zapz.errors import ConfigError, EncodingError, SliceError
from zapz.format.metadata import Array, Dataset
from zapz.format.pyramid import Pyramid
from zapz.planning.derivation import Derivation, common_factor
from zapz.planning.meaning import meaning_of

_SYNONYMS = {"average": "mean", "med": "median"}
"""Other words for methods (``resampling_method`` of GeoZarr)."""
_BRING = "Append a slice that has all levels, created by the tool that created those of the target."


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """An array of a coarser level, and the windows of the finest level that its cells stand for."""

    path: str
    """Path of the array."""
    source: str
    """Path of the same variable at the finest level."""
    pyramid: Pyramid
    """The pyramid."""
    method: Method
    """How the cells of a window become one."""
    encoding: Encoding
    """The meaning of the stored cells, at all levels."""
    chain: tuple[Factors, ...]
    """Number of cells of the level before that become one, per axis, from level to level. One entry
    if the windows of a level between are not parts of these."""

    @property
    def factors(self) -> Factors:
        """Length of a window along each axis, in cells of the finest level."""
        return tuple(math.prod(each) for each in zip(*self.chain, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelSources:
    """Where the steps of coarser levels come from, if a slice has only the finest one."""

    repeated: Mapping[str, str]
    """Arrays that are the same at all levels, such as labels: their path at the finest level."""
    windows: Mapping[str, Windows]
    """Arrays that are derived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    fine: Array
    array: Array
    inner: str

    def lengths(self, reduced: set[str]) -> list[tuple[int, int]]:
        sizes = zip(self.array.dims, self.fine.shape, self.array.shape, strict=True)
        return [(n, m) for name, n, m in sizes if name in reduced]


def level_sources(target: Dataset, pyramid: Pyramid, config: Config, where: str) -> LevelSources:
    """Return where the steps of the coarser levels of a pyramid come from.

    Args:
        target: The target.
        pyramid: One of its pyramids.
        config: Settings.
        where: The target, for messages.

    Raises:
        SliceError: A level cannot be derived: no integer factor explains its size, it has a
            variable that the finest level lacks, or the method is not known or not defined.
        ConfigError: The configured method contradicts the target's metadata.
    """
    dim = config.append_dim
    members = members_of(target, pyramid)
    finest = finest_of(members, dim)
    pairs = {
        number: [_pair(array, inner, members[finest], where) for inner, array in arrays.items() if dim in array.dims]
        for number, arrays in enumerate(members)
        if number != finest
    }
    reduced = {
        str(name)
        for several in pairs.values()
        for pair in several
        for name, n, m in zip(pair.array.dims, pair.fine.shape, pair.array.shape, strict=True)
        if n != m and name != dim
    }
    factors = _factors(pyramid, pairs, reduced, finest, where)
    repeated: dict[str, str] = {}
    windows: dict[str, Windows] = {}
    for number, several in pairs.items():
        for pair in several:
            path = pair.array.path
            if not reduced.intersection(pair.array.dims):
                repeated[path] = pair.fine.path
                continue
            encoding = _meaning(target, pyramid, pair, config, where)
            chain = _chain(sorted({1, *(f for f in factors.values() if f <= factors[number])}))
            windows[path] = Windows(
                path=path,
                source=pair.fine.path,
                pyramid=pyramid,
                method=_method(pyramid, pair, encoding, config, where),
                encoding=encoding,
                chain=tuple(tuple(f if name in reduced else 1 for name in pair.array.dims) for f in chain),
            )
    return LevelSources(repeated=repeated, windows=windows)


def derivation_of(windows: Windows, *, rounded: bool = False, rounding: Rounding = "even") -> Derivation:
    """Return how an array is derived.

    Args:
        windows: Its windows.
        rounded: Whether each level is made from the stored cells of the one before.
        rounding: How means and medians of integers are rounded.
    """
    reductions = windows.chain if rounded else (windows.factors,)
    return Derivation(
        source=windows.source,
        reductions=reductions,
        method=windows.method,
        encoding=windows.encoding,
        rounding=rounding,
    )


def members_of(dataset: Dataset, pyramid: Pyramid) -> list[dict[str, Array]]:
    """Return the arrays of each level of a pyramid, by their path below the level."""
    found: list[dict[str, Array]] = [{} for _ in pyramid.levels]
    for path, array in dataset.arrays.items():
        place = dataset.level_of(path)
        if place is not None and place[0] is pyramid:
            found[place[1]][path[len(pyramid.levels[place[1]]) :].lstrip("/")] = array
    return found


def finest_of(members: Sequence[Mapping[str, Array]], dim: str) -> int:
    """Return the number of the level with the most cells per step: ndpyramid stores it last.

    Args:
        members: The arrays of each level.
        dim: The append dimension.
    """
    sizes = [max((_cells(array, dim) for array in each.values()), default=0) for each in members]
    return sizes.index(max(sizes))


def _cells(array: Array, dim: str) -> int:
    return math.prod(n for name, n in zip(array.dims, array.shape, strict=True) if name != dim)


def _pair(array: Array, inner: str, finest: Mapping[str, Array], where: str) -> _Pair:
    fine = finest.get(inner)
    if fine is None or fine.dims != array.dims or fine.dtype != array.dtype:
        raise SliceError(
            "a level cannot be derived: a variable differs from that of the finest level",
            where=f"{where}, {array.path}",
            expected=f"{array.dtype} with dimensions {array.dims}",
            found="no such variable" if fine is None else f"{fine.dtype} with dimensions {fine.dims} in {fine.path}",
            hint=_BRING,
        )
    return _Pair(fine=fine, array=array, inner=inner)


def _factors(
    pyramid: Pyramid, pairs: Mapping[int, Sequence[_Pair]], reduced: set[str], finest: int, where: str
) -> dict[int, int]:
    """Return the factor of each coarser level; powers of 2 are preferred."""
    lengths = {
        number: [each for pair in several for each in pair.lengths(reduced)] for number, several in pairs.items()
    }
    lengths = {number: found for number, found in lengths.items() if found}
    solved: list[tuple[int, dict[int, int]]] = []
    for edge in ("ceil", "floor"):
        factors: dict[int, int] = {}
        last = usual = 1
        for number in sorted(lengths, key=lambda each: abs(each - finest)):
            doubled = 1 << abs(number - finest)
            found = common_factor(lengths[number], (doubled, last), edge)
            if found is None:
                break
            usual += found == doubled
            factors[number] = last = found
        else:
            solved.append((usual, factors))
    if solved:
        return max(solved, key=lambda each: each[0])[1]
    number = min(lengths, key=lambda each: abs(each - finest))
    raise SliceError(
        "a level cannot be derived: no integer factor explains the sizes of the levels",
        where=f"{where}, {pyramid.levels[number] or '/'}",
        expected="the size of the finest level divided by an integer, always rounded up or always down",
        found=", ".join(f"{n} became {m}" for n, m in dict.fromkeys(lengths[number])),
        hint=_BRING,
    )


def _chain(factors: Sequence[int]) -> list[int]:
    """Return the ratios of ascending factors; one for all if one is not a multiple of the last."""
    ratios = [b // a for a, b in pairwise(factors) if b % a == 0]
    return ratios if len(ratios) == len(factors) - 1 else [factors[-1]]


def _meaning(target: Dataset, pyramid: Pyramid, pair: _Pair, config: Config, where: str) -> Encoding:
    """Return the meaning of the stored cells of a variable, which must be the same at all levels.

    xarray, on which most tools are built, takes a v2 fill value for missing; those of OME-Zarr
    take it for a value.
    """
    fills = config.v2_fill_value or ("value" if pyramid.kind == "ome" else "missing")
    fine, own = (meaning_of(target, each.path, fills) for each in (pair.fine, pair.array))
    if fine != own:
        raise SliceError(
            "a level cannot be derived: its cells have another meaning than those of the finest level",
            where=f"{where}, {pair.array.path}",
            expected=f"missing values, packing and units as of {pair.fine.path}",
            found="others",
            hint=_BRING,
        )
    if pair.fine.assumed and fills == "missing" and fine.dtype.kind == "f":  # NaN is missing to all readers
        nan = scalar_of(np.full((), np.nan, fine.dtype))
        return replace(fine, marker=None, missing=(nan, *(each for each in fine.markers if not is_nan(each))))
    return fine


def _method(pyramid: Pyramid, pair: _Pair, encoding: Encoding, config: Config, where: str) -> Method:
    path, inner = pair.fine.path, pair.inner or pyramid.path
    named = pyramid.methods.get(pair.inner) or pyramid.methods.get("")
    configured = next(
        (m for pattern, m in config.levels.get("method", {}).items() if fnmatchcase(inner, pattern)), None
    )
    stored = None if named is None else _SYNONYMS.get(named, named)
    if configured not in {None, "auto"} and stored in METHODS and configured != stored:
        raise ConfigError(
            "the configured method is not that of the target's levels",
            where="levels.method",
            expected=f"{stored!r} for {path}, as in the target's metadata",
            found=repr(configured),
            hint="Remove the setting: levels of one variable must all be made by one method.",
        )
    method = stored if configured in {None, "auto"} else configured
    if method not in METHODS:
        raise SliceError(
            "a level cannot be derived: the method is not known",
            where=f"{where}, {path}",
            expected=", ".join(METHODS),
            found="none in the target's metadata" if method is None else repr(method),
            hint=f"{_BRING} Or name the method of each variable: {{levels.method}}.",
            remedies={"levels.method": {inner or "*": "mean"}},
        )
    found = cast("Method", method)
    try:
        Aggregation(method=found, encoding=encoding).check()
    except EncodingError as error:
        hint = "Choose another method in levels.method." if configured not in {None, "auto"} else _BRING
        raise ConfigError(
            error.what, where=f"{where}, {path}", expected=error.expected, found=error.found, hint=hint
        ) from None
    return found
