"""The documents within consolidated metadata, and the number of edits that is noted there.

Consolidated metadata are one object, which is replaced atomically. So they are one state of all
documents, also while the documents of arrays are being replaced one after another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zapz.errors import MetadataError
from zapz.format import documents as doors
from zapz.format import jsontext, v2, v3
from zapz.format.metadata import Dataset, check_path, join, name, parent

EDITS = ("zapz", "edits")
"""Path of the number of edits: beside ``metadata`` in ``.zmetadata``, and inside
``consolidated_metadata`` in ``zarr.json``."""


def is_whole(documents: Mapping[str, bytes], root: str = "") -> bool:
    """Return whether one document describes everything below a root: consolidated, or an array."""
    return doors.is_consolidated(documents, [root]) or doors.is_array(
        {key: data for key, data in documents.items() if key == join(root, v3.NODE)}, root
    )


def documents_within(documents: Mapping[str, bytes], root: str = "") -> dict[str, bytes]:
    """Return the documents that the consolidated metadata of a root contain, by key.

    Args:
        documents: The documents directly in the root: ``.zmetadata``, or ``zarr.json``.
        root: The root.

    Raises:
        MetadataError: The consolidated metadata are invalid.
    """
    key = join(root, v2.CONSOLIDATED)
    if key in documents:
        text, members = _members(documents[key], key, ("metadata",))
        nodes = {join(root, m.key): m for m in members if name(m.key) in v2.NODES}
    else:
        key = join(root, v3.NODE)
        text, members = _members(documents[key], key, ("consolidated_metadata", "metadata"))
        nodes = {join(root, m.key, v3.NODE): m for m in members if m.key}
    found = {where: _own(where, text[m.start : m.end]).encode() for where, m in nodes.items()}
    for where in found:
        check_path(parent(where))
    if key == join(root, v3.NODE):
        found[key] = documents[key]
    return found


def _own(where: str, text: str) -> str:
    """Return a document without what only its copy has.

    zarr-python (3.1.6) adds empty ``consolidated_metadata`` to the copies of v2 groups.
    """
    return jsontext.without(text, "consolidated_metadata") if name(where) == v2.GROUP else text


def _members(document: bytes, where: str, path: tuple[str, ...]) -> tuple[str, list[jsontext.Member]]:
    """Return the text of a document, and the members of the object at a path; none if absent."""
    text = jsontext.text_of(document, where)
    jsontext.parse_object(text, where)
    start = 0
    for part in path:
        member = next((m for m in jsontext.members(text, start) if m.key == part), None)
        if member is None or not text.startswith("{", member.start):
            return text, []
        start = member.start
    return text, jsontext.members(text, start)


def edits_of(documents: Mapping[str, bytes], roots: Iterable[str] = ("",)) -> tuple[int, ...]:
    """Return the number of edits that the consolidated metadata of each root note; 0 without it.

    Raises:
        MetadataError: Consolidated metadata are invalid.
    """
    found = []
    for root in roots:
        here: Any = {}
        for key, path in ((join(root, v2.CONSOLIDATED), ()), (join(root, v3.NODE), ("consolidated_metadata",))):
            if key in documents and here == {}:
                here = jsontext.parse_object(jsontext.text_of(documents[key], key), key)
                for part in (*path, *EDITS):
                    here = here.get(part, {}) if isinstance(here, dict) else {}
        if here != {} and not isinstance(here, int):
            raise MetadataError(
                "invalid number of edits", where=root or "root", expected="an integer", found=repr(here)[:40]
            )
        found.append(here if isinstance(here, int) else 0)
    return tuple(found)


def consolidated_roots(dataset: Dataset, kept: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return all documents of a dataset, with consolidated metadata of its roots.

    Args:
        dataset: The dataset.
        kept: Documents that stay as they are, such as stored consolidated metadata of the root.
    """
    nodes = {
        key: data for key, data in dataset.documents.items() if doors.is_document(key) and name(key) != v2.CONSOLIDATED
    }
    door = doors.of(dataset.zarr_format)
    groups = {*dataset.groups, *([] if "" in dataset.arrays else [""])}  # a `.levels` folder is no group of its own
    for path in groups:
        if not any(join(path, node) in nodes for node in doors.NODE_NAMES):
            nodes |= door.write_group(path, "{}")
    levels = {key: data for key, data in nodes.items() if name(key) not in doors.DOCUMENT_NAMES}
    nodes = {key: data for key, data in nodes.items() if key not in levels}
    return {**levels, **nodes, **door.consolidate(nodes, create=_consolidated_groups(dataset)), **kept}


def _consolidated_groups(dataset: Dataset) -> tuple[str, ...]:
    """Return the groups that get consolidated metadata: those that are opened as datasets.

    Not all groups: where each group has some, zarr-python (3.1.6) does not find groups in groups if
    it is told to use none.
    """
    return tuple({*dataset.roots, ""} - dataset.arrays.keys())
