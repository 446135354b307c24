"""Turns at a target on an object service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from zapz.errors import AbilityError, ConflictError, StoreError, ZapzError
from zapz.format.metadata import Dataset
from zapz.planning.plan import Plan
from zapz.reports import Recovery
from zapz.storage.holder import me
from zapz.storage.objects.store import ObjectStore
from zapz.storage.waiting import Wait
from zapz.txn.journal import Intent
from zapz.txn.objects import head as heads
from zapz.txn.objects import lease, settling, transaction
from zapz.txn.objects.head import Head
from zapz.txn.objects.lease import Lease
from zapz.txn.objects.transaction import FencedTransaction
from zapz.txn.objects.watching import refuse_elsewhere
from zapz.txn.protocol import HeadMovedError, Replacement
from zapz.txn.register import Commit


def no_replacement(store: ObjectStore) -> AbilityError:
    """Return the refusal to replace a target as a whole."""
    return AbilityError(
        "force_new cannot replace a target on object stores yet",
        where=store.uri,
        hint="Remove the old target yourself, or append to another path.",
    )


class FencedSession:
    """A turn on an object service.

    It begins with the first intent. Data that were read after the head count as read in the turn.
    """

    def __init__(self, store: ObjectStore, wait: Wait) -> None:
        self.recovered = Recovery()
        self.notes: tuple[str, ...] = ()
        self._store = store
        self._wait = wait
        self._lease: Lease | None = None
        self._unsettled = False
        self._done: list[str] = []
        self._head = Head()
        self._tag: str | None = None

    def moved(self) -> bool:
        """See ``Session``."""
        return self._lease is None and settling.read_head(self._store)[1] != self._tag

    @property
    def register(self) -> tuple[Commit, ...]:
        """See ``Session``."""
        return self._head.register if self._lease is None else self._lease.state[0].register

    @property
    def leftovers(self) -> Container[str]:
        """See ``Session``."""
        return heads.top_names(self._head)

    def again(self) -> None:
        """See ``Session``."""
        self.close()
        self._head, self._tag, done = settling.wait_for_turn(self._store, self._wait)
        self.recovered = self.recovered.joined(done)

    def close(self) -> None:
        """End the turn; if its transaction is not settled, the next process settles it at once."""
        held = self._lease
        if held is None:
            return
        held.stop()
        self._lease = None
        try:
            moved = held.move(Head.leave if self._unsettled else Head.free)
        except StoreError:  # committed appends stay; the lease runs out
            moved = False
        self._head, self._tag = held.state
        if moved and not self._unsettled:
            for name in self._done:  # no process needs the decision now that the head has changed
                with contextlib.suppress(StoreError):
                    settling.forget(self._store, name)
        self._done.clear()

    @contextlib.contextmanager
    def begin(
        self, plan: Plan, commit: Commit, name: str, enter: Callable[[str], None] | None = None
    ) -> Iterator[FencedTransaction]:
        """See ``Session``."""
        transaction.require_size(self._store, plan)
        running = self._take(plan, replace(commit, transaction=name), name)
        try:
            yield running
            if enter is not None:
                enter("committing")
            running.commit(plan)
        except BaseException as error:
            self._fail(running, error)
            if isinstance(error, ZapzError) and self._lease is not None:
                return  # the answer was lost, but it is committed, and visible
            raise
        running.apply(plan)
        self._settle(Head.committed, running)

    def renewing(self, old: Dataset, name: str) -> AbstractContextManager[Replacement]:  # noqa: ARG002 - it is refused
        """See ``Session``."""
        raise no_replacement(self._store)

    @contextlib.contextmanager
    def tidying(self, name: str) -> Iterator[tuple[Head, Callable[[], None]]]:
        """Keep other writers out while the body removes dirty keys; forget them if it returns."""
        # With these extents, a process that takes over lets our requests arrive first.
        extents = tuple(dirty.extent for dirty in self._head.dirty)
        intent = Intent(id=name, made_root=False, base={}, documents=(), extents=extents)
        held = self._put(intent, Commit(fingerprint="", offset=0, length=0))

        self._unsettled = False  # until something is removed

        def check() -> None:
            transaction.confirm(self._store, intent, held)
            self._unsettled = True

        try:
            yield held.state[0], check
            check()
            self._unsettled = False
            held.change(Head.tidied)
        finally:
            self.close()

    def _take(self, plan: Plan, commit: Commit, name: str) -> FencedTransaction:
        """Write the intent into the head: the turn begins."""
        intent = transaction.intend(plan, name, commit.name)
        self._rest(intent)
        reading = self._store.noting()
        reading.note_many(key for array in plan.arrays.values() for key in array.boundary_keys())
        return FencedTransaction(self._store, reading, intent, self._put(intent, commit))

    def _put(self, intent: Intent, commit: Commit) -> Lease:
        """Write an intent into the head."""
        locked = not self._store.abilities.conditional

        def active(head: Head) -> Head:
            return head.active(intent, commit, me(), lease.LEASE, time.time(), locked=locked)

        if self._lease is not None:
            self._unsettled = True
            if not self._lease.move(active):
                raise ConflictError(
                    "another process has taken over", where=self._store.uri, hint="Run the append again."
                )
            return self._lease
        first = self._tag is None
        taken = Lease.take(self._store, active(self._head), self._tag)
        if taken is None:
            hint = "Run the append again."
            raise HeadMovedError("another process appended meanwhile", where=self._store.uri, hint=hint)
        self._unsettled = True
        self._lease = taken
        taken.start()
        if first:  # a process with another setting may have created its own head at the same time
            refuse_elsewhere(self._store)
        return self._lease

    def _rest(self, intent: Intent) -> None:
        """Let requests of an aborted writer arrive before its keys are written again."""
        if (young := self._head.unsettled_for(intent.extents, time.time())) > 0:
            self._wait.begin(self._store.uri).pause(young)

    def _fail(self, running: FencedTransaction, error: BaseException) -> None:
        """Abort a transaction. If it turns out to be committed, finish it and keep the lease."""
        rest = lease.LEASE if self._store.uncertain else 0.0
        try:
            outcome, documents = settling.decide_against(self._store, running.intent)
            if outcome == "commit" and not running.settled:
                settling.apply(self._store, running.intent, documents)
                self._settle(Head.committed, running)
                return
            self._settle(lambda head: head.aborted(time.time(), rest) if running.touched else head)
        except ZapzError as failure:
            what = "The append may still be committed" if running.deciding else "Rolling it back failed too"
            error.add_note(f"{what} ({failure}). The next run, or `zapz recover`, finishes it or rolls it back.")
        self.close()

    def _settle(self, how: Callable[[Head], Head], committed: FencedTransaction | None = None) -> None:
        """Record how a transaction ended; after that no other process needs to settle it.

        A decision to abort stays: a late decision to commit must find it.
        """
        if self._lease is not None:
            self._lease.change(how)
        if committed is not None:
            self._done.append(committed.intent.id)
        self._unsettled = False
