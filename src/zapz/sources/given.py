"""Targets and slices that a program may pass: types for editors and type checkers.

Protocols describe objects of other packages by their attributes, so that none of these packages is
imported: fsspec's mappers, zarr-python's stores, groups and arrays, xarray's datasets.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, TypeAlias

from zapz.sources.source import Source
from zapz.storage.store import Store


class Mapper(Protocol):
    """A folder of a file system as a mapping, as returned by ``fsspec.get_mapper``."""

    @property
    def fs(self) -> object:
        """The file system."""

    @property
    def root(self) -> object:
        """The folder."""


class ZarrStore(Protocol):
    """A store of zarr-python, such as ``LocalStore``, ``FsspecStore`` or ``MemoryStore``."""

    @property
    def read_only(self) -> bool:
        """Whether it can only be read."""

    @property
    def supports_writes(self) -> bool:
        """Whether it can be written to."""

    @property
    def supports_listing(self) -> bool:
        """Whether its keys can be listed."""


class ZarrNode(Protocol):
    """A node in a store of zarr-python: a group, an array, or a ``StorePath``."""

    @property
    def store(self) -> ZarrStore:
        """The store."""

    @property
    def path(self) -> str:
        """Path of the node in the store."""


class VariableLike(Protocol):
    """A named array with its dimensions, such as ``xarray.Variable``."""

    @property
    def dims(self) -> object:
        """Names of its dimensions."""

    @property
    def attrs(self) -> object:
        """Its attributes."""

    @property
    def shape(self) -> object:
        """Lengths of its axes."""


class DatasetLike(Protocol):
    """Variables of one dataset, such as ``xarray.Dataset``."""

    @property
    def variables(self) -> object:
        """The variables by name."""

    @property
    def dims(self) -> object:
        """The dimensions."""

    @property
    def attrs(self) -> object:
        """Attributes of the dataset."""


class DataArrayLike(Protocol):
    """One variable with its coordinates, such as ``xarray.DataArray``."""

    @property
    def variable(self) -> object:
        """The variable."""

    @property
    def coords(self) -> object:
        """Its coordinates."""

    @property
    def dims(self) -> object:
        """Names of its dimensions."""

    @property
    def attrs(self) -> object:
        """Its attributes."""


class GivesSlice(Protocol):
    """An object that returns a slice when its turn comes; then ``close``, if any, is called."""

    def get_dataset(self) -> object:
        """Return the slice."""


class SliceManager(Protocol):
    """A context manager that returns a slice."""

    def __enter__(self) -> SliceLike:
        """Return the slice."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        """Release the slice."""


TargetLike: TypeAlias = str | os.PathLike[str] | Mapper | ZarrStore | ZarrNode | Store
"""A target: path or URI, fsspec mapper, zarr store or group, or a store of ``zapz.testing``."""

ArrayEntry: TypeAlias = tuple[object, ...] | VariableLike
"""An array: ``(dims, array[, attrs[, encoding]])``, or a variable of xarray."""

OpenDataset: TypeAlias = DatasetLike | DataArrayLike | Mapper | ZarrStore | ZarrNode
"""An object that is already open: xarray dataset, fsspec mapper, zarr store, group or array."""

SliceLike: TypeAlias = (
    str | os.PathLike[str] | Source | Mapping[str, ArrayEntry] | OpenDataset | GivesSlice | SliceManager
)
"""A slice: path or URI, ``Source``, arrays by name, an open object, or one that returns these."""

SliceArguments: TypeAlias = tuple[Sequence[object], Mapping[str, object]]
"""Arguments of a slice source: ``(args, kwargs)``."""

SlicesLike: TypeAlias = SliceLike | Iterable[SliceLike | SliceArguments]
"""A slice, or any iterable of slices."""
