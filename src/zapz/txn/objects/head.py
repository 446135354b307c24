"""The head of a target on an object service: its turn, its transaction, its leftovers. Pure.

The head is one small object, and is replaced only if it is unchanged. So only one transaction is in
progress at any time, and a process that was considered dead and wakes up finds that the head has
changed.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from zapz.format.grid import Box
from zapz.storage.store import Holder
from zapz.txn import journal, records
from zapz.txn.extents import Extent
from zapz.txn.journal import Intent
from zapz.txn.register import Commit, commit_of, commit_record, remembered

FORMAT = 1
"""Version of the head."""
_LONGEST = 600.0
"""Maximum time in a head, in seconds: no head can make a process wait longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dirty:
    """Keys that an aborted transaction may have written."""

    extent: Extent
    """These keys."""
    since: float
    """When the transaction was aborted, in seconds since 1970."""
    rest: float
    """Seconds during which its requests may still arrive; 0 if it certainly sends no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """State of a target."""

    epoch: int = 0
    """Number of turns taken."""
    intent: Intent | None = None
    """Intent of the transaction in progress; None if there is none."""
    commit: Commit | None = None
    """Entry for the register, if the transaction is committed."""
    owner: Holder | None = None
    """The process that writes."""
    lease: float = 0.0
    """Seconds after which an unchanged head may be taken over."""
    beat: int = 0
    """Number of renewals of the lease."""
    renewed: float = 0.0
    """Time of the last renewal by the owner's clock, in seconds since 1970."""
    left: bool = False
    """Whether the owner has given up: then any process may settle the transaction at once."""
    locked: bool = False
    """Whether the owner also holds a lock: then the present holder of that lock may settle the
    transaction at once."""
    dirty: tuple[Dirty, ...] = ()
    """Keys that aborted transactions may have written."""
    register: tuple[Commit, ...] = ()
    """The last commits, oldest first."""

    def active(
        self, intent: Intent, commit: Commit, owner: Holder, lease: float, now: float, *, locked: bool = False
    ) -> Head:
        """Return the head with a transaction in progress; ``now`` is in seconds since 1970."""
        return replace(
            self,
            epoch=self.epoch + 1,
            intent=intent,
            commit=commit,
            owner=owner,
            lease=lease,
            beat=0,
            renewed=now,
            left=False,
            locked=locked,
        )

    def renew(self, now: float) -> Head:
        """Return the head with a fresh lease."""
        return replace(self, beat=self.beat + 1, renewed=now)

    def leave(self) -> Head:
        """Return the head with an owner that has given up."""
        return replace(self, beat=self.beat + 1, left=True)

    def unsettled_for(self, extents: Iterable[Extent], now: float) -> float:
        """Return for how many seconds requests of aborted writers may still arrive at extents."""
        planned = tuple(extents)
        young = (min(d.since + d.rest - now, d.rest) for d in self.dirty if any(overlaps(d.extent, e) for e in planned))
        return max(young, default=0.0)

    def committed(self) -> Head:
        """Return the head with its transaction in the register; its owner keeps the turn."""
        if self.intent is None or self.commit is None:
            return self
        done = self.intent.extents
        dirty = tuple(replace(d, extent=rest) for d in self.dirty if (rest := _without(d.extent, done)) is not None)
        if self.register[-1:] == (self.commit,):
            return replace(self, dirty=dirty)
        return replace(self, dirty=dirty, register=remembered(self.register, self.commit))

    def aborted(self, now: float, rest: float) -> Head:
        """Return the head with the keys of its transaction recorded as dirty."""
        extents = self.intent.extents if self.intent is not None else ()
        added = tuple(Dirty(extent=extent, since=now, rest=rest) for extent in extents if extent.count)
        return replace(self, dirty=_merged((*self.dirty, *added)))

    def tidied(self) -> Head:
        """Return the head without dirty keys."""
        return replace(self, dirty=())

    def free(self) -> Head:
        """Return the head without an owner."""
        return Head(epoch=self.epoch + 1, dirty=self.dirty, register=self.register)


