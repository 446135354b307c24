"""From stored documents to metadata and back: the only module that selects the Zarr format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from zapz.errors import MetadataError, UnsupportedError
from zapz.format import jsontext, v2, v3
from zapz.format.level_names import LEVELS
from zapz.format.metadata import Array, ChunkKeys, Dataset, check_path, join, name, parent

DOCUMENT_NAMES = (*v2.NODES, v2.CONSOLIDATED, v3.NODE)
"""All names that a metadata document can have."""
ARRAY_NAMES = (v2.ARRAY, v3.NODE)
"""Names of the documents that can define an array, and so its chunk keys."""
NODE_NAMES = (v2.GROUP, *ARRAY_NAMES)
"""Names of the documents that define a node."""
CONSOLIDATED_NAMES = (v3.NODE, v2.CONSOLIDATED)
"""Names of the documents that can hold consolidated metadata."""
CONSOLIDATED = v2.CONSOLIDATED
"""Name of the document that holds consolidated metadata and nothing else."""
_VISIBILITY = (v2.ATTRIBUTES, v2.ARRAY, v2.GROUP, v3.NODE, v2.CONSOLIDATED)


class Format(Protocol):
    """Operations of a Zarr format on documents; implemented by the modules ``v2`` and ``v3``."""

    @property
    def FORMAT(self) -> int:  # noqa: N802 - constant of a module
        """2 or 3."""

    @property
    def NODES(self) -> tuple[str, ...]:  # noqa: N802 - constant of a module
        """Names of the documents that describe one node."""

    @property
    def MARKS_BY_FILL(self) -> bool:  # noqa: N802 - constant of a module
        """Whether readers treat cells that equal the fill value as missing."""

    @property
    def HAS_SHARDS(self) -> bool:  # noqa: N802 - constant of a module
        """Whether one object can hold several chunks."""

    @property
    def KEYS(self) -> ChunkKeys:  # noqa: N802 - constant of a module
        """Default chunk key encoding."""

    @property
    def COMPRESSOR(self) -> Mapping[str, Any]:  # noqa: N802 - constant of a module
        """Default compressor, as a numcodecs configuration."""

    @property
    def HOLDS_ATTRIBUTES(self) -> tuple[str, jsontext.Path]:  # noqa: N802 - constant of a module
        """Name of the document that holds a node's attributes, and the path to them in it."""

    def read(self, documents: Mapping[str, bytes]) -> Dataset:
        """Read every node of a hierarchy.

        Args:
            documents: All documents of the hierarchy, by key.

        Raises:
            MetadataError: A document is invalid.
            UnsupportedError: A document uses a feature that zapz does not support.
        """

    def write_array(self, array: Array, attributes: str, extra: Mapping[str, Any] | None = None) -> dict[str, bytes]:
        """Return the documents of an array.

        Args:
            array: The array.
            attributes: Its attributes, as JSON text.
            extra: Further members, which zapz does not interpret.

        Raises:
            UnsupportedError: The format cannot express the array.
        """

    def adopt(self, array: Array, attributes: Mapping[str, str], *, marks: bool) -> dict[str, bytes]:
        """Return the documents of an array of the other format.

        Readers treat a v2 fill value also as the missing marker, but not a v3 one. So the marker
        moves between the two places.

        Args:
            array: The array, as read from the other format.
            attributes: Its attributes: JSON texts by name.
            marks: Whether cells that equal its marker are missing.

        Raises:
            UnsupportedError: The format cannot express the array.
        """

    def write_group(self, path: str, attributes: str) -> dict[str, bytes]:
        """Return the documents of a group.

        Args:
            path: The group.
            attributes: Its attributes, as JSON text.
        """

    def regrid(
        self,
        documents: Mapping[str, bytes],
        path: str,
        shape: tuple[int, ...],
        chunks: tuple[int, ...] | None = None,
    ) -> dict[str, bytes]:
        """Return the changed document of an array with a new shape, and new chunks if given.

        Every other character of the document stays.
        """

    def attributes_text(self, documents: Mapping[str, bytes], path: str) -> str:
        """Return the JSON text of a node's attributes, without the dimension names."""

    def with_attributes(self, documents: Mapping[str, bytes], path: str, attributes: str) -> dict[str, bytes]:
        """Return the changed document of a group whose attributes become this JSON text."""

    def set_attributes(self, documents: Mapping[str, bytes], path: str, values: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the changed document of a node with these attributes set; nothing if equal."""

    def hides(self, array: Array, value: Any) -> bool:
        """Return whether xarray treats this label as missing, because it is the fill value."""

    def hides_some(self, array: Array) -> bool:
        """Return whether xarray alone treats some value as missing, except NaN."""

    def without_fill(self, documents: Mapping[str, bytes], path: str) -> dict[str, bytes]:
        """Return the changed document of an array after its fill value hides no value any more.

        Return nothing if no value is hidden (see ``hides``).
        """

    def consolidate(self, documents: Mapping[str, bytes], *, create: Collection[str]) -> dict[str, bytes]:
        """Return consolidated metadata, refreshed wherever there are some, and added at some roots.

        Args:
            documents: All documents of the hierarchy.
            create: Roots that get consolidated metadata.

        Raises:
            MetadataError: The existing consolidated metadata are invalid.
        """


FORMATS: Final[Mapping[int, Format]] = {2: v2, 3: v3}


def of(zarr_format: int) -> Format:
    """Return the module that reads and writes this format."""
    return FORMATS[zarr_format]


def read(documents: Mapping[str, bytes]) -> Dataset:
    """Read a hierarchy from its documents.

    Raises:
        MetadataError: A document is invalid, or there is none.
        UnsupportedError: v2 and v3 are mixed, or a feature is not supported.
    """
    nodes = documents
    if LEVELS in documents:
        nodes = {key: data for key, data in documents.items() if key != LEVELS}
    kinds = {3 if name(key) == v3.NODE else 2 for key in nodes}
    if not kinds:
        raise MetadataError("not a Zarr dataset", expected="a .zgroup, .zarray or zarr.json", found="none of them")
    if len(kinds) > 1:
        mixed = sorted(nodes)[:3]
        raise UnsupportedError(
            "v2 and v3 metadata in the same dataset",
            found=", ".join(mixed),
            hint="Remove the documents of one format, so that all readers see the same data.",
        )
    zarr_format = kinds.pop()
    dataset = of(zarr_format).read(nodes)
    if len(nodes) < len(documents):
        dataset = replace(dataset, documents=dict(documents))
    if _may_have_levels(dataset):
        from zapz.format.multiscales import with_pyramids  # imported where used: most datasets have no levels

        dataset = with_pyramids(dataset)
    for path in dataset.arrays:
        holder = parent(path)
        while path:
            if holder in dataset.arrays:
                raise MetadataError("array inside another array", where=path, found=f"array {holder or '/'}")
            if not holder:
                break
            holder = parent(holder)
    return dataset


def _may_have_levels(dataset: Dataset) -> bool:
    """Return whether a hierarchy may contain pyramids, as far as names tell."""
    named = any("multiscales" in attributes or "ome" in attributes for attributes in dataset.groups.values())
    return named or LEVELS in dataset.documents or any(key.startswith("0.zarr/") for key in dataset.documents)


def visibility(key: str) -> int:
    """Return the rank at which a node's document becomes visible.

    Within a node, attributes come before the array; consolidated metadata come last.
    """
    return _VISIBILITY.index(name(key))


def is_document(key: str) -> bool:
    """Return whether a key can be that of a metadata document: by its name, or ``.zlevels``."""
    return name(key) in DOCUMENT_NAMES or key == LEVELS


def is_array(documents: Mapping[str, bytes], path: str) -> bool:
    """Return whether the documents of a node define an array.

    Raises:
        MetadataError: A document is invalid.
    """
    key = join(path, v3.NODE)
    if join(path, v2.ARRAY) in documents:
        return True
    return (
        key in documents
        and jsontext.parse_object(jsontext.text_of(documents[key], key), key).get("node_type") == "array"
    )


def says_array(key: str) -> bool:
    """Return whether the name of a document alone defines its node as an array."""
    return name(key) == v2.ARRAY


def foreign_document(documents: Mapping[str, bytes], path: str) -> bytes | None:
    """Return the document from which zarr-python creates the codecs of a foreign chain, or None."""
    return documents.get(join(path, v3.NODE))


def searched_names(root: Collection[str]) -> tuple[str, ...]:
    """Return the names that documents below a root can have.

    Args:
        root: Names of the documents directly in the root.
    """
    if (v3.NODE in root) == bool(set(root) & {*v2.NODES, v2.CONSOLIDATED}):  # the format is unknown, or mixed
        return (*v2.NODES, *v3.NODES)
    return v3.NODES if v3.NODE in root else v2.NODES


def may_hold_consolidated(names: Collection[str], searched: Collection[str]) -> bool:
    """Return whether a group below the root may have its own document of consolidated metadata."""
    return v2.CONSOLIDATED in names and v2.GROUP in searched


def is_only_group(document: str) -> bool:
    """Return whether a document of this name only states that there is a group."""
    return document == v2.GROUP


def consolidated_names(root: Mapping[str, bytes], *, whole: bool = False) -> list[str]:
    """Return the keys of documents that a root's consolidated metadata name and that must exist.

    Args:
        root: The documents directly in the root, by key.
        whole: Whether to include documents that a node can do without (groups, attributes).

    Raises:
        MetadataError: The consolidated metadata are invalid.
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


def is_consolidated(documents: Mapping[str, bytes], roots: Collection[str]) -> bool:
    """Return whether a hierarchy has consolidated metadata at all of its roots."""
    return all(_is_consolidated(documents, root) for root in roots)


def _is_consolidated(documents: Mapping[str, bytes], root: str) -> bool:
    key = join(root, v3.NODE)
    if join(root, v2.CONSOLIDATED) in documents or key not in documents:
        return join(root, v2.CONSOLIDATED) in documents
    text = jsontext.text_of(documents[key], key)
    return isinstance(jsontext.parse_object(text, key).get("consolidated_metadata"), dict)


def without_consolidated(key: str, data: bytes) -> bytes:
    """Return a document without inline consolidated metadata.

    A slice's consolidated metadata are not valid for a new target.

    Raises:
        MetadataError: The document is invalid.
    """
    if name(key) != v3.NODE:
        return data
    text = jsontext.text_of(data, key)
    if "consolidated_metadata" not in jsontext.parse_object(text, key):
        return data
    return jsontext.replaced(text, {("consolidated_metadata",): "null"}).encode()
