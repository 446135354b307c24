"""One array of a target: form, storage, and what the next append does to its chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from zapz.cf.calendars import UNITS
from zapz.cf.conversion import Encoding, encoding_or_bare
from zapz.errors import ChunkError, UnsupportedError
from zapz.format import shards
from zapz.format.codec_words import codec_words
from zapz.format.documents import foreign_document
from zapz.format.metadata import Array, Dataset
from zapz.storage.chunk_reader import ChunkReader, require_codecs
from zapz.storage.store import Store

_USUAL = ("", "standard", "proleptic_gregorian")
"""Calendars that are not shown."""
_LONGEST = 24
"""Maximum length of a fill value that is shown whole, in characters."""

NextAppend = Literal["", "copied", "joined", "encoded", "refused"]
"""What the next append does with a slice that is stored like the target: "copied" (its chunks
become the target's), "joined" (its inner chunks are copied into shards), "encoded", "refused" (its
chunks would be encoded, and a codec is not known), or "" (the array does not grow)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableInfo:
    """One array."""

    path: str
    """Path below the root."""
    dims: tuple[str | None, ...]
    """Dimension names."""
    shape: tuple[int, ...]
    """Lengths of the axes."""
    dtype: str
    """Data type."""
    chunks: tuple[int, ...]
    """Chunk (or shard) shape."""
    inner_chunks: tuple[int, ...] | None
    """Inner chunk shape, if sharded."""
    codecs: str
    """Codec chain, as text."""
    grows: bool
    """Whether it has the append dimension."""
    dead_bytes: int = 0
    """Bytes of one of the last shards that its index does not refer to. The next inner chunks that
    fit are written there."""
    fill: str = ""
    """Fill value as text; empty if the format leaves it undefined."""
    missing: str = ""
    """Stored value that marks missing cells, as text; empty if there is none."""
    scale: float | None = None
    """CF scale_factor; None if there is none."""
    offset: float | None = None
    """CF add_offset; None if there is none."""
    units: str = ""
    """Units; for times followed by the calendar, unless it is the usual one."""
    whole: str = ""
    """Unit of time, such as "days", if labels can only be whole numbers of it; else empty."""
    next_append: NextAppend = ""
    """What the next append does to its chunks, if the slice is stored like the target: same chunks,
    codecs, units, packing and fill value."""
    append_axis: int | None = None
    """Axis of the append dimension; None if it does not grow."""
    chunk_steps: int = 0
    """Length of a chunk (shard) along the append dimension, in steps; 0 if it does not grow."""
    inner_steps: int = 0
    """Length of an inner chunk (of a chunk, if not sharded) along the append dimension, in steps; 0
    if it does not grow."""
    boundary_steps: int = 0
    """Number of steps in the boundary chunk (shard); 0 if the last chunk is full."""
    stored_chunks: int | None = None
    """Number of chunks (shards) that exist; None if not requested, or if they cannot be listed."""
    missing_chunks: int | None = None
    """Number of chunks (shards) within the shape that do not exist, and so read as the fill value;
    None as for ``stored_chunks``."""
    stored_bytes: int | None = None
    """Size of the chunks that exist, in bytes; None if it is not known."""


def variable_info(store: Store, dataset: Dataset, array: Array, dim: str) -> VariableInfo:
    """Return the description of an array.

    Args:
        store: Store of the dataset.
        dataset: The dataset.
        array: One of its arrays.
        dim: The append dimension.

    Raises:
        ChunkError: The index of the last shard is damaged.
        StoreError: Storage failed.
    """
    axis = array.axis(dim)
    config = array.codecs.shards
    attributes = dataset.attributes_of(array.path)
    encoding = encoding_or_bare(array.dtype, attributes, array.marker)
    chunk = array.grid.chunks[axis] if axis is not None else 0
    inner = array.units.chunks[axis] if axis is not None else 0
    return VariableInfo(
        path=array.path,
        dims=array.dims,
        shape=array.shape,
        dtype=str(array.dtype) if array.dtype.kind != "O" else array.unit_codecs.serializer,
        chunks=array.grid.chunks,
        inner_chunks=None if config is None else config.inner_shape,
        codecs=codec_words(array),
        grows=axis is not None,
        dead_bytes=_dead_bytes(store, dataset, array, axis) if config is not None and axis is not None else 0,
        fill=_text(array.fill.value),
        missing=_text(encoding.markers[0]) if encoding.markers and not array.is_label else "",
        scale=encoding.scale,
        offset=encoding.offset,
        units=_units(encoding),
        whole=_whole(encoding) if array.is_label else "",
        next_append=_next(dataset, array, array.shape[axis], chunk, inner) if axis is not None else "",
        append_axis=axis,
        chunk_steps=chunk,
        inner_steps=inner,
        boundary_steps=array.shape[axis] % chunk if axis is not None else 0,
    )


def _next(dataset: Dataset, array: Array, length: int, chunk: int, inner: int) -> NextAppend:
    if length % chunk == 0:
        return "copied"
    if chunk != inner and length % inner == 0:
        return "joined"
    try:
        require_codecs(array, foreign_document(dataset.documents, array.path), "")
    except (UnsupportedError, ChunkError):
        return "refused"
    return "encoded"


def _text(value: Any) -> str:
    """Return a fill value as text."""
    if value is None:
        return ""
    if isinstance(value, str | bytes) and not isinstance(value, np.generic):
        text = repr(value)
    else:
        text = "NaN" if isinstance(value, np.floating) and np.isnan(value) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _units(encoding: Encoding) -> str:
    text = encoding.units or encoding.other_units or ""
    calendar = encoding.calendar or ""
    return text if calendar in {*_USUAL, "duration"} else f"{text} ({calendar})"


def _whole(encoding: Encoding) -> str:
    """Return the unit whose whole numbers alone can be labels, if it is longer than a second."""
    axis = encoding.axis
    if axis is None or axis.opaque or encoding.dtype.kind not in "iu" or encoding.packing != (1.0, 0.0):
        return ""
    found = [unit for unit, seconds in UNITS.items() if seconds == axis.step and seconds > 1]
    return found[0] if found else ""


def _dead_bytes(store: Store, dataset: Dataset, array: Array, axis: int) -> int:
    """Return the unreferenced bytes in one of the last shards, which shows the trend."""
    config = array.codecs.shards
    if config is None or not array.shape[axis] or not all(array.grid.counts):
        return 0
    reader = ChunkReader(store, array, foreign_document(dataset.documents, array.path), store.uri)
    index, size = reader.shard_index(tuple(n - 1 if i == axis else 0 for i, n in enumerate(array.grid.counts)))
    return 0 if index is None else size - shards.index_bytes(config, reader.array.units_per_chunk) - index.live_bytes