def _merged(dirty: Iterable[Dirty]) -> tuple[Dirty, ...]:
    """Return one box per array, so that the head stays small after many aborted runs."""
    boxes: dict[tuple[Any, ...], Dirty] = {}
    for each in dirty:
        extent = each.extent
        name = (extent.path, extent.keys, len(extent.spans))
        old = boxes.get(name)
        if old is not None:
            spans = tuple((min(a, c), max(b, d)) for (a, b), (c, d) in zip(old.extent.spans, extent.spans, strict=True))
            each = Dirty(  # noqa: PLW2901 - joined with the earlier one
                extent=replace(extent, spans=spans), since=max(old.since, each.since), rest=max(old.rest, each.rest)
            )
        boxes[name] = each
    return tuple(boxes.values())


def _without(dirty: Extent, written: Iterable[Extent]) -> Extent | None:
    """Return a box around the keys of a dirty extent that were not written since; None if none."""
    spans: Box = dirty.spans
    for extent in written:
        if extent.path != dirty.path or extent.keys != dirty.keys or len(extent.spans) != len(spans):
            continue
        uncovered = [
            i for i, ((a, b), (c, d)) in enumerate(zip(spans, extent.spans, strict=True)) if not (c <= a and b <= d)
        ]
        if not uncovered:
            return None
        if len(uncovered) == 1:
            i = uncovered[0]
            (a, b), (c, d) = spans[i], extent.spans[i]
            if c <= a < d:
                spans = (*spans[:i], (d, b), *spans[i + 1 :])
            elif c < b <= d:
                spans = (*spans[:i], (a, c), *spans[i + 1 :])
    return replace(dirty, spans=spans)


def overlaps(dirty: Extent, planned: Extent) -> bool:
    """Return whether two extents share a key."""
    return (dirty.path, dirty.keys, len(dirty.spans)) == (planned.path, planned.keys, len(planned.spans)) and all(
        a < d and c < b for (a, b), (c, d) in zip(dirty.spans, planned.spans, strict=True)
    )


@dataclass(frozen=True, slots=True)
class TopNames:
    """First parts of all keys that aborted transactions may have written; no key is enumerated."""

    extents: tuple[Extent, ...] = ()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(extent.begins(name) for extent in self.extents)


def top_names(head: Head) -> Container[str]:
    """Return the first parts of all keys that aborted transactions may have written."""
    return TopNames(tuple(dirty.extent for dirty in head.dirty))


def encode(head: Head) -> bytes:
    """Return a head's bytes."""
    record: dict[str, Any] = {
        "zapz_head": FORMAT,
        "epoch": head.epoch,
        "dirty": [[journal.extent_record(d.extent), d.since, d.rest] for d in head.dirty],
        "register": [commit_record(c) for c in head.register],
    }
    if head.intent is not None and head.commit is not None and head.owner is not None:
        record |= {
            "intent": journal.as_record(head.intent),
            "commit": commit_record(head.commit),
            "owner": asdict(head.owner),
            "lease": head.lease,
            "beat": head.beat,
            "renewed": head.renewed,
            "left": head.left,
            "locked": head.locked,
        }
    return records.frame(record)


def decode(data: bytes, where: str) -> Head:
    """Read a head.

    Raises:
        JournalError: It is damaged, or a newer zapz wrote it.
    """
    return records.versioned(data, "zapz_head", FORMAT, where, _head_of)


def _head_of(record: Mapping[str, Any]) -> Head:
    head = Head(
        epoch=int(record["epoch"]),
        dirty=tuple(
            Dirty(extent=journal.extent_of(extent), since=float(since), rest=_seconds(rest))
            for extent, since, rest in record["dirty"]
        ),
        register=tuple(commit_of(c) for c in record["register"]),
    )
    if "intent" not in record:
        return head
    owner = record["owner"]
    return replace(
        head,
        intent=journal.from_record(record["intent"]),
        commit=commit_of(record["commit"]),
        owner=Holder(
            host=str(owner["host"]),
            boot=str(owner["boot"]),
            process=int(owner["process"]),
            started=str(owner.get("started", "-")),
            since=str(owner["since"]),
        ),
        lease=_seconds(record["lease"]),
        beat=int(record["beat"]),
        renewed=float(record["renewed"]),
        left=bool(record["left"]),
        locked=bool(record["locked"]),
    )


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds <= _LONGEST:
        raise ValueError(f"a time of {seconds} s")
    return seconds
