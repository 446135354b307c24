"""Inspect a target on an object service without a turn: who has it, and whether that is over."""

from __future__ import annotations

from zapz.storage.holder import holder_of, is_alive, is_dead
from zapz.storage.layout import HEAD, LOCK
from zapz.storage.objects import lock
from zapz.storage.objects.store import ObjectStore
from zapz.storage.store import Holder, read_optional
from zapz.storage.waiting import Wait
from zapz.txn.objects import lease, settling
from zapz.txn.protocol import elsewhere


def refuse_elsewhere(store: ObjectStore) -> None:
    """Refuse a target with a head where another setting puts it.

    Raises:
        ConflictError: There is one.
    """
    if (other := store.elsewhere(HEAD)) is not None:
        raise elsewhere(store.uri, other, beside=store.beside)


def is_idle(store: ObjectStore) -> bool:
    """Return whether no transaction is in progress and no lock is held."""
    return settling.read_head(store)[0].intent is None and lock.holder(store, LOCK) is None


def time_to_take_over(store: ObjectStore) -> float:
    """Return the seconds to watch before an idle turn is taken over; 0 if there is no turn."""
    head, _ = settling.read_head(store)
    return 0.0 if head.intent is None or settling.is_over(head) else 1.2 * head.lease


def state(store: ObjectStore) -> tuple[Holder | None, tuple[str, ...]]:
    """Return who holds a target, and what recovery would do, as far as known without waiting."""
    head, _ = settling.read_head(store)
    lines = []
    if head.intent is not None:
        outcome, _ = settling.read_decided(store, head.intent.id)
        state = "committed, perhaps not yet visible" if outcome == "commit" else "not committed"
        if not settling.is_over(head):
            return head.owner, ()
        lines.append(f"{head.intent.id}: {state}")
    return lock.holder(store, LOCK), tuple(lines)


def unlock(store: ObjectStore) -> bool:
    """Remove a lock whose holder is dead, and settle what it left; return whether there was one.

    Raises:
        LockedError: The holder is alive, or showed a sign of life during a lease.
    """
    store.probe()
    if is_idle(store):
        return False
    held = read_optional(store, LOCK)
    if held is not None:
        owner = holder_of(held)
        _, before = settling.read_head(store)
        if not is_dead(owner):
            Wait().begin(store.uri).pause(lease.LEASE)
        head, after = settling.read_head(store)
        signs = after != before and head.owner is not None
        if signs or is_alive(owner) or read_optional(store, LOCK) != held:
            raise settling.locked(store, owner, lease.LEASE, Wait(fixed=True))
        store.remove(LOCK)
    if settling.read_head(store)[0].intent is not None:
        settling.wait_for_turn(store, Wait(time_to_take_over(store), fixed=True))
    return True
