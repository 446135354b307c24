"""Turns at a target on an object service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from zapz.errors import AbilityError, ConflictError, NotFoundError, StoreError, ZapzError
from zapz.format.metadata import Dataset
from zapz.interrupts import held_back, let_through
from zapz.planning.plan import Plan
from zapz.storage import clock
from zapz.storage.hierarchy import is_empty, listing_of
from zapz.storage.holder import holder_of, is_alive, is_dead, me
from zapz.storage.layout import HEAD, LOCK, OURS, decision_key
from zapz.storage.objects import capabilities, lock
from zapz.storage.objects.store import ObjectStore, Tag
from zapz.storage.store import Holder, Store, read_optional
from zapz.txn.extents import Extent
from zapz.txn.journal import Intent
from zapz.txn.local.replacement import renewing
from zapz.txn.objects import head as heads
from zapz.txn.objects import lease, transaction
from zapz.txn.objects.head import Head
from zapz.txn.objects.lease import Lease
from zapz.txn.objects.transaction import FencedTransaction
from zapz.txn.objects.vacuum import vacuum
from zapz.txn.protocol import HeadMovedError, Replacement, Vacuumed, elsewhere
from zapz.txn.recovery import Recovery
from zapz.txn.register import Commit
from zapz.waiting import Wait


def objects_of(store: Store) -> ObjectStore:
    """Return a store as one on an object service.

    Raises:
        AbilityError: It is none, so nothing can be appended to it.
    """
    if isinstance(store, ObjectStore):
        return store
    raise AbilityError("nothing can be appended to this kind of storage", where=store.uri)


class FencedSession:
    """A turn on an object service: it is taken with the first intent, and what was read since the head counts as read in it."""

    def __init__(self, store: ObjectStore, wait: Wait) -> None:
        self.recovered = Recovery()
        self.notes: tuple[str, ...] = ()
        self._store = store
        self._wait = wait
        self._lease: Lease | None = None
        self._unsettled = False
        self._done: list[str] = []
        self._head = Head()
        self._tag: Tag | None = None

    def open(self, stack: contextlib.ExitStack) -> None:
        """Find out what the service can do, and wait for a turn; where no lease is safe, hold a lock until the stack's end."""
        store = self._store
        store.require_writable()
        store.probe()
        store.require_writable()
        if store.abilities.exclusive and not store.abilities.conditional:
            store.require_deletable()
            stack.enter_context(lock.hold(store, LOCK, self._wait))
        stack.callback(self.close)  # before the lock is given back
        self._refuse_elsewhere()
        self.again()

    def _refuse_elsewhere(self) -> None:
        if (other := self._store.elsewhere(HEAD)) is not None:
            raise elsewhere(self._store.uri, other, beside=self._store.beside)

    def moved(self) -> bool:
        """See ``Session``."""
        return self._lease is None and transaction.read_head(self._store)[1] != self._tag

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
        self._head, self._tag, done = transaction.wait_for_turn(self._store, self._wait)
        self.recovered = self.recovered.joined(done)

    def close(self) -> None:
        """Give the turn back; with something under way, whoever comes next settles it at once."""
        held = self._lease
        if held is None:
            return
        held.stop()
        self._lease = None
        try:
            moved = held.move(Head.leave if self._unsettled else Head.free)
        except StoreError:  # what was appended stays appended; the lease runs out
            moved = False
        self._head, self._tag = held.state
        if moved and not self._unsettled:
            for name in self._done:  # nobody needs the decision now that the head has moved on
                with contextlib.suppress(StoreError):
                    self._store.remove(decision_key(name))
        self._done.clear()

    @contextlib.contextmanager
    def begin(self, plan: Plan, commit: Commit, name: str) -> Iterator[FencedTransaction]:
        """See ``Session``."""
        transaction.require_size(self._store, plan)
        running = self._take(plan, replace(commit, transaction=name), name)
        try:
            yield running
            running.commit(plan)
        except BaseException as error:
            self._fail(running, error)
            if isinstance(error, ZapzError) and self._lease is not None:
                return  # the answer was lost, but it is committed, and visible
            raise
        running.apply(plan)
        self._settle(Head.committed, running)

    def renewing(self, old: Dataset, name: str) -> AbstractContextManager[Replacement]:
        """See ``Session``."""
        return renewing(self._store, old, name)

    @contextlib.contextmanager
    def tidying(self, name: str) -> Iterator[tuple[Head, Callable[[], None]]]:
        """Keep others out while what aborted runs left is removed; it is forgotten if the body returns."""
        extents = tuple(dirty.extent for dirty in self._head.dirty)  # whoever takes over lets our requests arrive first
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
        """Put the intent into the head: from now on it is our turn."""
        intent = transaction.intend(plan, name)
        self._rest(intent.extents)
        reading = self._store.noting()
        reading.note_many(key for array in plan.arrays.values() for key in array.boundary_keys())
        return FencedTransaction(self._store, reading, intent, self._put(intent, commit))

    def _put(self, intent: Intent, commit: Commit) -> Lease:
        """Put an intent into the head."""
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
        began, first, head = clock.now(), self._tag is None, active(self._head)
        tag = self._store.replace(HEAD, heads.encode(head), self._tag)
        if tag is None:
            hint = "Run the append again."
            raise HeadMovedError("another process appended meanwhile", where=self._store.uri, hint=hint)
        self._unsettled = True
        self._lease = Lease(self._store, head, tag, began)
        self._lease.start()
        if first:  # somebody with another setting may have made a head of his own at the same time
            self._refuse_elsewhere()
        return self._lease

    def _rest(self, extents: tuple[Extent, ...]) -> None:
        """Let requests of a writer that was given up arrive before its keys are written again."""
        for dirty in self._head.dirty:
            young = min(dirty.since + dirty.rest - time.time(), dirty.rest)
            if young > 0 and any(heads.overlaps(dirty.extent, extent) for extent in extents):
                self._wait.begin(self._store.uri).pause(young)

    def _fail(self, running: FencedTransaction, error: BaseException) -> None:
        """Decide against a transaction; the lease stays only if it turns out to be decided for, and is finished then."""
        rest = lease.LEASE if self._store.uncertain else 0.0
        try:
            outcome, documents = transaction.decide_against(self._store, running.intent)
            if outcome == "commit" and not running.settled:
                transaction.apply(self._store, running.intent, documents)
                self._settle(Head.committed, running)
                return
            self._settle(lambda head: head.aborted(time.time(), rest) if running.touched else head)
        except ZapzError as failure:
            what = "It may be committed all the same" if running.deciding else "Undoing it failed too"
            error.add_note(f"{what} ({failure}); the next run, or `zapz recover`, will see to it.")
        self.close()

    def _settle(self, how: Callable[[Head], Head], committed: FencedTransaction | None = None) -> None:
        """Remember how a transaction ended; from now on nobody else needs to see to it.

        A decision against it stays: a late decision for it must find it there.
        """
        if self._lease is not None:
            self._lease.change(how)
        if committed is not None:
            self._done.append(committed.intent.id)
        self._unsettled = False


