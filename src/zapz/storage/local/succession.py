"""Taking over what turns held that are over, so that nothing their owners still do can land (``storage.local.turn``)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from zapz.errors import JournalError
from zapz.storage import layout
from zapz.storage.layout import TURN_TRANSACTIONS
from zapz.storage.local import rights
from zapz.storage.local.posix import NO_LINK, link
from zapz.storage.local.turn_folders import GONE, closed, names_in, removed, rmdir

_ROUNDS = 10
"""So often a folder is emptied again because something has landed in it."""

Sync = Callable[..., None]
"""Makes folders survive a power failure, if that is asked for."""


def take_over(lock: str, transactions: str, sync: Sync) -> None:
    """Move the transactions of all turns that are over, and remove their folders.

    Args:
        lock: The lock, in which those turns lie.
        transactions: Where their transactions go.
        sync: Called with the folders that must be durable.

    Raises:
        JournalError: Something that is not zapz's lies in one.
        OSError: It failed.
    """
    # The last one first: until its folder is gone, its owner may be at what it has taken over from those before it.
    for name in sorted(names_in(lock), key=layout.ended_number, reverse=True):
        if layout.is_ended(name):
            _end(os.path.join(lock, name), transactions, sync)


def _end(folder: str, transactions: str, sync: Sync) -> None:
    for _ in range(_ROUNDS):
        # First of all: its owner may not know yet. He would miss what is taken from him, and undo what is decided.
        if not closed(folder):
            continue
        move(os.path.join(folder, TURN_TRANSACTIONS), transactions, sync)
        if removed(folder):
            return
    raise _foreign(folder, names_in(folder))


def move(source: str, target: str, sync: Sync) -> None:
    """Move transactions, file by file: a folder that is renamed is still found by a handle, one that is removed is not.

    Raises:
        JournalError: Something that is not zapz's lies there.
        OSError: It failed.
    """
    if os.path.islink(source):
        raise _foreign(source, ["a link"])
    for transaction in names_in(source):
        old, new = os.path.join(source, transaction), os.path.join(target, transaction)
        if os.path.islink(old) or not os.path.isdir(old):
            if not os.path.lexists(old):
                continue  # its former owner was about to remove it, and has
            raise _foreign(source, [transaction])
        with contextlib.suppress(FileExistsError):
            os.mkdir(new)
            if found := rights.rights_of(old):
                rights.give(new, found)
        moved = [name for name in names_in(old) if _second_name(os.path.join(old, name), os.path.join(new, name))]
        sync(new, target)
        for name in moved:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(old, name))
        rmdir(old)
    rmdir(source)


def _foreign(folder: str, names: list[str]) -> JournalError:
    return JournalError(
        "something that is not zapz's lies where a process left its work",
        where=folder,
        found=", ".join(names[:3]),
        hint="Nothing was touched. Remove it.",
    )


def _second_name(path: str, second: str) -> bool:
    """Give a file a second name, or another one where there are no links; return False if it is gone.

    Raises:
        OSError: The other folder is gone, or another file has that name.
    """
    try:
        link(path, second)
    except FileExistsError:
        if not os.path.samestat(os.lstat(path), os.lstat(second)):
            raise
    except OSError as error:
        if error.errno not in NO_LINK | GONE:
            raise
        if error.errno in GONE:
            if os.path.lexists(path):
                raise
            return False
        os.rename(path, second)
        return False  # nothing is left to be removed
    return True
