"""Small pyramids of every convention, and what readers see of a ``.levels`` dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from kit import cubes

SHAPES = ((5, 6), (3, 3), (2, 2))
"""Rows and columns of the levels: each has half of those of the level before, rounded up."""


def make_levels(
    path: Path, *, shapes: tuple[tuple[int, ...], ...] = SHAPES, document: bool = True, **options: Any
) -> dict[str, cubes.Values]:
    """Write a ``.levels`` dataset as xcube does; return its values by path.

    Args:
        path: Its folder.
        shapes: Lengths of the axes of each level, without the append axis.
        document: Whether to write ``.zlevels``.
        options: Of ``cubes.make_slice``.
    """
    found: dict[str, cubes.Values] = {}
    for number, shape in enumerate(shapes):
        own = {**options, "shape": shape}
        if "chunks" in own:
            own["chunks"] = (own["chunks"][0], *(min(a, b) for a, b in zip(own["chunks"][1:], shape, strict=True)))
        values = cubes.make_slice(path / f"{number}.zarr", **own)
        found |= {f"{number}.zarr/{name}": array for name, array in values.items()}
    if document:
        meta = {"version": "1.0", "num_levels": len(shapes), "use_saved_levels": False, "agg_methods": {"data": "mean"}}
        (path / ".zlevels").write_text(json.dumps(meta, indent=2))
    return found


def axes_of(levels: int = len(SHAPES), **options: Any) -> dict[str, int]:
    """Return the append axis of each array of ``make_levels`` that grows."""
    return {f"{k}.zarr/{name}": axis for k in range(levels) for name, axis in cubes.axes_of(**options).items()}


def as_readers_see(levels: Mapping[int, dict[str, cubes.Values]]) -> dict[str, cubes.Values]:
    """Return what a reader sees that takes its labels from level 0: all arrays, as long as level 0's labels.

    An array that is shorter stays so: it lacks a step that level 0 has.
    """
    steps = len(levels[0]["time"])
    grows = cubes.axes_of()
    return {
        f"{number}.zarr/{name}": array[:steps] if name in grows else array
        for number, arrays in levels.items()
        for name, array in arrays.items()
    }


def make_ome(path: Path, *, zarr_format: int, start: int, steps: int) -> dict[str, cubes.Values]:
    """Write an OME-Zarr image with labels: levels are arrays; axes t, y, x are named by the group alone (0.4)."""
    found: dict[str, cubes.Values] = {}
    root = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    for group, prefix in ((root, ""), (root.create_group("labels/nuclei"), "labels/nuclei/")):
        datasets = []
        for number, shape in enumerate(SHAPES):
            data = cubes.values_of((steps, *shape), "<u2", seed=start * 10 + number)
            names = {"dimension_names": ["t", "y", "x"]} if zarr_format == 3 else {}
            group.create_array(f"s{number}", data=data, chunks=(1, *shape), **names)
            scale = [{"type": "scale", "scale": [1.0, 2.0**number, 2.0**number]}]
            datasets.append({"path": f"s{number}", "coordinateTransformations": scale})
            found[f"{prefix}s{number}"] = data
        axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
        multiscales = [{"axes": axes, "datasets": datasets, "type": "gaussian"}]
        group.attrs.update({"multiscales": multiscales} if zarr_format == 2 else {"ome": {"version": "0.5", "multiscales": multiscales}})  # fmt: skip
    return found


def make_groups(path: Path, attributes: Mapping[str, Any], names: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """Write levels as groups of one hierarchy, described by attributes of the root; return values by path."""
    zarr_format = options.get("zarr_format", 2)
    cubes.write_group(path, zarr_format=zarr_format, attrs=attributes)
    found: dict[str, Any] = {}
    for name, shape in zip(names, SHAPES, strict=True):
        values = cubes.make_slice(path / name, **{**options, "shape": shape})
        found |= {f"{name}/{each}": array for each, array in values.items()}
    return found


LAYOUTS: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "geozarr": (
        {"multiscales": {"layout": [{"asset": n, "derived_from": "0"} for n in "012"], "resampling_method": "average"}},
        ("0", "1", "2"),
    ),
    "ndpyramid": (
        {"multiscales": [{"datasets": [{"path": n} for n in "012"], "metadata": {"method": "pyramid_coarsen"}}]},
        ("2", "1", "0"),
    ),
    "tiles": ({"multiscales": {"tile_matrix_set": {"tileMatrices": [{"id": n} for n in "012"]}}}, ("0", "1", "2")),
}
"""Attributes of a root, and the names of its levels, the largest first."""


def read_levels(path: Path, **how: Any) -> dict[str, cubes.Values]:
    """Read every level of a ``.levels`` dataset."""
    roots = sorted(each for each in path.iterdir() if each.suffix == ".zarr")
    return {f"{root.name}/{name}": array for root in roots for name, array in cubes.read(root, **how).items()}


def same(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Assert that two readings have equal names, shapes and bytes."""
    assert found.keys() == expected.keys()
    wrong = [n for n in found if found[n].shape != expected[n].shape or np.asarray(found[n]).tobytes() != np.asarray(expected[n]).tobytes()]  # fmt: skip
    assert wrong == []
