"""The type of lock that a local file system gets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zapz.storage.local import flock
from zapz.storage.local.durability import file_system
from zapz.storage.local.flock import NoFlockError
from zapz.storage.local.posix import ABSENT, failure, is_folder
from zapz.storage.store import Holder
from zapz.storage.waiting import Wait

if TYPE_CHECKING:
    from zapz.storage.local.turn import Turn

_NETWORKED = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "lustre", "virtiofs", "fuse"))
"""Types of file systems that several machines may share (and all that begin with ``fuse.``). Only
Linux reports the type."""


def is_networked(folder: str) -> bool:
    """Return whether several machines may share the file system of a folder."""
    kind = file_system(folder)
    return kind in _NETWORKED or kind.startswith("fuse.")


@contextlib.contextmanager
def hold(path: str, wait: Wait, root: str, others: str, *, durable: bool) -> Iterator[Turn | None]:
    """Hold a lock; yield the turn through which all changes must pass, or None without turns.

    Args:
        path: The lock.
        wait: How long to wait for another holder.
        root: The dataset's folder, which must exist.
        others: The folder of transactions of processes that need no turn.
        durable: Whether the lock survives a power failure.

    Raises:
        LockedError: Another process holds it.
        CancelledError: The caller has ended the wait.
        JournalError: It contains something that zapz did not write.
        UnsupportedError: It is a link, or is in a folder that is a link.
        StoreError: It cannot be created or locked.
    """
    descriptor = None
    if not is_networked(root):
        with contextlib.suppress(NoFlockError):
            descriptor = flock.take(path, wait, root)
    if descriptor is None:
        from zapz.storage.local import lease_lock  # imported where used: most file systems have `flock`

        with lease_lock.hold_lease(path, wait, root, others, durable=durable) as turn:
            yield turn
        return
    try:
        yield None
    finally:
        try:
            _remove(path)
        finally:
            os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno not in ABSENT:
            raise failure(error, "cannot remove", path) from error
    flock.tidy(path)


def holder(path: str) -> Holder | None:
    """Return who holds a lock now; None if it is free."""
    if not is_folder(path) and ((found := flock.flock_holder(path)) or not is_folder(path)):
        return found
    from zapz.storage.local import lease_lock  # imported where used: most file systems have `flock`

    return lease_lock.lease_holder(path)


def patience(path: str, root: str) -> float:
    """Return the seconds needed to detect a dead holder; 0 where the system reports it."""
    if not is_networked(root) and not is_folder(path):
        return 0.0
    from zapz.storage.local import turn  # imported where used: most file systems have `flock`

    return 1.2 * turn.LEASE
