"""A dataset as it is served: in its own Zarr format, or in the other one. Pure.

Each format has a URL of its own (``/name/``, ``/name.v2/``, ``/name.v3/``). In the other format, a
chunk is sent as it is stored wherever that format can describe its bytes; v2 has no shards, so each
inner chunk becomes a chunk there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from zapz.errors import FormatError
from zapz.format import documents as doors
from zapz.format import jsontext
from zapz.format.codecs import same_bytes
from zapz.format.consolidated import consolidated_roots
from zapz.format.grid import Index
from zapz.format.level_names import LEVELS
from zapz.format.metadata import Array, Dataset, parent

LONGEST_KEY = 1024
"""Maximum length of a key; the keys of chunks are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedArray:
    """An array as it is served, and as it is stored."""

    array: Array
    """The array that clients see."""
    stored: Array
    """The array in the store."""
    form: Literal["stored", "inner", "encoded"] = "stored"
    """Whether a chunk is sent as it is stored, is an inner chunk of a stored shard, or is decoded
    and encoded again."""
    explicit: bool = False
    """Whether a missing chunk is sent as a chunk of fill values, because clients would read another
    value for it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What clients see of a dataset in one Zarr format."""

    zarr_format: int
    """2 or 3."""
    dataset: Dataset
    """The dataset in this format."""
    documents: Mapping[str, bytes]
    """Its documents by key, with consolidated metadata of its roots."""
    arrays: Mapping[str, ServedArray]
    """Its arrays by path."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Arrays that this format cannot describe, by path, and why."""

    def chunk(self, key: str) -> tuple[ServedArray, Index] | None:
        """Return array and index of the chunk with this key; None if there is no such chunk.

        Only canonical keys inside the grid name a chunk.
        """
        found = None if len(key) > LONGEST_KEY else self.array_above(key)
        if found is None:
            return None
        index = found.array.index(key)
        return None if index is None else (found, index)

    def array_above(self, key: str) -> ServedArray | None:
        """Return the array in whose folder a key is; None if it is in none."""
        path = key
        while path:
            path = parent(path)
            if path in self.arrays:
                return self.arrays[path]
        return None

    def refusal(self, key: str) -> str:
        """Return why the array in whose folder a key is cannot be served; "" if it is not so."""
        path = key
        while path:
            path = parent(path)
            if path in self.refused:
                return self.refused[path]
        return self.refused.get("", "")


def native_view(dataset: Dataset, kept: Mapping[str, bytes]) -> View:
    """Return the view of a dataset in its own format.

    Args:
        dataset: The dataset.
        kept: Documents that are served as they are stored: consolidated metadata of its roots.
    """
    return View(
        zarr_format=dataset.zarr_format,
        dataset=dataset,
        documents=consolidated_roots(dataset, kept),
        arrays={path: ServedArray(array=array, stored=array) for path, array in dataset.arrays.items()},
    )


def view_in(dataset: Dataset, zarr_format: int) -> View:
    """Return the view of a dataset in the other format.

    Missing cells stay missing: the v2 fill value, which readers treat as missing, becomes the
    attribute ``_FillValue`` in v3, and the other way round.

    Raises:
        FormatError: A document is invalid.
    """
    source, target = doors.of(dataset.zarr_format), doors.of(zarr_format)
    documents = {key: data for key, data in dataset.documents.items() if key == LEVELS}
    refused: dict[str, str] = {}
    for path in dataset.groups:
        documents |= target.write_group(path, source.attributes_text(dataset.documents, path))
    for path, array in dataset.arrays.items():
        text = source.attributes_text(dataset.documents, path)
        members = {m.key: text[m.start : m.end] for m in jsontext.members(text)}
        try:
            documents |= target.adopt(array, members, marks=True)
        except FormatError as error:
            refused[path] = error.message("")
    made = doors.read(documents) if documents else replace(dataset, zarr_format=zarr_format, arrays={}, documents={})
    arrays = {path: _served(array, dataset.arrays[path]) for path, array in made.arrays.items()}
    everything = consolidated_roots(made, {}) if documents else {}
    return View(zarr_format=zarr_format, dataset=made, documents=everything, arrays=arrays, refused=refused)


def _served(array: Array, stored: Array) -> ServedArray:
    """Return how the chunks of a stored array are served in the other format."""
    differs = stored.fill.value is not None and array.fill != stored.fill
    if stored.codecs.shards is not None and array.codecs.shards is None:
        same = same_bytes(array.codecs, stored.unit_codecs)
        return ServedArray(array=array, stored=stored, form="inner" if same else "encoded", explicit=differs)
    same = same_bytes(array.codecs, stored.codecs)
    return ServedArray(array=array, stored=stored, form="stored" if same else "encoded", explicit=differs)
