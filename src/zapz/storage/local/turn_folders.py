"""Folders of turns below a lock, before they begin and after they end (``storage.local.turn``)."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

from zapz.storage import layout
from zapz.storage.holder import holder_of, is_dead
from zapz.storage.layout import OWNER, TURN, TURN_TRANSACTIONS, TURN_WAY
from zapz.storage.local.busy import HIDDEN
from zapz.storage.local.posix import ABSENT, READ, failure

GONE = ABSENT | {errno.ESTALE}
_NOT_EMPTY = frozenset((errno.ENOTEMPTY, errno.EEXIST))


def ended_folder(path: str, token: str) -> str:
    """Return the path of an ended turn, with its sequence number.

    Turns with higher numbers are taken over before those that ended earlier.
    """
    last = max(map(layout.ended_number, names_in(path)), default=0)
    return os.path.join(path, layout.ended_name(last + 1, os.urandom(4).hex(), token))


def withdraw(path: str, token: str) -> None:
    """Remove the folders of a turn that has not begun. A living waiter creates them again."""
    folder = os.path.join(path, layout.waiting_name(token))
    with contextlib.suppress(OSError):
        removed(os.path.join(folder, token))
        os.rmdir(folder)


def is_over(owner: str) -> bool:
    """Return whether the process that an owner file names is certainly dead."""
    with open(owner, "rb") as file:
        return is_dead(holder_of(file.read()))


def end(path: str, token: str) -> None:
    """End the turn with this token, if it has not ended; another turn is not affected.

    Raises:
        StoreError: It failed.
    """
    try:
        os.rename(os.path.join(path, TURN, token), ended_folder(path, token))
    except OSError as error:
        if error.errno not in GONE:
            raise failure(error, "cannot take over", path) from error


def removed(folder: str) -> bool:
    """Remove a turn's folder, unless it contains transactions; return whether it is gone.

    It also counts as gone if it contains only files that this machine keeps open (``rmdir``).
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, OWNER))
    return closed(folder) and all(rmdir(each) for each in (os.path.join(folder, TURN_TRANSACTIONS), folder))


def closed(folder: str) -> bool:
    """Remove the folder through which a turn's owner changes the target; return as ``removed``."""
    way = os.path.join(folder, TURN_WAY)
    for name in names_in(way):
        with contextlib.suppress(FileNotFoundError):
            remove_tree(os.path.join(way, name))
    return rmdir(way)


def remove_tree(path: str) -> None:
    """Remove a file, or a folder with its content."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    for name in names_in(path):
        with contextlib.suppress(FileNotFoundError):
            remove_tree(os.path.join(path, name))
    os.rmdir(path)


def is_there(path: str) -> bool:
    """Return whether a file exists on the server.

    Opening the file queries the server, whatever this machine has cached (NFS).
    """
    try:
        os.close(os.open(path, READ))
    except OSError as error:
        return error.errno not in GONE
    return True


def rmdir(folder: str) -> bool:
    """Remove a folder; return whether it is gone.

    It also counts as gone if it contains only files that are kept because a process of this machine
    has them open. That process reached the folder by its old name, which has changed since: this is
    a sufficient fence.
    """
    try:
        os.rmdir(folder)
    except OSError as error:
        if error.errno in GONE:
            return True
        if error.errno not in _NOT_EMPTY:
            raise
        return all(name.startswith(HIDDEN) for _, _, names in os.walk(folder) for name in names) and any(
            names for _, _, names in os.walk(folder)
        )
    return True


def names_in(folder: str) -> list[str]:
    """Return the names in a folder; none if it is gone."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        if error.errno in GONE:
            return []
        raise


def folders_of(path: str, token: str) -> Iterable[str]:
    """Return the folders that must exist before a turn can begin, the outer ones first."""
    waiting = os.path.join(path, layout.waiting_name(token))
    inner = os.path.join(waiting, token)
    return path, waiting, inner, os.path.join(inner, TURN_TRANSACTIONS), os.path.join(inner, TURN_WAY)
