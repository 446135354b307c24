"""The journal: a transaction's intent and its decision (``txn.records`` frames them). Pure.

An intent without its ``ready`` record was never complete, so nothing was changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from zapz.errors import FormatError, JournalError
from zapz.format.metadata import ChunkKeys, check_path, parent
from zapz.storage.layout import is_ours
from zapz.txn import records
from zapz.txn.extents import Extent

_KEYS_PER_RECORD = 1000
_LONGEST_NAME = 500
"""Maximum number of characters of a text for display."""
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")

Outcome = Literal["commit", "abort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A metadata document that the transaction writes."""

    key: str
    """Its key."""
    digest: str
    """Digest of what will be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What a transaction will do; durable before the first change."""

    id: str
    """Name of the transaction, and of its folder."""
    made_root: bool
    """Whether the target's folder was created for it."""
    base: Mapping[str, str | None]
    """Digests, before the transaction, of all documents that govern the target; None for an absent
    one."""
    documents: tuple[Document, ...]
    """Documents to write, in order of becoming visible."""
    extents: tuple[Extent, ...]
    """Chunk keys that may be written."""
    existing: tuple[str, ...] = ()
    """Those of them that existed before: they are staged, and never removed."""
    folders: tuple[str, ...] = ()
    """Folders above chunk keys that existed before: they are never removed."""
    foreign: tuple[str, ...] = field(default=())
    """Chunk keys that another program created meanwhile: they are never removed."""
    slice: str = ""
    """Name of the slice, for display; empty if it is not known."""
    process: int = 0
    """Process number of the writer, for display; 0 if it is not known, or is recorded elsewhere."""
    host: str = ""
    """Name of its machine, for display."""
    since: str = ""
    """When the append began, UTC, ISO 8601, for display."""

    def staged(self) -> Iterator[tuple[str, str]]:
        """Yield (staged name, key) of all staged files: chunks first, then documents in order."""
        return ((name, key) for name, _, key in self.staged_by_node())

    def staged_by_node(self) -> Iterator[tuple[str, str, str]]:
        """Yield (staged name, path of the node, key), in the same order."""
        paths = sorted((extent.path for extent in self.extents), key=len, reverse=True)
        for number, key in enumerate(self.existing, len(self.documents) + 1):
            yield f"{number:06d}", next((p for p in paths if not p or key.startswith(f"{p}/")), parent(key)), key
        for number, document in enumerate(self.documents, 1):
            yield f"{number:06d}", parent(document.key), document.key


def write(intent: Intent) -> Iterator[bytes]:
    """Yield the bytes of a complete journal."""
    yield records.MAGIC
    yield records.frame({"type": "begin", **as_record(intent)})
    for kind, names in (("existing", intent.existing), ("folders", intent.folders)):
        for start in range(0, len(names), _KEYS_PER_RECORD):
            yield records.frame({"type": kind, "keys": list(names[start : start + _KEYS_PER_RECORD])})
    yield records.frame({"type": "ready", "existing": len(intent.existing)})


def as_record(intent: Intent) -> dict[str, Any]:
    """Return an intent as JSON fields, without its lists of keys."""
    shown = {"slice": intent.slice, "process": intent.process, "host": intent.host, "since": intent.since}
    return {
        "id": intent.id,
        "made_root": intent.made_root,
        "base": dict(intent.base),
        "documents": [[d.key, d.digest] for d in intent.documents],
        "extents": [extent_record(extent) for extent in intent.extents],
        **{name: value for name, value in shown.items() if value},
    }


def extent_record(extent: Extent) -> list[Any]:
    """Return an extent as JSON."""
    return [extent.path, extent.keys.style, extent.keys.separator, [list(span) for span in extent.spans]]


def foreign(key: str) -> bytes:
    """Return the record of a key that another program created."""
    return records.frame({"type": "foreign", "key": key})


def read(data: bytes, where: str) -> Intent | None:
    """Read a journal; None if its intent was never complete.

    Raises:
        JournalError: It is damaged, from another version, or names a key outside the target.
    """
    intent: Intent | None = None
    names: dict[str, list[str]] = {"existing": [], "folders": [], "foreign": []}
    ready = False
    for record in records.split(data, where):
        try:
            kind = record["type"]
            if kind == "begin" and intent is None:
                intent = from_record(record)
            elif intent is not None and kind in {"existing", "folders"} and not ready:
                names[kind] += [_safe(k) for k in record["keys"]]
            elif intent is not None and kind == "ready":
                ready = True
                if record["existing"] != len(names["existing"]):
                    raise records.damaged(where, "records are missing")
            elif intent is not None and kind == "foreign" and ready:
                names["foreign"].append(_safe(record["key"]))
            else:
                raise records.damaged(where, f"an unexpected record {kind!r}")
        except (*records.Unreadable, FormatError) as error:
            raise records.damaged(where, f"{type(error).__name__} {error}") from error
    if intent is None or not ready:
        return None
    existing, folders, others = (tuple(keys) for keys in names.values())
    return replace(intent, existing=existing, folders=folders, foreign=others)


