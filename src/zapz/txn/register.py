"""The register: the last appended slices, to recognise a slice that is appended again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from zapz.txn import records

FORMAT = 1
"""Version of a register that is a file of its own."""
_REMEMBERED = 1000
"""Register length, in commits. A command with at most this number of slices without labels can be
repeated safely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """An appended slice: what is needed to recognise it where there are no labels."""

    fingerprint: str
    """Digest of the slice's path or URI and of its documents."""
    offset: int
    """Index of its first step in the target, along the append dimension."""
    length: int
    """Number of its steps."""
    transaction: str = ""
    """Transaction that appended it."""
    name: str = field(default="", compare=False)
    """Its name for display while it is appended; not stored in the register."""


def commit_record(commit: Commit) -> list[Any]:
    """Return a commit as JSON."""
    return [commit.fingerprint, commit.offset, commit.length, commit.transaction]


def commit_of(record: Any) -> Commit:
    """Return a commit from its JSON form; raises one of ``records.Unreadable``."""
    fingerprint, offset, length, transaction = record
    return Commit(fingerprint=str(fingerprint), offset=int(offset), length=int(length), transaction=str(transaction))


def encode_register(register: Iterable[Commit]) -> bytes:
    """Return the bytes of a register that is a file of its own."""
    return records.frame({"zapz_register": FORMAT, "register": [commit_record(c) for c in register]})


def decode_register(data: bytes, where: str) -> tuple[Commit, ...]:
    """Read the bytes of ``encode_register``.

    Raises:
        JournalError: It is damaged, or another version of zapz wrote it.
    """
    return records.versioned(
        data, "zapz_register", FORMAT, where, lambda record: tuple(commit_of(c) for c in record["register"])
    )


def remembered(register: Iterable[Commit], commit: Commit) -> tuple[Commit, ...]:
    """Return a register with one more commit."""
    # The transaction's name is needed only right after its commit.
    earlier = (replace(c, transaction="") if c.transaction else c for c in register)
    return (*earlier, commit)[-_REMEMBERED:]
