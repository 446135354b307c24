"""What any process may do about a turn on an object service: read the head, decide against what was left, finish what is decided."""

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
from zapz.txn import bounds, journal
from zapz.txn.journal import Intent
from zapz.txn.objects import head as heads
from zapz.txn.objects.head import Head
from zapz.waiting import Wait

_POLL = 0.5
_LONG_AGO = 3600.0
"""Seconds by two machines' clocks after which a lease has run out even for somebody who has just
begun to watch."""


def read_head(store: ObjectStore) -> tuple[Head, Tag | None]:
    """Return the head and its tag; an empty one and None if there is none.

    Raises:
        JournalError: It is damaged, or a newer zapz wrote it.
    """
    try:
        data, tag = store.read_tagged(HEAD)
    except NotFoundError:
        return Head(), None
    return heads.decode(data, f"{store.uri}/{HEAD}"), tag


def read_decided(store: ObjectStore, transaction: str) -> tuple[journal.Outcome | None, dict[str, bytes]]:
    """Read a transaction's decision and documents; None if it is undecided."""
    key = decision_key(transaction)
    try:
        return journal.read_decided(store.read(key), transaction, f"{store.uri}/{key}")
    except NotFoundError:
        return None, {}


def decide_against(store: ObjectStore, intent: Intent) -> tuple[journal.Outcome | None, dict[str, bytes]]:
    """Decide against a transaction unless it is decided; return what is decided, None if that is history already.

    Raises:
        JournalError: The decision is damaged, or makes something visible that was not planned.
            Nothing was touched.
    """
    bounds.check_names(intent, bounds.where_of(store, HEAD))
    store.replace(decision_key(intent.id), journal.decision(intent.id, "abort", now=time.time()), None)
    outcome, documents = read_decided(store, intent.id)
    if outcome == "commit":
        bounds.check_decided(intent, documents, bounds.where_of(store, decision_key(intent.id)))
    return outcome, documents


def settle(store: ObjectStore, head: Head, tag: Tag, *, rest: float) -> Recovery:
    """Decide against what is under way, or finish it if it is decided, and free the head. Everybody may do so at once.

    Args:
        store: The target.
        head: With something under way.
        tag: The head's.
        rest: Seconds during which its owner's requests may still arrive.

    Raises:
        ConflictError: Another tool changed a document that was to be replaced; the head is free all
            the same.
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
        return Recovery()  # somebody else has settled it, and the target may have moved on
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
    """Make a decided transaction visible: every document that is still what the plan built on is replaced, in order.

    Raises:
        ConflictError: A document is neither that nor what it becomes.
    """
    here = store.read_many_tagged({**intent.base, **documents})
    found = {key: data for key, (data, _) in here.items()}
    written = {key: digest(data) or "" for key, data in documents.items()}
    for key in Requirements({**dict.fromkeys(documents), **intent.base}).violations(found, becoming=written):
        raise overtaken(store, key)
    tags = {key: here[key][1] if key in here else None for key, data in documents.items() if found.get(key) != data}
    publish(store, {key: documents[key] for key in tags}, tags)


def publish(store: ObjectStore, documents: Mapping[str, bytes], tags: Mapping[str, Tag | None]) -> None:
    """Replace documents on their tags: those of arrays and groups, then the root's, the last one last.

    Raises:
        ConflictError: One is no longer what it was.
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
    """Remove a decision that nobody needs any more."""
    store.remove(decision_key(transaction))


def overtaken(store: ObjectStore, key: str) -> ConflictError:
    """Return the error that says that somebody wrote between decision and application."""
    return ConflictError(
        "another tool changed the target while a committed append was not yet visible",
        where=f"{store.uri}/{key}",
        hint="Its changes were left alone. Look whether the slice is in the target, and append it again if it is not.",
    )


def wait_for_turn(store: ObjectStore, wait: Wait) -> tuple[Head, Tag | None, Recovery]:
    """Return a head with nothing under way, once there is one; what a crash left is settled.

    Args:
        store: The target.
        wait: How long to wait for another writer.

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
        ours = head.locked and not store.abilities.conditional  # the lock that its owner held besides
        if dead or quiet or ours:
            done = done.joined(settle(store, head, tag, rest=0.0 if dead else head.lease))
        elif deadline.is_over():
            raise locked(store, head.owner, head.lease, wait)
        else:
            deadline.pause(min(_POLL, deadline.left))


def is_over(head: Head) -> bool:
    """Return whether what is under way has certainly been left, or had its last sign of life long ago by all clocks."""
    if head.left or (head.owner is not None and is_dead(head.owner)):
        return True
    return time.time() - head.renewed > _LONG_AGO + 10 * head.lease


def locked(store: ObjectStore, owner: Holder, lease: float, wait: Wait) -> LockedError:
    """Return the error that says whose turn it is."""
    more = f". If that process is gone: `zapz recover` takes over after {lease:.0f} s."
    return target_locked(store.uri, owner, wait, more)
