"""Probe whether a file system replaces an open file in one step.

Where it does not, the file system first renames the open file, and for an instant its path is
empty: on FUSE (libfuse without ``hard_remove``), and on NFS for processes of the same client
(``nfs(5)``, silly rename).
"""

from __future__ import annotations

import contextlib
import os
import time

from zapz.storage.local.posix import failure

HIDDEN = (".fuse_hidden", ".nfs")
"""Prefixes of the names that open files get."""
_LOOKS, _PAUSE = 50, 0.02
_KNOWN: dict[int, bool] = {}
"""Results of the probe by device; each is probed once per process."""


def leaves_a_gap(folder: str) -> bool:
    """Return whether replacing an open file leaves its path empty for an instant.

    Args:
        folder: A folder of zapz, for the probe.

    Raises:
        StoreError: The probe failed.
    """
    try:
        device = os.stat(folder).st_dev
        if device not in _KNOWN:
            _KNOWN[device] = _tried(os.path.join(folder, "busy"), os.path.join(folder, "new"))
    except OSError as error:
        raise failure(error, "cannot probe this file system", folder) from error
    return _KNOWN[device]


def _tried(busy: str, new: str) -> bool:
    for path in (busy, new):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    descriptor = os.open(busy, os.O_RDONLY)
    folder = os.path.dirname(busy)
    try:
        os.replace(new, busy)
        return _hidden(folder)
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(busy)
        for _ in range(_LOOKS):  # it disappears a moment after it is closed
            if not _hidden(folder):
                break
            time.sleep(_PAUSE)


def _hidden(folder: str) -> bool:
    return any(name.startswith(HIDDEN) for name in os.listdir(folder))
