"""The door between stored documents and metadata: the only place that picks a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from zapz.errors import MetadataError, UnsupportedError
from zapz.format import v2, v3
from zapz.format.metadata import Array, Dataset, name, parent

DOCUMENT_NAMES = (*v2.NODES, v2.CONSOLIDATED, v3.NODE)
"""Every name a metadata document can have."""


class Format(Protocol):
    """What a format of Zarr does with documents; the modules ``v2`` and ``v3`` are the two there are."""

    @property
    def FORMAT(self) -> int:  # noqa: N802 - a module's constant
        """2 or 3."""

    @property
    def NODES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Names of the documents that describe one node."""

    def read(self, documents: Mapping[str, bytes]) -> Dataset:
        """Read every node of a hierarchy from all its documents.

        Raises:
            MetadataError: A document is broken.
            UnsupportedError: One says something that zapz does not know.
        """

    def write_array(self, array: Array, attributes: str, extra: Mapping[str, Any] | None = None) -> dict[str, bytes]:
        """Return the documents of an array, with the text of its attributes, and members that zapz does not know.

        Raises:
            UnsupportedError: The format cannot say it.
        """

    def write_group(self, path: str, attributes: str) -> dict[str, bytes]:
        """Return the documents of a group, with the text of its attributes."""

    def regrid(
        self,
        documents: Mapping[str, bytes],
        path: str,
        shape: tuple[int, ...],
        chunks: tuple[int, ...] | None = None,
    ) -> dict[str, bytes]:
        """Return the changed document of an array that gets another shape, or chunks; every other character stays."""

    def attributes_text(self, documents: Mapping[str, bytes], path: str) -> str:
        """Return the text of a node's attributes, without the names of dimensions."""

    def with_attributes(self, documents: Mapping[str, bytes], path: str, attributes: str) -> dict[str, bytes]:
        """Return the document of a group that gets this text as its attributes."""

    def set_attributes(self, documents: Mapping[str, bytes], path: str, values: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the document of a node that gets some attributes besides those it has; nothing if it has them."""

    def consolidate(self, documents: Mapping[str, bytes], *, create: bool) -> dict[str, bytes]:
        """Return the consolidated metadata: refreshed where there are some, added at the root if ``create``.

        Raises:
            MetadataError: Those that there are are broken.
        """


FORMATS: Final[Mapping[int, Format]] = {2: v2, 3: v3}


def of(zarr_format: int) -> Format:
    """Return what reads and writes a format."""
    return FORMATS[zarr_format]


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
    dataset = of(zarr_format).read(documents)
    for path in dataset.arrays:
        holder = parent(path)
        while path:
            if holder in dataset.arrays:
                raise MetadataError("an array lies inside another array", where=path, found=f"array {holder or '/'}")
            if not holder:
                break
            holder = parent(holder)
    return dataset
