"""Convert text between two forms: arrays of single characters (netCDF) and fixed-length strings.

The writer of a slice chooses the form. If it differs from the target's, zapz presents the slice in
the target's form::

    name(station, strlen) of S1:   b o n n . .    <-->    name(station) of S6:   bonn

Readers that follow xarray do the same: the characters along the last dimension are one string,
padded with NUL bytes.
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
"""Attributes that a converted array drops, because their values have the stored form."""


def in_form_of(source: OpenSlice, target: Dataset, dim: str) -> OpenSlice:
    """Return a slice with its texts in the target's form; the slice itself if they already are.

    Args:
        source: The slice.
        target: The target.
        dim: The append dimension.
    """
    arrays = {
        path: formed
        for path, array in target.arrays.items()
        if (slice_array := source.dataset.arrays.get(path)) is not None
        and (formed := _formed(slice_array, array, dim)) is not None
    }
    if not arrays:
        return source
    from zapz.sources.source_store import SourceStore  # imported where used: most texts have the target's form

    seen = _SeenTexts(source, arrays)
    dataset = doors.read(seen.documents())
    store = SourceStore(seen, dataset)
    return replace(source, store=store, given=store, dataset=dataset)


def _formed(source: Array, target: Array, dim: str) -> Array | None:
    """Return a text array of a slice in the target's form.

    Returns:
        None if the array already has that form, or is not fixed-length text.
    """
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
    """A slice with some texts in another form; all other arrays are unchanged."""

    slice: OpenSlice
    """The slice."""
    arrays: Mapping[str, Array]
    """The converted arrays in their new form, by path."""

    def __post_init__(self) -> None:
        self.uri = self.slice.uri

    def documents(self) -> Mapping[str, bytes]:
        """Return the slice's current documents, with those of converted arrays replaced."""
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
        """Return stored bytes of an array that is not converted.

        Raises:
            KeyError: The key does not exist, or belongs to a converted array.
        """
        if any(array.index(key) is not None for array in self.arrays.values()):
            raise KeyError(key)
        try:
            return self.slice.store.read(key, offset, length)
        except NotFoundError as error:
            raise KeyError(key) from error

    def cells(self, path: str, box: Box) -> Cells | None:
        """Return the cells of a box: converted texts, or what the slice itself returns.

        Args:
            path: The array.
            box: Start and stop per axis, in cells of the converted array.
        """
        formed = self.arrays.get(path)
        if formed is None:
            store = self.slice.store
            return cast("RegionStore", store).cells(path, box) if store.abilities.regions else None
        stored, reading = self.slice.dataset.arrays[path], Reading(self.slice.store, self.slice.dataset)
        along = box if formed.dtype != _CHARACTER else box[:-1]
        if stored.ndim == len(along):
            texts = reading.cells(path, along)
        else:
            whole = np.ascontiguousarray(reading.cells(path, (*along, (0, stored.shape[-1]))))
            texts = whole.view(f"S{stored.shape[-1]}")[..., 0]
        if formed.dtype != _CHARACTER:
            return texts
        start, stop = box[-1]
        return _characters(texts, formed.shape[-1], f"{self.uri}, {path}")[..., start:stop]


def _characters(texts: Cells, length: int, where: str) -> Cells:
    """Return texts of shape (...) as characters of shape (..., length), dtype S1.

    Raises:
        EncodingError: A text is longer than ``length`` bytes.
    """
    cut = texts.astype(f"S{max(1, length)}")
    longer = cut != texts
    if longer.any():
        raise EncodingError(
            "text is too long",
            where=where,
            expected=f"at most {length} bytes",
            found=repr(bytes(texts[longer][0])),
            hint="Create the target again from a slice with longer texts, and append all slices again.",
        )
    return np.ascontiguousarray(cut).view(_CHARACTER).reshape(*texts.shape, max(1, length))
