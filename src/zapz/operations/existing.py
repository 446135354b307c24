"""Read a target that must exist, without taking its lock."""

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
        LockedError: Another process is creating the target.
        ConflictError: A process died while it created the target.
        FormatError: The target is not (supported) Zarr.
        StoreError: Storage failed; ``NotFoundError`` if the target does not exist.
    """
    try:
        return open_dataset(store)
    except (MetadataError, NotFoundError):
        if (unfinished := unfinished_error(store)) is not None:
            raise unfinished from None
        raise


def unfinished_error(store: Store) -> ZapzError | None:
    """Return the error for a target whose creation is in progress or was interrupted.

    Returns:
        None if the target has documents, no process has started to create it, or its state cannot
        be read.
    """
    try:
        if store.read_many(NODE_NAMES):
            return None
        holder, left = state_of(store)
    except StoreError:
        return None
    if holder is not None:
        hint = "It can be read once its first slice is appended."
        return LockedError("the target is being created", where=store.uri, found=str(holder), hint=hint)
    if left:
        return ConflictError(
            "creating the target was interrupted",
            where=store.uri,
            found="; ".join(left),
            hint="Run `zapz recover`, or append again.",
        )
    return None
