"""Local storage, with ``os`` only: exclusive creation, atomic replacement, fsync, flock.

fsspec's local file system tests before it creates, truncates files in place, and never syncs. This
store creates exclusively, replaces atomically, and syncs. Chunks are moved by one read and one
write of the whole file: on ext4 that measured the same as ``copy_file_range`` and ``sendfile``
within noise, and it lets zapz check the chunk on the way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from zapz.errors import NotFoundError, StoreError, UnsupportedError
from zapz.format.metadata import parent
from zapz.storage.layout import OURS, TRANSACTIONS, WAY, is_ours
from zapz.storage.local import lock
from zapz.storage.local.durability import Syncer
from zapz.storage.local.posix import ABSENT, failure, is_folder, write_all
from zapz.storage.local.staging import Replacing
from zapz.storage.store import Abilities, Holder, Parts
from zapz.storage.waiting import Wait

if TYPE_CHECKING:
    from zapz.storage.local.rights import Rights
    from zapz.storage.local.turn import Turn

_LOST = frozenset((errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EINTR))
"""Errors after which the file system may have carried out the operation all the same."""
_OF_TURN = (f"{TRANSACTIONS}/", f"{WAY}/")
"""Prefixes of keys that are in the folder of a turn, where there are turns."""
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class LocalStore(Replacing):
    """A readable and writable folder of a local file system."""

    def __init__(
        self, root: str | os.PathLike[str], *, durable: bool = True, follow_links: bool = False, beside: bool = False
    ) -> None:
        able = Abilities(writable=True, exclusive=True, durable=durable, listable=True)
        super().__init__(root, abilities=able, follow_links=follow_links, beside=beside)
        self._ours = f"{os.path.realpath(self.root)}{OURS}" if beside else f"{self.root}{os.sep}{OURS}"
        self._folders: set[str] = set()
        self._linking: set[str] = set()
        self._heirs: dict[str, Rights | None] = {}
        self._syncer = Syncer(str(self.root), durable=durable, whole=not follow_links, at=self._at)
        self._guard = threading.Lock()
        self._turn: Turn | None = None

    def check_lock(self) -> None:
        """Check that the lock is still held, if other processes can take it over.

        Raises:
            ConflictError: Another process may hold it.
        """
        if self._turn is not None:
            self._turn.check()

    @property
    def takes_turns(self) -> bool:
        """Whether other processes can take over the lock that is held."""
        return self._turn is not None

    def leaves_a_gap(self) -> bool:
        """Return whether replacing an open file empties its path for an instant. Needs the lock."""
        return self._turn is not None and self._turn.leaves_a_gap()

    @property
    def may_leave_a_gap(self) -> bool:
        """Whether replacing an open file may do that, by the type of the file system."""
        return lock.is_networked(str(self.root))

    def _at(self, key: str) -> str:
        """Return a key's path; keys of zapz may be beside the target, or in a turn's folder."""
        if key.startswith(OURS) and is_ours(key):
            if self._turn is not None and f"{key}/".startswith(_OF_TURN):
                return f"{self._turn.folder}{key[len(OURS) :]}"
            return f"{self._ours}{key[len(OURS) :]}"
        return self._prefix + key if key else str(self.root)  # as in ``LocalFiles``: this runs for every chunk

    def _passage(self, key: str) -> Turn | None:
        """Return the turn through which a key must be written; None if it is written directly."""
        return None if self._turn is None or key.startswith(_OF_TURN) else self._turn

    def elsewhere(self, key: str) -> str | None:
        """Return the path of zapz's ``key`` for the other setting of ``journal``, if it exists."""
        other = f"{self._prefix}{OURS}" if self.beside else f"{os.path.realpath(self.root)}{OURS}"
        path = f"{other}{key[len(OURS) :]}"
        return path if os.path.lexists(path) else None

    # -- writing ----------------------------------------------------------------------------------

    def create(self, key: str, parts: Parts, mode: int = 0o666) -> int | None:
        """See ``Store``. The file appears empty and then grows: for keys that no reader uses."""
        path = self._at(key)
        if (turn := self._passage(key)) is not None:
            return self._create_through(turn, key, parts, mode)
        try:
            self._folder_of(key)
            try:
                descriptor = os.open(path, _WRITE_NEW, mode)
            except FileNotFoundError:  # another process removed a folder that existed
                self._folders.clear()
                self._folder_of(key)
                descriptor = os.open(path, _WRITE_NEW, mode)
        except FileExistsError:
            return None
        except OSError as error:
            if error.errno in _LOST and self.size(key) == 0:  # it was created, and the answer was lost
                self.remove(key)
            raise failure(error, "cannot create", path) from error
        try:
            return write_all(descriptor, parts)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(path)
            if isinstance(error, OSError) and not isinstance(error, StoreError):
                raise failure(error, "cannot write", path) from error
            raise
        finally:
            os.close(descriptor)

    def _create_through(self, turn: Turn, key: str, parts: Parts, mode: int) -> int | None:
        """Create a file in the turn's folder; move it to its final path when it is complete."""
        aside = f"{WAY}/{turn.name()}"
        written = self.create(aside, parts, mode)
        try:
            for _ in range(2):
                self._folder_of(key)
                self._inherit(turn, aside, parent(key))
                try:
                    return written if turn.put(self._at(aside), self._at(key)) else None
                except FileNotFoundError:  # another process removed a folder that existed
                    self._folders.clear()
            raise NotFoundError("cannot create", where=self._at(key))
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise failure(error, "cannot create", self._at(key)) from error
        finally:
            self.remove(aside)

    def remove(self, key: str) -> None:
        """See ``Store``."""
        try:
            if self._turn is not None and not key.startswith(f"{WAY}/"):
                self._turn.remove(self._at(key))
                return
            os.unlink(self._at(key))
        except OSError as error:
            if error.errno not in ABSENT:
                raise failure(error, "cannot remove", self._at(key)) from error

    def remove_folder(self, key: str) -> None:
        """See ``Store``."""
        path = self._at(key)
        if self._turn is not None and key == TRANSACTIONS:
            return  # it belongs to the turn, and is removed with it
        self._folders.discard(key)
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in ABSENT | {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
                raise failure(error, "cannot remove folder", path) from error

    def _folder_of(self, key: str) -> None:
        """Create the folders above ``key``; refuse a link among them, which could lead anywhere."""
        folder = key.rpartition("/")[0]
        if folder in self._folders or not folder:
            return
        with self._guard:
            path = ""
            for part in folder.split("/"):
                path = f"{path}/{part}" if path else part
                if path in self._folders:
                    continue
                try:
                    self._make_folder(path)
                    self._syncer.made.add(path)
                    self._made(path)
                except FileExistsError:
                    if not self._follow_links and os.path.islink(self._at(path)):
                        raise UnsupportedError(
                            "a folder of the target is a link",
                            where=self._at(path),
                            found=os.readlink(self._at(path)),
                            hint="If zapz may write through the link, use {follow_links}.",
                            remedies={"follow_links": True},
                        ) from None
                except OSError as error:
                    raise failure(error, "cannot create the folder", self._at(path)) from error
                self._folders.add(path)

    def _make_folder(self, key: str) -> None:
        path = self._at(key)
        if (turn := self._passage(key)) is None:
            os.mkdir(path)
        else:
            turn.make_folder(path)

    def _made(self, folder: str) -> None:
        """Do nothing about a folder that was created; for subclasses."""

    def forget(self) -> None:
        """Forget which folders exist: the target's path now names another folder."""
        self._folders.clear()
        self._linking.clear()

    def require_parent(self) -> None:
        """See ``Store``."""
        if not is_folder(str(self.root)) and not is_folder(str(self.root.parent)):
            raise NotFoundError(
                "the target's parent folder does not exist",
                where=str(self.root.parent),
                hint="Create it first. zapz creates only the target's own folder.",
            )

    def make_root(self) -> bool:
        """Create the store's own folder, not its parents; return whether it was created now.

        Raises:
            StoreError: It cannot be created; ``NotFoundError`` if its parent does not exist.
        """
        if is_folder(str(self.root)):
            with contextlib.suppress(OSError):  # it may be gone again; then the caller tries again
                if not os.listdir(self.root):
                    self._syncer.made.add("")  # another process created it just now: its name must be durable too
            return False
        self.require_parent()
        try:
            os.mkdir(self.root)
        except OSError as error:
            if error.errno == errno.EEXIST and is_folder(str(self.root)):
                return False
            raise failure(error, "cannot create the target's folder", str(self.root)) from error
        self._syncer.made.add("")
        return True

    # -- durability -------------------------------------------------------------------------------

    def sync(self, keys: Iterable[str], naming: Iterable[str] = ()) -> None:
        """Sync files, and the folders that name them or ``naming``, if the store is durable."""
        self._syncer.files(keys, naming)

    def sync_folders(self, keys: Iterable[str]) -> None:
        """Sync the folders that name these files; their content is durable already."""
        self._syncer.folders(keys)

    # -- locking ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hold(self, key: str, wait: Wait) -> Iterator[None]:
        """Hold the lock ``key``.

        Raises:
            LockedError: Another process holds it until the wait is over.
            CancelledError: The caller has ended the wait.
            StoreError: It cannot be created or locked.
        """
        durable = self.abilities.durable
        with lock.hold(self._at(key), wait, str(self.root), self._at(TRANSACTIONS), durable=durable) as turn:
            self._syncer.made.add(parent(key))  # perhaps it is new: the journal in it is durable only if its name is
            if self.beside:
                self._syncer.made.add("")
                self._narrow(parent(key), [""])
            try:
                self._turn = turn
                self._syncer.start()
                yield
            finally:
                self._turn = None
                self._syncer.stop()
                self._folders.clear()

    def patience(self, key: str) -> float:
        """Return the seconds needed to detect that the holder of a lock is dead."""
        return lock.patience(self._at(key), str(self.root))

    def holder(self, key: str) -> Holder | None:
        """Return who holds the lock ``key`` now; None if it is free."""
        return lock.holder(self._at(key))
