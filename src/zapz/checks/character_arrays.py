"""Text as arrays of single characters, as netCDF has it, against text as items of a fixed length: the same in two forms.

Which form a slice has is its writer's choice. Where it is not the target's, the slice is seen in
the target's form::

    name(station, strlen) of S1:   b o n n . .    <-->    name(station) of S6:   bonn

So do readers that follow xarray: characters along the last dimension are one text, filled up with
    NUL bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from zapz.checks.reading import Reading
from zapz.errors import EncodingError, NotFoundError
from zapz.format import documents as doors
from zapz.format import jsontext
from zapz.format.buffers import Cells
from zapz.format.codecs import CodecChain
from zapz.format.grid import Box, RegularGrid
from zapz.format.metadata import Array, Dataset, FillValue, parent
from zapz.sources.open_slice import OpenSlice
from zapz.sources.source import Source
from zapz.storage.store import RegionStore

_CHARACTER = np.dtype("S1")
_MARKERS = ("_FillValue", "missing_value")
"""Attributes that hold texts, or characters, of the other form."""


def in_form_of(source: OpenSlice, target: Dataset, dim: str) -> OpenSlice:
    """Return a slice with its texts in the target's form; the slice itself if they are.

    Args:
        source: The slice.
        target: The target.
        dim: The append dimension.
    """
    arrays = {
        path: made
        for path, array in target.arrays.items()
        if (mine := source.dataset.arrays.get(path)) is not None and (made := _formed(mine, array, dim)) is not None
    }
    if not arrays:
        return source
    from zapz.sources.source_store import SourceStore  # imported where used: most texts have the target's form

    seen = _SeenTexts(source, arrays)
    dataset = doors.read(seen.documents())
    store = SourceStore(seen, dataset)
    return replace(source, store=store, given=store, dataset=dataset)


def _formed(source: Array, target: Array, dim: str) -> Array | None:
    """Return how a slice's text is to be seen; None if it has the target's form, or is no text of fixed length."""
    if source.dtype.kind != "S" or target.dtype.kind != "S":
        return None
    sizes = [(d, n) for d, n in zip(source.dims, source.shape, strict=True) if d != dim]
    if source.dims == target.dims and sizes == [(d, target.shape[target.dims.index(d)]) for d, _ in sizes]:
        return None
    chars = source.dtype == _CHARACTER and source.ndim > 0 and source.dims[-1] != dim and source.shape[-1] > 0
    dims, shape, chunks = source.dims, source.shape, source.grid.chunks
    spread = target.ndim > 0 and target.dims[-1] == dim
    if chars and dims[:-1] == target.dims:
        dtype, shape, chunks = np.dtype(f"S{shape[-1]}"), shape[:-1], chunks[:-1]
    elif (
        target.dtype == _CHARACTER
        and target.ndim
        and not spread
        and target.dims[:-1] in {dims, dims[:-1] if chars else dims}
    ):
        length = target.shape[-1]
        whole = dims == target.dims[:-1]
        dtype = _CHARACTER
        shape = (*(shape if whole else shape[:-1]), length)
        chunks = (*(chunks if whole else chunks[:-1]), max(1, length))
    else:
        return None
    return replace(
        source,
        dims=target.dims,
        dtype=dtype,
        grid=RegularGrid(shape=shape, chunks=chunks),
        codecs=CodecChain(endian=None),
        fill=FillValue.of(np.zeros(1, dtype)[0]),
        marker=None,
    )


@dataclass
class _SeenTexts(Source):
    """A slice some of whose texts are seen in another form; all other arrays are what they are."""

    slice: OpenSlice
    """The slice."""
    arrays: Mapping[str, Array]
    """What is seen in another form, and how."""

    def __post_init__(self) -> None:
        self.uri = self.slice.uri

    def documents(self) -> Mapping[str, bytes]:
        """Return the slice's documents as they are now, with those of the other form in place of the stored ones."""
        known = self.slice.dataset.documents
        found = dict(self.slice.documents(known))
        door = doors.of(self.slice.dataset.zarr_format)
        for path, array in self.arrays.items():
            stored = {key: data for key, data in known.items() if parent(key) == path}
            if all(found.get(key) == data for key, data in stored.items()):
                text = door.attributes_text(known, path)
                members = {m.key: text[m.start : m.end] for m in jsontext.members(text) if m.key not in _MARKERS}
                found |= door.write_array(array, jsontext.joined(members, indent=2))
        return found

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return stored bytes of an array that is what it is."""
        if any(array.index(key) is not None for array in self.arrays.values()):
            raise KeyError(key)
        try:
            return self.slice.store.read(key, offset, length)
        except NotFoundError as error:
            raise KeyError(key) from error

    def cells(self, path: str, box: Box) -> Cells | None:
        """Return texts in their other form; of an array that is what it is, what the slice itself gives."""
        made = self.arrays.get(path)
        if made is None:
            store = self.slice.store
            return cast("RegionStore", store).cells(path, box) if store.abilities.regions else None
        stored, reading = self.slice.dataset.arrays[path], Reading(self.slice.store, self.slice.dataset)
        along = box if made.dtype != _CHARACTER else box[:-1]
        if stored.ndim == len(along):
            texts = reading.cells(path, along)
        else:
            whole = np.ascontiguousarray(reading.cells(path, (*along, (0, stored.shape[-1]))))
            texts = whole.view(f"S{stored.shape[-1]}")[..., 0]
        if made.dtype != _CHARACTER:
            return texts
        start, stop = box[-1]
        return _characters(texts, made.shape[-1], f"{self.uri}, {path}")[..., start:stop]


def _characters(texts: Cells, length: int, where: str) -> Cells:
    """Return texts as characters along a last axis of some length.

    Raises:
        EncodingError: A text is longer.
    """
    cut = texts.astype(f"S{max(1, length)}")
    longer = cut != texts
    if longer.any():
        raise EncodingError(
            "text is too long",
            where=where,
            expected=f"at most {length} bytes",
            found=repr(bytes(texts[longer][0])),
            hint="Make the target anew from a slice with longer texts, and append all slices again.",
        )
    return np.ascontiguousarray(cut).view(_CHARACTER).reshape(*texts.shape, max(1, length))
