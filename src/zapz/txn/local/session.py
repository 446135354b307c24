"""Turns at a target on local storage: a lock is held for the whole turn."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING

from zapz.errors import FormatError, NotFoundError, SliceError, StoreError
from zapz.format.metadata import Dataset, join
from zapz.interrupts import held_back, let_through
from zapz.planning.plan import Plan
from zapz.reports import Recovery
from zapz.storage.layout import HEAD, KEPT, OURS, REGISTER, TRANSACTIONS
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Holder, Store, read_optional
from zapz.storage.waiting import Wait
from zapz.txn import register as registers
from zapz.txn.local import transaction
from zapz.txn.local.recovery import describe_left, pending, read_decision, recover, refuse_link
from zapz.txn.protocol import Replacement, Session, Writing, elsewhere
from zapz.txn.register import Commit

if TYPE_CHECKING:
    from zapz.txn.vacuumed import Vacuumed

_GAP = (
    "this file system does not replace an open file in one step: at the moment of replacement, a reader may find a chunk or a document "
    "missing"
)
_NETWORKED = (
    "a network file system: the lock is a lease; if an open file is not replaced in one step, which an append probes, a reader may find "
    "a chunk or a document missing at the moment of replacement"
)
_RETRIES = 100
"""Maximum number of times that the folder of a new target is created again, if another process
removes it."""


class LocalCoordinator:
    """See ``Coordinator``."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    @contextlib.contextmanager
    def open(self, wait: Wait, *, remember: bool = False) -> Iterator[Session]:
        """See ``Coordinator``."""
        store = self._store
        with held_back(), contextlib.ExitStack() as stack:
            staged = StagedSession(store, remember=remember)
            stack.callback(staged.close)
            staged.hold(stack, wait)
            try:
                with let_through():
                    yield staged
            except (FormatError, SliceError):  # the data may be a mixture, if another process has the lock by now
                store.check_lock()
                raise

    def recover(self, wait: Wait) -> Recovery:
        """See ``Coordinator``."""
        store = self._store
        _refuse_elsewhere(store)
        if not (store.folder_exists(OURS) or store.has_successor()) and store.holder(HEAD) is None:
            return Recovery()
        with self.open(wait) as session:
            return session.recovered

    def unlock(self) -> bool:
        """See ``Coordinator``."""
        store = self._store
        _refuse_elsewhere(store)
        if store.size(HEAD) is None and not store.folder_exists(HEAD):
            return False
        with store.hold(HEAD, Wait(store.patience(HEAD), fixed=True)):
            return True

    def vacuum(self, wait: Wait, name: str) -> Vacuumed:  # noqa: ARG002 - no transaction is needed
        """See ``Coordinator``."""
        from zapz.txn.vacuumed import Vacuumed  # imported where used: appends do without

        with self.open(wait):
            return Vacuumed(removed=_empty_kept(self._store))

    def state(self) -> tuple[Holder | None, tuple[str, ...]]:
        """See ``Coordinator``."""
        store = self._store
        _refuse_elsewhere(store)
        holder = store.holder(HEAD)
        left = ("a turn that was not ended",) if holder is None and store.folder_exists(HEAD) else ()
        return holder, (*left, *describe_left(store), *_replacement_left(store))

    def decided(self) -> bool:
        """See ``Coordinator``. Where a turn has a folder, its transactions are not looked for."""
        store = self._store
        if store.folder_exists(HEAD):
            return True
        return any(read_decision(store, name) == "commit" for name in pending(store))

    def notes(self) -> tuple[str, ...]:
        """See ``Coordinator``."""
        return (_NETWORKED,) if self._store.may_leave_a_gap else ()

    def successor(self) -> Store:
        """See ``Coordinator``."""
        from zapz.txn.local import replacement  # imported where used: most appends do without

        return replacement.successor_of(self._store)

    def leftovers(self) -> Container[str]:
        """See ``Coordinator``. Recovery leaves nothing."""
        return frozenset()

    def register(self, *, remember: bool) -> tuple[Commit, ...]:
        """See ``Coordinator``."""
        return _register(self._store, remember=remember)


