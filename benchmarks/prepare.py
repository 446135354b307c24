"""Make the benchmark data: Zarr slices and targets, written with zarr-python.

Runs in the environment of the peers, with a JSON list of recipes on standard input. A recipe that
has been followed already (its text lies beside the result) is not followed again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr

# One inode takes 65,000 names on ext4, so a linked chunk is copied anew after this many.
LINKS_PER_FILE = 60_000
# The most cells that are made at once.
CELLS_AT_ONCE = 1 << 24
V2 = 2
# The dtypes of labels and axes; variables are float32.
DTYPES = {"time": "int64", "y": "float64", "x": "float64"}
TIME_UNITS = "seconds since 2000-01-01"


def main() -> None:
    """Follow every recipe of standard input whose result is not there yet."""
    for recipe in json.load(sys.stdin):
        path = Path(recipe["path"])
        note = path.with_name(path.name + ".recipe.json")
        text = json.dumps(recipe, sort_keys=True)
        if path.exists() and note.exists() and note.read_text() == text:
            continue
        note.unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path, recipe)
        note.write_text(text)


def make(path: Path, recipe: dict[str, Any]) -> None:
    """Write one dataset.

    Args:
        path: Where the dataset goes.
        recipe: Its `zarr_format`, `variables`, `shape` of one variable (time first), `chunks`,
            `shards` (or None), `codec`, first label `start`, `label_chunk`, `seed`, `coordinates`
            (whether y and x exist), and `files`: None for real random data, else how many of the
            last chunks of all variables exist as names of one file.
    """
    group = zarr.create_group(str(path), zarr_format=recipe["zarr_format"])
    steps, height, width = recipe["shape"]
    for name in recipe["variables"]:
        array = create(group, recipe, recipe["shape"], ("time", "y", "x"), name)
        if recipe["files"] is None:
            fill_random(array, recipe)
    label_recipe = {**recipe, "shards": None, "chunks": [recipe["label_chunk"]]}
    labels = create(group, label_recipe, [steps], ("time",), "time")
    labels.attrs.update({"units": TIME_UNITS, "calendar": "proleptic_gregorian"})
    labels[:] = recipe["start"] + np.arange(steps)
    if recipe["coordinates"]:
        for name, size in (("y", height), ("x", width)):
            axis = create(group, {**recipe, "shards": None, "chunks": [size]}, [size], (name,), name)
            axis[:] = np.linspace(0.0, 1.0, size)
    if recipe["files"]:
        link_chunks(path, recipe)
    if recipe["zarr_format"] == V2:
        zarr.consolidate_metadata(str(path))


def create(group: Any, recipe: dict[str, Any], shape: list[int], dims: tuple[str, ...], name: str) -> Any:
    """Create one array with the recipe's format, chunks, shards and codec."""
    v2 = recipe["zarr_format"] == V2
    dtype = DTYPES.get(name, "float32")
    array = group.create_array(
        name,
        shape=tuple(shape),
        dtype=dtype,
        chunks=tuple(recipe["chunks"]),
        shards=tuple(recipe["shards"]) if recipe["shards"] else None,
        compressors=codec(recipe["codec"], dtype, v2=v2),
        dimension_names=None if v2 else dims,
        fill_value=np.nan if dtype.startswith("float") else 0,
    )
    if v2:
        array.attrs["_ARRAY_DIMENSIONS"] = list(dims)
    return array


def codec(name: str, dtype: str, *, v2: bool) -> Any:
    """Return the compressor for zarr-python, or None for raw chunks."""
    size = np.dtype(dtype).itemsize
    if name == "raw":
        return None
    if v2:
        made = {
            "blosc": numcodecs.Blosc(cname="lz4", clevel=5, shuffle=numcodecs.Blosc.SHUFFLE),
            "zlib": numcodecs.Zlib(level=5),
            "zstd": numcodecs.Zstd(level=3),
        }
        return made[name]
    if name == "blosc":
        return zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=size)
    return {"gzip": zarr.codecs.GzipCodec(level=5), "zstd": zarr.codecs.ZstdCodec(level=3)}[name]


def fill_random(array: Any, recipe: dict[str, Any]) -> None:
    """Fill an array chunk by chunk with noise that a byte shuffle compresses by about a quarter."""
    seed = [recipe["seed"], *array.name.encode()]
    generator = np.random.default_rng(seed)
    steps, height, width = array.shape
    unit = array.shards or array.chunks
    depth = unit[0]
    rows = max(1, CELLS_AT_ONCE // (depth * width * unit[1])) * unit[1]
    for step in range(0, steps, depth):
        for row in range(0, height, rows):
            size = (min(depth, steps - step), min(rows, height - row), width)
            values = generator.random(size, dtype=np.float32)
            values += 1
            array[step : step + size[0], row : row + size[1]] = values


def link_chunks(path: Path, recipe: dict[str, Any]) -> None:
    """Give the last chunks of each variable names; all of them are one valid chunk, linked.

    Only for format 2 and chunks of one step that span the other dimensions.
    """
    each = -(-recipe["files"] // len(recipe["variables"]))
    steps = recipe["shape"][0]
    first = max(0, steps - each)
    for name in recipe["variables"]:
        array = zarr.open_array(str(path / name), mode="r+")
        array[first] = np.random.default_rng(recipe["seed"]).random(array.shape[1:], dtype=np.float32)
        source = path / name / f"{first}.0.0"
        content = source.read_bytes()
        for count, step in enumerate(range(first + 1, steps), start=1):
            chunk = path / name / f"{step}.0.0"
            if count % LINKS_PER_FILE == 0:
                chunk.write_bytes(content)
                source = chunk
            else:
                os.link(source, chunk)


if __name__ == "__main__":
    main()
