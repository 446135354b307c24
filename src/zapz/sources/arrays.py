"""Slices from arrays in memory: mappings, and datasets such as xarray's.

This module does not import xarray: its objects are recognised by their attributes (``variables``,
``dims``, ``attrs``). The engine sees the arrays as a Zarr hierarchy whose chunks have never been
encoded. Regions of the arrays are passed on unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from zapz.cf.attributes import NAMES_ENCODED
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
from zapz.sources.array_like import Region, region_of
from zapz.sources.dask_arrays import DaskRegion, compute, is_lazy
from zapz.sources.encoding_defaults import default_encoding
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayVariable:
    """A named array of a slice, not yet read."""

    dims: tuple[str, ...]
    """Names of its dimensions."""
    data: Any
    """The array-like object."""
    attributes: Mapping[str, Any]
    """Attributes, as set by the program."""
    encoding: Mapping[str, Any]
    """Requested encoding, as in xarray."""


def _is_dataset(item: Any) -> bool:
    return all(hasattr(item, part) for part in ("variables", "dims", "attrs"))


def _is_data_array(item: Any) -> bool:
    return not _is_dataset(item) and all(hasattr(item, part) for part in ("coords", "dims", "attrs", "variable"))


def source_of(item: Any, label: str, options: Options) -> ArraysSource:
    """Return a slice from arrays; lazy ones are computed when the slice is prepared.

    Args:
        item: A mapping ``name -> (dims, array-like[, attrs[, encoding]])``, or an object of xarray.
        label: Name of the slice, for messages.
        options: Append dimension, and limits for computing.

    Raises:
        SliceError: Its variables are invalid.
    """
    if _is_data_array(item):
        item = _dataset_of(item, label)
    if getattr(item, "children", None):
        raise SliceError(
            "a tree of datasets is more than one slice",
            where=label,
            found=", ".join(map(str, item.children)),
            hint="Append each of its datasets to its own target, or write the tree as a Zarr group first.",
        )
    if _is_dataset(item):
        variables, attributes = _of_dataset(item)
    else:
        variables, attributes = {key: _of_entry(str(key), entry, label) for key, entry in item.items()}, {}
    return ArraysSource({str(k): v for k, v in variables.items()}, attributes, label, options)


def _dataset_of(array: Any, label: str) -> Any:
    if array.name is None:
        raise SliceError(
            "the array has no name",
            where=label,
            hint="Set its name (array.name), or append a dataset: array.to_dataset(name=…).",
        )
    return array.to_dataset(promote_attrs=False)


def _of_entry(key: str, entry: Any, label: str) -> ArrayVariable:
    if hasattr(entry, "dims") and hasattr(entry, "attrs") and hasattr(entry, "shape"):
        return _of_variable(getattr(entry, "variable", entry))
    if not isinstance(entry, list | tuple) or not 2 <= len(entry) <= 4:  # noqa: PLR2004 - dims, data, attrs, encoding
        raise SliceError(
            "invalid description of a variable",
            where=f"{label}, {key}",
            expected="(dims, array[, attrs[, encoding]])",
            found=f"{type(entry).__name__}",
        )
    dims = (entry[0],) if isinstance(entry[0], str) else tuple(entry[0])
    attributes, encoding = (dict(part or {}) for part in (*entry[2:], None, None)[:2])
    return ArrayVariable(dims=dims, data=entry[1], attributes=attributes, encoding=encoding)


def _of_variable(variable: Any) -> ArrayVariable:
    """Return one of xarray's variables; data not in memory are read later, region by region."""
    chunked = getattr(variable, "chunks", None) is not None
    in_memory = getattr(variable, "_in_memory", False)
    data = variable.data if chunked else variable.values if in_memory else variable
    return ArrayVariable(dims=tuple(variable.dims), data=data, attributes=variable.attrs, encoding=variable.encoding)


