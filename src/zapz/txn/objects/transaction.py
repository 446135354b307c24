"""Transactions on object services: nothing is deleted, nothing replaced unless it is still what it was.

A writer that was thought dead may wake up at any moment, so whatever it sends must be refused by then. The head is replaced together with
the intent; new keys are created only if they are absent; boundary chunks are replaced on the tag that they had when they were read, which
changes only cells beyond the shape; then one object, created only if it is absent, decides and carries the documents, which are replaced on
the tag of what the plan built on, the root's last. Whoever finds a head with a transaction under way whose lease has run out decides
against it (or finds it decided), finishes what is decided, and frees the head.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

from zapz.errors import ConflictError, LockedError, NotFoundError, StoreError
from zapz.format.grid import Index
from zapz.format.metadata import join, parent
from zapz.planning.plan import Plan
from zapz.storage.hierarchy import digest
from zapz.storage.holder import is_dead
from zapz.storage.layout import HEAD, decision_key
from zapz.storage.objects.store import ObjectStore, Tag
from zapz.storage.store import Holder, Parts, joined
from zapz.txn import bounds, journal
from zapz.txn.extents import Extent
from zapz.txn.journal import Document, Intent
from zapz.txn.objects import head as heads
from zapz.txn.objects.head import Head
from zapz.txn.objects.lease import Lease
from zapz.txn.recovery import Recovery
from zapz.waiting import Wait

_POLL = 0.5
_LONG_AGO = 3600.0
"""Seconds by two machines' clocks after which a lease has run out even for somebody who has just begun to watch."""


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
        JournalError: The decision is damaged, or makes something visible that was not planned. Nothing was touched.
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
        ConflictError: Another tool changed a document that was to be replaced; the head is free all the same.
    """
    intent = head.intent
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
    return Recovery(rolled_forward=(intent.id,)) if done else Recovery(rolled_back=(intent.id,))


def apply(store: ObjectStore, intent: Intent, documents: Mapping[str, bytes]) -> None:
    """Make a decided transaction visible: every document that is still what the plan built on is replaced, in order.

    Raises:
        ConflictError: A document is neither that nor what it becomes.
    """
    here = store.read_many_tagged({**intent.base, **documents})
    for key, base in intent.base.items():
        if key not in documents and digest(here.get(key, (None, None))[0]) != base:
            raise overtaken(store, key)
    tags: dict[str, Tag | None] = {}
    for key, data in documents.items():
        found, tag = here.get(key, (None, None))
        if found == data:
            continue
        if digest(found) != intent.base.get(key):
            raise overtaken(store, key)
        tags[key] = tag
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
            raise locked(store, head.owner, head.lease)
        else:
            deadline.pause(min(_POLL, deadline.left))


def is_over(head: Head) -> bool:
    """Return whether what is under way has certainly been left, or had its last sign of life long ago by all clocks."""
    if head.left or (head.owner is not None and is_dead(head.owner)):
        return True
    return time.time() - head.renewed > _LONG_AGO + 10 * head.lease


def locked(store: ObjectStore, owner: Holder, lease: float) -> LockedError:
    """Return the error that says whose turn it is."""
    return LockedError(
        "the target is locked",
        where=store.uri,
        found=f"held by process {owner.process} on {owner.host} since {owner.since}",
        hint=f"Wait for it, or give --lock-wait SECONDS. If that process is gone: `zapz recover` takes over after {lease:.0f} s.",
    )


def intend(plan: Plan, transaction: str) -> Intent:
    """Say what will be done."""
    return Intent(
        id=transaction,
        made_root=False,
        base=plan.base,
        documents=tuple(Document(key=key, digest=digest(data) or "") for key, data in plan.documents.items()),
        extents=tuple(Extent(path=a.path, keys=a.target.keys, spans=a.spans) for a in plan.arrays.values()),
    )


def require_size(store: ObjectStore, plan: Plan) -> None:
    """Refuse chunks that are certainly larger than one request may write, before anything is written.

    Raises:
        StoreError: There are such chunks.
    """
    for path, array in plan.arrays.items():
        target = array.target
        packed = target.codecs.shards is not None or bool(target.codecs.stages)
        if store.largest is not None and not packed and target.chunk_bytes > store.largest:
            raise StoreError(
                "a chunk is larger than one request may write",
                where=f"{store.uri}/{path}",
                expected=f"at most {store.largest} bytes",
                found=f"{target.chunk_bytes}",
                hint="Make the target with smaller chunks.",
            )


def _told(error: StoreError) -> StoreError:
    """Add to a failure after the decision that the decision has been taken."""
    error.hint = f"{error.hint} The append is committed, but perhaps not yet visible: run `zapz recover`.".strip()
    return error


def _changed(store: ObjectStore, key: str) -> ConflictError:
    return ConflictError(
        "another tool changed the target during the append",
        where=f"{store.uri}/{key}",
        hint="Nothing of it was removed. Run the append again.",
    )


def confirm(store: ObjectStore, intent: Intent, lease: Lease) -> None:
    """Make sure that it is still our turn, and so was when the last tag was read.

    Raises:
        ConflictError: It is not.
    """
    head, _ = read_head(store)
    if head.intent is None or head.intent.id != intent.id:
        raise ConflictError("another process has taken over", where=store.uri, hint="Run the append again.")
    lease.check()


class FencedTransaction:
    """Where the steps of a plan write to."""

    def __init__(self, store: ObjectStore, reading: ObjectStore, intent: Intent, lease: Lease) -> None:
        self.intent = intent
        self.touched = False
        self.settled = False
        self.deciding = False
        self.reading = reading
        self._store = store
        self._lease = lease
        self._keys = {extent.path: extent.keys for extent in intent.extents}
        self._tags: dict[str, Tag | None] = {}

    def replaced(self) -> tuple[str, ...]:
        """Return nothing: "no chunk" is written out everywhere."""
        return ()

    def replaces(self, path: str, index: Index) -> bool:  # noqa: ARG002 - whatever lies there
        """Return True: "no chunk" is always written out, so that nobody's late request can put something there."""
        return True

    def put(self, path: str, index: Index, parts: Parts) -> int:
        """Write a chunk; return its length. Thread-safe.

        Raises:
            ConflictError: Somebody else wrote it meanwhile, or it is no longer our turn.
        """
        key = join(path, self._keys[path].key(index))
        data = joined(parts)
        self._lease.check()
        self.touched = True
        read, tag = self.reading.noted(key)
        if self._store.replace(key, data, tag, mine=read) is not None:
            return len(data)
        if not read:  # a stale object beyond the shape; even if it holds these bytes, it gets a new tag
            with contextlib.suppress(NotFoundError):
                tag = self._store.tag(key)
                confirm(self._store, self.intent, self._lease)
                self._require_base(path)
                if self._store.replace(key, data, tag) is not None:
                    return len(data)
        raise ConflictError(
            "somebody else wrote a chunk during the append",
            where=f"{self._store.uri}/{key}",
            hint="Run the append again.",
        )

    def _require_base(self, path: str) -> None:
        """Make sure that an array is still what the plan built on, and so its chunks beyond the shape nobody's.

        Raises:
            ConflictError: It is not.
        """
        governing = [key for key in self.intent.base if parent(key) == path]
        here = self._store.read_many(governing)
        for key in governing:
            if digest(here.get(key)) != self.intent.base[key]:
                raise _changed(self._store, key)

    def commit(self, plan: Plan) -> None:
        """Check that nobody else wrote, and decide.

        Raises:
            ConflictError: A document has changed since the plan was made, or somebody has decided against it.
        """
        governing = {**self.intent.base, **plan.documents}
        here = self._store.read_many_tagged(governing)
        for key in governing:
            found, self._tags[key] = here.get(key, (None, None))
            if digest(found) != self.intent.base.get(key):
                raise _changed(self._store, key)
        self._lease.check()
        data = journal.decision(self.intent.id, "commit", plan.documents, time.time())
        self.deciding = True
        try:
            decided = self._store.replace(decision_key(self.intent.id), data, None)
        except StoreError:
            self.deciding = self._store.uncertain
            raise
        if decided is None:
            raise ConflictError(
                "somebody else decided this append", where=self._store.uri, hint="Run the append again."
            )
        try:
            head, _ = read_head(self._store)
        except StoreError as error:
            raise _told(error) from None
        if head.intent is not None and head.intent.id == self.intent.id:
            return
        self.settled = True
        if all(
            commit.transaction != self.intent.id for commit in head.register
        ):  # decided against, and forgotten since
            raise ConflictError("another process has taken over", where=self._store.uri, hint="Run the append again.")

    def apply(self, plan: Plan) -> None:
        """Make it visible.

        Raises:
            ConflictError: Another tool changed a document since.
            StoreError: Storage failed; the message says that the append is committed.
        """
        if self.settled:
            return
        try:
            publish(self._store, plan.documents, self._tags)
        except StoreError as error:
            raise _told(error) from None
        except ConflictError:
            apply(self._store, self.intent, plan.documents)  # unless somebody else has applied it for us
        except BaseException:  # a signal: the decision has been taken, so it is finished first
            apply(self._store, self.intent, plan.documents)
            raise
