"""Remove what aborted runs left, once nobody can be at work on it any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from zapz.errors import LockedError, NotFoundError
from zapz.format.grid import indices
from zapz.format.metadata import Dataset, join
from zapz.storage.dataset import is_empty, listing_of, open_dataset
from zapz.storage.local import LocalStore
from zapz.storage.store import OURS, Store, read_optional
from zapz.txn import journal
from zapz.txn.head import Head
from zapz.txn.journal import Extent
from zapz.txn.recover import HEAD, KEPT, TRANSACTIONS, decision_key, refuse_link
from zapz.txn.sessions import open_session

_HOUR = 3600.0
"""Seconds for which a decision is kept: so long nobody stands still between asking whether it is his turn and acting on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vacuumed:
    """What ``vacuum`` did."""

    removed: int = 0
    """Objects (files) removed."""
    kept: int = 0
    """Objects of aborted runs that are too young to be removed."""


def vacuum(store: Store, wait: float, name: str) -> Vacuumed:
    """Remove chunks that aborted runs left beyond the target's shape, and what they left in our own folder.

    Args:
        store: The target.
        wait: Seconds to wait for another writer.
        name: A name that no transaction ever had.

    Raises:
        LockedError: Somebody is at work, or was until so recently that requests may still be on their way.
    """
    if not isinstance(store, LocalStore) and is_empty(listing_of(store)) and store.size(HEAD) is None:
        raise NotFoundError("no such dataset", where=store.uri, hint="Check the path.")
    with open_session(store, wait) as session:
        if isinstance(store, LocalStore):
            return Vacuumed(removed=_empty_kept(store))
        with session.tidying(name) as (head, check):
            _require_quiet(store, head)
            dataset = _dataset(store) if head.dirty else None
            removed = sum(_remove_beyond(store, dataset, dirty.extent, check) for dirty in head.dirty)
            old, young = _decisions(store)
            for transaction in old:
                check()
                store.remove(decision_key(transaction))
        return Vacuumed(removed=removed + len(old), kept=len(young))


def _empty_kept(store: LocalStore) -> int:
    """Remove committed appends that were put aside because another tool wrote over them."""
    removed = 0
    refuse_link(store, KEPT)
    for name in _names(store, KEPT):
        folder = join(KEPT, name)
        refuse_link(store, folder)
        for file in store.children(folder).files:
            store.remove(join(folder, file))
            removed += 1
        store.remove_folder(folder)
    store.remove_folder(KEPT)
    return removed


def _decisions(store: Store) -> tuple[list[str], list[str]]:
    """Return transactions whose decisions nobody can wait for any more, and the others."""
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
            "an aborted run may still have requests on their way",
            where=f"{store.uri}/{OURS}",
            hint=f"Run it again in {young:.0f} s.",
        )


def _dataset(store: Store) -> Dataset | None:
    try:
        return open_dataset(store)
    except NotFoundError:
        return None


def _remove_beyond(store: Store, dataset: Dataset | None, extent: Extent, check: Callable[[], None]) -> int:
    """Remove those of an extent's chunks that lie beyond the shape of their array; return how many there were."""
    array = dataset.arrays.get(extent.path) if dataset is not None else None
    if array is not None and (array.keys != extent.keys or len(array.grid.counts) != len(extent.spans)):
        return 0  # it has been made anew since: these keys mean nothing, or something else
    if array is None and dataset is not None and "" in dataset.arrays:
        return 0
    removed = 0
    others = tuple(
        f"{path}/" for path in (dataset.arrays if dataset is not None else ()) if path and path != extent.path
    )
    for index in indices(extent.spans):
        if array is not None and all(i < n for i, n in zip(index, array.grid.counts, strict=True)):
            continue
        key = join(extent.path, extent.keys.key(index))
        if key.startswith(others):
            continue  # an array has been made here since
        if store.size(key) is not None:
            check()
            store.remove(key)
            removed += 1
    return removed
