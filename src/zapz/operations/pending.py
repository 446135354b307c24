"""Whether a committed change of a target is not completely visible yet."""

from __future__ import annotations

from zapz.errors import AbilityError
from zapz.storage.store import Store
from zapz.txn.session import coordinator_of


def is_being_applied(store: Store) -> bool:
    """Return whether a transaction is decided and its documents may not all be visible.

    Nothing is changed, and no lock is taken.

    Raises:
        JournalError: A journal is damaged.
        StoreError: Storage failed.
    """
    try:
        return coordinator_of(store).decided()
    except AbilityError:  # storage that zapz cannot write to has no transactions
        return False
