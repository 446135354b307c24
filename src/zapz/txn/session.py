"""A writer's turn at a target, on any type of storage.

To open it, zapz waits for other writers and recovers what a crash left. Then the writer runs
transactions. Only this module checks the type of storage.
"""

from __future__ import annotations

from collections.abc import Container
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from zapz.errors import AbilityError
from zapz.reports import Recovery
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Holder, Store
from zapz.storage.waiting import Wait
from zapz.txn.local.session import LocalCoordinator
from zapz.txn.protocol import Coordinator, Session
from zapz.txn.register import Commit

if TYPE_CHECKING:
    from zapz.txn.vacuumed import Vacuumed


def coordinator_of(store: Store) -> Coordinator:
    """Return the coordinator of a target's writers.

    Raises:
        AbilityError: Such a store cannot be a target.
    """
    if isinstance(store, LocalStore):
        return LocalCoordinator(store)
    from zapz.storage.objects.store import ObjectStore  # imported where used: local appends do without
    from zapz.txn.objects.coordinator import ObjectCoordinator

    if isinstance(store, ObjectStore):
        return ObjectCoordinator(store)
    raise AbilityError("this type of storage cannot be a target", where=store.uri)


def open_session(store: Store, wait: Wait, *, remember: bool = False) -> AbstractContextManager[Session]:
    """Take a turn at a target.

    Args:
        store: The target.
        wait: How long to wait for another writer.
        remember: Whether the last commits are recorded where the storage does not need them.

    Raises:
        LockedError: Another writer's turn does not end in time.
        CancelledError: The caller has ended the wait.
        ConflictError: Another program overwrote what a crashed run left. Nothing was removed from
            the target.
        JournalError: What an earlier run left is damaged; nothing was touched.
    """
    return coordinator_of(store).open(wait, remember=remember)


def recover_left(store: Store, wait: Wait) -> Recovery:
    """Recover what a crash left; take no turn if there is nothing.

    Raises:
        ZapzError: As ``open_session`` does.
    """
    return coordinator_of(store).recover(wait)


def unlock(store: Store) -> bool:
    """Remove a lock whose holder is dead; return whether there was one.

    Raises:
        LockedError: The holder is alive, or its lease has not run out.
    """
    return coordinator_of(store).unlock()


def vacuum(store: Store, wait: Wait, name: str) -> Vacuumed:
    """Remove what aborted runs left: chunks beyond the target's shape, and files of zapz.

    Args:
        store: The target.
        wait: How long to wait for another writer.
        name: A name that no transaction ever had.

    Raises:
        LockedError: Another process is writing, or requests of an aborted run may still arrive.
        NotFoundError: There is no target.
    """
    return coordinator_of(store).vacuum(wait, name)


def successor_of(store: Store) -> Store:
    """Return the store in which a target's replacement is built; nothing is created.

    Raises:
        AbilityError: The target cannot be replaced as a whole on this storage.
        ConfigError: It cannot be replaced with this setting.
    """
    return coordinator_of(store).successor()


def state_of(store: Store) -> tuple[Holder | None, tuple[str, ...]]:
    """Return who holds a target, and what recovery would do; change nothing.

    While the target is held, the second part is empty.
    """
    return coordinator_of(store).state()


def notes_on(store: Store) -> tuple[str, ...]:
    """Return notes about a target's storage, without probing it."""
    return coordinator_of(store).notes()


def leftovers(store: Store) -> Container[str]:
    """Return the names, directly in the target, that aborted runs may have left."""
    return coordinator_of(store).leftovers()


def register_of(store: Store, *, remember: bool) -> tuple[Commit, ...]:
    """Return the last commits without taking a turn."""
    return coordinator_of(store).register(remember=remember)
