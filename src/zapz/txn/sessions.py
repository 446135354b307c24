"""A writer's turn at a target, on any kind of storage: wait for it, recover what a crash left, write transactions, give it back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from zapz.errors import NotFoundError
from zapz.format.grid import Index
from zapz.format.metadata import Dataset
from zapz.planning import Plan
from zapz.storage import locks
from zapz.storage.local import LocalStore
from zapz.storage.store import OURS, Holder, Parts, Store, read_optional
from zapz.txn import head as heads
from zapz.txn import renewal, transaction
from zapz.txn.head import Commit, Head, elsewhere
from zapz.txn.recover import HEAD, REGISTER, TRANSACTIONS, Recovery, describe, recover
from zapz.txn.renewal import Renewal

_RETRIES = 100
"""So often the folder of a new target is made again if somebody else removes it."""


class Writing(Protocol):
    """A transaction that is open for writing."""

    @property
    def reading(self) -> Store:
        """The target, for reading what is going to be replaced."""

    def put(self, path: str, index: Index, parts: Parts) -> int:
        """Write a chunk and return its length. Thread-safe."""

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether "no chunk" must be written out."""


class Session(Protocol):
    """A writer's turn."""

    recovered: Recovery
    """What was recovered."""

    @property
    def register(self) -> tuple[Commit, ...]:
        """The last commits, where they are remembered."""

    @property
    def leftovers(self) -> frozenset[str]:
        """Names, right in the target, of what aborted runs may have left."""

    def begin(self, plan: Plan, commit: Commit, name: str) -> AbstractContextManager[Writing]:
        """Run the body as a transaction: committed and visible if it returns, undone or given up if it raises.

        Args:
            plan: What is going to be written.
            commit: What it will be remembered as.
            name: A name that was never used before.

        Raises:
            HeadMovedError: Somebody else took a turn since the target was read.
        """

    def renewing(self, old: Dataset, name: str) -> AbstractContextManager[Renewal]:
        """Let the body build a new target and put it in the place of the old one; otherwise that one stays.

        Args:
            old: The old one.
            name: A name that was never used before.
        """

    def again(self) -> None:
        """Wait for another turn; what was read of the target must be read again."""

    def moved(self) -> bool:
        """Return whether somebody else took a turn since this one began, so that what was read may be a mixture."""

    def tidying(self, name: str) -> AbstractContextManager[tuple[Head, Callable[[], None]]]:
        """Keep others out while what aborted runs left is removed; it is forgotten if the body returns.

        Gives the head, and what to call before each removal.
        """