class ObjectCoordinator:
    """See ``Coordinator``."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @contextlib.contextmanager
    def open(self, wait: Wait, *, remember: bool = False) -> Iterator[FencedSession]:  # noqa: ARG002 - storage needs it anyway
        """See ``Coordinator``."""
        with held_back(), contextlib.ExitStack() as stack, let_through():
            fenced = FencedSession(self._store, wait)
            fenced.open(stack)
            yield fenced

    def recover(self, wait: Wait) -> Recovery:
        """See ``Coordinator``."""
        self.remove_probes()
        wait = wait.at_least(self._time_to_take_over())
        if not wait.seconds and self._is_idle():
            return Recovery()
        with self.open(wait) as session:
            return session.recovered

    def unlock(self) -> bool:
        """See ``Coordinator``. What is under way is settled, if its owner gives no sign of life for a lease."""
        objects = self._store
        objects.probe()
        if self._is_idle():
            return False
        held = read_optional(objects, LOCK)
        if held is not None:
            owner = holder_of(held)
            _, before = transaction.read_head(objects)
            if not is_dead(owner):
                Wait().begin(objects.uri).pause(lease.LEASE)
            head, after = transaction.read_head(objects)
            signs = after != before and head.owner is not None
            if signs or is_alive(owner) or read_optional(objects, LOCK) != held:
                raise transaction.locked(objects, owner, lease.LEASE)
            objects.remove(LOCK)
        if transaction.read_head(objects)[0].intent is not None:
            transaction.wait_for_turn(objects, Wait(self._time_to_take_over()))
        return True

    def vacuum(self, wait: Wait, name: str) -> Vacuumed:
        """See ``Coordinator``."""
        store = self._store
        if is_empty(listing_of(store)) and store.size(HEAD) is None:
            raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
        probes = self.remove_probes()
        with self.open(wait) as session:
            done = vacuum(store, session.tidying(name))
        return replace(done, removed=done.removed + probes)

    def state(self) -> tuple[Holder | None, tuple[str, ...]]:
        """See ``Coordinator``; as far as that can be known without waiting."""
        objects = self._store
        head, _ = transaction.read_head(objects)
        lines = []
        if head.intent is not None:
            outcome, _ = transaction.read_decided(objects, head.intent.id)
            state = "committed, perhaps not yet visible" if outcome == "commit" else "not committed"
            if not transaction.is_over(head):
                return head.owner, ()
            lines.append(f"{head.intent.id}: {state}")
        return lock.holder(objects, LOCK), tuple(lines)

    def notes(self) -> tuple[str, ...]:
        """See ``Coordinator``."""
        return ()

    def leftovers(self) -> Container[str]:
        """See ``Coordinator``."""
        return heads.top_names(transaction.read_head(self._store)[0])

    def register(self, *, remember: bool) -> tuple[Commit, ...]:  # noqa: ARG002 - the head remembers them anyway
        """See ``Coordinator``."""
        return transaction.read_head(self._store)[0].register

    def remove_probes(self) -> int:
        """Remove what tells what the service can do, where a process was killed before it had removed its own; return how many.

        Where nothing may be deleted they stay, and are no harm.
        """
        removed = 0
        with contextlib.suppress(StoreError):
            for name in self._store.children(OURS).files:
                if capabilities.is_left(name, time.time()):
                    with contextlib.suppress(StoreError):
                        self._store.remove(f"{OURS}/{name}")
                        removed += 1
        return removed

    def _time_to_take_over(self) -> float:
        """Return how many seconds to watch a target before a turn that nobody renews is taken over; 0 if nobody has it."""
        head, _ = transaction.read_head(self._store)
        return 0.0 if head.intent is None or transaction.is_over(head) else 1.2 * head.lease

    def _is_idle(self) -> bool:
        """Return whether nothing is under way and nobody holds a lock."""
        return transaction.read_head(self._store)[0].intent is None and lock.holder(self._store, LOCK) is None
