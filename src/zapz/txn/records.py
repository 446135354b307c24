r"""Records: JSON text, framed so that a torn tail and damage elsewhere are recognised. Pure.

A journal is a magic line and records. A record is its length, the CRC-32 of its text, the CRC-32 of
these two, and its text, which is JSON::

    "zapz journal 1\n" | len crc crc {"type": "begin", …} | len crc crc {"type": "existing", …} | …
    | len crc crc {"type": "ready"}

A head, a decision, a register and a mark are one record each.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from zapz.errors import FormatError, JournalError

MAGIC = b"zapz journal 1\n"
_FAMILY = b"zapz journal "
_HEAD = struct.Struct("<III")

T = TypeVar("T")
Unreadable = (struct.error, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError)
"""Errors of Python that reading a damaged record raises, besides errors of zapz."""


def frame(record: Mapping[str, Any]) -> bytes:
    """Return the bytes of a record."""
    payload = json.dumps(record, separators=(",", ":")).encode()
    return _head(len(payload), zlib.crc32(payload)) + payload


def _head(length: int, checksum: int) -> bytes:
    first = struct.pack("<II", length, checksum)
    return first + struct.pack("<I", zlib.crc32(first))


def split(data: bytes, where: str) -> list[dict[str, Any]]:
    """Read all records; a torn tail ends the journal.

    Raises:
        JournalError: Something other than the tail is damaged, or a newer zapz wrote it.
    """
    if len(data) < len(MAGIC):
        if MAGIC.startswith(data) or not data.strip(b"\0"):
            return []
        raise damaged(where, "no journal header")
    if not data.startswith(MAGIC):
        if data.startswith(_FAMILY):
            raise JournalError(
                "the journal is from another version of zapz",
                where=where,
                found=repr(data[: len(MAGIC)]),
                hint="Recover with the version that wrote it.",
            )
        if not data.strip(b"\0"):
            return []
        raise damaged(where, "no journal header")
    result: list[dict[str, Any]] = []
    position = len(MAGIC)
    while (found := _record(data, position, where)) is not None:
        payload, position = found
        try:
            record = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise damaged(where, str(error)) from error
        if not isinstance(record, dict):
            raise damaged(where, "a record that is not an object")
        result.append(record)
    return result


def _record(data: bytes, position: int, where: str) -> tuple[bytes, int] | None:
    """Return a record's text and the position of the next one; None at the end or a torn tail."""
    head = data[position : position + _HEAD.size]
    if not _is_head(head):
        if len(data[position:].rstrip(b"\0")) < _HEAD.size:
            return None
        raise damaged(where, f"head of the record at byte {position}")
    length, checksum, _ = _HEAD.unpack(head)
    end = position + _HEAD.size + length
    payload = data[position + _HEAD.size : end]
    if zlib.crc32(payload) == checksum and end <= len(data):
        return payload, end
    if data[end:].strip(b"\0"):
        raise damaged(where, f"checksum of the record at byte {position}")
    return None


def _is_head(head: bytes) -> bool:
    return len(head) == _HEAD.size and zlib.crc32(head[:8]) == _HEAD.unpack(head)[2]


def damaged(where: str, found: str) -> JournalError:
    """Return the error for a damaged journal."""
    return JournalError(
        "the journal is damaged",
        where=where,
        found=found,
        hint="Nothing was changed. Keep the folder and open an issue.",
    )


def single(data: bytes) -> dict[str, Any]:
    """Read the only record of an object.

    Raises:
        Exception: One of ``Unreadable``: it is damaged.
    """
    length, checksum, _ = _HEAD.unpack_from(data)
    payload = data[_HEAD.size :]
    if not _is_head(data[: _HEAD.size]) or length != len(payload) or zlib.crc32(payload) != checksum:
        raise ValueError("checksum")
    record = json.loads(payload)
    if not isinstance(record, dict):
        raise TypeError("a record that is not an object")
    return record


def versioned(data: bytes, name: str, version: int, where: str, read: Callable[[dict[str, Any]], T]) -> T:
    """Read an object of one record that contains its version.

    Args:
        data: The object.
        name: The record's field with the version.
        version: The supported version.
        where: Path or URI of the object, for messages.
        read: Converts the record to a value.

    Raises:
        JournalError: It is damaged, or another version of zapz wrote it.
    """
    try:
        record = single(data)
        found = record[name]
        if found == version:
            return read(record)
    except (*Unreadable, FormatError) as error:
        raise damaged(where, f"{type(error).__name__} {error}") from error
    raise JournalError(
        "another version of zapz wrote this",
        where=where,
        expected=f"{name} {version}",
        found=f"{found!r}"[:40],
        hint="Use the version that wrote it.",
    )
