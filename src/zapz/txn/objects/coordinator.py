"""The coordinator of a target's writers on an object service."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator

from zapz.interrupts import held_back, let_through
from zapz.reports import Recovery
from zapz.storage.layout import LOCK
from zapz.storage.objects import lock
from zapz.storage.objects.store import ObjectStore
from zapz.storage.store import Holder, Store
from zapz.storage.waiting import Wait
from zapz.txn.objects import head as heads
from zapz.txn.objects import settling, watching
from zapz.txn.objects.session import FencedSession, no_replacement
from zapz.txn.objects.vacuum import remove_probes, vacuum
from zapz.txn.register import Commit
from zapz.txn.vacuumed import Vacuumed


class ObjectCoordinator:
    """See ``Coordinator``."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @contextlib.contextmanager
    def open(self, wait: Wait, *, remember: bool = False) -> Iterator[FencedSession]:  # noqa: ARG002 - the head always records commits
        """See ``Coordinator``. Probes the service first; holds a lock where no lease is safe."""
        store = self._store
        with held_back(), contextlib.ExitStack() as stack, let_through():
            store.require_writable()
            store.probe()
            store.require_writable()
            if store.abilities.exclusive and not store.abilities.conditional:
                store.require_deletable()
                stack.enter_context(lock.hold(store, LOCK, wait))
            session = FencedSession(store, wait)
            stack.callback(session.close)  # before the lock is released
            watching.refuse_elsewhere(store)
            session.again()
            yield session

    def recover(self, wait: Wait) -> Recovery:
        """See ``Coordinator``."""
        remove_probes(self._store)
        wait = wait.at_least(watching.time_to_take_over(self._store))
        if not wait.seconds and watching.is_idle(self._store):
            return Recovery()
        with self.open(wait) as session:
            return session.recovered

    def unlock(self) -> bool:
        """See ``Coordinator``. Settles a transaction whose owner is silent for a lease."""
        return watching.unlock(self._store)

    def vacuum(self, wait: Wait, name: str) -> Vacuumed:
        """See ``Coordinator``."""
        return vacuum(self._store, lambda: self.open(wait), name)

    def state(self) -> tuple[Holder | None, tuple[str, ...]]:
        """See ``Coordinator``. Only what can be known without waiting."""
        return watching.state(self._store)

    def decided(self) -> bool:
        """See ``Coordinator``."""
        head, _ = settling.read_head(self._store)
        return head.intent is not None and settling.read_decided(self._store, head.intent.id)[0] == "commit"

    def successor(self) -> Store:
        """See ``Coordinator``."""
        raise no_replacement(self._store)

    def notes(self) -> tuple[str, ...]:
        """See ``Coordinator``."""
        return ()

    def leftovers(self) -> Container[str]:
        """See ``Coordinator``."""
        return heads.top_names(settling.read_head(self._store)[0])

    def register(self, *, remember: bool) -> tuple[Commit, ...]:  # noqa: ARG002 - the head always records them
        """See ``Coordinator``."""
        return settling.read_head(self._store)[0].register
