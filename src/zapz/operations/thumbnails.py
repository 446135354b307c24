"""A small picture of the last step of each variable: at most 256 x 256 cells, at equal distances.

::

    dims (time, level, lat, lon):   time: last step   level: first   lat, lon: rows, columns
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zapz.cf.conversion import Encoding, encoding_or_bare
from zapz.cf.markers import mask
from zapz.checks.reading import Reading
from zapz.errors import ZapzError
from zapz.format.buffers import Cells
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Span
from zapz.format.metadata import Array
from zapz.pictures.numbers import size
from zapz.storage.chunk_reader import ChunkReader

MOST = 256
"""Maximum number of rows, and of columns."""
_BYTES = 1 << 27
"""Maximum size of the chunks decoded for one picture, in bytes. Of a larger step, only the middle
is shown."""
_CHUNKS = 1 << 10
"""Maximum number of chunks (inner chunks, if sharded) read for one picture."""
_VARIABLES = 12
"""Maximum number of variables with a picture."""
_SHORTEST = 4
"""Minimum length of an axis that is drawn, in cells: shorter ones are bounds or components."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A picture of one step of a variable."""

    path: str
    """The variable."""
    dims: tuple[str, str]
    """Dimensions of rows and of columns."""
    shape: tuple[int, int]
    """Lengths of these dimensions in the variable, in cells."""
    step: int | None
    """Index of the step along the append dimension. None if the picture shows all steps, or the
    variable lacks that dimension."""
    whole: bool
    """Whether it shows the whole step, not only its middle."""
    cells: np.ndarray[tuple[int, int], np.dtype[np.float32]] = field(repr=False, compare=False)
    """Unpacked values, NaN where missing: float32, shape (rows, columns), at most 256 of each, the
    first row at the top."""

    @property
    def missing(self) -> float:
        """Fraction of the cells that are missing, from 0 to 1."""
        return float(np.isnan(self.cells).mean())


def thumbnails_of(reading: Reading, dim: str) -> tuple[tuple[Thumbnail, ...], list[str]]:
    """Return pictures of the last step of variables, and notes about pictures that are left out.

    Args:
        reading: Reads the dataset.
        dim: The append dimension.
    """
    found, notes = [], []
    fields = [array for _, array in sorted(reading.dataset.arrays.items()) if _is_field(array, dim)]
    wanted = [array for array in fields if array.unit_bytes <= _BYTES]
    if len(wanted) < len(fields):
        names = ", ".join(array.path or "/" for array in fields if array.unit_bytes > _BYTES)
        notes.append(f"no picture of variables with chunks of more than {size(_BYTES)}: {names}")
    for array in wanted[:_VARIABLES]:
        try:
            found.append(_thumbnail(reading, array, dim))
        except ZapzError as error:
            notes.append(f"no picture of {array.path or '/'}: {error}")
    if len(wanted) > _VARIABLES:
        notes.append(f"pictures are shown for the first {_VARIABLES} of {len(wanted)} variables")
    return tuple(found), notes


def _is_field(array: Array, dim: str) -> bool:
    """Return whether an array can be drawn: numbers, and at least two axes that are long enough."""
    if array.dtype.kind not in "iufb" or array.ndim < 2:  # noqa: PLR2004 - rows and columns
        return False
    return all(array.shape) and all(array.shape[axis] >= _SHORTEST for axis in _axes(array, dim))


def _axes(array: Array, dim: str) -> tuple[int, int]:
    """Return the axes of rows and columns: the last two, if possible not the append dimension."""
    append = array.axis(dim)
    axes = [axis for axis in range(array.ndim) if axis != append or array.ndim == 2][-2:]  # noqa: PLR2004 - rows and columns
    return axes[0], axes[1]


