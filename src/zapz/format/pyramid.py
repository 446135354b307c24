"""A pyramid: nodes of a hierarchy that contain the same data at several resolutions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pyramid:
    """The same data at several resolutions."""

    path: str
    """Group that describes it; "" is the root."""
    kind: Literal["xcube", "ome", "ndpyramid", "geozarr"]
    """Whose convention describes it."""
    levels: tuple[str, ...]
    """Paths of its levels, in the stored order: groups, or arrays (OME-Zarr)."""
    missing: tuple[str, ...] = ()
    """Paths of levels that the metadata name and that have no array."""
    axes: tuple[str, ...] = ()
    """Names of the axes of its arrays (OME-Zarr)."""
    methods: Mapping[str, str] = field(default_factory=dict)
    """How cells of the other levels were made, by variable, or for all variables ("")."""
