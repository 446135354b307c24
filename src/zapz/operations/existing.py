"""Read a target that must be there, without a turn at it."""

from __future__ import annotations

from zapz.errors import ConflictError, LockedError, MetadataError, NotFoundError, StoreError, ZapzError
from zapz.format.documents import NODE_NAMES
from zapz.format.metadata import Dataset
from zapz.storage.hierarchy import open_dataset
from zapz.storage.store import Store
from zapz.txn.session import state_of


def existing_dataset(store: Store) -> Dataset:
    """Read a target.

    Raises:
        LockedError: Another process is making it.
        ConflictError: A process that was making it has died.
        FormatError: It is not (supported) Zarr.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
    """
    try:
        return open_dataset(store)
    except (MetadataError, NotFoundError):
        if (unfinished := unfinished_error(store)) is not None:
            raise unfinished from None
        raise


def unfinished_error(store: Store) -> ZapzError | None:
    """Return the error for a target without documents that is being made, or was; None if it is none."""
    try:
        if store.read_many(NODE_NAMES):
            return None
        holder, left = state_of(store)
    except StoreError:
        return None
    if holder is not None:
        hint = "It can be read once its first slice is in."
        return LockedError("the target is being created", where=store.uri, found=str(holder), hint=hint)
    if left:
        return ConflictError(
            "the target was being created, and that did not end",
            where=store.uri,
            found="; ".join(left),
            hint="Run `zapz recover`, or append again.",
        )
    return None
