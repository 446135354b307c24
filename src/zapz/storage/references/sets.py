"""Reference sets (kerchunk, JSON or parquet): which bytes of which files are a slice's objects.

A set comes from the author of the slice and may name anything. So it is only read here, and never
executed: templates and generators are refused. ``Allowed`` checks where a reference leads, each
time that one is followed.
"""

from __future__ import annotations

import base64
import binascii
import json
import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zapz.errors import ConfigError, MetadataError, UnsupportedError
from zapz.storage.references.locations import LOCAL, Location, location_of
from zapz.storage.uris import is_local, local_path, redact, told

MAX_BYTES = 1 << 30
"""Maximum size of a reference file (JSON), in bytes, uncompressed."""
_VERSION = 1
_RANGE = 3
_CHUNK = re.compile(r"(c[./])?\d+([./]\d+)*|c")
"""Pattern of the last part of a chunk's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Where the bytes of an object are."""

    where: str
    """The file, as the set names it."""
    offset: int = 0
    """First byte in the file."""
    size: int | None = None
    """Number of bytes; None for the whole file."""


class References:
    """The entries of a set."""

    def __init__(self, entries: Mapping[str, Any], name: str, target: str | None) -> None:
        self._entries = entries
        self._target = target
        self._lazy = hasattr(entries, "open_refs") or hasattr(type(entries), "setup")
        self.name = name
        """Name of the set for messages."""

    def entry(self, key: str) -> bytes | Reference | None:
        """Return an object's bytes or its reference; None if the set certainly has no such object.

        Raises:
            MetadataError: The entry is not a reference, or cannot be read.
        """
        try:
            part = self._entries[key]
        except KeyError:
            if self._lazy:
                self._require_absent(key)
            return None
        except (IndexError, TypeError, ValueError, OSError) as error:
            if self._lazy and not is_chunk(key):
                return None
            raise self._damaged(key, told(error)) from error
        if self._lazy and isinstance(part, float):  # NaN means None among raw bytes: the entry is in other columns
            part = self._row(key)
        if self._lazy and isinstance(part, list | tuple) and _is_null(part[0]):
            return None
        return self._read(key, part)

    def _row(self, key: str) -> list[Any]:
        entries: Any = self._entries
        record, row, _ = entries._key_to_record(key)  # noqa: SLF001 - the mapper's own lookup
        columns = entries.open_refs(key.rpartition("/")[0], record)
        found = [columns[name][row] if name in columns else 0 for name in ("path", "offset", "size")]
        return found if any(found[1:]) else found[:1]

    def _read(self, key: str, part: Any) -> bytes | Reference:
        if isinstance(part, dict):
            part = json.dumps(part)
        if isinstance(part, str):
            try:
                part = part.encode()
            except UnicodeEncodeError as error:
                raise self._damaged(key, str(error)) from error
        elif hasattr(part, "to_bytes") and not isinstance(part, int):
            part = part.to_bytes()
        if isinstance(part, bytes):
            try:
                return base64.b64decode(part[7:], validate=True) if part.startswith(b"base64:") else part
            except binascii.Error as error:
                raise self._damaged(key, str(error)) from error
        found = self._reference(part) if isinstance(part, list | tuple) and len(part) in {1, _RANGE} else None
        if found is None:
            raise self._damaged(key, f"{part!r}"[:100])
        return found

    def _reference(self, part: Sequence[Any]) -> Reference | None:
        where = self._target if part[0] is None else part[0]
        if not isinstance(where, str):
            return None
        if len(part) == 1:
            return Reference(where=where)
        try:
            offset, size = operator.index(part[1]), operator.index(part[2])
        except TypeError:
            return None
        return Reference(where=where, offset=offset, size=size) if offset >= 0 and size >= 0 else None

    def _damaged(self, key: str, found: str) -> MetadataError:
        return MetadataError(
            "an entry of a reference set is not a reference",
            where=f"{self.name}, {key}",
            expected="text, or [file], or [file, offset, size]",
            found=found,
            hint="Create the references again.",
        )

    def _require_absent(self, key: str) -> None:
        """Make sure that a chunk is missing, and not only unreadable in its parquet file.

        Raises:
            MetadataError: It is not certain that the chunk is missing.
        """
        if not is_chunk(key):
            return
        entries: Any = self._entries
        folder, _, _ = key.rpartition("/")
        if f"{folder}/.zarray" not in entries.zmetadata:
            raise self._damaged(key, "a key that parquet references do not support: only v2 arrays with `.` in keys")
        record, row, axes = entries._key_to_record(key)  # noqa: SLF001 - the mapper's own lookup
        try:
            columns = entries.open_refs(folder, record) if axes else {}
        except FileNotFoundError:
            return
        except Exception as error:  # every parquet reader has errors of its own
            raise self._damaged(key, told(error)[:200]) from error
        if columns is None or not {"path", "raw"} & set(columns):
            raise self._damaged(key, f"file {record} of {folder} cannot be read")
        if any(not _is_null(columns[name][row]) for name in ("path", "raw") if name in columns):
            raise self._damaged(key, "an entry that cannot be read")

    def keys(self) -> Iterator[str]:
        """Return the keys of all objects; for parquet references, only those of documents."""
        if not self._lazy:
            return iter(self._entries)
        entries: Any = self._entries
        return iter({*entries.zmetadata, *(key for key in entries._items if isinstance(key, str))})  # noqa: SLF001


