"""Whether a file that somebody has open is replaced in one step.

Where it is not, the file system first gives the open file another name, and for an instant there is
    nothing at its place: on FUSE (libfuse
without ``hard_remove``), and on NFS for processes of the same client (``nfs(5)``, silly rename).
"""

from __future__ import annotations

import contextlib
import os
import time

from zapz.storage.local.posix import failure

HIDDEN = (".fuse_hidden", ".nfs")
"""How the names begin that open files get."""
_LOOKS, _PAUSE = 50, 0.02
_KNOWN: dict[int, bool] = {}
"""What was found out, by device: once a process."""


def leaves_a_gap(folder: str) -> bool:
    """Return whether there is nothing at a place for an instant while its file, which somebody has open, is replaced.

    Args:
        folder: One of our own, in which it is tried.

    Raises:
        StoreError: It cannot be tried.
    """
    try:
        device = os.stat(folder).st_dev
        if device not in _KNOWN:
            _KNOWN[device] = _tried(os.path.join(folder, "busy"), os.path.join(folder, "new"))
    except OSError as error:
        raise failure(error, "cannot find out what this file system can do", folder) from error
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
        for _ in range(_LOOKS):  # it goes a moment after it was closed
            if not _hidden(folder):
                break
            time.sleep(_PAUSE)


def _hidden(folder: str) -> bool:
    return any(name.startswith(HIDDEN) for name in os.listdir(folder))
