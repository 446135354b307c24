"""Transactions on object services: nothing is deleted, nothing replaced unless it is still what it was.

A writer that was thought dead may wake up at any moment, so whatever it sends must be refused by
then. The head is replaced together with the intent; new keys are created only if they are absent;
boundary chunks are replaced on the tag that they had when they were read, which changes only cells
beyond the shape; then one object, created only if it is absent, decides and carries the documents,
which are replaced on the tag of what the plan built on, the root's last. Whoever finds a head with
a transaction under way whose lease has run out decides against it (or finds it decided), finishes
what is decided, and frees the head.
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
    """Say what will be done; ``name`` is what people call the slice."""
    return Intent(
        id=transaction,
        made_root=False,
        base=plan.base,
        documents=tuple(Document(key=key, digest=digest(data) or "") for key, data in plan.documents.items()),
        extents=tuple(Extent(path=a.path, keys=a.target.keys, spans=a.spans) for a in plan.arrays.values()),
        slice=name,
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

    def merge(self, receipts: Iterable[Receipt]) -> None:
        """See ``Writing``. Whatever lies there, the extents tell what is to be removed."""
        self.touched = any(True for _ in receipts) or self.touched

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk. Thread-safe.

        Raises:
            ConflictError: Somebody else wrote it meanwhile, or it is no longer our turn.
        """
        key = join(path, self._keys[path].key(index))
        data = joined(parts)
        self._lease.check()
        self.touched = True
        read, tag = self.reading.noted(key)
        if self._store.replace(key, data, tag, mine=read) is not None:
            return Receipt(path, index, len(data))
        if not read:  # a stale object beyond the shape; even if it holds these bytes, it gets a new tag
            with contextlib.suppress(NotFoundError):
                tag = self._store.tag(key)
                confirm(self._store, self.intent, self._lease)
                self._require_base(path)
                if self._store.replace(key, data, tag) is not None:
                    return Receipt(path, index, len(data))
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
        governing = {key: base for key, base in self.intent.base.items() if parent(key) == path}
        for key in Requirements(governing).violations(self._store.read_many(governing)):
            raise _changed(self._store, key)

    def commit(self, plan: Plan) -> None:
        """Check that nobody else wrote, and decide.

        Raises:
            ConflictError: A document has changed since the plan was made, or somebody has decided
                against it.
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
