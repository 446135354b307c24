"""Compare consolidated metadata with the documents of the nodes. Pure.

Some readers open a dataset by its consolidated metadata, others by its documents. Where the two
differ, these readers see different datasets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zapz.format import documents as doors
from zapz.format import jsontext, v2, v3
from zapz.format.metadata import join, name, parent

_NOTHING: Any = object()
"""Marks a member that is missing."""
_LONGEST = 120
"""Maximum length of a reported value, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A document that the consolidated metadata repeat differently."""

    consolidated: str
    """Key of the document that holds the consolidated metadata."""
    document: str
    """Key of the document that they should repeat."""
    expected: str
    """The value in the document."""
    found: str
    """The value in the consolidated metadata."""


def disagreements(documents: Mapping[str, bytes]) -> Iterator[Disagreement]:
    """Yield the documents, at any depth, that consolidated metadata repeat differently.

    A group without its own document is not a disagreement: some writers leave it out.

    Raises:
        MetadataError: A document is invalid.
    """
    for key in sorted(documents):
        entries = _entries(documents, key)
        if entries is None:
            continue
        prefix = f"{parent(key)}/" if parent(key) else ""
        own = {k: _plain(documents, k) for k in documents if k.startswith(prefix) and k != key and _is_repeated(k, key)}
        repeated = {join(parent(key), k): _without_own(value) for k, value in entries.items()}
        for document in sorted(own.keys() | repeated.keys()):
            here, there = own.get(document, _NOTHING), repeated.get(document, _NOTHING)
            if here is _NOTHING and doors.is_only_group(name(document)):
                continue
            if here is _NOTHING and isinstance(there, dict) and there.get("node_type") == "group":
                continue
            if not _equal(here, there):
                expected, found = _first_difference(here, there)
                yield Disagreement(consolidated=key, document=document, expected=expected, found=found)


def _entries(documents: Mapping[str, bytes], key: str) -> dict[str, Any] | None:
    """Return the documents that consolidated metadata in ``key`` repeat, by key; else None."""
    if name(key) == v2.CONSOLIDATED:
        entries = _parsed(documents, key).get("metadata")
        return entries if isinstance(entries, dict) else None
    if name(key) != v3.NODE:
        return None
    inline = _parsed(documents, key).get("consolidated_metadata")
    entries = inline.get("metadata") if isinstance(inline, dict) else None
    return {join(path, v3.NODE): value for path, value in entries.items()} if isinstance(entries, dict) else None


def _is_repeated(document: str, consolidated: str) -> bool:
    """Return whether consolidated metadata of this format repeat such a document."""
    return name(document) in (v2.NODES if name(consolidated) == v2.CONSOLIDATED else v3.NODES)


def _parsed(documents: Mapping[str, bytes], key: str) -> dict[str, Any]:
    return jsontext.parse_object(jsontext.text_of(documents[key], key), key)


def _plain(documents: Mapping[str, bytes], key: str) -> Any:
    return _without_own(_parsed(documents, key))


def _without_own(value: Any) -> Any:
    """Return a document without its consolidated metadata, which need not be repeated."""
    return {k: v for k, v in value.items() if k != "consolidated_metadata"} if isinstance(value, dict) else value


def _equal(a: Any, b: Any) -> bool:
    """Return whether two values are equal. NaN equals NaN: some writers store it unquoted."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return a is b or bool(a == b) or (isinstance(a, float) and isinstance(b, float) and a != a and b != b)  # noqa: PLR0124


def _first_difference(a: Any, b: Any, place: str = "") -> tuple[str, str]:
    """Return the first members in which two values differ, as text."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in (*a, *(k for k in b if k not in a)):
            here, there = a.get(key, _NOTHING), b.get(key, _NOTHING)
            if not _equal(here, there):
                return _first_difference(here, there, f"{place}.{key}" if place else str(key))
    return _reported(a, place), _reported(b, place)


def _reported(value: Any, place: str) -> str:
    if value is _NOTHING:
        return f"no {place}" if place else "no such document"
    text = jsontext.dumps(value) if place else "a document"
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"{place} {text}".strip()
