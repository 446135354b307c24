"""A lock that is a folder with a lease: for file systems without a reliable ``flock``.

These are file systems without ``flock``, and network file systems. The owner of the lock touches it
periodically. A process that sees it unchanged for a whole lease, by its own clock, ends that turn
and begins its own. After that, nothing that the former owner does can take effect (``turn``).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from zapz.errors import LockedError, UnsupportedError
from zapz.storage import layout
from zapz.storage.holder import describe_me, holder_of, is_dead, target_locked
from zapz.storage.local import turn as turns
from zapz.storage.local import turn_folders
from zapz.storage.local.flock import make_folder, tidy
from zapz.storage.local.posix import READ, failure, is_folder, read_rest
from zapz.storage.local.turn import Turn
from zapz.storage.store import Holder
from zapz.storage.waiting import Wait

_POLL = 0.2
_GRACE = 1.0
"""Seconds for which an empty lock file does not count as held: another process may be testing
whether the file system has ``flock``."""
_HELD = frozenset((errno.ENOTEMPTY, errno.EEXIST))
_GONE = frozenset((errno.ENOENT, errno.ESTALE))
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_MOST = 1 << 16


@dataclass(frozen=True, slots=True)
class _Seen:
    """State of a lock at one moment."""

    token: str | None
    """Token of the turn; None if it is the other type of lock: a file, held with ``flock``."""
    content: bytes
    """Who holds it, as JSON."""
    touched: int
    """When it was last touched, in nanoseconds of the file system's clock."""

    @property
    def lease(self) -> float | None:
        """Seconds without a touch after which it may be ended; None if it must never be ended."""
        if self.token is None:
            return None
        try:
            value = json.loads(self.content)["lease"]
        except (ValueError, KeyError, TypeError):
            return turns.LEASE  # its owner died before it wrote the lease
        return float(value) if isinstance(value, int | float) else turns.LEASE


def _look(path: str) -> _Seen | None:
    """Return the state of a lock; None if it is free."""
    try:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            return _Seen(None, *_content(path))
        names = sorted(os.listdir(os.path.join(path, layout.TURN)))
    except FileNotFoundError:
        return None
    if not names:
        return None
    try:
        return _Seen(names[0], *_content(os.path.join(path, layout.TURN, names[0], layout.OWNER)))
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return _Seen(names[0], b"", 0)


def _content(path: str) -> tuple[bytes, int]:
    """Return a file's content, and when it was changed in nanoseconds.

    Opening the file queries the server, whatever this machine has cached.
    """
    descriptor = os.open(path, READ | getattr(os, "O_NOFOLLOW", 0))
    try:
        found = os.fstat(descriptor)
        return read_rest(descriptor, min(found.st_size, _MOST), 0), found.st_mtime_ns
    finally:
        os.close(descriptor)


def lease_holder(path: str) -> Holder | None:
    """Return who holds a lock; None if it is free, or its holder is certainly dead.

    Raises:
        StoreError: The lock cannot be read.
    """
    try:
        seen = _look(path)
    except OSError as error:
        raise failure(error, "cannot stat", path) from error
    held = None if seen is None else holder_of(seen.content)
    return None if held is None or is_dead(held) else held


@contextlib.contextmanager
def hold_lease(path: str, wait: Wait, root: str, others: str, *, durable: bool) -> Iterator[Turn]:
    """Hold a lock; yield the turn, through which all changes must pass.

    Args:
        path: The lock.
        wait: How long to wait for another holder.
        root: The dataset's folder, for messages.
        others: The folder of transactions of processes whose file system has locks.
        durable: Whether the lock survives a power failure.

    Raises:
        LockedError: Another process holds it.
        CancelledError: The caller has ended the wait.
        JournalError: It contains something that zapz did not write.
        UnsupportedError: It is a link.
        StoreError: It cannot be created.
    """
    turn = Turn(path, os.urandom(8).hex(), root, durable=durable)
    try:
        _take(turn, path, wait, root)
        try:
            turn.start()
            turn.inherit(others)
            yield turn
        finally:
            turn.leave(others)
    finally:
        _tidy(path, turn.token)


def _take(turn: Turn, path: str, wait: Wait, root: str) -> None:
    """Wait until the lock is free, or end a turn that is over; then begin a turn."""
    content = json.dumps({**describe_me(), "lease": turns.LEASE, "token": turn.token}).encode()
    deadline = wait.begin(root)
    watched: _Seen | None = None
    since = 0.0
    try:
        while not (_prepare(path, turn.token, content, root) and _enter(turn, path)):
            seen = _look(path)
            now = deadline.now()
            if seen is None:
                _clear(path)
                continue
            if seen != watched:
                watched, since = seen, now
            quiet = seen.lease is not None and now - since >= seen.lease
            if seen.token is not None and (quiet or is_dead(holder_of(seen.content))):
                turn_folders.end(path, seen.token)
            elif deadline.is_over() and (seen.content or seen.token is not None or now - since >= _GRACE):
                raise _locked(seen, path, root, wait)
            else:
                deadline.pause(min(_POLL, max(_POLL / 10, deadline.left)))
    except OSError as error:
        raise failure(error, "cannot lock", path) from error


def _locked(seen: _Seen, path: str, root: str, wait: Wait) -> LockedError:
    more = f". If that process no longer exists, remove {path}."
    if seen.lease is not None:
        more = "" if wait.fixed else f". A value above {seen.lease:.0f} also takes over from a process that is gone."
    return target_locked(root, holder_of(seen.content), wait, more)


def _prepare(path: str, token: str, content: bytes, root: str) -> bool:
    """Create the folder that will become the turn.

    Return False if the lock is of the other type, or if another process removed a folder meanwhile.
    """
    try:
        make_folder(os.path.dirname(path))
        for folder in turn_folders.folders_of(path, token):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
        if os.path.islink(path):
            hint = "zapz never creates such a link, and does not write lock and journal elsewhere. Remove the link."
            raise UnsupportedError("the lock is a link", where=path, hint=hint)
        descriptor = os.open(os.path.join(path, layout.waiting_name(token), token, layout.OWNER), _NEW, 0o666)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    except FileExistsError:
        return True
    except NotADirectoryError:
        return False
    except FileNotFoundError:
        if not is_folder(root):
            raise
        return False
    return True


def _enter(turn: Turn, path: str) -> bool:
    """Try to begin the turn; return whether it has begun. This is the only exclusive step."""
    try:
        os.rename(os.path.join(path, layout.waiting_name(turn.token)), os.path.join(path, layout.TURN))
    except OSError as error:
        if os.path.lexists(turn.owner):
            return True  # it succeeded, and the answer was lost
        if error.errno in _HELD | _GONE:
            return False
        if not is_folder(os.path.join(path, layout.TURN)):
            raise
        os.rmdir(os.path.join(path, layout.TURN))  # not every file system replaces an empty folder
        return False
    if os.path.lexists(turn.owner):
        return True
    turn_folders.end(path, turn.token)  # another process took this one for dead, and removed the content
    return False


def _clear(path: str) -> None:
    """Remove the empty folder that an ended turn leaves; one with content stays."""
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(path, layout.TURN))


def _tidy(path: str, token: str) -> None:
    """Remove the folders of this process's turn, and empty folders of the lock."""
    turn_folders.withdraw(path, token)
    _clear(path)
    with contextlib.suppress(OSError):
        os.rmdir(path)
    tidy(path)
