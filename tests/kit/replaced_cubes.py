"""Targets that are replaced, and where what replaces them is built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import zapz
from kit import cubes
from kit.crash_states import become, look, tree_of
from kit.trees import Tree, differ

NEXT = ".cube.zarr.zapz-new"
"""Where the new target is built."""


ALONE: dict[str, Any] = {"workers": 1}


OLD: dict[str, Any] = {"zarr_format": 2, "shape": (2,), "chunks": (3, 1), "static": False, "time_chunk": 2}


NEW: dict[str, Any] = {"zarr_format": 3, "shape": (3, 2), "chunks": (1, 3, 2), "static": False, "nested": True}


class Place:
    """A folder with a target, and slices elsewhere."""

    def __init__(self, folder: Path, old: dict[str, Any] | None = OLD, slices: int = 2, **new: Any) -> None:
        self.around = folder / "around"
        self.around.mkdir()
        self.target = self.around / "cube.zarr"
        self.values: list[dict[str, Any]] = []
        self.slices = [folder / f"new{n}.zarr" for n in range(slices)]
        for number, path in enumerate(self.slices):
            self.values.append(cubes.make_slice(path, start=number * 2, steps=2, **{**NEW, **new}))
        if old is not None:
            self.old = folder / "old.zarr"
            cubes.make_slice(self.old, start=50, steps=4, **old)
            zapz.append(self.target, self.old, label_chunk="keep")
        self.before = look(self.around)

    def renew(self, *slices: Any, **settings: Any) -> zapz.Report:
        """Replace the target."""
        return zapz.append(self.target, list(slices or self.slices), force_new=True, **ALONE, **settings)

    def fresh(self, number: int) -> Tree:
        """Return what the folder holds if the target was made of that many slices in an empty place."""
        become(self.around, {".": (None, 0)})
        zapz.append(self.target, self.slices[:number], **ALONE)
        found = tree_of(look(self.around))
        become(self.around, self.before)
        return found

    def names(self) -> list[str]:
        """Return what lies around the target, itself included."""
        return sorted(os.listdir(self.around))

    def untouched(self) -> str:
        """Say how it differs from what it was."""
        return differ(tree_of(look(self.around)), tree_of(self.before))
