"""A turn at a target without reliable file locks: a folder through which its writer makes changes.

::

    head/turn/TOKEN/owner     who has the turn; touched periodically
    head/turn/TOKEN/txn/...   its transactions
    head/turn/TOKEN/way/...   new files on their way to their final paths, and removed files
    head/ended-TOKEN/...      an ended turn: the next one takes over its content, then removes it
    head/wait-TOKEN/TOKEN/... a turn that has not begun

A turn begins when its folder is renamed to ``head/turn``. This succeeds for one process only,
because a rename does not replace a folder that is not empty. The turn ends when its inner folder is
renamed. The name of that folder belongs to one turn, so ending an old turn never ends a new one.

The folder is a fence. New files are created in it and linked out of it, replacements are renamed
out of it, and removed files are renamed into it. So a former owner that continues no longer finds
its folder. The next owner empties and removes that folder first: then even a request that has
reached it by an open handle fails, and all that arrived before is seen. Only empty folders are
removed directly: a process that needs one creates it again.
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
"""Seconds without a touch after which other processes may end a turn."""
TOUCHES = 6
"""Touches per lease."""
_LOOKS, _PAUSE = 25, 0.02


class Turn:
    """The turn of this process, from ``start`` to ``leave``, unless another process ends it."""

    def __init__(self, path: str, token: str, root: str, *, durable: bool) -> None:
        """Describe a turn; nothing is created.

        Args:
            path: The lock.
            token: The turn's own name, never used before.
            root: The dataset's folder, for messages.
            durable: Whether the turn survives a power failure.
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

    # -- whether this process still has it --------------------------------------------------------

    def start(self) -> None:
        """Start to touch the turn, once it has begun, and make it durable."""
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
            except OSError as error:  # after others the next touch may succeed; ``check`` checks the time
                self._lost = error.errno in GONE
            else:
                self._fresh = started

    def is_lost(self) -> bool:
        """Return whether the turn may be over: ended, or no answer of storage for half a lease."""
        if not self._lost:
            self._lost = clock.now() - self._fresh > LEASE / 2 or not is_there(self.owner)
        return self._lost

    def check(self) -> None:
        """Check that this process still has the turn.

        Raises:
            ConflictError: It may have lost it.
        """
        if self.is_lost():
            raise self._over()

    def _over(self) -> ConflictError:
        self._lost = True
        return ConflictError(
            "aborted: this process may have lost its lock",
            where=self._root,
            found=f"no answer from the file system for {LEASE / 2:.0f} s, or the lock was taken over",
            hint="Run the command again.",
        )

    def leaves_a_gap(self) -> bool:
        """Return whether replacing an open file leaves its path empty for an instant."""
        return leaves_a_gap(self.way)

    # -- changes through it -----------------------------------------------------------------------

    def name(self) -> str:
        """Return a new name below ``way``."""
        with self._guard:
            self._count += 1
            return str(self._count)

    def put(self, aside: str, path: str) -> bool:
        """Link a file from ``way`` to its final path; return False if that path exists.

        Raises:
            AbilityError: The path is on another file system.
            ConflictError: The turn is over.
            OSError: It failed.
        """
        try:
            link(aside, path)
        except FileExistsError:
            return os.lstat(aside).st_nlink > 1  # the link was created, and the answer was lost
        except OSError as error:
            self._explain(error, path)
            if error.errno not in NO_LINK:
                raise
            # Without links, this overwrites a file that a program without the lock creates now.
            if os.path.lexists(path):
                return False
            os.rename(aside, path)
        return True

    def replace(self, aside: str, path: str) -> None:
        """Move a file from ``way`` to its final path, over any file; raises as ``put`` does."""
        try:
            os.replace(aside, path)
        except OSError as error:
            self._explain(error, path)
            raise

    def remove(self, path: str) -> None:
        """Remove a file; do nothing if it does not exist. Raises as ``put`` does."""
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
            # The file exists, so the turn's folder is missing, whatever is cached about its owner.
            if os.path.lexists(path):
                raise self._over() from error

    def make_folder(self, path: str) -> None:
        """Create a folder; raises as ``put`` does, and ``FileExistsError``."""
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        try:
            with self._like(os.path.dirname(path)) as inside:
                aside = os.path.join(inside, self.name())
                os.mkdir(aside)
                os.rename(aside, path)
        except OSError as error:
            self._explain(error, path)
            if os.path.lexists(path):  # another process created it
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
            raise

    def born(self, folder: str) -> Rights:
        """Return the rights of new files in a folder, not created there; raises as ``put`` does."""
        try:
            with self._like(folder) as inside:
                return rights.born(os.path.join(inside, self.name()))
        except OSError as error:
            self._explain(error, folder)
            raise failure(error, "cannot determine the rights of new files in", folder) from error

    @contextlib.contextmanager
    def _like(self, folder: str) -> Iterator[str]:
        """Yield a folder in ``way`` whose new entries get group and list as in ``folder``."""
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
        """Refuse a folder of another file system: files cannot be moved there through the turn.

        Raises:
            AbilityError: It is on another file system.
            StoreError: It cannot be inspected.
        """
        try:
            if os.stat(folder).st_dev != os.stat(self.way).st_dev:
                raise self._elsewhere(folder)
        except OSError as error:
            self._explain(error, folder)
            raise failure(error, "cannot stat", folder) from error

    def _elsewhere(self, path: str) -> AbilityError:
        return AbilityError(
            "the target and its journal are on different file systems, and the lock protects only one",
            where=path,
            found=os.path.dirname(self._path),
            hint="Use {journal}, and make sure that no folder of the target leads to another file system.",
            remedies={"journal": "inside"},
        )

    def _explain(self, error: OSError, path: str) -> None:
        if error.errno == errno.EXDEV:
            raise self._elsewhere(path) from error
        if error.errno in GONE:
            self.check()

    # -- its end ----------------------------------------------------------------------------------

    def inherit(self, others: str) -> None:
        """Take over what ended turns left; after that their owners can change nothing.

        Args:
            others: The folder of transactions of processes that need no turn, because their file
                system has locks.

        Raises:
            ConflictError: The turn is over.
            JournalError: A turn contains something that zapz did not write.
            StoreError: It failed.
        """
        try:
            succession.take_over(self._path, self.transactions, self._sync)
            succession.move(others, self.transactions, self._sync)
        except OSError as error:
            self.check()
            raise failure(error, "cannot take over what another process left", self._path) from error

    def leave(self, others: str) -> None:
        """End the turn; a transaction that could not be recovered stays, in ``others``."""
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
                time.sleep(_PAUSE)  # another process is just reading its owner

    def _tidy(self) -> None:
        """Remove folders of waiters that died or are silent for a lease (file system's clock)."""
        os.utime(self.owner)
        now = os.stat(self.owner).st_mtime
        for name in names_in(self._path):
            if (token := layout.waiting_token(name)) is not None:
                folder = os.path.join(self._path, name)
                with contextlib.suppress(OSError):
                    if now - os.stat(folder).st_mtime > LEASE or is_over(os.path.join(folder, token, OWNER)):
                        withdraw(self._path, token)
