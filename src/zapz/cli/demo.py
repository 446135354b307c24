"""``zapz demo``: create a few daily slices, append them, and show the result."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zapz.errors import StoreError
from zapz.format import codecs
from zapz.format import documents as doors
from zapz.format.buffers import octets
from zapz.format.codecs import Codec, CodecChain
from zapz.format.grid import RegularGrid, indices, slices
from zapz.format.jsontext import JSON, dumps
from zapz.format.metadata import Array, FillValue

if TYPE_CHECKING:
    from zapz.pictures.look import Look

DAYS = 5
"""Number of daily slices."""
_PICTURE = 72
"""Maximum width of the picture, in columns of text."""
_ROWS, _COLUMNS, _CHUNK = 90, 180, 45
"""Size of a slice in latitude and longitude, and length of its chunks, in cells."""
_BLOSC = CodecChain(
    endian="little", stages=(Codec(id="blosc", config={"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}),)
)


def run(folder: Path, say: Callable[[str], None], zapz: Callable[[Sequence[str]], None], look: Look) -> None:
    """Create slices, append them to ``folder/cube.zarr``, show outputs and a picture.

    Args:
        folder: A folder that does not exist yet.
        say: Prints a line.
        zapz: Runs a command of the command line and prints its output.
        look: What the terminal, or the pipe, can show.

    Raises:
        StoreError: The folder exists already.
    """
    if folder.exists():
        raise StoreError(
            "the demo's folder exists already", where=str(folder), hint="Give another one: zapz demo DIR, or remove it."
        )
    target, (*days, late) = folder / "cube.zarr", write_slices(folder)
    made = f"Created {DAYS} daily slices of sea surface temperature in {folder}: {_ROWS} x {_COLUMNS} cells, chunks of {_CHUNK} x {_CHUNK}."
    for line in [*look.wrapped(made), ""]:
        say(line)
    for line in _drawing(3 if look.width is None else min(3, (look.width - 12) // 14)):
        say(line)
    words = "Temperature chunks are copied byte for byte. Many time labels share one chunk, which is re-encoded."
    for line in [*look.wrapped(words), ""]:
        say(line)

    def show(shown: str, *words: object) -> None:
        say(f"$ zapz {shown}")
        zapz([str(word) for word in words])
        say("")

    show(f"append {target} {folder}/2024-06-*.zarr", "append", target, *days)
    show(f"info {target}", "info", target)
    show(f"append {target} {days[-1]}     # the same slice again", "append", target, days[-1])
    show(f"append {target} {late}     # the second day with other values: refused", "append", target, late)
    _show_last_step(target, say, look)
    say(f"Show it as a page:  zapz info --html cube.html {target}")
    say(f"Read it:  {sys.executable} -c \"import zarr; print(zarr.open('{target}')['sst'])\"")


def _drawing(days: int) -> list[str]:
    """Return a drawing of the chunks of some days."""
    rule, row = " ".join(["+--+--+--+--+"] * days), " ".join(["|  |  |  |  |"] * days)
    head = "         ".join(f"day {day + 1}" for day in range(days))
    start = " " * 13
    return [f"   time ->     {head}", start + rule, f"   latitude  {row}", start + rule, start + row, start + rule, ""]


def _show_last_step(target: Path, say: Callable[[str], None], look: Look) -> None:
    """Draw the last step of the cube, read back from its chunks."""
    from zapz.api import info  # imported where used: slices are also written without a demo
    from zapz.pictures.image import blocks

    for picture in info(target, thumbnails=True).thumbnails:
        for line in look.wrapped(f"The last step of {picture.path} in the cube, north at the top:"):
            say(line)
        width = min(look.width or _PICTURE, _PICTURE)
        for line in blocks(picture.cells, look, width, width // 4):
            say(line)
        say("")


def write_slices(folder: Path) -> list[Path]:
    """Write daily slices and another one of the second day to a new folder; return their paths."""
    folder.mkdir(parents=True)
    days = [folder / f"2024-06-{day + 1:02d}.zarr" for day in range(DAYS)]
    for day, path in enumerate(days):
        write_slice(path, day)
    write_slice(folder / "late.zarr", 1, change=0.5)
    return [*days, folder / "late.zarr"]


def write_slice(path: Path, day: int, change: float = 0.0) -> None:
    """Write one day as a Zarr v2 dataset with consolidated metadata.

    Args:
        path: The dataset.
        day: Label of the day, in days since 2024-06-01.
        change: Value added to all temperatures, in degrees Celsius.
    """
    y, x = np.meshgrid(np.linspace(89, -89, _ROWS), np.linspace(-179, 179, _COLUMNS), indexing="ij")
    sst = (30 * np.cos(np.radians(y)) ** 2 + 2 * np.sin(np.radians(x) + 2 * math.pi * day / DAYS) + change).astype(
        np.float32
    )
    variables: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, JSON]]] = {
        "time": (
            ("time",),
            np.array([day], dtype=np.int64),
            {"units": "days since 2024-06-01", "calendar": "proleptic_gregorian"},
        ),
        "lat": (("lat",), y[:, 0].copy(), {"units": "degrees_north"}),
        "lon": (("lon",), x[0].copy(), {"units": "degrees_east"}),
        "sst": (("time", "lat", "lon"), sst[None], {"units": "degC", "long_name": "sea surface temperature"}),
    }
    door = doors.of(2)
    documents = door.write_group("", dumps({"title": "zapz demo"}))
    for name, (dims, cells, attributes) in variables.items():
        chunks = tuple(min(n, _CHUNK) for n in cells.shape)
        array = Array(
            path=name,
            dims=dims,
            dtype=cells.dtype,
            grid=RegularGrid(shape=cells.shape, chunks=chunks),
            keys=door.KEYS,
            codecs=_BLOSC,
            fill=FillValue.of(np.float32("nan") if cells.dtype.kind == "f" and name == "sst" else None),
            marker=None,
            attributes=attributes,
        )
        documents |= door.write_array(array, dumps(attributes))
        (path / name).mkdir(parents=True)
        for index in indices(tuple((0, n) for n in array.grid.counts)):
            chunk = np.zeros(chunks, cells.dtype)
            block = cells[slices(array.grid.box(index))]
            chunk[tuple(slice(0, n) for n in block.shape)] = block
            data = codecs.encode(_BLOSC, cells.dtype, chunk)
            (path / array.key(index)).write_bytes(octets(data))
    documents |= door.consolidate(documents, create=("",))
    for key, data in documents.items():
        (path / key).write_bytes(data)
