"""Turns at a target on an object service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from zapz.errors import AbilityError, ConflictError, StoreError, ZapzError
from zapz.planning import Plan
from zapz.storage import object_lock
from zapz.storage.flock import is_alive, is_dead, me
from zapz.storage.objects import ObjectStore, Tag
from zapz.storage.store import Holder, Store
from zapz.txn import fenced, lease
from zapz.txn import head as heads
from zapz.txn.fenced import FencedTransaction
from zapz.txn.head import Commit, Head, HeadMovedError
from zapz.txn.journal import Extent, Intent
from zapz.txn.lease import Lease
from zapz.txn.recover import HEAD, LOCK, Recovery, decision_key


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

    def __init__(self, store: Store, wait: float) -> None:
        self.recovered = Recovery()
        self._store = objects_of(store)
        self._wait = wait
        self._lease: Lease | None = None
        self._done: list[str] = []
        self._head = Head()
        self._tag: Tag | None = None

    def open(self, stack: contextlib.ExitStack) -> None:
        """Find out what the service can do, and wait for a turn; where no lease is safe, hold a lock until the stack's end."""
        store = self._store
        store.probe()
        if store.abilities.exclusive and not store.abilities.conditional:
            stack.enter_context(object_lock.hold(store, LOCK, self._wait))
        if (other := store.elsewhere(HEAD)) is not None:
            raise heads.elsewhere(store.uri, other, beside=store.beside)
        self.again()

    @property
    def register(self) -> tuple[Commit, ...]:
        """See ``Session``."""
        return self._head.register if self._lease is None else self._lease.state[0].register

    @property
    def leftovers(self) -> frozenset[str]:
        """See ``Session``."""
        return heads.top_names(self._head)

    def again(self) -> None:
        """See ``Session``."""
        self.close()
        self._head, self._tag, done = fenced.wait_for_turn(self._store, self._wait)
        self.recovered = self.recovered.joined(done)

    def close(self) -> None:
        """Give the turn back."""
        held, self._lease = self._lease, None
        if held is None:
            return
        held.stop()
        held.move(Head.free)
        self._head, self._tag = held.state
        for name in self._done:  # nobody needs the decision now that the head has moved on
            with contextlib.suppress(StoreError):
                self._store.remove(decision_key(name))
        self._done.clear()

    def _leave(self) -> None:
        """Give the turn up with something under way: whoever comes next settles it at once."""
        held, self._lease = self._lease, None
        self._done.clear()
        if held is not None:
            held.stop()
            with contextlib.suppress(StoreError):  # then the lease runs out
                held.move(Head.leave)

    @contextlib.contextmanager
    def begin(self, plan: Plan, commit: Commit, name: str) -> Iterator[FencedTransaction]:
        """See ``Session``."""
        fenced.require_size(self._store, plan)
        running = self._take(plan, commit, name)
        try:
            yield running
            running.commit(plan)
        except BaseException as error:
            self._fail(running, error)
            if isinstance(error, ZapzError) and self._lease is not None:
                return  # the answer was lost, but it is committed, and visible
            raise
        self._apply(running, plan)

    @contextlib.contextmanager
    def tidying(self, name: str) -> Iterator[tuple[Head, Callable[[], None]]]:
        """Keep others out while what aborted runs left is removed; it is forgotten if the body returns."""
        extents = tuple(dirty.extent for dirty in self._head.dirty)  # whoever takes over lets our requests arrive first
        intent = Intent(id=name, made_root=False, base={}, documents=(), extents=extents)
        held = self._put(intent, Commit(fingerprint="", offset=0, length=0))
        try:
            yield held.state[0], held.check
            held.check()
            held.change(Head.tidied)
        finally:
            self.close()

    def _take(self, plan: Plan, commit: Commit, name: str) -> FencedTransaction:
        """Put the intent into the head: from now on it is our turn."""
        intent = fenced.intend(plan, name)
        self._rest(intent.extents)
        reading = self._store.noting()
        reading.note_many(key for array in plan.arrays.values() for key in array.boundary_keys())
        return FencedTransaction(self._store, reading, intent, self._put(intent, commit))

    def _put(self, intent: Intent, commit: Commit) -> Lease:
        def active(head: Head) -> Head:
            return head.active(intent, commit, me(), lease.LEASE, time.time())

        if self._lease is None:
            head = active(self._head)
            tag = self._store.replace(HEAD, heads.encode(head), self._tag)
            if tag is None:
                hint = "Run the append again."
                raise HeadMovedError("another process appended meanwhile", where=self._store.uri, hint=hint)
            self._lease = Lease(self._store, head, tag)
            self._lease.start()
        elif not self._lease.move(active):
            raise ConflictError("another process has taken over", where=self._store.uri, hint="Run the append again.")
        return self._lease

    def _rest(self, extents: tuple[Extent, ...]) -> None:
        """Let requests of a writer that was given up arrive before its keys are written again."""
        for dirty in self._head.dirty:
            young = dirty.since + dirty.rest - time.time()
            if 0 < young <= dirty.rest and any(heads.overlaps(dirty.extent, extent) for extent in extents):
                time.sleep(young)

    def _fail(self, running: FencedTransaction, error: BaseException) -> None:
        """Decide against a transaction; the lease stays only if it turns out to be decided for, and is finished then."""
        held = self._lease
        try:
            outcome, documents = fenced.decide_against(self._store, running.intent)
            if outcome == "commit" and held is not None:
                fenced.apply(self._store, running.intent, documents)
                held.change(Head.committed)
                self._done.append(running.intent.id)
                return
            if held is not None:
                held.change(lambda head: head.aborted(time.time(), 0.0) if running.touched else head)
            self.close()
        except ZapzError as failure:
            self._leave()
            error.add_note(f"Undoing it failed too ({failure}); the next run, or `zapz recover`, will do it.")
        except BaseException:
            self._leave()
            raise

    def _apply(self, running: FencedTransaction, plan: Plan) -> None:
        held = self._lease
        try:
            running.apply(plan)
        except BaseException:
            self._leave()
            raise
        if held is not None:
            held.change(Head.committed)
        self._done.append(running.intent.id)


