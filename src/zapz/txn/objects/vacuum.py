"""Remove what aborted runs left, once no process can be working on it any more."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from zapz.errors import LockedError, NotFoundError, StoreError
from zapz.format.metadata import Dataset, join
from zapz.storage.hierarchy import is_empty, listing_of, open_dataset
from zapz.storage.layout import HEAD, OURS, TRANSACTIONS, decision_key
from zapz.storage.objects.capabilities import is_left
from zapz.storage.objects.store import ObjectStore
from zapz.storage.presence import candidates
from zapz.storage.store import Store, read_optional
from zapz.txn import journal
from zapz.txn.extents import Extent
from zapz.txn.objects.head import Head
from zapz.txn.objects.session import FencedSession
from zapz.txn.vacuumed import Vacuumed

_HOUR = 3600.0
"""Seconds for which a decision is kept: no process pauses this long between checking its turn and
acting on it."""


def vacuum(store: ObjectStore, turn: Callable[[], AbstractContextManager[FencedSession]], name: str) -> Vacuumed:
    """Remove chunks of aborted runs beyond the target's shape, and decisions no process can need.

    Args:
        store: The target.
        turn: Takes a turn at the target.
        name: A name that no transaction ever had.

    Raises:
        LockedError: Requests of an aborted run may still arrive.
        NotFoundError: There is no target.
    """
    if is_empty(listing_of(store)) and store.size(HEAD) is None:
        raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
    probes = remove_probes(store)
    with turn() as session, session.tidying(name) as (head, check):
        _require_quiet(store, head)
        dataset = _dataset(store) if head.dirty else None
        removed = sum(_remove_beyond(store, dataset, dirty.extent, check) for dirty in head.dirty)
        old, young = _decisions(store)
        for transaction in old:
            check()
            store.remove(decision_key(transaction))
    return Vacuumed(removed=probes + removed + len(old), kept=len(young))


def remove_probes(store: ObjectStore) -> int:
    """Remove the probe objects of processes that were killed; return how many were removed.

    Where objects may not be deleted they stay, and do no harm.
    """
    removed = 0
    with contextlib.suppress(StoreError):
        for name in store.children(OURS).files:
            if is_left(name, time.time()):
                with contextlib.suppress(StoreError):
                    store.remove(f"{OURS}/{name}")
                    removed += 1
    return removed


def _decisions(store: Store) -> tuple[list[str], list[str]]:
    """Return transactions with decisions that no process can need any more, and the others."""
    old: list[str] = []
    young: list[str] = []
    for name in _names(store, TRANSACTIONS):
        key = decision_key(name)
        data = read_optional(store, key)
        if data is not None:
            made = journal.decided_at(data, f"{store.uri}/{key}")
            (old if time.time() - made > _HOUR else young).append(name)
    return old, young


def _names(store: Store, folder: str) -> tuple[str, ...]:
    try:
        return store.children(folder).folders
    except NotFoundError:
        return ()


def _require_quiet(store: Store, head: Head) -> None:
    young = max((dirty.since + 2 * dirty.rest - time.time() for dirty in head.dirty), default=0.0)
    if young > 0:
        raise LockedError(
            "requests of an aborted run may still arrive",
            where=f"{store.uri}/{OURS}",
            hint=f"Run it again in {young:.0f} s.",
        )


def _dataset(store: Store) -> Dataset | None:
    try:
        return open_dataset(store)
    except NotFoundError:
        return None


def _remove_beyond(store: Store, dataset: Dataset | None, extent: Extent, check: Callable[[], None]) -> int:
    """Remove an extent's chunks beyond the shape of their array; return how many were removed."""
    array = dataset.arrays.get(extent.path) if dataset is not None else None
    if array is not None and (array.keys != extent.keys or len(array.grid.counts) != len(extent.spans)):
        return 0  # it was created again since: these keys have another meaning, or none
    if array is None and dataset is not None and "" in dataset.arrays:
        return 0
    removed = 0
    others = tuple(
        f"{path}/" for path in (dataset.arrays if dataset is not None else ()) if path and path != extent.path
    )
    for index in candidates(store, extent.path, extent.keys, extent.spans):
        if array is not None and all(i < n for i, n in zip(index, array.grid.counts, strict=True)):
            continue
        key = join(extent.path, extent.keys.key(index))
        if key.startswith(others):
            continue  # another array was created here since
        if store.size(key) is not None:
            check()
            store.remove(key)
            removed += 1
    return removed
