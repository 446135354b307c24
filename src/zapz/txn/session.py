"""A writer's turn at a target, on any kind of storage: wait for it, recover what a crash left, write transactions, give it back.

Which kind that is, nothing else asks.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from zapz.errors import AbilityError
from zapz.reports import Recovery
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Holder, Store
from zapz.txn.local.session import LocalCoordinator
from zapz.txn.protocol import Coordinator, Session
from zapz.txn.register import Commit
from zapz.waiting import Wait

if TYPE_CHECKING:
    from zapz.txn.vacuumed import Vacuumed


def coordinator_of(store: Store) -> Coordinator:
    """Return what keeps the writers of a target apart.

    Raises:
        AbilityError: Nothing can be written to such a store.
    """
    if isinstance(store, LocalStore):
        return LocalCoordinator(store)
    from zapz.storage.objects.store import ObjectStore  # imported where used: local appends do without
    from zapz.txn.objects.coordinator import ObjectCoordinator

    if isinstance(store, ObjectStore):
        return ObjectCoordinator(store)
    raise AbilityError("nothing can be appended to this kind of storage", where=store.uri)


def open_session(store: Store, wait: Wait, *, remember: bool = False) -> AbstractContextManager[Session]:
    """Take a turn at a target.

    Args:
        store: The target.
        wait: How long to wait for another writer.
        remember: Whether the last commits are remembered where storage does not need it.

    Raises:
        LockedError: Another writer's turn does not end in time.
        CancelledError: The caller has ended the wait.
        ConflictError: Another tool wrote over what a crashed run left. Nothing of the target was
            removed.
        JournalError: What an earlier run left is damaged; nothing was touched.
    """
    return coordinator_of(store).open(wait, remember=remember)


def recover_left(store: Store, wait: Wait) -> Recovery:
    """Recover what a crash left, without a turn if there is nothing.

    Raises:
        ZapzError: As ``open_session`` does.
    """
    return coordinator_of(store).recover(wait)


def unlock(store: Store) -> bool:
    """Remove a lock whose holder is gone; return whether there was one.

    Raises:
        LockedError: The holder lives, or its lease is fresh.
    """
    return coordinator_of(store).unlock()


def vacuum(store: Store, wait: Wait, name: str) -> Vacuumed:
    """Remove chunks that aborted runs left beyond the target's shape, and what they left in our own folder.

    Args:
        store: The target.
        wait: How long to wait for another writer.
        name: A name that no transaction ever had.

    Raises:
        LockedError: Somebody is at work, or was until so recently that requests may still be on
            their way.
        NotFoundError: There is no target.
    """
    return coordinator_of(store).vacuum(wait, name)


def successor_of(store: Store) -> Store:
    """Return the place where a target's replacement is built; nothing is made.

    Raises:
        AbilityError: The target cannot be replaced as a whole on this storage.
        ConfigError: Nor with this setting.
    """
    return coordinator_of(store).successor()


def state_of(store: Store) -> tuple[Holder | None, tuple[str, ...]]:
    """Say, without changing anything, who holds a target, and what recovery would do; nothing of the latter while it is held."""
    return coordinator_of(store).state()


def notes_on(store: Store) -> tuple[str, ...]:
    """Return what is worth knowing about a target's storage, without trying anything."""
    return coordinator_of(store).notes()


def leftovers(store: Store) -> Container[str]:
    """Return names, right in the target, of what aborted runs may have left."""
    return coordinator_of(store).leftovers()


def register_of(store: Store, *, remember: bool) -> tuple[Commit, ...]:
    """Return the last commits without taking a turn."""
    return coordinator_of(store).register(remember=remember)