def state_of(store: Store) -> tuple[Holder | None, tuple[str, ...]]:
    """Say who holds a target, and what recovery would do, as far as that can be known without waiting."""
    objects = objects_of(store)
    head, _ = fenced.read_head(objects)
    lines = []
    if head.intent is not None:
        outcome, _ = fenced.read_decided(objects, head.intent.id)
        state = "committed, perhaps not yet visible" if outcome == "commit" else "not committed"
        if not fenced.is_over(head):
            return head.owner, ()
        lines.append(f"{head.intent.id}: {state}")
    return object_lock.holder(objects, LOCK), tuple(lines)


def leftovers(store: Store) -> frozenset[str]:
    """Return names, right in the target, of what aborted runs may have left."""
    return heads.top_names(fenced.read_head(store)[0]) if isinstance(store, ObjectStore) else frozenset()


def time_to_take_over(store: Store) -> float:
    """Return how many seconds to watch a target before a turn that nobody renews is taken over; 0 if nobody has it."""
    head, _ = fenced.read_head(objects_of(store))
    return 0.0 if head.intent is None or fenced.is_over(head) else 1.2 * head.lease


def is_idle(store: Store) -> bool:
    """Return whether nothing is under way and nobody holds a lock."""
    objects = objects_of(store)
    return fenced.read_head(objects)[0].intent is None and object_lock.holder(objects, LOCK) is None


def unlock(store: Store) -> bool:
    """Settle what is under way, if its owner gives no sign of life for a lease; remove a lock that is an object.

    Raises:
        LockedError: The owner lives.
    """
    objects = objects_of(store)
    objects.probe()
    if is_idle(store):
        return False
    held = object_lock.holder(objects, LOCK)
    if held is not None:
        _, before = fenced.read_head(objects)
        if not is_dead(held):
            time.sleep(lease.LEASE)
        after, tag = fenced.read_head(objects)
        if (tag != before and after.owner is not None) or is_alive(held):
            raise fenced.locked(objects, held, lease.LEASE)
        objects.remove(LOCK)
    if fenced.read_head(objects)[0].intent is not None:
        fenced.wait_for_turn(objects, time_to_take_over(store))
    return True
