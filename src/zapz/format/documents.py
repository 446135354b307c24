"""The door between stored documents and metadata: the only place that picks a format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

from zapz.errors import MetadataError, UnsupportedError
from zapz.format import jsontext, v2, v3
from zapz.format.metadata import Array, ChunkKeys, Dataset, check_path, join, name, parent

DOCUMENT_NAMES = (*v2.NODES, v2.CONSOLIDATED, v3.NODE)
"""Every name a metadata document can have."""
ARRAY_NAMES = (v2.ARRAY, v3.NODE)
"""Names of the documents that can govern an array, and with it its chunks."""
NODE_NAMES = (v2.GROUP, *ARRAY_NAMES)
"""Names of the documents that make a folder a node."""
CONSOLIDATED_NAMES = (v3.NODE, v2.CONSOLIDATED)
"""Names of the documents that can hold consolidated metadata."""
CONSOLIDATED = v2.CONSOLIDATED
"""Name of the document that holds consolidated metadata and nothing else."""
_VISIBILITY = (v2.ATTRIBUTES, v2.ARRAY, v2.GROUP, v3.NODE, v2.CONSOLIDATED)


class Format(Protocol):
    """What a format of Zarr does with documents; the modules ``v2`` and ``v3`` are the two there are."""

    @property
    def FORMAT(self) -> int:  # noqa: N802 - a module's constant
        """2 or 3."""

    @property
    def NODES(self) -> tuple[str, ...]:  # noqa: N802 - a module's constant
        """Names of the documents that describe one node."""

    @property
    def MARKS_BY_FILL(self) -> bool:  # noqa: N802 - a module's constant
        """Whether readers take cells that equal the fill value for missing."""

    @property
    def HAS_SHARDS(self) -> bool:  # noqa: N802 - a module's constant
        """Whether several chunks can lie in one object."""

    @property
    def KEYS(self) -> ChunkKeys:  # noqa: N802 - a module's constant
        """How keys of chunks are made, where nothing else is said."""

    @property
    def COMPRESSOR(self) -> Mapping[str, Any]:  # noqa: N802 - a module's constant
        """The compressor where nothing else is said, as a numcodecs configuration."""

    @property
    def HOLDS_ATTRIBUTES(self) -> tuple[str, jsontext.Path]:  # noqa: N802 - a module's constant
        """Name of the document that holds a node's attributes, and their place in it."""

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

    def adopt(self, array: Array, attributes: Mapping[str, str], *, marks: bool) -> dict[str, bytes]:
        """Return the documents of an array of the other format.

        For readers a v2 fill value is also the missing marker and a v3 one is not, so the marker
        moves between the two places.

        Args:
            array: The array, as the other format says it.
            attributes: Its attributes, as JSON texts by name.
            marks: Whether cells that equal its marker are missing.

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

    def hides(self, array: Array, value: Any) -> bool:
        """Return whether xarray takes a label of this value for missing, because it is the fill value."""

    def hides_some(self, array: Array) -> bool:
        """Return whether some value would be missing to xarray, and to nothing else. NaN is missing anyway."""

    def without_fill(self, documents: Mapping[str, bytes], path: str) -> dict[str, bytes]:
        """Return the changed document of an array whose fill value hides nothing any more; nothing if it hides nothing."""

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


def visibility(key: str) -> int:
    """Return when a document of a node becomes visible, beside the node's others: attributes before the array, consolidated last."""
    return _VISIBILITY.index(name(key))


def is_array(documents: Mapping[str, bytes], path: str) -> bool:
    """Return whether a node is an array, going by its documents.

    Raises:
        MetadataError: They are broken.
    """
    key = join(path, v3.NODE)
    if join(path, v2.ARRAY) in documents:
        return True
    return (
        key in documents
        and jsontext.parse_object(jsontext.text_of(documents[key], key), key).get("node_type") == "array"
    )


def says_array(key: str) -> bool:
    """Return whether a document makes its node an array by its name alone."""
    return name(key) == v2.ARRAY


def foreign_document(documents: Mapping[str, bytes], path: str) -> bytes | None:
    """Return the document of an array from which zarr-python makes codecs that zapz does not run; None if there is none."""
    return documents.get(join(path, v3.NODE))


def searched_names(root: Collection[str]) -> tuple[str, ...]:
    """Return the names of documents that nodes below a root may have, by those that lie right in it."""
    if (v3.NODE in root) == bool(set(root) & {*v2.NODES, v2.CONSOLIDATED}):  # nothing is known, or they are mixed
        return (*v2.NODES, *v3.NODES)
    return v3.NODES if v3.NODE in root else v2.NODES


def may_hold_consolidated(names: Collection[str], searched: Collection[str]) -> bool:
    """Return whether a group below the root has a document of consolidated metadata of its own."""
    return v2.CONSOLIDATED in names and v2.GROUP in searched


def is_only_group(document: str) -> bool:
    """Return whether a document of this name says no more than that there is a group."""
    return document == v2.GROUP


def consolidated_names(root: Mapping[str, bytes], *, whole: bool = False) -> list[str]:
    """Return the keys of documents that a root's consolidated metadata name and that must be there.

    Args:
        root: The documents that lie right in the root.
        whole: Whether documents without which a node can do (groups, attributes) are returned too.

    Raises:
        MetadataError: The consolidated metadata are broken.
    """
    names: list[str] = []
    if v2.CONSOLIDATED in root:
        text = jsontext.text_of(root[v2.CONSOLIDATED], v2.CONSOLIDATED)
        meta = jsontext.parse_object(text, v2.CONSOLIDATED).get("metadata")
        wanted = v2.NODES if whole else (v2.ARRAY,)
        names = [key for key in meta if name(key) in wanted] if isinstance(meta, dict) else []
    elif v3.NODE in root:
        inline = jsontext.parse_object(jsontext.text_of(root[v3.NODE], v3.NODE), v3.NODE).get("consolidated_metadata")
        meta = inline.get("metadata") if isinstance(inline, dict) else None
        names = [join(path, v3.NODE) for path in meta] if isinstance(meta, dict) else []
    for key in names:
        check_path(key)
    return sorted(set(names))


def is_consolidated(documents: Mapping[str, bytes]) -> bool:
    """Return whether a hierarchy has consolidated metadata at its root."""
    if v2.CONSOLIDATED in documents or v3.NODE not in documents:
        return v2.CONSOLIDATED in documents
    text = jsontext.text_of(documents[v3.NODE], v3.NODE)
    return isinstance(jsontext.parse_object(text, v3.NODE).get("consolidated_metadata"), dict)


def without_consolidated(key: str, data: bytes) -> bytes:
    """Return a document that says nothing about other nodes: what a slice says about its own is not true of a new target."""
    if name(key) != v3.NODE:
        return data
    text = jsontext.text_of(data, key)
    if "consolidated_metadata" not in jsontext.parse_object(text, key):
        return data
    return jsontext.replaced(text, {("consolidated_metadata",): "null"}).encode()
