"""The values of a Zarr hierarchy: frozen, shaped like Zarr v3; ``v2`` converts to them."""

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
from zapz.format.pyramid import Pyramid

Dim = str | None
"""Name of a dimension; None if the writer stored none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkKeys:
    """Chunk key encoding: how a chunk index becomes a key below the array's path (v3; v2 keys)."""

    style: Literal["default", "v2"]
    """"default": ``c/1/2``; "v2": ``1.2``."""
    separator: Literal["/", "."]
    """Character between the integers."""

    def key(self, index: Index) -> str:
        """Return the key of a chunk, relative to its array. It depends on integers alone."""
        text = self.separator.join(map(str, index))
        if self.style == "v2":
            return text or "0"
        return f"c{self.separator}{text}" if index else "c"


@dataclass(frozen=True, slots=True, kw_only=True)
class FillValue:
    """The value of cells that no chunk holds."""

    value: Scalar | None = field(compare=False)
    """NumPy scalar, ``str`` or ``bytes``; None if the format leaves it undefined (v2 ``null``)."""
    image: bytes | str | None
    """The same value for comparison bit by bit: NaN payloads and signed zeros differ."""

    @classmethod
    def of(cls, value: Scalar | None) -> FillValue:
        """Return the fill value for a NumPy scalar, a string, bytes, or None."""
        if value is None or (isinstance(value, str | bytes) and not isinstance(value, np.generic)):
            return cls(value=value, image=value)
        return cls(
            value=value,
            image=np.asarray(value).tobytes() if isinstance(value, np.generic | np.ndarray) else repr(value),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """One array, in the same form whichever format it was read from."""

    path: str
    """Path below the root, without a leading slash; "" if the root itself is the array."""
    dims: tuple[Dim, ...]
    """Dimension names, one per axis."""
    dtype: np.dtype[Any]
    """Data type in native byte order (the codecs define the stored byte order). ``object`` for
    strings of variable length."""
    grid: RegularGrid
    """Shape and chunk (or shard) shape."""
    keys: ChunkKeys
    """Chunk key encoding."""
    codecs: CodecChain
    """The codec chain of a chunk."""
    fill: FillValue
    """Value of the cells of missing chunks."""
    marker: Scalar | None = field(compare=False)
    """The value that readers treat as missing (CF ``_FillValue``; in v2 also ``fill_value``). None
    if there is none."""
    attributes: Mapping[str, JSON] = field(compare=False)
    """Parsed attributes; their text is kept in the documents."""
    assumed: bool = field(default=False, compare=False)
    """Whether only a v2 ``fill_value`` defines ``marker``, and no attribute confirms it.
    zarr-python treats it as a value."""

    @property
    def is_label(self) -> bool:
        """Whether it is the coordinate of its own dimension, and so never missing (CF 2.5.1)."""
        return self.dims == (name(self.path),)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis, in cells."""
        return self.grid.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.grid.shape)

    @property
    def units(self) -> RegularGrid:
        """The grid of encoded units: inner chunks if the array is sharded, else chunks."""
        if self.codecs.shards is None:
            return self.grid
        return RegularGrid(shape=self.grid.shape, chunks=self.codecs.shards.inner_shape)

    @property
    def units_per_axis(self) -> tuple[int, ...]:
        """Number of units in a chunk (shard) along each axis; 1 if there are no shards."""
        return tuple(c // u for c, u in zip(self.grid.chunks, self.units.chunks, strict=True))

    @property
    def units_per_chunk(self) -> int:
        """Number of units in a chunk (shard)."""
        return math.prod(self.units_per_axis)

    @property
    def unit_codecs(self) -> CodecChain:
        """The codec chain of a unit."""
        return self.codecs if self.codecs.shards is None else self.codecs.shards.inner

    @property
    def unit_bytes(self) -> int:
        """Size of a decoded unit, in bytes of memory (a variable-length string counts as 8)."""
        return self.units.chunk_size * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        """Size of a decoded chunk (shard), in bytes of memory."""
        return self.grid.chunk_size * self.dtype.itemsize

    def key(self, index: Index) -> str:
        """Return the key of a chunk, relative to the root."""
        return join(self.path, self.keys.key(index))

    def index(self, key: str) -> Index | None:
        """Return the index of the chunk with this key (relative to the root), or None."""
        prefix = f"{self.path}/" if self.path else ""
        parts = [part for part in key[len(prefix) :].removeprefix("c").split(self.keys.separator) if part]
        if not key.startswith(prefix) or not all(part.isdecimal() for part in parts):
            return None
        index = tuple(int(part) for part in parts)[: self.ndim]
        inside = len(index) == self.ndim and all(i < n for i, n in zip(index, self.grid.counts, strict=True))
        return index if inside and self.key(index) == key else None

    def units_in(self, index: Index) -> Box:
        """Return the range of units of a chunk (shard) that are inside the shape."""
        spans = zip(index, self.units_per_axis, self.units.counts, strict=True)
        return tuple((i * n, min((i + 1) * n, total)) for i, n, total in spans)

    def axis(self, dim: str) -> int | None:
        """Return the axis named ``dim``, or None."""
        return self.dims.index(dim) if dim in self.dims else None

    def resized(self, axis: int, length: int) -> Array:
        """Return the array with a new length along an axis, in cells."""
        return replace(self, grid=replace(self.grid, shape=resized(self.shape, axis, length)))

    def step_bytes(self, axis: int) -> int:
        """Return the decoded size of one step along ``axis``, in bytes."""
        return math.prod(n for i, n in enumerate(self.shape) if i != axis) * self.dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A whole hierarchy, with nested groups, as read at one time."""

    zarr_format: int
    """2 or 3."""
    arrays: Mapping[str, Array]
    """Arrays by path."""
    groups: Mapping[str, Mapping[str, JSON]]
    """Attributes of groups, by path; "" is the root."""
    documents: Mapping[str, bytes]
    """Every metadata document as read, by key."""
    roots: tuple[str, ...] = ("",)
    """Folders that are opened as datasets of their own: the levels of a ``.levels`` dataset, which
    has no group above them; else the root."""
    pyramids: tuple[Pyramid, ...] = field(default=(), compare=False)
    """Pyramids in the hierarchy (``multiscales``)."""
    levels: Mapping[str, tuple[Pyramid, int]] = field(default_factory=dict, compare=False)
    """The pyramid and the number of each level, by its path."""

    def level_of(self, path: str) -> tuple[Pyramid, int] | None:
        """Return the pyramid and the level to which a node belongs; None if it is in no level.

        Of nested levels, the innermost counts.
        """
        if not self.levels:
            return None
        while path and path not in self.levels:
            path = parent(path)
        return self.levels.get(path)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every named dimension, in cells."""
        return {d: n for a in self.arrays.values() for d, n in zip(a.dims, a.shape, strict=True) if d is not None}

    @property
    def bounds(self) -> dict[str, Array]:
        """Bounds variables by path, each with its parent variable; never missing (CF 7.1)."""
        found: dict[str, Array] = {}
        for path, array in self.arrays.items():
            for key in ("bounds", "climatology"):
                text = array.attributes.get(key)
                if isinstance(text, str) and (named := join(parent(path), text)) in self.arrays and named != path:
                    found.setdefault(named, array)
        return found

    def attributes_of(self, path: str) -> dict[str, JSON]:
        """Return a variable's attributes; bounds without units inherit them (CF 7.1, 7.4).

        Bounds inherit ``units`` and ``calendar`` from their parent variable.
        """
        attributes = dict(self.arrays[path].attributes)
        if "units" in attributes or (whose := self.bounds.get(path)) is None:
            return attributes
        return {
            **{key: whose.attributes[key] for key in ("units", "calendar") if key in whose.attributes},
            **attributes,
        }

    def lengths(self, dim: str) -> dict[str, int]:
        """Return the length along ``dim`` of every array that has it, by path, in cells."""
        found = ((path, array, array.axis(dim)) for path, array in self.arrays.items())
        return {path: array.shape[axis] for path, array, axis in found if axis is not None}


def join(*parts: str) -> str:
    """Join the parts of a path with slashes; empty parts are skipped."""
    return "/".join(filter(None, parts))


def parent(path: str) -> str:
    """Return the path of the folder that holds ``path``; "" for the root."""
    return path.rpartition("/")[0]


def folders_above(path: str) -> Iterator[str]:
    """Yield a folder and its parents, the folder first; not the root."""
    while path:
        yield path
        path = parent(path)


def name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def implicit_groups(nodes: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return groups above nodes that have no document: some writers leave them out."""
    there = set(known)
    missing = set()
    for node in nodes:
        folder = parent(node)
        while folder and folder not in there:
            missing.add(folder)
            folder = parent(folder)
    return sorted(missing)


def is_named(path: str, names: Collection[str]) -> bool:
    """Return whether a variable, or a group that contains it, is among these names."""
    return any(path == given or path.startswith(f"{given}/") for given in names)


def check_path(path: str) -> None:
    """Check that a node path stays inside the dataset and can be a key.

    Raises:
        MetadataError: A part is empty, ``.`` or ``..``, or has a backslash, a NUL or a surrogate,
            or the path is absolute.
    """
    bad = (
        path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")) or "\\" in path or "\0" in path
    )
    bad = bad or any("\ud800" <= c <= "\udfff" for c in path)
    if path and bad:
        raise MetadataError("invalid node name", where=repr(path), hint="Rename the array or group.")
