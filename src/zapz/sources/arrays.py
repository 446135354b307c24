"""Slices from arrays in memory: mappings, and datasets such as xarray's.

This module does not import xarray: its objects are recognised by their attributes (``variables``,
``dims``, ``attrs``). The engine sees the arrays as a Zarr hierarchy whose chunks have never been
encoded. Regions of the arrays are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zapz.cf.markers import stored_scalar
from zapz.errors import ConfigError, DimensionError, MetadataError, SliceError, UnsupportedError
from zapz.format import documents as doors
from zapz.format import jsontext
from zapz.format.attributes import plain_attributes
from zapz.format.buffers import Cells
from zapz.format.codecs import CodecChain, endian_of
from zapz.format.dtypes import undefined, write_marker
from zapz.format.grid import Box, RegularGrid
from zapz.format.metadata import Array, FillValue, check_path, implicit_groups, name
from zapz.sources.array_regions import ArrayRegions
from zapz.sources.array_variables import (
    ArrayVariable,
    dataset_of,
    is_data_array,
    is_dataset,
    of_dataset,
    of_entry,
)
from zapz.sources.encoding_defaults import default_encoding
from zapz.sources.shared_cache import SharedCache
from zapz.sources.source import OwnSource

_FORMAT = doors.of(3)
"""Format of the documents of arrays that were never stored; a new target may have the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options for a source of arrays."""

    dim: str = "time"
    """The append dimension."""
    zarr_format: int = 3
    """Format of the target, if it is created from this slice."""
    memory_limit: int = 1_000_000_000
    """Maximum size of computed cells in memory, in bytes."""
    folder: str | None = None
    """Folder for larger computed cells."""
    on_disk: bool = False
    """Whether computed cells are always stored in that folder."""
    blocks: SharedCache | None = None
    """If set, blocks of lazy arrays are computed when they are read, and kept here; then
    ``prepare`` computes nothing."""


def source_of(item: Any, label: str, options: Options) -> ArraysSource:
    """Return a slice from arrays; lazy ones are computed when the slice is prepared, or read.

    Args:
        item: A mapping ``name -> (dims, array-like[, attrs[, encoding]])``, or an object of xarray.
        label: Name of the slice, for messages.
        options: Append dimension, and limits for computing.

    Raises:
        SliceError: Its variables are invalid.
    """
    if is_data_array(item):
        item = dataset_of(item, label)
    if is_dataset(item):
        variables, attributes = of_dataset(item)
    else:
        variables, attributes = {str(key): of_entry(str(key), entry, label) for key, entry in item.items()}, {}
    return ArraysSource(variables, {"": attributes}, label, options)


class ArraysSource(OwnSource):
    """A slice from arrays in memory."""

    def __init__(
        self,
        variables: Mapping[str, ArrayVariable],
        groups: Mapping[str, Mapping[str, Any]],
        label: str,
        options: Options,
        documents: Mapping[str, bytes] | None = None,
    ) -> None:
        """Make a slice.

        Args:
            variables: Variables by path.
            groups: Attributes of groups, by path.
            label: Name of the slice, for messages.
            options: Append dimension, and limits for computing.
            documents: Further documents.

        Raises:
            SliceError: A variable is invalid.
        """
        self.uri = label
        self._options = options
        self._regions = ArrayRegions(options.blocks)
        self._arrays: dict[str, Array] = {}
        self.array_encodings = {}
        self._documents: dict[str, bytes] = dict(documents or {})
        for key, variable in variables.items():
            self._add(key, variable, options)
        for path in (*groups, *implicit_groups(self._arrays, groups)):
            text = jsontext.dumps(_attributes(groups.get(path, {}), f"{label}, {path}" if path else label))
            self._documents |= _FORMAT.write_group(path, text)

    def _add(self, path: str, variable: ArrayVariable, options: Options) -> None:
        where = f"{self.uri}, {path}"
        data, meaning = self._regions.add(path, variable.data, where)
        try:
            check_path(path)
        except MetadataError as error:
            raise error.at(self.uri) from None
        if len(variable.dims) != len(data.shape) or not all(isinstance(dim, str) for dim in variable.dims):
            raise DimensionError(
                "invalid dimension names",
                where=where,
                expected=f"{len(data.shape)} names",
                found=repr(variable.dims),
            )
        attributes = {**_attributes(variable.attributes, where), **meaning}
        serializer = "vlen-utf8" if data.dtype.kind == "O" else "bytes"
        array = Array(
            path=path,
            dims=variable.dims,
            dtype=data.dtype,
            grid=RegularGrid(shape=data.shape, chunks=data.chunks or tuple(max(1, n) for n in data.shape)),
            keys=_FORMAT.KEYS,
            codecs=CodecChain(
                serializer=serializer, endian=endian_of(data.dtype, "little") if serializer == "bytes" else None
            ),
            fill=FillValue.of(undefined(data.dtype)),
            marker=None,
            attributes=attributes,
        )
        if attributes.get("_FillValue") is not None:  # a stored value: it becomes the attribute
            marker = stored_scalar(data.dtype, attributes["_FillValue"])
            attributes["_FillValue"] = None if marker is None else write_marker(marker, data.dtype)
        attributes = {key: value for key, value in attributes.items() if key != "_FillValue" or value is not None}
        try:
            self._documents |= _FORMAT.write_array(array, jsontext.dumps(attributes))
        except UnsupportedError as error:
            raise error.at(where) from None
        self._arrays[path] = array
        self.array_encodings[path] = default_encoding(
            data,
            variable.dims,
            variable.encoding,
            dim=options.dim,
            zarr_format=options.zarr_format,
            is_label=name(path) in variable.dims,
            has_marker="_FillValue" in attributes,
            counts="units" in meaning,
        )

    @property
    def pending(self) -> bool:
        """Whether an array must be computed and has not been."""
        return self._regions.pending

    def prepare(self, paths: Collection[str]) -> None:
        """Compute the lazy arrays among these paths, all at once, unless their blocks are."""
        options = self._options
        self._regions.prepare(paths, options.memory_limit, options.folder, on_disk=options.on_disk)

    def documents(self) -> Mapping[str, bytes]:
        """Return the metadata documents of the arrays."""
        return self._documents

    def cells(self, path: str, box: Box) -> Cells:
        """Return a region of an array.

        Raises:
            SliceError: The array returned other cells than it declared.
        """
        try:
            return self._regions.read(path, box)
        except SliceError as error:
            raise error.at(f"{self.uri}, {path}") from None


def _attributes(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        return plain_attributes(given)
    except ConfigError as error:
        raise SliceError(
            error.what, where=f"{where}, {error.where}", expected=error.expected, found=error.found
        ) from None