@contextlib.contextmanager
def open_session(store: Store, wait: float, *, remember: bool = False) -> Iterator[Session]:
    """Take a turn at a target.

    Args:
        store: The target.
        wait: Seconds to wait for another writer.
        remember: Whether the last commits are remembered where storage does not need it.

    Raises:
        LockedError: Another writer's turn does not end in time.
        ConflictError: Another tool wrote over what a crashed run left. Nothing of the target was removed.
        JournalError: What an earlier run left is damaged; nothing was touched.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(store, LocalStore):
            staged = StagedSession(store, remember=remember)
            stack.callback(staged.close)
            staged.hold(stack, wait)
            yield staged
            return
        from zapz.txn.turns import FencedSession  # imported where used: local appends do without

        fenced = FencedSession(store, wait)
        fenced.open(stack)
        yield fenced


def recover_left(store: Store, wait: float) -> Recovery:
    """Recover what a crash left, without a turn if there is nothing.

    Raises:
        ZapzError: As ``open_session`` does.
    """
    if isinstance(store, LocalStore):
        _refuse_elsewhere(store)
        if not (store.folder_exists(OURS) or renewal.is_left(store)) and store.holder(HEAD) is None:
            return Recovery()
    else:
        from zapz.txn import turns  # imported where used: local appends do without

        wait = max(wait, turns.time_to_take_over(store))
        if not wait and turns.is_idle(store):
            return Recovery()
    with open_session(store, wait) as session:
        return session.recovered


def unlock(store: Store) -> bool:
    """Remove a lock whose holder is gone; return whether there was one.

    Raises:
        LockedError: The holder lives, or its lease is fresh.
    """
    if isinstance(store, LocalStore):
        _refuse_elsewhere(store)
        if store.size(HEAD) is None:
            return False
        with store.hold(HEAD, locks.patience(str(store.root))):
            return True
    from zapz.txn import turns  # imported where used: local appends do without

    return turns.unlock(store)


def state_of(store: Store) -> tuple[Holder | None, tuple[str, ...]]:
    """Say, without changing anything, who holds a target, and what recovery would do; nothing of the latter while it is held."""
    if isinstance(store, LocalStore):
        _refuse_elsewhere(store)
        return store.holder(HEAD), (*describe(store), *renewal.describe(store))
    from zapz.txn import turns  # imported where used: local appends do without

    return turns.state_of(store)


def _refuse_elsewhere(store: LocalStore) -> None:
    """Refuse to work beside a journal that another setting has put elsewhere: its lock is not ours.

    Raises:
        ConflictError: There is one.
    """
    for key in (HEAD, TRANSACTIONS):
        if (other := store.elsewhere(key)) is not None:
            raise elsewhere(store.uri, other, beside=store.beside)


class StagedSession:
    """A turn on local storage: a lock is held from the beginning to the end."""

    def __init__(self, store: LocalStore, *, remember: bool) -> None:
        self.recovered = Recovery()
        self.made_root = False
        self.register: tuple[Commit, ...] = ()
        self.leftovers: frozenset[str] = frozenset()
        self._store = store
        self._remember = remember

    def hold(self, stack: contextlib.ExitStack, wait: float) -> None:
        """Take the lock, recover, and give both back at the stack's end.

        A new target's folder may go away under us if another process is refused and removes it.
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
        self.recovered = recover(self._store).joined(renewal.settle(self._store))
        self.made_root = self.made_root or self.recovered.made_root
        self.register = register_of(self._store, remember=self._remember)
        stack.callback(self._store.remove_folder, TRANSACTIONS)

    def close(self) -> None:
        """Remove the target's folder if it was made for nothing."""
        if self.made_root:
            self._store.remove_folder("")

    def again(self) -> None:
        """See ``Session``. The lock has been held all the time."""

    def moved(self) -> bool:
        """See ``Session``."""
        return False

    @contextlib.contextmanager
    def renewing(self, old: Dataset, name: str) -> Iterator[Renewal]:
        """See ``Session``."""
        with renewal.renewing(self._store, old, name) as running:
            yield running
        self._store.forget()
        self.register = register_of(self._store, remember=self._remember)

    @contextlib.contextmanager
    def tidying(self, name: str) -> Iterator[tuple[Head, Callable[[], None]]]:  # noqa: ARG002 - no transaction is needed
        """See ``Session``. Recovery has left nothing."""
        yield Head(), lambda: None

    @contextlib.contextmanager
    def begin(self, plan: Plan, commit: Commit, name: str) -> Iterator[Writing]:
        """See ``Session``."""
        register = heads.remembered(self.register, commit)
        more = {REGISTER: heads.encode_register(register)} if self._remember else {}
        with transaction.begin(self._store, plan, name, made_root=self.made_root, more=more) as running:
            yield running
        self.register = register
        self.made_root = False


def leftovers(store: Store) -> frozenset[str]:
    """Return names, right in the target, of what aborted runs may have left."""
    if isinstance(store, LocalStore):
        return frozenset()
    from zapz.txn import turns  # imported where used: local appends do without

    return turns.leftovers(store)


def register_of(store: Store, *, remember: bool) -> tuple[Commit, ...]:
    """Return the last commits without taking a turn."""
    if not isinstance(store, LocalStore):
        from zapz.txn import turns  # imported where used: local appends do without

        return turns.register_of(store)
    data = read_optional(store, REGISTER) if remember else None
    return () if data is None else heads.decode_register(data, f"{store.uri}/{REGISTER}")
