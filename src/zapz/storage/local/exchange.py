"""The folder beside a local target, which can replace the target in one step.

The target's lock file gets a second name in that folder. So one lock covers both folders, before
and after the exchange, and at no moment can another process take either.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator

from zapz.errors import AbilityError, ConflictError
from zapz.format.metadata import parent
from zapz.storage.local import rights
from zapz.storage.local.durability import sync_path
from zapz.storage.local.posix import ABSENT, NO_LINK, failure, link
from zapz.storage.local.rights import Rights
from zapz.storage.local.store import LocalStore
from zapz.storage.store import Holder
from zapz.storage.waiting import Wait

_HERE = -100
"""``AT_FDCWD``: relative paths begin at the working directory."""
_EXCHANGE = 2
"""``RENAME_EXCHANGE`` of Linux, and ``RENAME_SWAP`` of macOS."""
_UNABLE = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV, errno.EBUSY))
"""Errors where folders cannot be exchanged: of an old system, of a file system, for a mount
point."""
_TRIAL = (".zapz-try-1", ".zapz-try-2")
"""Folders that test the exchange."""


def swap(a: str, b: str) -> None:
    """Exchange the names of two folders.

    Raises:
        OSError: It failed.
    """
    import ctypes  # imported where used: ordinary appends do without

    library = ctypes.CDLL(None, use_errno=True)
    linux, macos = getattr(library, "renameat2", None), getattr(library, "renamex_np", None)
    if linux is not None:
        code = linux(_HERE, os.fsencode(a), _HERE, os.fsencode(b), ctypes.c_uint(_EXCHANGE))
    elif macos is not None:
        code = macos(os.fsencode(a), os.fsencode(b), ctypes.c_uint(_EXCHANGE))
    else:
        raise OSError(errno.ENOSYS, "this system cannot exchange folders")
    if code:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def exchange(a: str, b: str) -> None:
    """Exchange the names of two folders atomically: each name always leads to one of them.

    Raises:
        AbilityError: Folders cannot be exchanged here.
        StoreError: It failed.
    """
    try:
        swap(a, b)
    except OSError as error:
        if error.errno in _UNABLE:
            raise _unable(a, str(error.strerror).lower()) from error
        raise failure(error, "cannot exchange the folder", a) from error


def _unable(where: str, found: str) -> AbilityError:
    return AbilityError(
        "force_new needs a file system that can exchange two folders and link files",
        where=where,
        found=found,
        hint="Remove the old target yourself, or append to another path.",
    )


class Successor(LocalStore):
    """The folder beside a target: first the replacement, after the exchange the old target."""

    def __init__(self, target: LocalStore) -> None:
        """Describe the folder; nothing is created. The target's lock must be held."""
        super().__init__(target.successor_root, durable=target.abilities.durable)
        self.uri = target.uri
        self._target = target
        self._place = os.path.realpath(target.root)
        self._old: tuple[str, ...] = ()

    def check_lock(self) -> None:
        """See ``LocalStore``. The target's lock is held."""
        self._target.check_lock()

    def make(self, documents: Iterable[str]) -> None:
        """Create the folder, after making sure that it will be able to replace the target.

        Args:
            documents: Keys of the target's documents, which are the models for the rights of new
                ones.

        Raises:
            AbilityError: It will not be able to.
            ConflictError: Its path is occupied.
            StoreError: It cannot be created.
        """
        if os.path.ismount(self._place):
            raise _unable(self._place, "a mount point")
        if os.path.lexists(self.root):
            raise ConflictError(
                "the path for the replacement is occupied",
                where=str(self.root),
                hint="zapz did not create what is there. Move it or remove it.",
            )
        self.make_root()
        one, two = (self._at(name) for name in _TRIAL)
        try:
            os.mkdir(one)
            os.mkdir(two)
        except OSError as error:
            raise failure(error, "cannot create the folder", two) from error
        exchange(one, two)
        self.end_trial()
        self._old = tuple(documents)
        self._made("")

    def _there(self, key: str) -> str:
        """Return the path of a key in the target."""
        return os.path.join(self._place, key) if key else self._place

    def _made(self, folder: str) -> None:
        """Give a new folder the rights of the target's folder of that name, if it exists."""
        if self._old and (old := rights.rights_of(self._there(folder))) is not None and old.folder:
            rights.give(self._at(folder), old)

    def _rights_of(self, key: str) -> Rights | None:
        """See ``Replacing``. For a new file, the target's file of that key counts."""
        old = super()._rights_of(key) or rights.rights_of(self._there(key))
        return None if old is None or old.folder else old

    def _models(self, keys: Iterable[str]) -> list[Rights]:
        """See ``Replacing``."""
        wanted = list(keys)
        old = (rights.rights_of(self._there(key)) for key in (*wanted, *self._old))
        return super()._models(wanted) or [each for each in old if each is not None]

    @contextlib.contextmanager
    def hold(self, key: str, wait: Wait) -> Iterator[None]:  # noqa: ARG002 - there is no other holder
        """See ``LocalStore``. The target's held lock file also gets this name, and keeps it."""
        try:
            link(os.path.join(self._place, key), self._at(key))
        except OSError as error:
            if error.errno in NO_LINK:
                raise _unable(self._at(key), "no links between files") from error
            raise failure(error, "cannot lock", self._at(key)) from error
        try:
            self._syncer.start()
            yield
        finally:
            self._syncer.stop()
            self._folders.discard(parent(key))

    def holder(self, key: str) -> Holder | None:
        """See ``LocalStore``. The target's own lock does not count."""
        try:
            here, there = os.lstat(self._at(key)), os.lstat(os.path.join(self._place, key))
        except OSError as error:
            if error.errno not in ABSENT:
                raise failure(error, "cannot stat", self._at(key)) from error
            return super().holder(key)
        same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        return None if same else super().holder(key)

    def take_place(self) -> None:
        """Exchange the names of this folder and of the target.

        Raises:
            AbilityError: Folders cannot be exchanged here.
            StoreError: It failed, or its outcome is not known.
        """
        exchange(self._place, str(self.root))

    def settle_names(self) -> None:
        """Sync the folder above the target, so that both names survive a power failure."""
        if self.abilities.durable:
            sync_path(os.path.dirname(self._place))

    def keep(self, name: str) -> LocalStore | None:
        """Move the content of this folder, if any, to a folder that stays. It can be repeated.

        Args:
            name: Part of that folder's name, to make it unique.

        Returns:
            That folder; None if there is nothing to keep.

        Raises:
            StoreError: It failed.
        """
        path = f"{self._place}.kept-{name}"
        here = self.children("")
        if not (here.files or here.folders):
            kept = LocalStore(path)
            kept.remove_folder("")  # created by an interrupted run
            return kept if os.path.lexists(path) else None
        try:
            os.mkdir(path)
        except FileExistsError:
            pass  # created by an interrupted run
        except OSError as error:
            raise failure(error, "cannot create the folder", path) from error
        exchange(str(self.root), path)
        self.settle_names()
        return LocalStore(path)

    def end_trial(self) -> None:
        """Remove the folders that tested the exchange."""
        for name in _TRIAL:
            self.remove_folder(name)
