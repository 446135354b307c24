"""Description of a pyramid: sizes, factors and lengths of its levels, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.format.metadata import Array, Dataset
from zapz.format.pyramid import Pyramid


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelInfo:
    """One level of a pyramid."""

    path: str
    """The level: a group, or an array."""
    sizes: Mapping[str, int]
    """Sizes of the dimensions that differ between levels, in cells."""
    factors: Mapping[str, float]
    """Cells of level 0 per cell of this level, by dimension."""
    length: int | None
    """Length along the append dimension, in steps; None if nothing in the level grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidInfo:
    """The same data at several resolutions."""

    path: str
    """The group that describes it; "" is the root."""
    kind: str
    """Whose convention describes it: "xcube", "ome", "ndpyramid" or "geozarr"."""
    levels: tuple[LevelInfo, ...]
    """Its levels, in the stored order."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """How the cells of the other levels were made, by variable, or for all variables (""). Empty if
    the metadata do not say so."""


def pyramids_of(dataset: Dataset, dim: str) -> tuple[PyramidInfo, ...]:
    """Return descriptions of the pyramids of a dataset.

    Args:
        dataset: The dataset.
        dim: The append dimension.
    """
    members: dict[str, list[Array]] = {}
    for path, array in dataset.arrays.items():
        if (place := dataset.level_of(path)) is not None:
            members.setdefault(place[0].levels[place[1]], []).append(array)
    return tuple(_info(pyramid, members, dim) for pyramid in dataset.pyramids)


def _info(pyramid: Pyramid, members: Mapping[str, list[Array]], dim: str) -> PyramidInfo:
    sizes = [_sizes(members.get(level, [])) for level in pyramid.levels]
    names = [name for name in sizes[0] if name != dim and len({each.get(name) for each in sizes}) > 1]
    finest = {name: max(each.get(name, 0) for each in sizes) for name in names}
    levels = tuple(
        LevelInfo(
            path=level,
            sizes={name: own[name] for name in names if name in own},
            factors={name: round(finest[name] / own[name], 3) for name in names if own.get(name)},
            length=own.get(dim),
        )
        for level, own in zip(pyramid.levels, sizes, strict=True)
    )
    return PyramidInfo(path=pyramid.path, kind=pyramid.kind, levels=levels, methods=pyramid.methods)


def _sizes(arrays: list[Array]) -> dict[str, int]:
    """Return the sizes of the dimensions of arrays, those of the largest array first."""
    ordered = sorted(arrays, key=lambda array: -array.ndim)
    found: dict[str, int] = {}
    for array in ordered:
        for name, size in zip(array.dims, array.shape, strict=True):
            if name is not None:
                found.setdefault(name, size)
    return found
