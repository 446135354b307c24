"""Locks on local files: ``flock`` on a file that is removed while the lock is held."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from typing import Literal

from zapz.errors import UnsupportedError
from zapz.storage.holder import describe_me, holder_of, target_locked
from zapz.storage.local.posix import READ, failure, is_folder
from zapz.storage.store import Holder
from zapz.storage.waiting import Wait

_POLL = 0.05
_GRACE = 0.02
"""Minimum wait in seconds: ``flock_holder()`` takes the lock briefly while probing."""
_BUSY = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES))
_NO_FLOCK = frozenset((errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))
"""Errors of a file system without ``flock``."""
LOCK = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class NoFlockError(Exception):
    """The file system has no ``flock``, or another process holds the other type of lock."""


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Run the body in one process of this machine at a time."""
    path = os.path.join(
        tempfile.gettempdir(), f"zapz-{os.getuid()}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.lock"
    )
    descriptor = os.open(path, LOCK, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def same_file(descriptor: int, path: str) -> bool:
    """Return whether a path still names an open file."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _surely_same(descriptor: int, path: str) -> bool:
    try:
        return same_file(descriptor, path)
    except OSError:
        return False


def take(path: str, wait: Wait, root: str) -> int:
    """Create a file and its folder, and lock it; return the descriptor that holds the lock.

    Args:
        path: The lock file.
        wait: How long to wait for another holder.
        root: The dataset's folder, which must exist.

    Raises:
        LockedError: Another process holds it.
        CancelledError: The caller has ended the wait.
        NoFlockError: The file system has no ``flock``, or the other type of lock is held.
        UnsupportedError: The folder is a link.
        StoreError: The file cannot be created or locked.
    """
    wait = wait.at_least(_GRACE)
    deadline = wait.begin(root)
    while (descriptor := _try(path, root)) is None:
        if deadline.is_over():
            raise target_locked(root, flock_holder(path), wait)
        deadline.pause(min(_POLL, wait.seconds / 2))
    return descriptor


def make_folder(folder: str) -> None:
    """Create a lock's folder; refuse a link.

    Raises:
        UnsupportedError: The folder is a link.
    """
    try:
        os.mkdir(folder)
    except FileExistsError:
        if os.path.islink(folder):
            hint = "zapz never creates such a link, and does not write lock and journal elsewhere. Remove the link."
            raise UnsupportedError("the journal's folder is a link", where=folder, hint=hint) from None


def tidy(path: str) -> None:
    """Remove the lock's folder if it is empty."""
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def _try(path: str, root: str) -> int | None:
    while True:
        try:
            make_folder(os.path.dirname(path))
            descriptor = os.open(path, LOCK, 0o666)
        except FileNotFoundError as error:
            if not is_folder(root):
                raise failure(error, "cannot lock", path) from error
            continue  # another process has finished and removed the folder
        except IsADirectoryError as error:  # the turn of a machine that mounts this as a network file system
            raise NoFlockError from error
        except OSError as error:
            tidy(path)
            raise failure(error, "cannot lock", path) from error
        state = "again"
        try:
            state = _lock(descriptor, path)
        finally:
            if state != "held":
                os.close(descriptor)
        if state != "again":
            return descriptor if state == "held" else None


def _lock(descriptor: int, path: str) -> Literal["held", "busy", "again"]:
    """Lock an open file and write the holder into it; "again" if it was unlinked before."""
    taken = mine = False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = True
        if not same_file(descriptor, path):
            return "again"
        mine = True
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(describe_me(judged=False)).encode())
    except OSError as error:
        if not taken and error.errno in _BUSY:
            return "busy"
        if taken and (mine or _surely_same(descriptor, path)):
            with contextlib.suppress(OSError):
                os.unlink(path)
            tidy(path)
        if not taken and error.errno in _NO_FLOCK:
            if not os.fstat(descriptor).st_size:
                os.unlink(path)
            raise NoFlockError from error
        raise failure(error, "cannot lock", path) from error
    return "held"


def flock_holder(path: str) -> Holder | None:
    """Return who holds a lock file; None if it is free."""
    try:
        descriptor = os.open(path, READ)
    except OSError:
        return None
    content: bytes | None = None
    try:
        content = os.read(descriptor, 4096)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return None if content is None else holder_of(content)  # without content: not zapz's, or a folder by now
    finally:
        os.close(descriptor)
    return None
