"""One state of a dataset's metadata, and whether a later state is a growth of it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.format.consolidated import edits_of
from zapz.format.metadata import Array, Dataset, parent
from zapz.server.views import View, native_view, view_in


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generation:
    """One state of a dataset's metadata."""

    id: str
    """Name of the state: a digest of its root folder and documents, 16 hexadecimal digits."""
    dataset: Dataset
    """The dataset."""
    kept: Mapping[str, bytes]
    """Documents that are served as they are stored: consolidated metadata of its roots."""
    home: str = ""
    """Identity of its root folder; "" where storage has no folders."""
    edits: tuple[int, ...] = ()
    """Number of edits of each root."""
    warning: str = ""
    """What cannot be promised for it, because it has no consolidated metadata; empty if nothing."""
    views: dict[int, View] = field(default_factory=dict)
    """Views made so far, by Zarr format."""

    @classmethod
    def of(cls, dataset: Dataset, kept: Mapping[str, bytes], *, home: str = "", warning: str = "") -> Generation:
        """Return the state that documents describe.

        Raises:
            MetadataError: The consolidated metadata are invalid.
        """
        digest = hashlib.sha256(f"{home}\0".encode())
        for key, data in sorted({**dataset.documents, **kept}.items()):
            digest.update(f"{key}\0{len(data)}\0".encode())
            digest.update(data)
        return cls(
            id=digest.hexdigest()[:16],
            dataset=dataset,
            kept=kept,
            home=home,
            edits=edits_of(kept, dataset.roots),
            warning=warning,
        )

    def view(self, zarr_format: int | None = None) -> View:
        """Return what clients see in a Zarr format; None means its own.

        Raises:
            FormatError: A document is invalid.
        """
        wanted = zarr_format or self.dataset.zarr_format
        if wanted not in self.views:
            own = wanted == self.dataset.zarr_format
            self.views[wanted] = native_view(self.dataset, self.kept) if own else view_in(self.dataset, wanted)
        return self.views[wanted]


def is_growth(before: Generation, after: Generation) -> bool:
    """Return whether a state only grew since an earlier one, so that both describe the same chunks.

    Otherwise (another root folder, an edit, an array that is gone, shorter or stored in another
    way) whoever reads chunks by the earlier documents would read wrong values.
    """
    if (before.home, before.edits) != (after.home, after.edits):
        return False
    if before.dataset.zarr_format != after.dataset.zarr_format:
        return False
    return all(
        path in after.dataset.arrays and _grew(array, after.dataset.arrays[path])
        for path, array in before.dataset.arrays.items()
    )


def _grew(before: Array, after: Array) -> bool:
    alike = (
        before.dims == after.dims
        and before.dtype == after.dtype
        and before.grid.chunks == after.grid.chunks
        and before.keys == after.keys
        and before.codecs == after.codecs
        and before.fill == after.fill
        and before.attributes == after.attributes
    )
    return alike and all(a <= b for a, b in zip(before.shape, after.shape, strict=True))


def unequal_lengths(dataset: Dataset, append_dim: str) -> str:
    """Return which arrays disagree about the length of a dimension; "" if none do.

    Arrays of different groups may have different sizes, such as the levels of a pyramid. Along the
    append dimension all arrays must agree.

    Args:
        dataset: The dataset.
        append_dim: The append dimension.
    """
    found: dict[tuple[str, str], tuple[int, str]] = {}
    for path, array in dataset.arrays.items():
        for dim, length in zip(array.dims, array.shape, strict=True):
            if dim is None:
                continue
            scope = "" if dim == append_dim else parent(path)
            other, whose = found.setdefault((scope, dim), (length, path))
            if other != length:
                return f"{dim!r} has length {other} in {whose or '/'} and {length} in {path or '/'}"
    return ""
