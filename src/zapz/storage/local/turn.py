"""A turn at a target where the file system keeps no lock: a folder through which everything goes that its writer does.

::

    head/turn/TOKEN/owner     who has the turn; touched again and again
    head/turn/TOKEN/txn/...   its transactions
    head/turn/TOKEN/way/...   new files on their way out to their places, and removed ones on their way in
    head/ended-TOKEN/...      a turn that is over: what it held is taken over by the next one, then it is removed
    head/wait-TOKEN/TOKEN/... a turn that has not begun

A turn begins when its folder gets the name ``head/turn``, which succeeds for one only, because a
folder that is not empty is not replaced. It ends when its inner folder is renamed. That name is the
turn's own, so that a fresh turn is never ended in an old one's place.

This is a fence. New files are made in the folder and linked out of it, what replaces a file is
renamed out of it, and what is removed is renamed into it. So what a former owner still does finds
no folder any more. The next owner empties it and removes it first: then even a request that has
found it by a handle fails, and what landed until then is seen. Only empty folders are removed
directly: whoever needs one makes it again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from collections.abc import Iterator

from zapz.errors import AbilityError, ConflictError
from zapz.storage import clock, layout
from zapz.storage.layout import OWNER, TURN, TURN_TRANSACTIONS, TURN_WAY
from zapz.storage.local import rights, succession
from zapz.storage.local.busy import leaves_a_gap
from zapz.storage.local.durability import sync_path
from zapz.storage.local.posix import NO_LINK, failure, link
from zapz.storage.local.rights import Rights
from zapz.storage.local.turn_folders import (
    GONE,
    ended_folder,
    is_over,
    is_there,
    names_in,
    remove_tree,
    removed,
    withdraw,
)

LEASE = 60.0
"""Seconds without a touch after which a turn may be ended by others."""
TOUCHES = 6
"""Touches per lease."""
_LOOKS, _PAUSE = 25, 0.02


class Turn:
    """A turn: ours from ``start`` to ``leave``, unless somebody ends it."""

    def __init__(self, path: str, token: str, root: str, *, durable: bool) -> None:
        """Describe a turn; nothing is made.

        Args:
            path: The lock.
            token: The turn's own name, never used before.
            root: The dataset's folder, for messages.
            durable: Whether it survives a power failure.
        """
        self._durable = durable
        self._path = path
        self._root = root
        self.token = token
        self.folder = os.path.join(path, TURN, token)
        self.transactions = os.path.join(self.folder, TURN_TRANSACTIONS)
        self.way = os.path.join(self.folder, TURN_WAY)
        self.owner = os.path.join(self.folder, OWNER)
        self._fresh = clock.now()
        self._lost = False
        self._count = 0
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zapz-lock", daemon=True)

    # -- whether it is still ours ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to touch it, once it has begun; and make it durable."""
        self._fresh = clock.now()
        self._thread.start()
        self._sync(self.owner, self.folder, os.path.dirname(self.folder), self._path, os.path.dirname(self._path))

    def _sync(self, *paths: str) -> None:
        for path in paths if self._durable else ():
            sync_path(path)

    def _run(self) -> None:
        while not self._stop.wait(LEASE / TOUCHES) and not self._lost:
            started = clock.now()
            try:
                os.utime(self.owner)
            except OSError as error:  # but for these the next touch may succeed; ``check`` looks at the time
                self._lost = error.errno in GONE
            else:
                self._fresh = started

    def is_lost(self) -> bool:
        """Return whether it may be over: it was ended, or nothing was heard of the file system for half a lease."""
        if not self._lost:
            self._lost = clock.now() - self._fresh > LEASE / 2 or not is_there(self.owner)
        return self._lost

    def check(self) -> None:
        """Look whether it is still ours.

        Raises:
            ConflictError: It may not be.
        """
        if self.is_lost():
            raise self._over()

    def _over(self) -> ConflictError:
        self._lost = True
        return ConflictError(
            "the append was given up because the lock may be another process's by now",
            where=self._root,
            found=f"no answer from the file system for {LEASE / 2:.0f} s, or the lock was taken over",
            hint="Run it again.",
        )

    def leaves_a_gap(self) -> bool:
        """Return whether readers may find nothing for an instant where a file is replaced that somebody has open."""
        return leaves_a_gap(self.way)

    # -- what goes through it --------------------------------------------------------------------------------------------

    def name(self) -> str:
        """Return a new name below ``way``."""
        with self._guard:
            self._count += 1
            return str(self._count)

    def put(self, aside: str, path: str) -> bool:
        """Give a file from ``way`` its place; return False if something lies there.

        Raises:
            AbilityError: The place is on another file system.
            ConflictError: The turn is over.
            OSError: It failed.
        """
        try:
            link(aside, path)
        except FileExistsError:
            return os.lstat(aside).st_nlink > 1  # the link was made, and its answer lost
        except OSError as error:
            self._explain(error, path)
            if error.errno not in NO_LINK:
                raise
            # No links here: what a tool that ignores the lock writes at this instant is replaced.
            if os.path.lexists(path):
                return False
            os.rename(aside, path)
        return True

    def replace(self, aside: str, path: str) -> None:
        """Give a file from ``way`` its place, whatever lies there; raises as ``put`` does."""
        try:
            os.replace(aside, path)
        except OSError as error:
            self._explain(error, path)
            raise

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens if there is none. Raises as ``put`` does."""
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            aside = os.path.join(self.way, self.name())
            os.rename(path, aside)
            os.unlink(aside)
        except OSError as error:
            self._explain(error, path)
            if error.errno not in GONE:
                raise
            # Whatever is remembered about the owner, it was the turn's folder that was not found.
            if os.path.lexists(path):
                raise self._over() from error

    def make_folder(self, path: str) -> None:
        """Make a folder; raises as ``put`` does, and ``FileExistsError``."""
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        try:
            with self._like(os.path.dirname(path)) as inside:
                aside = os.path.join(inside, self.name())
                os.mkdir(aside)
                os.rename(aside, path)
        except OSError as error:
            self._explain(error, path)
            if os.path.lexists(path):  # somebody else has made it
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
            raise

    def born(self, folder: str) -> Rights:
        """Return the rights of a new file in a folder (``rights.born``), without making one there; raises as ``put`` does."""
        try:
            with self._like(folder) as inside:
                return rights.born(os.path.join(inside, self.name()))
        except OSError as error:
            self._explain(error, folder)
            raise failure(error, "cannot try new files like those in", folder) from error

    @contextlib.contextmanager
    def _like(self, folder: str) -> Iterator[str]:
        """Give a folder in ``way`` in which new files and folders get the group and the list that they would get in ``folder``."""
        if (model := rights.heritage(folder)) is None:
            yield self.way
            return
        inside = os.path.join(self.way, self.name())
        os.mkdir(inside)
        try:
            rights.give(inside, model)
            yield inside
        finally:
            with contextlib.suppress(OSError):
                remove_tree(inside)

    def require_same_disk(self, folder: str) -> None:
        """Refuse a folder of another file system: what goes there cannot go through the turn.

        Raises:
            AbilityError: It is one.
            StoreError: It cannot be looked at.
        """
        try:
            if os.stat(folder).st_dev != os.stat(self.way).st_dev:
                raise self._elsewhere(folder)
        except OSError as error:
            self._explain(error, folder)
            raise failure(error, "cannot look at", folder) from error

    def _elsewhere(self, path: str) -> AbilityError:
        return AbilityError(
            "the target and its journal lie on different file systems, and the lock protects only one",
            where=path,
            found=os.path.dirname(self._path),
            hint="Use {journal}, and let no folder of the target lead to another file system.",
            remedies={"journal": "inside"},
        )

    def _explain(self, error: OSError, path: str) -> None:
        if error.errno == errno.EXDEV:
            raise self._elsewhere(path) from error
        if error.errno in GONE:
            self.check()

    # -- its end ---------------------------------------------------------------------------------------------------------

    def inherit(self, others: str) -> None:
        """Take over what turns held that are over; afterwards nothing that their owners do can land.

        Args:
            others: The folder of transactions of processes that need no turn, because their file
                system has locks.

        Raises:
            ConflictError: The turn is over.
            JournalError: Something else lies in one.
            StoreError: It failed.
        """
        try:
            succession.take_over(self._path, self.transactions, self._sync)
            succession.move(others, self.transactions, self._sync)
        except OSError as error:
            self.check()
            raise failure(error, "cannot take over what another process left", self._path) from error

    def leave(self, others: str) -> None:
        """Give it back. A transaction that nobody could recover stays, with those of processes that need no turn."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(OSError):
            if names_in(self.transactions):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(others)
                succession.move(self.transactions, others, self._sync)
            self._tidy()
            ended = ended_folder(self._path, self.token)
            os.rename(self.folder, ended)
            for _ in range(_LOOKS):
                if removed(ended) and not os.path.lexists(ended):
                    break
                time.sleep(_PAUSE)  # somebody is just looking whose turn it is

    def _tidy(self) -> None:
        """Remove what waiters left that are gone: dead, or by the file system's clock without a sign of life for a lease."""
        os.utime(self.owner)
        now = os.stat(self.owner).st_mtime
        for name in names_in(self._path):
            if (token := layout.waiting_token(name)) is not None:
                folder = os.path.join(self._path, name)
                with contextlib.suppress(OSError):
                    if now - os.stat(folder).st_mtime > LEASE or is_over(os.path.join(folder, token, OWNER)):
                        withdraw(self._path, token)