def from_record(record: Mapping[str, Any]) -> Intent:
    """Return an intent from its JSON fields (``as_record``).

    Raises:
        Exception: One of ``records.Unreadable``, or ``FormatError``: a field is invalid.
    """
    base = record["base"]
    if not all(isinstance(v, str) or v is None for v in base.values()):
        raise TypeError("a digest that is not text")
    if not all(isinstance(digest, str) for _, digest in record["documents"]):
        raise TypeError("a digest that is not text")
    return Intent(
        id=name_of(record["id"]),
        made_root=bool(record["made_root"]),
        base={_safe(k): v for k, v in base.items()},
        documents=tuple(Document(key=_safe(k), digest=d) for k, d in record["documents"]),
        extents=tuple(extent_of(e) for e in record["extents"]),
        slice=_words(record.get("slice", "")),
        process=int(record.get("process", 0)),
        host=_words(record.get("host", "")),
        since=_words(record.get("since", "")),
    )


def _words(value: Any) -> str:
    """Return a text for display: shortened, and without control characters for the terminal."""
    if not isinstance(value, str):
        raise TypeError("a name that is not text")
    return "".join(c if c.isprintable() else "?" for c in value[:_LONGEST_NAME])


def extent_of(record: Any) -> Extent:
    """Return an extent from its JSON form (``extent_record``).

    Raises:
        ValueError: It is invalid.
    """
    path, style, separator, spans = record
    if style not in {"default", "v2"} or separator not in {".", "/"}:
        raise ValueError(f"chunk key encoding {style!r} with separator {separator!r}")
    box = tuple((a, b) for a, b in spans)
    if not all(type(n) is int for span in box for n in span) or any(a < 0 or b < a for a, b in box):
        raise ValueError(f"a range {box}")
    if is_ours(_safe(path)):
        raise ValueError(f"chunks of {path!r}")
    return Extent(path=path, keys=ChunkKeys(style=style, separator=separator), spans=box)


def _safe(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError("a key that is not text")
    check_path(key)
    return key


def name_of(value: Any) -> str:
    """Check the name of a transaction, which also names folders and files, and return it.

    Raises:
        ValueError: It is invalid.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"a name {value!r}"[:100])
    return value


def decision(
    transaction: str, outcome: Outcome, documents: Mapping[str, bytes] | None = None, now: float | None = None
) -> bytes:
    """Return the bytes of a decision.

    Args:
        transaction: Name of the transaction.
        outcome: "commit" or "abort".
        documents: Documents that it makes visible, in order, where nothing is staged: then recovery
            needs only the decision.
        now: Time in seconds since 1970, where decisions outlive their transactions.
    """
    record: dict[str, Any] = {"id": transaction, "outcome": outcome}
    if now is not None:
        record["time"] = now
    if documents is not None:
        record["documents"] = [[key, data.decode("utf-8", "surrogateescape")] for key, data in documents.items()]
    return records.frame(record)


def read_decision(data: bytes, transaction: str, where: str) -> Outcome:
    """Read a decision.

    Raises:
        JournalError: It is damaged, or belongs to another transaction.
    """
    return read_decided(data, transaction, where)[0]


def read_decided(data: bytes, transaction: str, where: str) -> tuple[Outcome, dict[str, bytes]]:
    """Read a decision, and the documents in it.

    Raises:
        JournalError: It is damaged, or belongs to another transaction.
    """
    try:
        record = records.single(data)
        outcome: Outcome = record["outcome"]
        if record["id"] != transaction or outcome not in {"commit", "abort"}:
            raise ValueError(f"{record}"[:200])
        documents = {_safe(key): text.encode("utf-8", "surrogateescape") for key, text in record.get("documents", ())}
    except (*records.Unreadable, FormatError) as error:
        raise JournalError(
            "the decision is damaged",
            where=where,
            found=str(error),
            hint="Nothing was changed. Keep the folder and open an issue.",
        ) from error
    return outcome, documents


def decided_at(data: bytes, where: str) -> float:
    """Return when a decision was made, in seconds since 1970.

    Raises:
        JournalError: It is damaged.
    """
    try:
        return float(records.single(data)["time"])
    except records.Unreadable as error:
        raise records.damaged(where, f"{type(error).__name__} {error}") from error
