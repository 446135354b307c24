"""A lock object, for services without conditional replacement, where a lease would not be safe."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from zapz.errors import NotFoundError, StoreError
from zapz.storage.holder import describe_me, holder_of, is_dead, target_locked
from zapz.storage.local.flock import alone
from zapz.storage.store import Holder, Store
from zapz.storage.waiting import Wait

_POLL = 0.2


@contextlib.contextmanager
def hold(store: Store, key: str, wait: Wait) -> Iterator[None]:
    """Hold a lock.

    Args:
        store: A store with exclusive creation.
        key: Key of the lock.
        wait: How long to wait for another holder.

    Raises:
        LockedError: Another process holds it.
    """
    mine = json.dumps({**describe_me(), "token": os.urandom(8).hex()}).encode()
    deadline = wait.begin(store.uri)
    while store.create(key, [mine]) is None:
        if _break_dead(store, key):
            continue
        if deadline.is_over():
            more = ". If that process no longer exists, run `zapz unlock`."
            raise target_locked(store.uri, holder(store, key), wait, more)
        deadline.pause(_POLL)
    try:
        yield
    finally:
        with contextlib.suppress(StoreError):  # a lock that remains does not affect what was appended
            if store.read(key) == mine:
                store.remove(key)


def _break_dead(store: Store, key: str) -> bool:
    """Remove the lock of a dead process of this machine; those of other machines may be alive."""
    with contextlib.suppress(NotFoundError):
        content = store.read(key)
        if is_dead(holder_of(content)):
            with alone(f"{store.uri}/{key}"):
                if store.read(key) == content:
                    store.remove(key)
            return True
    return False


def holder(store: Store, key: str) -> Holder | None:
    """Return who holds a lock; None if it is free."""
    try:
        return holder_of(store.read(key))
    except NotFoundError:
        return None
