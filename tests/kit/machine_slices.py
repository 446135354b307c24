"""Slices for the state machine: of many forms, with holes, and such as may not follow."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from kit import cubes

HOLE = -1
"""Stands in the model for a cell without a value, whatever the target's marker is."""
HEIGHT, WIDTH = 2, 3
ROWS = np.array([1.0, 2.0])


class Form(NamedTuple):
    """How a slice is stored, and a target that is made from it."""

    zarr_format: int
    chunks: tuple[int, int, int]
    codec: str = "none"
    shards: tuple[int, int, int] | None = None
    fill: int = -7
    more: dict[str, Any] = {}  # noqa: RUF012 - constants
    dtype: str = "<i2"


FORMS = (
    Form(2, (1, 2, 3)),
    Form(3, (1, 2, 3)),
    Form(2, (2, 2, 2), "zstd"),
    Form(3, (2, 2, 3), "zstd"),
    Form(2, (5, 2, 3), "blosc", fill=-9),
    Form(3, (4, 1, 3), "gzip", fill=-9, more={"key_style": "v2"}),
    Form(2, (3, 1, 3), "zlib", more={"order": "F", "separator": "/"}, dtype=">i2"),
    Form(3, (3, 2, 3), more={"order": "F"}),
    Form(3, (1, 2, 3), "zstd", shards=(4, 2, 3)),
    Form(3, (2, 1, 3), shards=(6, 2, 3), more={"index_location": "start"}),
)


class Recipe(NamedTuple):
    """What a slice is made from."""

    form: int
    steps: int
    hole: str
    seed: int
    gap: int
    kind: str = "good"


RECIPES = st.builds(
    Recipe,
    form=st.integers(0, len(FORMS) - 1),
    steps=st.integers(1, 5),
    hole=st.sampled_from(["none", "none", "all", "first", "side"]),
    seed=st.integers(0, 2),
    gap=st.integers(1, 2),
    kind=st.just("good"),
)
BAD = ["grid", "static", "dtype", "overlap", "before", "changed"]


@dataclass(frozen=True)
class Part:
    """Steps that are appended: a slice, or another tool's."""

    number: int
    labels: tuple[int, ...]
    values: cubes.Values
    fill: int = 0
    path: str = ""


def _stored(cells: Any, form: Form, recipe: Recipe) -> Any:
    """Cells as the form stores them, or of a type that the target can never hold."""
    return cells.astype("<c16" if recipe.kind == "dtype" else form.dtype)


class Slices:
    """Slices by zarr-python: one of each kind is written, and copied with other labels."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[Any, ...], tuple[Path, cubes.Values]] = {}

    def make(self, path: Path, number: int, recipe: Recipe, start: int) -> Part:
        """Make a slice."""
        template, values = self._template(recipe)
        shutil.copytree(template, path, copy_function=shutil.copyfile)
        labels = np.arange(start, start + recipe.steps, dtype="<i8")
        chunk = path / ("time/0" if FORMS[recipe.form].zarr_format == 2 else "time/c/0")
        chunk.write_bytes(labels.tobytes())
        return Part(number, tuple(labels.tolist()), values, FORMS[recipe.form].fill, str(path))

    def _template(self, recipe: Recipe) -> tuple[Path, cubes.Values]:
        key = (recipe.form, recipe.steps, recipe.hole, recipe.seed, recipe.kind)
        if key not in self._made:
            self._made[key] = self._written(self._folder / "-".join(map(str, key)), recipe)
        return self._made[key]

    def _written(self, path: Path, recipe: Recipe) -> tuple[Path, cubes.Values]:
        form, width = FORMS[recipe.form], WIDTH + (recipe.kind == "grid")
        values = cubes.values_of((recipe.steps, HEIGHT, width), "<i8", recipe.seed * 7 + recipe.steps)
        holes = {"none": slice(0), "all": ..., "first": slice(0, (recipe.steps + 1) // 2), "side": (slice(None), 0)}
        values[holes[recipe.hole]] = HOLE
        plain: dict[str, Any] = {"zarr_format": form.zarr_format}
        cubes.write_group(path, **plain)
        cubes.write_array(
            path, "time", np.arange(recipe.steps), dims=["time"], attrs={"units": "days since 2020-01-01"},
            fill=None if form.zarr_format == 2 else "default", **plain,
        )  # fmt: skip
        y = ROWS + (0.5 if recipe.kind == "static" else 0.0)
        cubes.write_array(path, "y", y, dims=["y"], **plain)
        cubes.write_array(
            path, "data", _stored(np.where(values == HOLE, form.fill, values), form, recipe),
            dims=["time", "y", "x"], chunks=form.chunks, shards=form.shards, fill=form.fill, write_empty=False,
            compressors=cubes.compressor(form.codec, form.zarr_format),
            attrs={"_FillValue": form.fill}, **form.more, **plain,
        )  # fmt: skip
        if recipe.seed % 2:
            cubes.consolidate(path, zarr_format=form.zarr_format)
        return path, values
