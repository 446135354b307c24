"""JSON as text: parse strictly, and change one value while every other character stays.

Metadata may contain numbers that a parser does not preserve (``1e400``, ``1.10``, 2^70, ``NaN``),
and members in an order that their author chose. So zapz never re-serialises a document: it replaces
the text of single values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Union

from zapz.errors import MetadataError

MAX_BYTES = 256 * 1024 * 1024
"""Maximum size of a metadata document, in bytes."""

MAX_DEPTH = 200
"""Maximum nesting depth of a metadata document."""

JSON: TypeAlias = Union[str, int, float, bool, Sequence["JSON"], Mapping[str, "JSON"], None]  # noqa: UP007 - it names itself
"""A value as JSON holds it: of an attribute, or in a document."""

Path = tuple[str, ...]
"""Names of members, from the root of a document downwards."""

_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Member:
    """One member of an object, and where its value is in the text."""

    key: str
    """Name of the member, unescaped."""
    start: int
    """Offset of the first character of the value."""
    end: int
    """Offset after the last character of the value."""


def text_of(data: bytes, where: str) -> str:
    """Decode a document (RFC 8259: UTF-8); a byte order mark is accepted, as in many readers.

    Raises:
        MetadataError: The document is too large, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise MetadataError(
            "metadata document is too large", where=where, expected=f"at most {MAX_BYTES} bytes", found=f"{len(data)}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MetadataError("metadata document is not UTF-8", where=where, found=str(error)) from error


def parse(text: str, where: str) -> Any:
    """Parse a document strictly.

    Raises:
        MetadataError: The text is not JSON, has a duplicate key in an object, or is nested too
            deeply.
    """
    _check_depth(text, where)
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")  # some messages end with " at"
        found = f"{reason} at line {error.lineno}, column {error.colno}"
        raise MetadataError(
            "invalid JSON", where=where, found=found, hint="Restore the document, or rewrite the dataset."
        ) from error
    except _DuplicateKeyError as error:
        raise MetadataError("duplicate key in a JSON object", where=where, found=repr(error.args[0])) from error
    except ValueError as error:  # an integer too long for Python (sys.get_int_max_str_digits)
        raise MetadataError("number has too many digits", where=where, found=str(error)) from error


def parse_object(text: str, where: str) -> dict[str, Any]:
    """Parse a document that must be a JSON object.

    Raises:
        MetadataError: The text is not a JSON object, or ``parse`` refuses it.
    """
    value = parse(text, where)
    if not isinstance(value, dict):
        raise MetadataError(
            "metadata is not a JSON object", where=where, expected="{…}", found=text.strip()[:40] or "an empty file"
        )
    return value


class _DuplicateKeyError(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return result


_decoder = json.JSONDecoder(object_pairs_hook=_object)


def _check_depth(text: str, where: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise MetadataError("JSON is nested too deeply", where=where, expected=f"at most {MAX_DEPTH} levels")
        elif mark in "]}":
            depth -= 1


_encoder = json.JSONEncoder(ensure_ascii=False)


def dumps(value: Any, indent: int | None = None) -> str:
    """Return the JSON text of a value that zapz created; lone surrogates are escaped."""
    text = _encoder.encode(value) if indent is None else json.dumps(value, ensure_ascii=False, indent=indent)
    return text if text.isprintable() or _encodable(text) else json.dumps(value, indent=indent)


def _encodable(text: str) -> bool:
    """Return whether UTF-8 can encode a text: lone surrogates must be escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().raw_decode


def members(text: str, start: int = 0) -> list[Member]:
    """Return the members of the object at or after ``start``, in text that is known to be JSON."""
    position = _skip(text, start) + 1
    result: list[Member] = []
    while text[(position := _skip(text, position))] != "}":
        if text[position] == ",":
            position = _skip(text, position + 1)
        key, position = _scan(text, position)
        begin = _skip(text, _skip(text, position) + 1)
        _, position = _scan(text, begin)
        result.append(Member(key=key, start=begin, end=position))
    return result


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def replaced(text: str, values: Mapping[Path, str]) -> str:
    """Return ``text`` with the value at each path replaced by other JSON text.

    If the last name of a path is missing, it is added at the end of its object. Its parents must
    exist.
    """
    edits: list[tuple[int, int, str]] = []
    _collect(text, 0, dict(values), edits)
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def without(text: str, key: str) -> str:
    """Return the text of an object without one member; every other character stays."""
    found = members(text)
    place = next((i for i, member in enumerate(found) if member.key == key), None)
    if place is None:
        return text
    end = found[place].end
    if place:
        return text[: found[place - 1].end] + text[end:]
    begin = _skip(text, 0) + 1
    return text[:begin] + text[text.index(",", end) + 1 if len(found) > 1 else end :]


def _collect(text: str, start: int, values: dict[Path, str], edits: list[tuple[int, int, str]]) -> None:
    found = members(text, start)
    for member in found:
        here = {path[1:]: value for path, value in values.items() if path[0] == member.key}
        if () in here:
            edits.append((member.start, member.end, here[()]))
        elif here:
            _collect(text, member.start, here, edits)
    known = {member.key for member in found}
    missing = [(path[0], value) for path, value in values.items() if len(path) == 1 and path[0] not in known]
    if missing:
        new = ", ".join(f"{dumps(key)}: {value}" for key, value in missing)
        if found:
            edits.append((found[-1].end, found[-1].end, f"{_separator(text, found)}{new}"))
        else:
            position = _skip(text, start) + 1
            edits.append((position, position, new))


def _separator(text: str, found: list[Member]) -> str:
    """Return the comma and white space between members, so that a new member is formatted alike."""
    if len(found) == 1:
        return ", "
    between = text[found[-2].end : found[-1].start]
    comma = between.index(",")
    return between[comma : _skip(between, comma + 1)]


def joined(parts: Mapping[str, str], indent: int | None) -> str:
    """Return the text of an object with these members.

    Line breaks inside the values are indented too. This changes no value, because a JSON string
    cannot hold an unescaped one.

    Args:
        parts: Values as JSON text, by key.
        indent: Number of spaces before each member, one member per line; None for a single line.
    """
    if indent is None or not parts:
        return "{" + ", ".join(f"{dumps(key)}: {text}" for key, text in parts.items()) + "}"
    pad = " " * indent
    lines = (f"{pad}{dumps(key)}: " + text.strip().replace("\n", "\n" + pad) for key, text in parts.items())
    return "{\n" + ",\n".join(lines) + "\n}"
