"""Take over what ended turns left; after that their owners can change nothing (``turn``)."""

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
"""Maximum number of times a folder is emptied because new files have arrived in it."""

Sync = Callable[..., None]
"""Syncs folders, if durability is requested."""


def take_over(lock: str, transactions: str, sync: Sync) -> None:
    """Move the transactions of all ended turns, and remove the folders of these turns.

    Args:
        lock: The lock, the folder of those turns.
        transactions: The folder that receives their transactions.
        sync: Called with the folders that must be durable.

    Raises:
        JournalError: A turn contains something that zapz did not write.
        OSError: It failed.
    """
    # The latest turn first: until its folder is gone, its owner may still change the transactions
    # that it took over from earlier turns.
    for name in sorted(names_in(lock), key=layout.ended_number, reverse=True):
        if layout.is_ended(name):
            _end(os.path.join(lock, name), transactions, sync)


def _end(folder: str, transactions: str, sync: Sync) -> None:
    for _ in range(_ROUNDS):
        # This comes first, because the owner may not know yet that its turn has ended: it would not
        # find the files that are moved here, and would undo a transaction that is committed.
        if not closed(folder):
            continue
        move(os.path.join(folder, TURN_TRANSACTIONS), transactions, sync)
        if removed(folder):
            return
    raise _foreign(folder, names_in(folder))


def move(source: str, target: str, sync: Sync) -> None:
    """Move transactions, file by file.

    An open handle still reaches a folder that is renamed, but not one that is removed.

    Raises:
        JournalError: ``source`` contains something that zapz did not write.
        OSError: It failed.
    """
    if os.path.islink(source):
        raise _foreign(source, ["a link"])
    for transaction in names_in(source):
        old, new = os.path.join(source, transaction), os.path.join(target, transaction)
        if os.path.islink(old) or not os.path.isdir(old):
            if not os.path.lexists(old):
                continue  # its former owner has just removed it
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
        "zapz's own folder contains something that zapz did not write",
        where=folder,
        found=", ".join(names[:3]),
        hint="Nothing was changed. Remove it.",
    )


def _second_name(path: str, second: str) -> bool:
    """Give a file a second name; return False if its first name is gone.

    Where links are not possible, the file is renamed.

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
        return False  # the first name is gone
    return True