def _of_dataset(item: Any) -> tuple[dict[str, ArrayVariable], dict[str, Any]]:
    """Return the variables and attributes of a dataset, which name its coordinates (CF 5)."""
    variables = {str(key): _of_variable(variable) for key, variable in item.variables.items()}
    known = {str(key) for key in getattr(item, "coords", ())}
    coordinates = known - {str(dim) for dim in item.dims}
    naming = [key for key in NAMES_ENCODED if key != "coordinates"]
    referred = {w for v in variables.values() for k in naming for w in str(v.encoding.get(k) or "").split()}
    written: set[str] = set()
    described = {}
    for key, variable in variables.items():
        related = {k: variable.encoding[k] for k in NAMES_ENCODED if variable.encoding.get(k) is not None}
        named = sorted(c for c in coordinates - referred if set(variables[c].dims) <= set(variable.dims))
        settled = "coordinates" in variable.attributes or "coordinates" in variable.encoding
        if named and key not in known and not settled:
            related["coordinates"] = " ".join(named)
        written |= set(str(related.get("coordinates", variable.attributes.get("coordinates", ""))).split())
        described[key] = replace(variable, attributes={**variable.attributes, **related})
    rest = sorted(c for c in coordinates - referred - written if " " not in c)
    attributes = dict(item.attrs)
    if rest and "coordinates" not in attributes:
        attributes["coordinates"] = " ".join(rest)
    return described, attributes


class ArraysSource(OwnSource):
    """A slice from arrays in memory."""

    def __init__(
        self, variables: Mapping[str, ArrayVariable], attributes: Mapping[str, Any], label: str, options: Options
    ) -> None:
        self.uri = label
        self._options = options
        self._regions: dict[str, Region] = {}
        self._arrays: dict[str, Array] = {}
        self.array_encodings = {}
        self._documents: dict[str, bytes] = {}
        for key, variable in variables.items():
            where = f"{label}, {key}"
            region, meaning = _region(variable.data, where)
            self._add(key, variable, region, meaning, options)
        for path in ("", *implicit_groups(self._arrays, ())):
            text = jsontext.dumps(_attributes(attributes, label) if not path else {})
            self._documents |= _FORMAT.write_group(path, text)

    def _add(
        self, path: str, variable: ArrayVariable, data: Region, meaning: Mapping[str, Any], options: Options
    ) -> None:
        where = f"{self.uri}, {path}"
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
        self._arrays[path], self._regions[path] = array, data
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
        """Whether an array has not been computed yet."""
        return any(isinstance(region, DaskRegion) and region.cells is None for region in self._regions.values())

    def prepare(self, paths: Collection[str]) -> None:
        """Compute the lazy arrays among these paths, all at once."""
        lazy = [region for path, region in self._regions.items() if path in paths and isinstance(region, DaskRegion)]
        options = self._options
        compute(lazy, options.memory_limit, options.folder, on_disk=options.on_disk)

    def documents(self) -> Mapping[str, bytes]:
        """Return the metadata documents of the arrays."""
        return self._documents

    def cells(self, path: str, box: Box) -> Cells:
        """Return a region of an array.

        Raises:
            SliceError: The array returned other cells than it declared.
        """
        try:
            return self._regions[path].read(box)
        except SliceError as error:
            raise error.at(f"{self.uri}, {path}") from None


def _attributes(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    try:
        return plain_attributes(given)
    except ConfigError as error:
        raise SliceError(
            error.what, where=f"{where}, {error.where}", expected=error.expected, found=error.found
        ) from None


def _region(data: Any, where: str) -> tuple[Region, dict[str, Any]]:
    """Return an array as a region. Lazy objects are computed, to find their type."""
    if not is_lazy(data):
        return region_of(data, where)
    lazy = DaskRegion(data, where)
    if lazy.dtype.kind not in "OT":
        return lazy, {}
    return region_of(lazy.read(tuple((0, n) for n in lazy.shape)), where)
