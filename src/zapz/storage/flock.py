"""Locks on local files: ``flock`` on a file that is removed while it is held, and who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from zapz.errors import LockedError, UnsupportedError
from zapz.storage.posix import READ, failure, is_folder
from zapz.storage.store import Holder

_POLL = 0.05
_GRACE = 0.02
"""Somebody who asks who holds a lock holds it for an instant: so long that is waited for in any case."""
_BUSY = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES))
_NO_FLOCK = frozenset((errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL))
"""What a file system answers that has no ``flock``."""
LOCK = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class NoFlockError(Exception):
    """The file system has no ``flock``."""


def describe_me() -> dict[str, Any]:
    """Describe this process as a holder of a lock."""
    return {
        "host": os.uname().nodename,
        "boot": _boot(),
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def me() -> Holder:
    """Return this process as a holder of a lock."""
    return holder_of(json.dumps(describe_me()).encode())


@lru_cache(maxsize=1)
def _boot() -> str:
    """Return machine, start of the machine, and space of process numbers; "-" for what cannot be told."""

    def told(read: Callable[[], str]) -> str:
        try:
            return read().strip().replace(" ", "") or "-"
        except OSError:
            return "-"

    machine = told(lambda: Path("/etc/machine-id").read_text(encoding="ascii"))
    start = told(lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return f"{machine} {start} {told(lambda: os.readlink('/proc/self/ns/pid'))}"


def holder_of(data: bytes) -> Holder:
    """Read who holds a lock from the lock's content."""
    try:
        fields = json.loads(data)
        return Holder(
            host=str(fields["host"]),
            boot=str(fields["boot"]),
            process=int(fields["process"]),
            since=str(fields["since"]),
        )
    except (ValueError, KeyError, TypeError):
        return Holder(host="unknown", boot="", process=0, since="unknown")


def is_dead(held: Holder) -> bool:
    """Return whether a holder certainly lives no more: it was a process of this machine, and is none now."""
    theirs, ours = held.boot.split(), _boot().split()
    if held.host != os.uname().nodename or len(theirs) != len(ours):
        return False
    (their_machine, their_start, their_space), (machine, start, space) = theirs, ours
    if "-" in (their_start, start) or their_start != start:
        return machine == their_machine != "-" and "-" not in (
            their_start,
            start,
        )  # started anew since, if it is this one
    if "-" in (their_space, space) or their_space != space:
        return False  # a container with process numbers of its own
    try:
        os.kill(held.process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def is_alive(held: Holder) -> bool:
    """Return whether a holder certainly lives: it is a process of this machine."""
    return (
        held.host == os.uname().nodename and held.boot == _boot() and "-" not in _boot().split() and not is_dead(held)
    )


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one process of this machine at a time do what follows."""
    path = os.path.join(
        tempfile.gettempdir(), f"zapz-{os.getuid()}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"
    )
    descriptor = os.open(path, LOCK, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(holder: Holder | None, uri: str) -> LockedError:
    who = f"process {holder.process} on {holder.host} since {holder.since}" if holder else "another process"
    return LockedError(
        "the target is locked", where=uri, found=f"held by {who}", hint="Wait for it, or give --lock-wait SECONDS."
    )


def same_file(descriptor: int, path: str) -> bool:
    """Return whether a path still leads to an open file."""
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


def take(path: str, wait: float, root: str) -> int:
    """Lock a file, making it and its folder; return the descriptor that holds the lock.

    Args:
        path: The lock file.
        wait: Seconds to wait for another holder.
        root: The dataset's folder, which must exist.

    Raises:
        LockedError: Another process holds it.
        StoreError: The file cannot be made or locked.
    """
    deadline = time.monotonic() + max(wait, _GRACE)
    while (descriptor := _try(path, root)) is None:
        if time.monotonic() >= deadline:
            raise _locked(holder(path), root)
        time.sleep(min(_POLL, max(wait, _GRACE) / 2))
    return descriptor


def make_folder(folder: str) -> None:
    """Make a lock's folder; refuse a link."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        if os.path.islink(folder):
            hint = "zapz never makes it one, and will not write its lock and journal elsewhere: remove it."
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
            continue  # another process has just removed the folder: it has finished
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
    """Lock an open file and write into it who holds it; "again" if it was unlinked between open and flock."""
    taken = mine = False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = True
        if not same_file(descriptor, path):
            return "again"
        before = os.read(descriptor, 4096)
        if b'"lease"' in before and not is_dead(holder_of(before)):
            return "busy"  # a lock of the other kind, by a machine to which this file system is a network's
        mine = True
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(describe_me()).encode())
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


def holder(path: str) -> Holder | None:
    """Return who holds a lock file; None if nobody does."""
    try:
        descriptor = os.open(path, READ)
    except OSError:
        return None
    try:
        content = os.read(descriptor, 4096)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return holder_of(content)
    finally:
        os.close(descriptor)
    held = holder_of(content)
    return held if b'"lease"' in content and not is_dead(held) else None