def is_chunk(key: str) -> bool:
    """Return whether a key could be that of a chunk."""
    return _CHUNK.fullmatch(key.rpartition("/")[2]) is not None


def _is_null(value: Any) -> bool:
    return value is None or bool(value != value)  # noqa: PLR0124 - NaN, which pandas uses for None


def entries_of(raw: Any, name: str, overrides: Any = None) -> Mapping[str, Any]:
    """Return the entries of a set from the content of its file.

    Raises:
        MetadataError: It is not a reference set.
        UnsupportedError: It has templates or generators, or another version.
    """
    if not isinstance(raw, Mapping):
        raise MetadataError("not a reference set", where=name, expected="an object", found=type(raw).__name__)
    version = raw.get("version")
    if version is None:
        return raw
    if version != _VERSION:
        raise UnsupportedError(
            "unsupported version of references", where=name, expected="version 1", found=repr(version)
        )
    for member, given in (("templates", raw.get("templates") or overrides), ("gen", raw.get("gen"))):
        if given:
            raise UnsupportedError(
                "templates in a reference set are not supported",
                where=name,
                expected="references in full",
                found=member,
                hint="Expand them: fsspec's ReferenceFileSystem(FILE, simple_templates=False).save_json(NEW), in the same folder.",
            )
    refs = raw.get("refs", {})
    if not isinstance(refs, Mapping):
        raise MetadataError("not a reference set", where=name, expected="an object `refs`", found=type(refs).__name__)
    return refs


def parsed(data: bytes, name: str) -> Any:
    """Parse the content of a reference file.

    Raises:
        MetadataError: It is too large, or not JSON.
    """
    if len(data) > MAX_BYTES:
        raise MetadataError(
            "a reference file is too large",
            where=name,
            expected=f"at most {MAX_BYTES} bytes",
            hint="Store the references as parquet files.",
        )
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MetadataError("a reference file is not JSON", where=name, found=str(error)[:200]) from error


class Allowed:
    """The locations to which the references of a set may lead."""

    def __init__(self, places: Sequence[str] | None, home: Location | None, bare: str | None = None) -> None:
        """Set what is allowed.

        Args:
            places: Folders and URI prefixes; None for the folder of the set only.
            home: The folder of the set; None if it has none.
            bare: Prefix of names without a scheme, unless they are local files.

        Raises:
            ConfigError: A place is neither a folder nor a URI.
        """
        self._home = home
        self._bare = bare
        self._default = places is None
        self._places = tuple(map(_place_of, places)) if places is not None else (home,) if home is not None else ()
        self._resolved = tuple(map(_resolved, self._places))

    def located(self, where: str, place: str) -> Location:
        """Return the location that a reference names; in a local path, links are resolved.

        Args:
            where: The file, as the reference names it.
            place: Set and key, for messages.

        Raises:
            UnsupportedError: It is not in an allowed location, or its name could lead out of one.
        """
        text = f"{self._bare}{where.lstrip('/')}" if self._bare is not None and "://" not in where else where
        try:
            found = location_of(text, self._home)
        except ValueError as error:
            raise self._refusal(place, f"{error}: {_words(where)}", None) from None
        if found.is_local:
            real = os.path.realpath(found.path)
            found = Location(scheme=LOCAL, authority="", path=real, url=real)
        if not any(found.is_below(allowed) for allowed in self._resolved):
            leads = (
                f"{_words(where)}, which is {found.url}" if found.is_local and found.url not in where else _words(where)
            )
            raise self._refusal(place, leads, found)
        return found

    def _refusal(self, place: str, found: str, location: Location | None) -> UnsupportedError:
        names = [named.path if named.is_local else named.url for named in self._places]
        hint, remedies = "Create the references again, with plain names.", {}
        if location is not None:
            folder = location.folder
            wanted = [*names, folder.path if location.is_local else folder.url]
            remedies["slice_references"] = wanted
            hint = "If this slice may read files there, use {slice_references}."
        none = "inline data only: the set has no folder of its own" if self._default else "inline data only"
        return UnsupportedError(
            "a reference leads to a location that may not be read",
            where=place,
            expected=" or ".join(f"below {name}" for name in names) or none,
            found=found,
            hint=hint,
            remedies=remedies,
        )


def _place_of(text: str) -> Location:
    try:
        if is_local(text):
            path = str(local_path(text))
            return Location(scheme=LOCAL, authority="", path=path, url=path)
        return location_of(text)
    except ValueError as error:
        raise ConfigError(
            "neither a folder nor a URI",
            where="slice_references",
            expected="folders or URI prefixes",
            found=f"{error}: {redact(text)}",
        ) from error


def _resolved(place: Location) -> Location:
    if not place.is_local:
        return place
    path = os.path.realpath(place.path)
    return Location(scheme=LOCAL, authority="", path=path, url=path)


def _words(where: str) -> str:
    return redact(where)[:200].encode("unicode_escape").decode()
