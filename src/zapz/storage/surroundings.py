"""What contains a store's folder: other Zarr datasets, and pyramids."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zapz.format.level_names import LEVELS, LINKED, STORED, SUFFIX, number_of
from zapz.storage.local.posix import is_file
from zapz.storage.local.store import LocalStore
from zapz.storage.store import ReadableStore

_NODES = (".zgroup", ".zarray", "zarr.json")
_CONSOLIDATED = (".zmetadata", "zarr.json")
_IS_CONSOLIDATED = re.compile(rb'"consolidated_metadata"\s*:\s*\{')


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surroundings:
    """What contains a folder."""

    pyramid: str | None = None
    """The pyramid of which the folder is a level."""
    dataset: str | None = None
    """The nearest folder above it that is a node of a Zarr hierarchy; on services, only if it has
    consolidated metadata."""


def surroundings_of(store: ReadableStore) -> Surroundings:
    """Find what contains a store's folder. On services, folders that cannot be read are ignored.

    Raises:
        StoreError: A local folder above it cannot be inspected.
    """
    place, found = _local(store) if isinstance(store, LocalStore) else _objects(store)
    whole, _, name = place.rpartition("/")
    pyramid = next((folder for folder, mark in found if mark == LEVELS), None)
    if pyramid is None and whole.endswith(SUFFIX) and number_of(name, (*STORED, *LINKED)) is not None:
        pyramid = whole
    return Surroundings(pyramid=pyramid, dataset=found[0][0] if found else None)


def _local(store: LocalStore) -> tuple[str, list[tuple[str, str]]]:
    root = store.root.resolve()
    names = (LEVELS, *_NODES)
    return str(root), [(str(folder), name) for folder in root.parents for name in names if is_file(str(folder / name))]


def _objects(store: ReadableStore) -> tuple[str, list[tuple[str, str]]]:
    from zapz.storage.objects.store import ObjectStore  # imported where used: local appends do without it

    above = store.above((LEVELS, *_CONSOLIDATED)) if isinstance(store, ObjectStore) else {}
    found = [at for at, data in above.items() if at[1] != _CONSOLIDATED[1] or _IS_CONSOLIDATED.search(data)]
    return store.uri.rstrip("/"), found
