"""One append, all or nothing.

New keys are written to their final paths, beyond the old shape, where no reader sees them. Existing
keys are staged. So no live byte changes before the decision, and after it everything that is needed
to finish is on disk.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from zapz.errors import ConflictError, StoreError, ZapzError
from zapz.format.grid import Index
from zapz.format.metadata import join, parent
from zapz.interrupts import held_back, let_through
from zapz.planning.plan import Plan
from zapz.planning.receipt import Receipt
from zapz.storage.layout import journal_key, stage_key
from zapz.storage.local.rights import PRIVATE, Rights, neighbours
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Parts
from zapz.txn import journal
from zapz.txn.chunk_set import ChunkSet
from zapz.txn.journal import Intent
from zapz.txn.local.intents import folders_of, intend
from zapz.txn.local.recovery import cast, changed_documents, finish, read_decision, undo, write_ballot


class Transaction:
    """A transaction to which the steps of a plan write."""

    def __init__(self, store: LocalStore, intent: Intent) -> None:
        self.reading = store
        self._store = store
        self._intent = intent
        self._names = {key: name for name, key in intent.staged()}
        self._keys = {extent.path: extent.keys for extent in intent.extents}
        self._staged: set[str] = set()
        self._created = ChunkSet(intent.extents)
        self._guard = threading.Lock()
        self.deciding = False
        """Whether the decision was requested: if the lock is lost then, the outcome is unknown."""

    def _key(self, path: str, index: Index) -> str:
        return join(path, self._keys[path].key(index))

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether a chunk's key exists, so that a missing chunk must be written out."""
        return self._key(path, index) in self._names

    def replaced(self) -> tuple[str, ...]:
        """Return the chunk keys that exist already."""
        return self._intent.existing

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk: create it, or stage it if its key exists. Thread-safe.

        Raises:
            ConflictError: Another program created the key meanwhile.
        """
        key = self._key(path, index)
        self._store.check_lock()
        if key in self._names:
            return Receipt(path, index, self._stage(key, parts), staged=True)
        with self._guard:
            self._created.add(path, index)
        try:
            written = self._store.create(key, parts)
        except Exception:  # then the store has left nothing there
            with self._guard:
                self._created.discard(path, index)
            raise
        if written is None:
            with self._guard:
                self._created.discard(path, index)
                self._note_foreign(key)
            raise ConflictError(
                "another program wrote a chunk during the append",
                where=f"{self._store.uri}/{key}",
                hint="That chunk is kept. Run the append again.",
            )
        return Receipt(path, index, written)

    def merge(self, receipts: Iterable[Receipt]) -> None:
        """See ``Writing``."""
        with self._guard:
            for receipt in receipts:
                if receipt.staged:
                    self._staged.add(self._key(receipt.path, receipt.index))
                else:
                    self._created.add(receipt.path, receipt.index)

    def _stage(self, key: str, parts: Parts) -> int:
        written = self._store.create(stage_key(self._intent.id, self._names[key]), parts, PRIVATE)
        with self._guard:
            self._staged.add(key)
        return written or 0

    def _note_foreign(self, key: str) -> None:
        """Record durably that another program created a key: recovery must not remove it either."""
        self._intent = replace(self._intent, foreign=(*self._intent.foreign, key))
        records = (journal.foreign(k) for k in self._intent.foreign)
        self._store.write(journal_key(self._intent.id), [*journal.write(self._intent), *records])
        self._store.sync([journal_key(self._intent.id)])

    def _written(self) -> Iterator[str]:
        yield from self._created.keys()
        yield from (stage_key(self._intent.id, name) for name in self._names.values())

    def prepare(self, documents: Mapping[str, bytes]) -> None:
        """Sync everything that the decision depends on.

        Raises:
            StoreError: Storage failed.
        """
        for key, data in documents.items():
            self._stage(key, [data])
        unwritten = self._names.keys() - self._staged
        if unwritten:
            raise AssertionError(f"planned replacements were not written: {sorted(unwritten)[:3]}")
        self._reserve()
        ballot = write_ballot(self._store, self._intent, "commit")
        self._store.sync([*self._written(), ballot], naming=self._names)

    def commit(self) -> None:
        """Check that no other process wrote, and commit.

        Raises:
            ConflictError: A document has changed since the intent, or another process has aborted
                the transaction.
            StoreError: Storage failed.
        """
        changed = changed_documents(self._store, self._intent)
        if changed:
            raise ConflictError(
                "another program changed the target during the append",
                where=f"{self._store.uri}/{changed[0]}",
                hint="Its changes were kept. Run the append again.",
            )
        self._store.check_lock()
        self.deciding = True
        if not cast(self._store, self._intent, "commit"):
            raise ConflictError(
                "another process aborted this transaction",
                where=self._store.uri,
                found=str(read_decision(self._store, self._intent.id)),
                hint="Run the append again.",
            )

    def _reserve(self) -> None:
        """Make sure that all staged files can be put in place; with links, one test per folder.

        The files also get the mode and owner that they will have there.
        """
        linking: set[str] = set()
        born: dict[str, Rights] = {}
        documents = {document.key for document in self._intent.documents}
        known = [key for key, there in self._intent.base.items() if there]
        for key, name in self._names.items():
            staged = stage_key(self._intent.id, name)
            self._store.take_over(staged, key, neighbours(key, known) if key in documents else (), born)
            if parent(key) not in linking and self._store.reserve(staged, key):
                linking.add(parent(key))

    def apply(self) -> None:
        """Make a committed transaction visible, and clean up.

        Raises:
            StoreError: It failed, or the lock may be lost. The error states that the append is
                committed.
        """
        try:
            finish(self._store, self._intent, checked=True)
        except StoreError as error:
            error.hint = (
                f"{error.hint} The append is committed, but perhaps not yet visible: run `zapz recover`.".strip()
            )
            raise
        except ConflictError as error:
            raise StoreError(
                "the append is committed, but perhaps not yet visible",
                where=self._store.uri,
                found="this process may have lost its lock",
                hint="The next append makes it visible, or `zapz recover`; --lock-wait waits for another process.",
            ) from error
        except BaseException:  # an interrupt: the transaction is committed, so it is finished first, if it is not yet
            if self._store.size(journal_key(self._intent.id)) is not None:
                finish(self._store, self._intent)
            raise

    def abort(self) -> None:
        """Roll back; remove only those planned keys that this transaction created."""
        undo(self._store, self._intent, self._created)


@contextlib.contextmanager
def begin(
    store: LocalStore,
    plan: Plan,
    transaction: str,
    *,
    made_root: bool = False,
    more: Mapping[str, bytes] | None = None,
    called: str = "",
    enter: Callable[[str], None] | None = None,
) -> Iterator[Transaction]:
    """Run the body as a transaction: committed and visible if it returns, rolled back if it raises.

    The lock must be held.

    Args:
        store: The target.
        plan: What will be written.
        transaction: A name that was never used before.
        made_root: Whether the target's folder was created for this.
        more: Documents to write besides those of the plan.
        called: The slice's name for display.
        enter: Called when a phase after the body begins; see ``Session.begin``.
    """
    documents = {**plan.documents, **(more or {})}
    intent = intend(store, plan, transaction, documents, made_root=made_root, name=called)
    with held_back():
        yield from _run(store, intent, documents, enter)


def _run(
    store: LocalStore, intent: Intent, documents: Mapping[str, bytes], enter: Callable[[str], None] | None
) -> Iterator[Transaction]:
    key = journal_key(intent.id)
    running = Transaction(store, intent)
    try:
        known = [document for document, there in intent.base.items() if there]
        store.enclose(parent(key), folders_of(intent))
        store.record(key, [b"".join(journal.write(intent))], known)
        store.sync([key])
        with let_through():
            yield running
            if enter is not None and store.abilities.durable:
                enter("syncing")
            running.prepare(documents)
            if enter is not None:
                enter("committing")
        running.commit()
    except BaseException as error:
        if isinstance(error, StoreError):
            _blame_the_lock(running, store, error)
        try:
            decided = read_decision(store, intent.id)
        except ZapzError as unknown:
            error.add_note(f"It is not known whether the append was committed ({unknown}): run `zapz recover`.")
            raise error from None
        if decided == "commit":  # a lost answer between decision and application
            if store.abilities.durable and isinstance(error, StoreError):
                error.hint = "The append is committed, but not yet visible and perhaps not durable: run `zapz recover`."
                raise
            finish(store, intent)
            if isinstance(error, ZapzError):
                return
            raise
        _undo_quietly(running, error)
        raise
    running.apply()


def _blame_the_lock(running: Transaction, store: LocalStore, error: StoreError) -> None:
    """Report a lost lock, if that is the cause of an error of storage.

    Raises:
        ConflictError: This process may have lost its lock.
    """
    try:
        store.check_lock()
    except ConflictError as lost:
        if running.deciding:
            lost.hint = "The append may be committed. Check whether the slice is in the target, and append it again if it is not."
        raise lost from error


def _undo_quietly(running: Transaction, error: BaseException) -> None:
    """Roll back; add a failure to the original error, because the next run rolls back again."""
    try:
        running.abort()
    except ConflictError as conflict:
        if not isinstance(error, ConflictError):
            error.add_note(str(conflict))
    except ZapzError as failure:
        error.add_note(f"Rolling it back failed too ({failure}). The next run, or `zapz recover`, rolls it back.")
