"""What a program gives to be served: what it is, and how it is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zapz.config.settings import Config
from zapz.errors import ConfigError
from zapz.sources.arrays import Options, source_of
from zapz.sources.contexts import entered, is_multi_level
from zapz.sources.open_slice import OpenSlice, how_slices_are_opened, open_given
from zapz.sources.shared_cache import SharedCache
from zapz.sources.source import Source
from zapz.storage.open import is_given
from zapz.storage.store import ReadableStore

_FORMAT = 3
"""Zarr format of arrays that were never stored, if none is configured."""


def given_as(name: str, thing: Any, config: Config, blocks: SharedCache) -> str | ReadableStore | OpenSlice:
    """Return what is to be served as a path or URI, as a store, or opened as a source.

    Args:
        name: Name of the dataset, for messages.
        thing: What a program gave: see ``Opening.of``. A context manager is entered.
        config: Settings.
        blocks: Cache of computed blocks of lazy arrays.

    Raises:
        ConfigError: It cannot be served.
        ZapzError: It cannot be opened.
    """
    inner, leave = entered(thing, ours=True)
    if isinstance(inner, str | os.PathLike):
        return os.fspath(inner)
    if is_given(inner):
        from zapz.storage.adapters import slice_store  # imported where used: most datasets have a path

        store: ReadableStore | None = slice_store(inner, how_slices_are_opened(config))
        if store is not None:
            return store
    if isinstance(inner, Source):
        return replace(open_given(inner, config), close=leave)
    if is_dataset_like(inner) or is_array(inner):
        return replace(open_arrays(name, inner, config, blocks), close=leave)
    raise ConfigError(
        "this cannot be served",
        where=name,
        expected="a path or URI, a mapping name -> (dims, array), a dataset, an array, a zarr group, or a zapz.Source",
        found=type(thing).__name__,
    )


def open_arrays(name: str, item: Any, config: Config, blocks: SharedCache) -> OpenSlice:
    """Open arrays; no cell is computed.

    Args:
        name: Name of the dataset, for messages.
        item: A mapping of variables, a dataset of xarray, levels, or one array.
        config: Settings.
        blocks: Cache of computed blocks of lazy arrays.

    Raises:
        SliceError: A variable is invalid.
    """
    options = Options(dim="", zarr_format=config.zarr_format or _FORMAT, blocks=blocks)
    if is_array(item):
        item = {"data": (tuple(f"dim_{i}" for i in range(len(item.shape))), item)}
    if is_multi_level(item) or getattr(item, "children", None):
        from zapz.sources.trees import source_of_tree  # imported where used: most datasets have no levels

        return open_given(source_of_tree(item, name, options), config)
    return open_given(source_of(item, name, options), config)


def is_array(thing: Any) -> bool:
    """Return whether something is an array without names of its dimensions."""
    return all(hasattr(thing, part) for part in ("shape", "dtype", "__getitem__")) and not hasattr(thing, "dims")


def is_dataset_like(thing: Any) -> bool:
    """Return whether something is a mapping of variables, or like a dataset or array of xarray."""
    return (
        isinstance(thing, Mapping) or is_multi_level(thing) or all(hasattr(thing, part) for part in ("dims", "attrs"))
    )


def is_several(thing: Any) -> bool:
    """Return whether something is a mapping of datasets, not of variables."""
    if not isinstance(thing, Mapping) or not thing:
        return False
    return all(
        isinstance(each, str | os.PathLike | Mapping | Source)
        or is_given(each)
        or (hasattr(each, "variables") and hasattr(each, "attrs"))
        for each in thing.values()
    )