def _thumbnail(reading: Reading, array: Array, dim: str) -> Thumbnail:
    append, axes = array.axis(dim), _axes(array, dim)
    step = array.shape[append] - 1 if append is not None and append not in axes else None
    corner = [step if axis == append and step is not None else 0 for axis in range(array.ndim)]
    spans = _middle(array, axes)
    places = [_places(span) for span in spans]
    stored = _strided(reading.reader(array.path), corner, axes, places)
    encoding = encoding_or_bare(array.dtype, reading.dataset.attributes_of(array.path), array.marker)
    whole = all(span == (0, array.shape[axis]) for span, axis in zip(spans, axes, strict=True))
    names = [array.dims[axis] or f"axis {axis}" for axis in axes]
    return Thumbnail(
        path=array.path,
        dims=(names[0], names[1]),
        shape=(array.shape[axes[0]], array.shape[axes[1]]),
        step=step,
        whole=whole,
        cells=_values(encoding, stored),
    )


def _middle(array: Array, axes: tuple[int, int]) -> list[Span]:
    """Return the ranges of cells to show along both axes: as many middle chunks as may be read."""
    counts, chunks = array.units.counts, array.units.chunks
    spans = [[0, counts[axis]] for axis in axes]
    most = min(_CHUNKS, _BYTES // array.unit_bytes)
    while math.prod(b - a for a, b in spans) > most:
        longer = max(spans, key=lambda span: span[1] - span[0])
        longer[0 if (longer[1] - longer[0]) % 2 == 0 else 1] += 1 if (longer[1] - longer[0]) % 2 == 0 else -1
    return [
        (a * chunks[axis], min(b * chunks[axis], array.shape[axis])) for (a, b), axis in zip(spans, axes, strict=True)
    ]


def _places(span: Span) -> Cells:
    """Return the indices of the cells shown from a range, evenly spaced."""
    length = span[1] - span[0]
    return span[0] + np.arange(min(length, MOST)) * length // min(length, MOST)


def _strided(reader: ChunkReader, corner: Sequence[int], axes: tuple[int, int], places: Sequence[Cells]) -> Cells:
    """Return the stored cells at the crossings of rows and columns; decode each chunk once.

    Args:
        reader: Reads the array.
        corner: Index of a cell of the step; both drawn axes are ignored.
        axes: Axes of rows and of columns.
        places: Indices of the rows, and of the columns.

    Returns:
        Array of shape (rows, columns).
    """
    array = reader.array
    out = np.empty([len(each) for each in places], array.dtype)
    out[...] = fill_cells(array)
    chunks = [array.units.chunks[axis] for axis in axes]
    groups = [_by_chunk(each, chunk) for each, chunk in zip(places, chunks, strict=True)]
    for row, rows in groups[0].items():
        for column, cells_of_row in groups[1].items():
            at = list(corner)
            at[axes[0]], at[axes[1]] = row * chunks[0], column * chunks[1]
            unit = tuple(i // c for i, c in zip(at, array.units.chunks, strict=True))
            cells = reader.unit(unit)
            if cells is None:
                continue
            plane: list[Any] = [i % c for i, c in zip(at, array.units.chunks, strict=True)]
            plane[axes[0]] = plane[axes[1]] = slice(None)
            picked = cells[tuple(plane)][
                np.ix_(places[0][rows] - row * chunks[0], places[1][cells_of_row] - column * chunks[1])
            ]
            out[np.ix_(rows, cells_of_row)] = picked
    return out


def _by_chunk(places: Cells, chunk: int) -> dict[int, Cells]:
    """Return, by chunk number, the positions in ``places`` of the cells in that chunk."""
    numbers = places // chunk
    return {int(number): np.flatnonzero(numbers == number) for number in np.unique(numbers)}


def _values(encoding: Encoding, stored: Cells) -> Cells:
    """Return stored cells unpacked, as float32, NaN where missing (CF sections 2.5.1 and 8.1)."""
    plain = encoding.plain
    cells = stored.reshape(-1).view(plain.dtype) if encoding.reinterpreted else stored.reshape(-1)
    scale, offset = plain.packing
    with np.errstate(over="ignore", invalid="ignore"):
        values = (cells.astype(np.float64) * scale + offset).astype(np.float32)
    values[mask(cells, plain.markers)] = np.nan
    return values.reshape(stored.shape)
