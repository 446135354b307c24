"""What a Zarr hierarchy is: frozen values shaped like Zarr v3; Zarr v2 becomes this at the door (``v2.py``)."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from zapz.cf.markers import Scalar
from zapz.errors import MetadataError
from zapz.format.codecs import CodecChain
from zapz.format.grid import Box, Index, RegularGrid, resized
from zapz.format.jsontext import JSON

Dim = str | None
"""Name of a dimension; None if the writer gave none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkKeys:
    """How a chunk index becomes a key below the array's path (v3 "chunk key encoding"; v2 keys)."""

    style: Literal["default", "v2"]
    """"default": ``c/1/2``; "v2": ``1.2``."""
    separator: Literal["/", "."]
    """Stands between the integers."""

    def key(self, index: Index) -> str:
        """Return the key of a chunk, relative to its array. It comes from integers alone."""
        text = self.separator.join(map(str, index))
        if self.style == "v2":
            return text or "0"
        return f"c{self.separator}{text}" if index else "c"


@dataclass(frozen=True, slots=True, kw_only=True)
class FillValue:
    """The value of cells that no chunk holds."""

    value: Scalar | None = field(compare=False)
    """NumPy scalar, ``str`` or ``bytes``; None where the format leaves it undefined (v2 ``null``)."""
    image: bytes | str | None
    """The same, comparable to the last bit: NaN payloads and signed zeros count."""

    @classmethod
    def of(cls, value: Scalar | None) -> FillValue:
        """Make a fill value from a NumPy scalar, a string, bytes, or None."""
        if value is None or (isinstance(value, str | bytes) and not isinstance(value, np.generic)):
            return cls(value=value, image=value)
        return cls(
            value=value,
            image=np.asarray(value).tobytes() if isinstance(value, np.generic | np.ndarray) else repr(value),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """One array: everything zapz needs to know about it, whichever format it came from."""

    path: str
    """Path below the root, without leading slash; "" if the root itself is the array."""
    dims: tuple[Dim, ...]
    """Dimension names, one per axis."""
    dtype: np.dtype[Any]
    """Data type in native byte order (stored byte order belongs to the codecs); object for strings
    of variable length."""
    grid: RegularGrid
    """Shape and chunk (or shard) shape."""
    keys: ChunkKeys
    """Chunk key encoding."""
    codecs: CodecChain
    """How a chunk becomes bytes."""
    fill: FillValue
    """Value of missing chunks."""
    marker: Scalar | None = field(compare=False)
    """The value that readers take for "missing" (CF ``_FillValue``; for v2 also ``fill_value``);
    None if there is none."""
    attributes: Mapping[str, JSON] = field(compare=False)
    """Attributes, parsed; the documents keep their text."""
    assumed: bool = field(default=False, compare=False)
    """Whether a v2 ``fill_value`` that no attribute confirms says that ``marker`` is one; to
    zarr-python it is a value."""

    @property
    def is_label(self) -> bool:
        """Whether it is the coordinate of its own dimension, which is never missing (CF section 2.5.1)."""
        return self.dims == (name(self.path),)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis, in cells."""
        return self.grid.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.grid.shape)

    @property
    def units(self) -> RegularGrid:
        """The grid of what is encoded at a time: inner chunks if the array is sharded, else chunks."""
        if self.codecs.shards is None:
            return self.grid
        return RegularGrid(shape=self.grid.shape, chunks=self.codecs.shards.inner_shape)

    @property
    def units_per_axis(self) -> tuple[int, ...]:
        """Number of units that a chunk (shard) has along every axis; ones if there are no shards."""
        return tuple(c // u for c, u in zip(self.grid.chunks, self.units.chunks, strict=True))

    @property
    def units_per_chunk(self) -> int:
        """Number of units of a chunk (shard)."""
        return math.prod(self.units_per_axis)

    @property
    def unit_codecs(self) -> CodecChain:
        """The codec chain of one unit."""
        return self.codecs if self.codecs.shards is None else self.codecs.shards.inner

    @property
    def unit_bytes(self) -> int:
        """Bytes of one decoded unit in memory (strings of variable length count as 8 each)."""
        return self.units.chunk_size * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one decoded chunk (or shard) in memory."""
        return self.grid.chunk_size * self.dtype.itemsize

    def key(self, index: Index) -> str:
        """Return the key of a chunk below the root."""
        return join(self.path, self.keys.key(index))

    def index(self, key: str) -> Index | None:
        """Return the index of the chunk at a key below the root; None if it is no chunk of this array."""
        prefix = f"{self.path}/" if self.path else ""
        parts = [part for part in key[len(prefix) :].removeprefix("c").split(self.keys.separator) if part]
        if not key.startswith(prefix) or not all(part.isdecimal() for part in parts):
            return None
        index = tuple(int(part) for part in parts)[: self.ndim]
        inside = len(index) == self.ndim and all(i < n for i, n in zip(index, self.grid.counts, strict=True))
        return index if inside and self.key(index) == key else None

    def units_in(self, index: Index) -> Box:
        """Return the range of the units of a chunk (shard) that lie inside the shape."""
        spans = zip(index, self.units_per_axis, self.units.counts, strict=True)
        return tuple((i * n, min((i + 1) * n, total)) for i, n, total in spans)

    def axis(self, dim: str) -> int | None:
        """Return the axis named ``dim``, or None."""
        return self.dims.index(dim) if dim in self.dims else None

    def resized(self, axis: int, length: int) -> Array:
        """Return the array with another length along an axis."""
        return replace(self, grid=replace(self.grid, shape=resized(self.shape, axis, length)))

    def step_bytes(self, axis: int) -> int:
        """Bytes of one step along ``axis``, decoded."""
        return math.prod(n for i, n in enumerate(self.shape) if i != axis) * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A whole hierarchy, nested groups included, read once."""

    zarr_format: int
    """2 or 3."""
    arrays: Mapping[str, Array]
    """Arrays by path."""
    groups: Mapping[str, Mapping[str, JSON]]
    """Attributes of groups by path; "" is the root."""
    documents: Mapping[str, bytes]
    """Every metadata document by key, as it was read."""

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension that has a name."""
        return {d: n for a in self.arrays.values() for d, n in zip(a.dims, a.shape, strict=True) if d is not None}

    @property
    def bounds(self) -> dict[str, Array]:
        """Bounds of other variables, by path, and whose bounds they are; they are never missing either (CF section 7.1)."""
        found: dict[str, Array] = {}
        for path, array in self.arrays.items():
            for key in ("bounds", "climatology"):
                text = array.attributes.get(key)
                if isinstance(text, str) and (named := join(parent(path), text)) in self.arrays and named != path:
                    found.setdefault(named, array)
        return found

    def attributes_of(self, path: str) -> dict[str, JSON]:
        """Return a variable's attributes; bounds without units of their own have their parent's (CF sections 7.1, 7.4)."""
        attributes = dict(self.arrays[path].attributes)
        if "units" in attributes or (whose := self.bounds.get(path)) is None:
            return attributes
        return {
            **{key: whose.attributes[key] for key in ("units", "calendar") if key in whose.attributes},
            **attributes,
        }

    def lengths(self, dim: str) -> dict[str, int]:
        """Return the length along ``dim`` of every array that has it."""
        found = ((path, array, array.axis(dim)) for path, array in self.arrays.items())
        return {path: array.shape[axis] for path, array, axis in found if axis is not None}


def join(*parts: str) -> str:
    """Join path parts with slashes, leaving out empty ones."""
    return "/".join(filter(None, parts))


def parent(path: str) -> str:
    """Return the path of the folder that holds ``path``; "" for the root."""
    return path.rpartition("/")[0]


def folders_above(path: str) -> Iterator[str]:
    """Yield a folder and those above it, the nearest first; not the root."""
    while path:
        yield path
        path = parent(path)


def name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def implicit_groups(nodes: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the groups that lie above nodes but have no document of their own; some writers leave them out."""
    there = set(known)
    missing = set()
    for node in nodes:
        folder = parent(node)
        while folder and folder not in there:
            missing.add(folder)
            folder = parent(folder)
    return sorted(missing)


def is_named(path: str, names: Collection[str]) -> bool:
    """Return whether a variable is one of the named ones, or lies in a named group."""
    return any(path == given or path.startswith(f"{given}/") for given in names)


def check_path(path: str) -> None:
    """Refuse a node path that could leave the dataset or cannot be a key.

    Raises:
        MetadataError: A part is empty, ``.``, ``..``, or holds a backslash or NUL, or the path is
            absolute.
    """
    bad = (
        path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")) or "\\" in path or "\0" in path
    )
    bad = bad or any("\ud800" <= c <= "\udfff" for c in path)
    if path and bad:
        raise MetadataError("a node has a name that zapz will not make a key of", where=repr(path), hint="Rename it.")
