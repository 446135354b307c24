"""Local storage, on ``os`` alone: exclusive creation, atomic replacement, fsync, flock.

fsspec's local files test before they create, truncate in place, and never sync; this does none of that. Chunks are moved by
one read and one write of the whole file: on ext4 that measured the same as ``copy_file_range`` and ``sendfile`` within noise, and it lets
the chunk be looked at on its way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from zapz.errors import MetadataError, NotFoundError, StoreError, UnsupportedError
from zapz.format.metadata import join, parent
from zapz.storage import flock, locks
from zapz.storage.durability import Syncer
from zapz.storage.posix import (
    ABSENT,
    NO_LINK,
    READ,
    failure,
    is_folder,
    link,
    read_rest,
    same_content,
    second_name,
    write_all,
)
from zapz.storage.store import OURS, Abilities, Children, Holder, Parts

_LOST = frozenset((errno.EIO, errno.ETIMEDOUT, errno.ESTALE, errno.EINTR))
"""What a file system answers that may have done what it was asked to do."""
_WRITE_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class LocalStore:
    """A folder of a local file system."""

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        durable: bool = True,
        follow_links: bool = False,
        beside: bool = False,
    ) -> None:
        self.root = Path(root)
        self.beside = beside
        self.uri = str(self.root)
        self.abilities = Abilities(writable=True, exclusive=True, durable=durable, listable=True)
        self._follow_links = follow_links
        self._prefix = f"{self.root}{os.sep}"
        self._ours = f"{os.path.realpath(self.root)}{OURS}" if beside else f"{self.root}{os.sep}{OURS}"
        self._folders: set[str] = set()
        self._linking: set[str] = set()
        self._syncer = Syncer(str(self.root), durable=durable, whole=not follow_links, at=self._at)
        self._guard = threading.Lock()
        self.check_lock: Callable[[], None] = lambda: None
        """Raises ``ConflictError`` once the lock that was held may be another's."""

    def _at(self, key: str) -> str:
        """Return a key's path; keys of our own folder may lie beside the target."""
        if key.startswith(OURS) and (len(key) == len(OURS) or key[len(OURS)] == "/"):
            return f"{self._ours}{key[len(OURS) :]}"
        return self._prefix + key if key else str(self.root)

    def elsewhere(self, key: str) -> str | None:
        """Return where ``key`` of our own folder would be with the other setting of ``journal``, if something lies there."""
        other = f"{self._prefix}{OURS}" if self.beside else f"{os.path.realpath(self.root)}{OURS}"
        path = f"{other}{key[len(OURS) :]}"
        return path if os.path.lexists(path) else None

    # -- reading ---------------------------------------------------------------------------------------------------------

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``Store``."""
        try:
            descriptor = os.open(self._at(key), READ)
            try:
                if length is None:
                    length = max(0, os.fstat(descriptor).st_size - offset)
                if not offset:
                    data = os.read(descriptor, length)
                    return data if len(data) == length else data + read_rest(descriptor, length - len(data), len(data))
                return read_rest(descriptor, length, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise failure(error, "cannot read", self._at(key)) from error

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``Store``."""
        found: dict[str, bytes] = {}
        for key in keys:
            with contextlib.suppress(NotFoundError):
                found[key] = self.read(key)
        return found

    def stray(self, key: str) -> str | None:
        """See ``Store``."""
        path = self._at(key)
        if self._follow_links or not self.linked(key):
            return None
        leads = os.path.realpath(path)
        return None if leads.startswith(os.path.realpath(self.root) + os.sep) else leads

    def size(self, key: str) -> int | None:
        """See ``Store``."""
        try:
            found = os.stat(self._at(key))
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot look at", self._at(key)) from error
        return None if stat.S_ISDIR(found.st_mode) else found.st_size

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``Store``. A link counts, wherever it leads: it will be replaced, never written through."""
        absent: set[str] = set()
        present: set[str] = set()
        for key in keys:
            folder = key.rpartition("/")[0]
            if folder not in present:
                if folder in absent:
                    continue
                if self._lstat(folder) is None:
                    absent.add(folder)
                    continue
                present.add(folder)
            found = self._lstat(key)
            if found is None:
                continue
            if stat.S_ISDIR(found.st_mode):
                raise MetadataError("a folder lies where a chunk belongs", where=self._at(key), hint="Remove it.")
            yield key

    def _lstat(self, key: str) -> os.stat_result | None:
        """Return what lies at a key, a link being just that; None only if nothing does."""
        try:
            return os.lstat(self._at(key))
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise failure(error, "cannot look at", self._at(key)) from error

    def linked(self, key: str) -> bool:
        """See ``Store``."""
        found = self._lstat(key)
        return found is not None and stat.S_ISLNK(found.st_mode)

    def children(self, key: str) -> Children:
        """See ``Store``."""
        path = self._at(key)
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    (folders if entry.is_dir() else files).append(entry.name)
        except OSError as error:
            raise failure(error, "cannot list", path) from error
        return Children(folders=tuple(sorted(folders)), files=tuple(sorted(files)))

    def folder_exists(self, key: str) -> bool:
        """See ``Store``."""
        found = self._lstat(key)
        return found is not None and not stat.S_ISREG(found.st_mode)

    # -- writing ---------------------------------------------------------------------------------------------------------

    def create(self, key: str, parts: Parts) -> int | None:
        """See ``Store``. The file appears at once and fills up: for keys that nobody reads yet."""
        path = self._at(key)
        try:
            self._folder_of(key)
            try:
                descriptor = os.open(path, _WRITE_NEW, 0o666)
            except FileNotFoundError:  # somebody removed a folder that we had seen
                self._folders.clear()
                self._folder_of(key)
                descriptor = os.open(path, _WRITE_NEW, 0o666)
        except FileExistsError:
            return None
        except OSError as error:
            if error.errno in _LOST and self.size(key) == 0:  # it was made all the same, and the answer was lost
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

    def write(self, key: str, parts: Parts) -> None:
        """See ``Store``."""
        temporary = self._temporary(key, parts)
        self._syncer.files([temporary])
        self._rename(temporary, key)

    def publish(self, staged: str, key: str) -> bool:
        """Create ``key`` with what ``staged`` (synced) holds, atomically and durably; return False if it exists.

        A link is the only creation that is both exclusive and complete.
        """
        path = self._at(key)
        try:
            link(self._at(staged), path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINK:
                raise failure(error, "cannot create", path) from error
            if self._lstat(key) is not None:  # no links here: the lock, which is held, makes it exclusive
                return False
            temporary = self._temporary(key, [self.read(staged)])
            self._syncer.files([temporary])
            self._rename(temporary, key)
        self._syncer.folders([key])
        return True

    def _rename(self, temporary: str, key: str) -> None:
        try:
            os.replace(self._at(temporary), self._at(key))
        except OSError as error:
            self.remove(temporary)
            raise failure(error, "cannot write", self._at(key)) from error

    def _temporary(self, key: str, parts: Parts) -> str:
        folder, _, name = key.rpartition("/")
        temporary = join(folder, f".{name}.{os.urandom(6).hex()}")
        try:
            if self.create(temporary, parts) is None:
                raise StoreError("cannot write", where=self._at(key), found="a temporary file in the way")
        except StoreError:
            self.remove(temporary)
            raise
        return temporary

    def reserve(self, staged: str, key: str) -> bool:
        """Make sure that ``install`` will find the space it needs; return whether it needs none, in all of this folder.

        Where no link can be made to the destination's folder, a copy is put there beforehand.
        """
        self._folder_of(key)
        folder = parent(key)
        if folder in self._linking:
            return True
        aside = aside_of(staged, key)
        if second_name(self._at(staged), self._at(aside)):
            self.remove(aside)
            self._linking.add(folder)
            return True
        self._copy_aside(staged, aside)
        self._syncer.files([aside])
        return False

    def install(self, staged: str, key: str) -> None:
        """Make ``key`` hold what ``staged`` holds, atomically; ``staged`` stays. Doing it twice is doing it once."""
        self._folder_of(key)
        aside = aside_of(staged, key)
        if not second_name(self._at(staged), self._at(aside)) and not same_content(self._at(staged), self._at(aside)):
            self._copy_aside(staged, aside)
            self._syncer.files([aside])
        try:
            os.replace(self._at(aside), self._at(key))
        except OSError as error:
            raise failure(error, "cannot replace", self._at(key)) from error
        # Renaming one name of a file over another of its names does nothing (POSIX): then the name aside is still there.
        self.remove(aside)

    def _copy_aside(self, staged: str, aside: str) -> None:
        self.remove(aside)
        self.create(aside, [self.read(staged)])

    def remove(self, key: str) -> None:
        """See ``Store``."""
        try:
            os.unlink(self._at(key))
        except OSError as error:
            if error.errno not in ABSENT:
                raise failure(error, "cannot remove", self._at(key)) from error

    def remove_folder(self, key: str) -> None:
        """See ``Store``."""
        path = self._at(key)
        self._folders.discard(key)
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno not in ABSENT | {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
                raise failure(error, "cannot remove folder", path) from error

    def _folder_of(self, key: str) -> None:
        """Make the folders above ``key``; refuse to pass through a link, which could lead anywhere."""
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
                    os.mkdir(self._at(path))
                    self._syncer.made.add(path)
                except FileExistsError:
                    if not self._follow_links and os.path.islink(self._at(path)):
                        raise UnsupportedError(
                            "a folder of the target is a link",
                            where=self._at(path),
                            found=os.readlink(self._at(path)),
                            hint="Set follow_links = true if writing through it is meant.",
                        ) from None
                except OSError as error:
                    raise failure(error, "cannot make folder", self._at(path)) from error
                self._folders.add(path)

    def forget(self) -> None:
        """Forget which folders were seen: another folder lies here now."""
        self._folders.clear()
        self._linking.clear()

    def require_parent(self) -> None:
        """See ``Store``."""
        if not is_folder(str(self.root)) and not is_folder(str(self.root.parent)):
            raise NotFoundError(
                "the target's parent folder does not exist",
                where=str(self.root.parent),
                hint="Make it first: zapz makes the target's own folder only.",
            )

    def make_root(self) -> bool:
        """Make the store's own folder, not its parents; return whether it was made now."""
        if is_folder(str(self.root)):
            with contextlib.suppress(OSError):  # it may be gone again, and then it is made anew
                if not os.listdir(self.root):
                    self._syncer.made.add("")  # somebody made it just now: its name must be durable too
            return False
        self.require_parent()
        try:
            os.mkdir(self.root)
        except OSError as error:
            if error.errno == errno.EEXIST and is_folder(str(self.root)):
                return False
            raise failure(error, "cannot make the target's folder", str(self.root)) from error
        self._syncer.made.add("")
        return True

    # -- durability ------------------------------------------------------------------------------------------------------

    def sync(self, keys: Iterable[str], naming: Iterable[str] = ()) -> None:
        """Make the content of these files, and the folders that name them or ``naming``, survive a power failure, if durable."""
        self._syncer.files(keys, naming)

    def sync_folders(self, keys: Iterable[str]) -> None:
        """Make the names of these files survive a power failure; their content is durable already."""
        self._syncer.folders(keys)

    # -- locking ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hold(self, key: str, wait: float) -> Iterator[None]:
        """Hold the lock ``key``, a file that is removed while it is held.

        Raises:
            LockedError: It is not to be had within ``wait`` seconds.
        """
        with locks.hold(self._at(key), wait, str(self.root)) as check:
            self.check_lock = check
            self._syncer.made.add(parent(key))  # perhaps by us: the journal in it is durable only if its name is
            if self.beside:
                self._syncer.made.add("")
            try:
                self._syncer.start()
                yield
            finally:
                self._syncer.stop()
                self._folders.discard(parent(key))

    def holder(self, key: str) -> Holder | None:
        """Return who holds the lock ``key`` now; None if nobody does."""
        return flock.holder(self._at(key))


def aside_of(staged: str, key: str) -> str:
    """Return the name that ``install`` gives a staged file beside its destination: from ``…/<transaction>/<name>``."""
    *_, transaction, name = staged.split("/")
    return join(parent(key), f".{transaction}.{name}")
