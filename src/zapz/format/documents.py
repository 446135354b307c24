"""The door between stored documents and metadata: the only place that picks a format."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from zapz.errors import MetadataError, UnsupportedError
from zapz.format import v2, v3
from zapz.format.metadata import Dataset, name, parent

DOCUMENT_NAMES = (*v2.NODES, v2.CONSOLIDATED, v3.NODE)
"""Every name a metadata document can have."""


def of(zarr_format: int) -> ModuleType:
    """Return the module that reads and writes a format: ``v2`` or ``v3``, which offer the same functions."""
    return {2: v2, 3: v3}[zarr_format]


def read(documents: Mapping[str, bytes]) -> Dataset:
    """Read a hierarchy from its documents.

    Raises:
        MetadataError: They are broken, or there are none.
        UnsupportedError: v2 and v3 are mixed.
    """
    kinds = {3 if name(key) == v3.NODE else 2 for key in documents}
    if not kinds:
        raise MetadataError("not a Zarr dataset", expected="a .zgroup, .zarray or zarr.json", found="none of them")
    if len(kinds) > 1:
        mixed = sorted(documents)[:3]
        raise UnsupportedError(
            "v2 and v3 metadata in one place",
            found=", ".join(mixed),
            hint="Remove one of the two, so that all readers see the same.",
        )
    zarr_format = kinds.pop()
    dataset: Dataset = of(zarr_format).read(documents)
    for path in dataset.arrays:
        holder = parent(path)
        while path and True:
            if holder in dataset.arrays:
                raise MetadataError("an array lies inside another array", where=path, found=f"array {holder or '/'}")
            if not holder:
                break
            holder = parent(holder)
    return dataset
