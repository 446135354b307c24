"""Slices that lie in a store: local folders, archives, any fsspec URI."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from zapz.errors import FormatError, NotFoundError, StoreError
from zapz.format.metadata import Dataset
from zapz.storage.dataset import open_dataset
from zapz.storage.opening import open_store
from zapz.storage.store import Options, Store
from zapz.storage.uris import is_local

Item = str | os.PathLike[str]
"""What a user may name as a slice."""

Target = Item | Store
"""What a user may name as a target: a place, or a store that is open already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An open slice."""

    uri: str
    """Where it is, for people."""
    store: Store
    """Its chunks, by key."""
    dataset: Dataset
    """Its metadata."""


def open_slice_store(item: Item, options: Options | None = None, *, follow_links: bool = False) -> Store:
    """Return the store of a slice; nothing is read yet."""
    return open_store(item, options if not is_local(os.fspath(item)) else None, follow_links=follow_links)


def open_source(
    item: Item, options: Options | None = None, *, follow_links: bool = False, without: Collection[str] = ()
) -> Source:
    """Open a slice and read its metadata once, those of the variables ``without`` apart.

    Raises:
        NotFoundError: It is not there.
        FormatError: It is not Zarr, damaged, or not supported.
    """
    name = os.fspath(item)
    try:
        store = open_slice_store(item, options, follow_links=follow_links)
        return Source(uri=store.uri, store=store, dataset=open_dataset(store, without))
    except (FormatError, StoreError) as error:
        if isinstance(error, NotFoundError):
            error.what = error.what.replace("dataset", "slice")
        raise error.at("slice") if name not in str(error) else error from None
