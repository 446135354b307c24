"""Transactions on object services: nothing is deleted, and only unchanged objects are replaced.

A writer that was considered dead may wake up at any moment, and then its requests must be refused.
So the head is replaced together with the intent. New keys are created only if they are absent.
Boundary chunks are replaced by the tags that they had when they were read; this changes only cells
beyond the shape. Then one object is created only if it is absent: it is the decision, and it
contains the documents. They are replaced by the tags of the plan's base versions, the root's
documents last.

A process that finds a head with a transaction in progress, whose lease has run out, aborts the
transaction or finds it decided. It finishes a committed transaction, and frees the head.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

from zapz.errors import ConflictError, NotFoundError, StoreError
from zapz.format.grid import Index
from zapz.format.metadata import join, parent
from zapz.planning.plan import Plan
from zapz.planning.receipt import Receipt
from zapz.storage.hierarchy import digest
from zapz.storage.layout import decision_key
from zapz.storage.objects.store import ObjectStore
from zapz.storage.requirements import Requirements
from zapz.storage.store import Parts, Tag, joined
from zapz.txn import journal
from zapz.txn.extents import Extent
from zapz.txn.journal import Document, Intent
from zapz.txn.objects.lease import Lease
from zapz.txn.objects.settling import apply, publish, read_head


def intend(plan: Plan, transaction: str, name: str = "") -> Intent:
    """Return the intent of a plan; ``name`` is the slice's name for display."""
    return Intent(
        id=transaction,
        made_root=False,
        base=plan.base,
        documents=tuple(Document(key=key, digest=digest(data) or "") for key, data in plan.documents.items()),
        extents=tuple(Extent(path=a.path, keys=a.target.keys, spans=a.spans) for a in plan.arrays.values()),
        slice=name,
    )


def require_size(store: ObjectStore, plan: Plan) -> None:
    """Refuse chunks that certainly exceed the limit of one request, before anything is written.

    Raises:
        StoreError: There are such chunks.
    """
    for path, array in plan.arrays.items():
        target = array.target
        packed = target.codecs.shards is not None or bool(target.codecs.stages)
        if store.largest is not None and not packed and target.chunk_bytes > store.largest:
            raise StoreError(
                "chunk is too large for one write request",
                where=f"{store.uri}/{path}",
                expected=f"at most {store.largest} bytes",
                found=f"{target.chunk_bytes}",
                hint="Create the target with smaller chunks.",
            )


def _committed(error: StoreError) -> StoreError:
    """Add to an error after the decision that the append is committed; return the error."""
    error.hint = f"{error.hint} The append is committed, but perhaps not yet visible: run `zapz recover`.".strip()
    return error


def _changed(store: ObjectStore, key: str) -> ConflictError:
    return ConflictError(
        "another program changed the target during the append",
        where=f"{store.uri}/{key}",
        hint="Its changes were kept. Run the append again.",
    )


def confirm(store: ObjectStore, intent: Intent, lease: Lease) -> None:
    """Make sure that this process still has the turn, and so had it when the last tag was read.

    Raises:
        ConflictError: It has lost it.
    """
    head, _ = read_head(store)
    if head.intent is None or head.intent.id != intent.id:
        raise ConflictError("another process has taken over", where=store.uri, hint="Run the append again.")
    lease.check()


class FencedTransaction:
    """A transaction to which the steps of a plan write."""

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
        """Return nothing: missing chunks are written out everywhere."""
        return ()

    def replaces(self, path: str, index: Index) -> bool:  # noqa: ARG002 - for all keys
        """Return True: missing chunks are written out, so that no late request can create them."""
        return True

    def merge(self, receipts: Iterable[Receipt]) -> None:
        """See ``Writing``. It records only that there are chunks: extents name what to remove."""
        self.touched = any(True for _ in receipts) or self.touched

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk. Thread-safe.

        Raises:
            ConflictError: Another process wrote it meanwhile, or this process has lost its turn.
        """
        key = join(path, self._keys[path].key(index))
        data = joined(parts)
        self._lease.check()
        self.touched = True
        read, tag = self.reading.noted(key)
        if self._store.replace(key, data, tag, mine=read) is not None:
            return Receipt(path, index, len(data))
        if not read:  # a stale object beyond the shape; even if it contains these bytes, it gets a new tag
            with contextlib.suppress(NotFoundError):
                tag = self._store.tag(key)
                confirm(self._store, self.intent, self._lease)
                self._require_base(path)
                if self._store.replace(key, data, tag) is not None:
                    return Receipt(path, index, len(data))
        raise ConflictError(
            "another process wrote a chunk during the append",
            where=f"{self._store.uri}/{key}",
            hint="Run the append again.",
        )

    def _require_base(self, path: str) -> None:
        """Make sure that an array has not changed, so that chunks beyond its shape are not data.

        Raises:
            ConflictError: It has changed since the plan was made.
        """
        governing = {key: base for key, base in self.intent.base.items() if parent(key) == path}
        for key in Requirements(governing).violations(self._store.read_many(governing)):
            raise _changed(self._store, key)

    def commit(self, plan: Plan) -> None:
        """Check that no other process wrote, and commit.

        Raises:
            ConflictError: A document has changed since the plan was made, or another process has
                aborted the transaction.
        """
        governing = {**dict.fromkeys(plan.documents), **self.intent.base}
        here = self._store.read_many_tagged(governing)
        self._tags = {key: here[key][1] if key in here else None for key in governing}
        for key in Requirements(governing).violations({key: data for key, (data, _) in here.items()}):
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
                "another process aborted this transaction", where=self._store.uri, hint="Run the append again."
            )
        try:
            head, _ = read_head(self._store)
        except StoreError as error:
            raise _committed(error) from None
        if head.intent is not None and head.intent.id == self.intent.id:
            return
        self.settled = True
        # Without an entry in the register, it was aborted, and that was forgotten since.
        if all(commit.transaction != self.intent.id for commit in head.register):
            raise ConflictError("another process has taken over", where=self._store.uri, hint="Run the append again.")

    def apply(self, plan: Plan) -> None:
        """Make the transaction visible.

        Raises:
            ConflictError: Another program has changed a document since.
            StoreError: Storage failed; the hint states that the append is committed.
        """
        if self.settled:
            return
        try:
            publish(self._store, plan.documents, self._tags)
        except StoreError as error:
            raise _committed(error) from None
        except ConflictError:
            apply(self._store, self.intent, plan.documents)  # unless another process has already applied it
        except BaseException:  # a signal: the transaction is committed, so it is finished first
            apply(self._store, self.intent, plan.documents)
            raise
