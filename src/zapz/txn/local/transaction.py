"""One append, all or nothing.

New keys go to their final place, beyond the old shape, where no reader sees them; whatever exists
already is staged aside. So until the decision no live byte has changed, and after it everything
needed to finish is on disk.
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
    """Where the steps of a plan write to."""

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
        """Whether the decision has been asked for, so that nobody knows what it is if the lock is lost."""

    def _key(self, path: str, index: Index) -> str:
        return join(path, self._keys[path].key(index))

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether something lies at a chunk's key already, so that "no chunk" must be written out."""
        return self._key(path, index) in self._names

    def replaced(self) -> tuple[str, ...]:
        """Return the keys at which something lies already."""
        return self._intent.existing

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk: create it, or stage it if its key exists. Thread-safe.

        Raises:
            ConflictError: Somebody else created the key meanwhile.
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
                "another tool wrote a chunk during the append",
                where=f"{self._store.uri}/{key}",
                hint="It is kept. Run the append again.",
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
        """Remember, durably, that a key is somebody else's: recovery must not remove it either."""
        self._intent = replace(self._intent, foreign=(*self._intent.foreign, key))
        records = (journal.foreign(k) for k in self._intent.foreign)
        self._store.write(journal_key(self._intent.id), [*journal.write(self._intent), *records])
        self._store.sync([journal_key(self._intent.id)])

    def _written(self) -> Iterator[str]:
        yield from self._created.keys()
        yield from (stage_key(self._intent.id, name) for name in self._names.values())

    def prepare(self, documents: Mapping[str, bytes]) -> None:
        """Make everything durable that the decision rests on.

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
        """Check that nobody else wrote, and decide.

        Raises:
            ConflictError: A document has changed since the intent.
            StoreError: Storage failed; after the decision the message says so.
        """
        changed = changed_documents(self._store, self._intent)
        if changed:
            raise ConflictError(
                "another tool changed the target during the append",
                where=f"{self._store.uri}/{changed[0]}",
                hint="Nothing of it was removed. Run the append again.",
            )
        self._store.check_lock()
        self.deciding = True
        if not cast(self._store, self._intent, "commit"):
            raise ConflictError(
                "somebody else decided this append",
                where=self._store.uri,
                found=str(read_decision(self._store, self._intent.id)),
                hint="Run the append again.",
            )

    def _reserve(self) -> None:
        """Make sure that everything staged can be put in place; where links work, one try per folder tells.

        It also gets the mode and owner that it will have there.
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
        """Make a decided transaction visible, and clean up."""
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
                found="the lock may be another process's by now",
                hint="Whoever has it makes it visible; `zapz recover` waits for that.",
            ) from error
        except BaseException:  # an interrupt: the decision has been taken, so it is finished first, unless it is
            if self._store.size(journal_key(self._intent.id)) is not None:
                finish(self._store, self._intent)
            raise

    def abort(self) -> None:
        """Undo everything; of the planned keys only those are removed that this transaction created."""
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
    """Run the body as a transaction: committed and visible if it returns, undone if it raises. The lock must be held.

    Args:
        store: The target.
        plan: What is going to be written.
        transaction: A name that was never used before.
        made_root: Whether the target's folder was made for this.
        more: Documents to write besides the plan's.
        called: What people call the slice.
        enter: Called as each part of it begins that follows the body; see ``Session.begin``.
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
            error.add_note(f"Whether it was committed cannot be read ({unknown}): run `zapz recover`.")
            raise error from None
        if decided == "commit":  # a lost answer between decision and application
            if store.abilities.durable and isinstance(error, StoreError):
                error.hint = (
                    "The append is committed, not yet visible, and not known to be durable: run `zapz recover`."
                )
                raise
            finish(store, intent)
            if isinstance(error, ZapzError):
                return
            raise
        _undo_quietly(running, error)
        raise
    running.apply()


def _blame_the_lock(running: Transaction, store: LocalStore, error: StoreError) -> None:
    """Say so if storage failed because the lock is another's by now.

    Raises:
        ConflictError: It is.
    """
    try:
        store.check_lock()
    except ConflictError as lost:
        if running.deciding:
            lost.hint = "It may be committed: look whether the slice is in the target, and run it again if it is not."
        raise lost from error


def _undo_quietly(running: Transaction, error: BaseException) -> None:
    """Undo; what goes wrong then is added to the error that is on its way, because the next run undoes it again."""
    try:
        running.abort()
    except ConflictError as conflict:
        if not isinstance(error, ConflictError):
            error.add_note(str(conflict))
    except ZapzError as failure:
        error.add_note(f"Undoing it failed too ({failure}); the next run, or `zapz recover`, will do it.")
