"""Settle an interrupted turn on an object service: abort or finish it. Any process may do so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

from zapz.errors import ConflictError, LockedError, NotFoundError
from zapz.reports import RecoveredAppend, Recovery
from zapz.storage.hierarchy import digest
from zapz.storage.holder import is_dead, target_locked
from zapz.storage.layout import HEAD, decision_key
from zapz.storage.objects.store import ObjectStore
from zapz.storage.requirements import Requirements
from zapz.storage.store import Holder, Tag
from zapz.storage.waiting import Wait
from zapz.txn import bounds, journal
from zapz.txn.journal import Intent
from zapz.txn.objects import head as heads
from zapz.txn.objects.head import Head

_POLL = 0.5
_LONG_AGO = 3600.0
"""Seconds, compared between two machines' clocks, after which a lease has run out even for a
process that has just begun to watch."""


def read_head(store: ObjectStore) -> tuple[Head, Tag | None]:
    """Return the head and its tag; an empty head and None if there is none.

    Raises:
        JournalError: It is damaged, or a newer zapz wrote it.
    """
    try:
        data, tag = store.read_tagged(HEAD)
    except NotFoundError:
        return Head(), None
    return heads.decode(data, f"{store.uri}/{HEAD}"), tag


def read_decided(store: ObjectStore, transaction: str) -> tuple[journal.Outcome | None, dict[str, bytes]]:
    """Return a transaction's decision and its documents; None if it is undecided."""
    key = decision_key(transaction)
    try:
        return journal.read_decided(store.read(key), transaction, f"{store.uri}/{key}")
    except NotFoundError:
        return None, {}


def decide_against(store: ObjectStore, intent: Intent) -> tuple[journal.Outcome | None, dict[str, bytes]]:
    """Abort a transaction unless it is decided; return its decision and its documents.

    The decision is None if it was removed since, because the transaction is finished.

    Raises:
        JournalError: The decision is damaged, or contains documents that were not planned. Nothing
            was touched.
    """
    bounds.check_names(intent, bounds.where_of(store, HEAD))
    store.replace(decision_key(intent.id), journal.decision(intent.id, "abort", now=time.time()), None)
    outcome, documents = read_decided(store, intent.id)
    if outcome == "commit":
        bounds.check_decided(intent, documents, bounds.where_of(store, decision_key(intent.id)))
    return outcome, documents


def settle(store: ObjectStore, head: Head, tag: Tag, *, rest: float) -> Recovery:
    """Abort the transaction in progress, or finish it if it is committed, and free the head.

    Several processes may do so at the same time.

    Args:
        store: The target.
        head: A head with a transaction in progress.
        tag: The tag of the head.
        rest: Seconds during which requests of its owner may still arrive.

    Raises:
        ConflictError: Another program changed a document of the transaction. The head is free
            nevertheless.
    """
    intent, owner = head.intent, head.owner
    if intent is None:
        return Recovery()
    outcome, documents = decide_against(store, intent)
    if outcome is None:
        return Recovery()
    conflict: ConflictError | None = None
    if outcome == "commit":
        try:
            apply(store, intent, documents)
        except ConflictError as error:
            conflict = error
    done = outcome == "commit" and conflict is None
    head = head.committed() if done else head.aborted(time.time(), rest)
    if store.replace(HEAD, heads.encode(head.free()), tag) is None:
        return Recovery()  # another process has settled it, and the target may have changed since
    if conflict is not None:
        raise conflict
    return _recovered(store, intent, owner, done=done)


def _recovered(store: ObjectStore, intent: Intent, owner: Holder | None, *, done: bool) -> Recovery:
    known: dict[str, Any] = (
        {} if owner is None else {"process": owner.process, "host": owner.host, "since": owner.since}
    )
    outcome: Literal["finished", "abandoned"] = "finished" if done else "abandoned"
    found = RecoveredAppend(id=intent.id, slice=intent.slice, target=store.uri, outcome=outcome, **known)
    ids = (intent.id,)
    return Recovery(rolled_forward=ids, appends=(found,)) if done else Recovery(rolled_back=ids, appends=(found,))


def apply(store: ObjectStore, intent: Intent, documents: Mapping[str, bytes]) -> None:
    """Make a committed transaction visible: replace documents that are unchanged, in order.

    Raises:
        ConflictError: A document is neither the plan's base version nor the new one.
    """
    here = store.read_many_tagged({**intent.base, **documents})
    found = {key: data for key, (data, _) in here.items()}
    written = {key: digest(data) or "" for key, data in documents.items()}
    for key in Requirements({**dict.fromkeys(documents), **intent.base}).violations(found, becoming=written):
        raise overtaken(store, key)
    tags = {key: here[key][1] if key in here else None for key, data in documents.items() if found.get(key) != data}
    publish(store, {key: documents[key] for key in tags}, tags)


def publish(store: ObjectStore, documents: Mapping[str, bytes], tags: Mapping[str, Tag | None]) -> None:
    """Replace documents by their tags: those of arrays and groups, then the root's, in order.

    Raises:
        ConflictError: One has changed.
    """
    nested = [key for key in documents if "/" in key]
    written = store.replace_many([(key, documents[key], tags[key]) for key in nested])
    for key, tag in zip(nested, written, strict=True):
        if tag is None:
            raise overtaken(store, key)
    for key, data in documents.items():
        if "/" not in key and store.replace(key, data, tags[key]) is None:
            raise overtaken(store, key)


def forget(store: ObjectStore, transaction: str) -> None:
    """Remove a decision that no process needs any more."""
    store.remove(decision_key(transaction))


def overtaken(store: ObjectStore, key: str) -> ConflictError:
    """Return the error for a document that changed between the decision and its replacement."""
    return ConflictError(
        "another program changed the target before a committed append was visible",
        where=f"{store.uri}/{key}",
        hint="Its changes were kept. Check whether the slice is in the target, and append it again if it is not.",
    )


def wait_for_turn(store: ObjectStore, wait: Wait) -> tuple[Head, Tag | None, Recovery]:
    """Wait for a head without a transaction in progress; settle what a crash left.

    Args:
        store: The target.
        wait: How long to wait for another writer.

    Returns:
        The head, its tag (None if there is no head), and what was recovered.

    Raises:
        LockedError: Another writer's turn does not end in time.
    """
    deadline = wait.begin(store.uri)
    done = Recovery()
    watched: tuple[Tag | None, float] | None = None
    while True:
        head, tag = read_head(store)
        now = deadline.now()
        if head.intent is None or head.owner is None or tag is None:
            return head, tag, done
        if watched is None or watched[0] != tag:
            watched = (tag, now)
        dead = head.left or is_dead(head.owner)
        quiet = now - watched[1] >= head.lease or is_over(head)
        ours = head.locked and not store.abilities.conditional  # this process holds the lock of its owner now
        if dead or quiet or ours:
            done = done.joined(settle(store, head, tag, rest=0.0 if dead else head.lease))
        elif deadline.is_over():
            raise locked(store, head.owner, head.lease, wait)
        else:
            deadline.pause(min(_POLL, deadline.left))


def is_over(head: Head) -> bool:
    """Return whether a turn was certainly left, or its last sign of life is long ago."""
    if head.left or (head.owner is not None and is_dead(head.owner)):
        return True
    return time.time() - head.renewed > _LONG_AGO + 10 * head.lease


def locked(store: ObjectStore, owner: Holder, lease: float, wait: Wait) -> LockedError:
    """Return the error for a target whose turn another process has."""
    more = f". If that process no longer exists, `zapz recover` takes over after {lease:.0f} s."
    return target_locked(store.uri, owner, wait, more)
