"""Which kind of lock a local file system gets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

from zapz.storage import flock
from zapz.storage.durability import file_system
from zapz.storage.flock import NoFlockError
from zapz.storage.posix import ABSENT, failure

_NETWORKED = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "lustre", "virtiofs", "fuse"))
"""Types of file systems that several machines may share (and all that begin with ``fuse.``): Linux tells them, other systems do not."""


def is_networked(folder: str) -> bool:
    """Return whether a folder's file system is one that several machines may share."""
    kind = file_system(folder)
    return kind in _NETWORKED or kind.startswith("fuse.")


@contextlib.contextmanager
def hold(path: str, wait: float, root: str) -> Iterator[Callable[[], None]]:
    """Hold a lock file; gives what to call before each write, which raises ``ConflictError`` once the lock may be another's.

    Args:
        path: The lock file.
        wait: Seconds to wait for another holder.
        root: The dataset's folder, which must exist.

    Raises:
        LockedError: Another process holds it.
        StoreError: It cannot be made or locked.
    """
    descriptor = None
    if not is_networked(root):
        with contextlib.suppress(NoFlockError):
            descriptor = flock.take(path, wait, root)
    if descriptor is None:
        from zapz.storage import leased  # imported where used: most file systems have `flock`

        with leased.hold(path, wait, root) as check:
            yield check
        return
    try:
        yield lambda: None
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


def patience(root: str) -> float:
    """Return how many seconds it takes to see that a holder is gone: none where the system tells."""
    if not is_networked(root):
        return 0.0
    from zapz.storage import leased  # imported where used: most file systems have `flock`

    return 1.2 * leased.LEASE
