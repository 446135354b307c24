"""Number and size of the stored chunks of each array, by listing; no chunk is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zapz.errors import ZapzError
from zapz.format.grid import Index, count
from zapz.format.metadata import Array, Dataset
from zapz.operations.variable_info import VariableInfo
from zapz.storage.presence import present
from zapz.storage.store import ReadableStore

_MOST_REQUESTS = 4096
"""Maximum number of chunks on an object store whose sizes are requested, one request each."""
_AT_ONCE = 16
"""Maximum number of requests in progress at the same time."""


def with_sizes(
    store: ReadableStore, dataset: Dataset, variables: Sequence[VariableInfo]
) -> tuple[list[VariableInfo], list[str]]:
    """Return arrays with their stored chunks and sizes, and notes where these are not known.

    Args:
        store: Store of the dataset.
        dataset: The dataset.
        variables: Its arrays.
    """
    if not store.abilities.listable:
        return list(variables), ["chunks are not counted: this storage cannot be listed"]
    found, notes = [], []
    for variable in variables:
        array = dataset.arrays[variable.path]
        try:
            indices = list(present(store, array.path, array.keys, tuple((0, n) for n in array.grid.counts)))
            size = _size(store, array, indices)
        except ZapzError as error:
            notes.append(f"chunks of {variable.path or '/'} are not counted: {error}")
            found.append(variable)
            continue
        if size is None:
            notes.append(
                f"sizes of the {len(indices):,} chunks of {variable.path or '/'} are not read: that takes one request per chunk"
            )
        missing = count(tuple((0, n) for n in array.grid.counts)) - len(indices)
        found.append(replace(variable, stored_chunks=len(indices), missing_chunks=missing, stored_bytes=size))
    return found, notes


def _size(store: ReadableStore, array: Array, indices: Sequence[Index]) -> int | None:
    keys = (array.key(index) for index in indices)
    if not store.abilities.requests:
        return sum(store.size(key) or 0 for key in keys)
    if len(indices) > _MOST_REQUESTS:
        return None
    from concurrent.futures import ThreadPoolExecutor  # imported where used: sizes of files are read one by one

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="zapz") as threads:
        return sum(size or 0 for size in threads.map(store.size, keys))