def _register(store: LocalStore, *, remember: bool) -> tuple[Commit, ...]:
    data = read_optional(store, REGISTER) if remember else None
    return () if data is None else registers.decode_register(data, f"{store.uri}/{REGISTER}")


def _empty_kept(store: LocalStore) -> int:
    """Remove the files of kept appends, which another program overwrote; return how many."""
    removed = 0
    refuse_link(store, KEPT)
    for name in store.children(KEPT).folders if store.folder_exists(KEPT) else ():
        folder = join(KEPT, name)
        refuse_link(store, folder)
        for file in store.children(folder).files:
            store.remove(join(folder, file))
            removed += 1
        store.remove_folder(folder)
    store.remove_folder(KEPT)
    return removed


def _settle_replacement(store: LocalStore) -> Recovery:
    """Finish or roll back an interrupted replacement of the whole target."""
    if not store.has_successor():
        return Recovery()
    from zapz.txn.local import replacement  # imported where used: most appends do without

    return replacement.settle(store)


def _replacement_left(store: LocalStore) -> list[str]:
    """Return what ``_settle_replacement`` would do."""
    if not store.has_successor():
        return []
    from zapz.txn.local import replacement  # imported where used: most appends do without

    return replacement.describe_replacement(store)


def _refuse_elsewhere(store: LocalStore) -> None:
    """Refuse a target with a journal where another setting puts it: its lock is a different one.

    Raises:
        ConflictError: There is one.
    """
    for key in (HEAD, TRANSACTIONS):
        if (other := store.elsewhere(key)) is not None:
            raise elsewhere(store.uri, other, beside=store.beside)


class StagedSession:
    """A turn on local storage: a lock is held for the whole turn."""

    def __init__(self, store: LocalStore, *, remember: bool) -> None:
        self.recovered = Recovery()
        self.notes: tuple[str, ...] = ()
        self.made_root = False
        self.register: tuple[Commit, ...] = ()
        self.leftovers: Container[str] = frozenset()
        self._store = store
        self._remember = remember

    def hold(self, stack: contextlib.ExitStack, wait: Wait) -> None:
        """Take the lock, and recover. The lock is released at the stack's end.

        A new target's folder may disappear meanwhile, if another process is refused and removes it.

        Raises:
            StoreError: Storage failed.
            LockedError: Another process holds the lock until the wait is over.
        """
        for remaining in range(_RETRIES, -1, -1):
            self.made_root = self._store.make_root() or self.made_root
            try:
                stack.enter_context(self._store.hold(HEAD, wait))
            except NotFoundError:
                if not remaining:
                    raise
            else:
                break
        _refuse_elsewhere(self._store)
        try:
            self.notes = (_GAP,) if self._store.leaves_a_gap() else ()
            self.recovered = recover(self._store).joined(_settle_replacement(self._store))
        except StoreError:
            self._store.check_lock()
            raise
        self.made_root = self.made_root or self.recovered.made_root
        self.register = _register(self._store, remember=self._remember)
        stack.callback(self._store.remove_folder, TRANSACTIONS)

    def close(self) -> None:
        """Remove the target's folder if it was created but not used."""
        if self.made_root:
            self._store.remove_folder("")

    def again(self) -> None:
        """See ``Session``. There is nothing to wait for: the lock is held for the whole turn."""

    def moved(self) -> bool:
        """See ``Session``."""
        return False

    @contextlib.contextmanager
    def renewing(self, old: Dataset, name: str) -> Iterator[Replacement]:
        """See ``Session``."""
        from zapz.txn.local import replacement  # imported where used: most appends do without

        with replacement.renewing(self._store, old, name) as running:
            yield running
        self._store.forget()
        self.register = _register(self._store, remember=self._remember)

    @contextlib.contextmanager
    def begin(
        self, plan: Plan, commit: Commit, name: str, enter: Callable[[str], None] | None = None
    ) -> Iterator[Writing]:
        """See ``Session``."""
        register = registers.remembered(self.register, commit)
        more = {REGISTER: registers.encode_register(register)} if self._remember else {}
        with transaction.begin(
            self._store, plan, name, made_root=self.made_root, more=more, called=commit.name, enter=enter
        ) as running:
            yield running
        self.register = register
        self.made_root = False
