"""The register: the last slices that were appended, to recognise those that come again. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from zapz.txn import records

FORMAT = 1
"""Version of a register that is kept on its own."""
_REMEMBERED = 1000
"""So many commits are remembered: as many slices without labels one command may have, and still be
repeated safely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A slice that was appended: enough to recognise it where there are no labels."""

    fingerprint: str
    """Digest of where the slice is and of its documents."""
    offset: int
    """Where its first step went."""
    length: int
    """Number of its steps."""
    transaction: str = ""
    """Transaction that appended it."""
    name: str = field(default="", compare=False)
    """What people call it; told while it is appended, and not remembered."""


def commit_record(commit: Commit) -> list[Any]:
    """Return a commit as it is stored."""
    return [commit.fingerprint, commit.offset, commit.length, commit.transaction]


def commit_of(record: Any) -> Commit:
    """Read what ``commit_record`` made; raises one of ``records.Unreadable``."""
    fingerprint, offset, length, transaction = record
    return Commit(fingerprint=str(fingerprint), offset=int(offset), length=int(length), transaction=str(transaction))


def encode_register(register: Iterable[Commit]) -> bytes:
    """Return the bytes of a register that is kept on its own."""
    return records.frame({"zapz_register": FORMAT, "register": [commit_record(c) for c in register]})


def decode_register(data: bytes, where: str) -> tuple[Commit, ...]:
    """Read what ``encode_register`` made.

    Raises:
        JournalError: It is damaged, or another version of zapz wrote it.
    """
    return records.versioned(
        data, "zapz_register", FORMAT, where, lambda record: tuple(commit_of(c) for c in record["register"])
    )


def remembered(register: Iterable[Commit], commit: Commit) -> tuple[Commit, ...]:
    """Return a register with one more commit."""
    # The transaction is asked for only right after the commit.
    earlier = (replace(c, transaction="") if c.transaction else c for c in register)
    return (*earlier, commit)[-_REMEMBERED:]
