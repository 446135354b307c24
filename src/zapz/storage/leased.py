"""A lock that is a file with a lease: for file systems without ``flock``, and those behind a network, where it is not to be relied on.

The file gets its name by a link, which is exclusive everywhere; its owner touches it again and again. Whoever sees it unchanged for a
lease, by his own clock, puts it aside and takes its place. The owner stops itself after half a lease without a touch, so that two can
go on at once only if a process sleeps between looking at its clock and writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zapz.errors import ConflictError, LockedError
from zapz.storage import clock
from zapz.storage.flock import LOCK, describe_me, holder_of, is_dead, make_folder, same_file, tidy
from zapz.storage.posix import NO_LINK, READ, failure, is_folder, link, read_rest

LEASE = 60.0
"""Seconds without a touch after which a lock may be taken over."""
TOUCHES = 6
"""Touches per lease."""
_POLL = 0.2


@dataclass(frozen=True, slots=True)
class _Seen:
    """A lock file at one moment."""

    content: bytes
    touched: int

    @property
    def lease(self) -> float | None:
        """Seconds after which it may be taken over; None if it is of the kind that never may."""
        if not self.content:
            return LEASE  # its owner died between making it and writing into it
        try:
            value = json.loads(self.content)["lease"]
        except (ValueError, KeyError, TypeError):
            return None
        return float(value) if isinstance(value, int | float) else None


def _look(path: str) -> _Seen | None:
    try:
        descriptor = os.open(path, READ)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        return _Seen(read_rest(descriptor, found.st_size, 0), found.st_mtime_ns)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold(path: str, wait: float, root: str) -> Iterator[Callable[[], None]]:
    """Hold a lock; gives what to call before each write, which raises ``ConflictError`` once the lock may be another's.

    Args:
        path: The lock file.
        wait: Seconds to wait for another holder.
        root: The dataset's folder, for messages.

    Raises:
        LockedError: Another process holds it.
        StoreError: The file cannot be made.
    """
    content = json.dumps({**describe_me(), "lease": LEASE, "token": os.urandom(8).hex()}).encode()
    descriptor = _take(path, content, wait, root)
    held = _Held(descriptor, path, root)
    held.start()
    try:
        yield held.check
    finally:
        held.stop()
        with contextlib.suppress(OSError):
            if same_file(descriptor, path):
                os.unlink(path)
        os.close(descriptor)
        tidy(path)


class _Held:
    """A lock that is ours."""

    def __init__(self, descriptor: int, path: str, root: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self._root = root
        self._fresh = clock.now()
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zapz-lock", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LEASE / TOUCHES) and not self._lost:
            started = clock.now()
            with contextlib.suppress(OSError):  # the next touch may succeed; ``check`` looks at the time
                os.utime(self._descriptor)
                self._lost = not same_file(self._descriptor, self._path)
                self._fresh = started

    def check(self) -> None:
        if self._lost or clock.now() - self._fresh > LEASE / 2:
            self._lost = True
            raise ConflictError(
                "the append was given up because the lock may be another process's by now",
                where=self._root,
                found=f"no answer from the file system for {LEASE / 2:.0f} s, or the lock was taken over",
                hint="Run it again.",
            )


def _take(path: str, content: bytes, wait: float, root: str) -> int:
    """Give the lock's name to a file of ours; return its descriptor."""
    deadline = time.monotonic() + wait
    mine = f"{path}.{hashlib.sha256(content).hexdigest()[:12]}"
    watched: _Seen | None = None
    since = 0.0
    try:
        while True:
            try:
                descriptor = _try(path, mine, content)
            except FileNotFoundError:
                if not is_folder(root):
                    raise
                continue  # another process has just removed the folder: it has finished
            if descriptor is not None:
                return descriptor
            seen = _look(path)
            now = time.monotonic()
            if seen is None:
                continue
            if seen != watched:
                watched, since = seen, now
            quiet = seen.lease is not None and now - since >= seen.lease
            if quiet or is_dead(holder_of(seen.content)):
                _put_aside(path, seen)
            elif now >= deadline:
                held = holder_of(seen.content)
                raise LockedError(
                    "the target is locked",
                    where=root,
                    found=f"held by process {held.process} on {held.host} since {held.since}",
                    hint="Wait for it, or give --lock-wait SECONDS"
                    + (
                        f"; more than {seen.lease:.0f} take over from a holder that is gone."
                        if seen.lease
                        else f". If it is gone for good, remove {path}."
                    ),
                )
            else:
                time.sleep(min(_POLL, max(0.0, deadline - now)))
    except OSError as error:
        raise failure(error, "cannot lock", path) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(mine)
        tidy(path)


def _try(path: str, mine: str, content: bytes) -> int | None:
    """Try to take the lock; return its descriptor, or None if it is another's."""
    make_folder(os.path.dirname(path))
    if not os.path.exists(mine):
        descriptor = os.open(mine, LOCK | os.O_EXCL, 0o666)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
    try:
        link(mine, path)
    except FileExistsError:
        if os.stat(mine).st_nlink == 1:  # two: the link was made, and its answer lost
            return None
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        try:
            descriptor = os.open(path, LOCK | os.O_EXCL, 0o666)
        except FileExistsError:
            return None
        os.write(descriptor, content)
        return descriptor
    return os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))


def _put_aside(path: str, seen: _Seen) -> None:
    """Take a lock's name away; if it has become another one meanwhile, give it back."""
    aside = f"{path}.{hashlib.sha256(seen.content).hexdigest()[:12]}.old"
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        moved = _look(aside)
        if moved is not None and moved.content != seen.content:
            with contextlib.suppress(FileExistsError):
                link(aside, path)
        os.unlink(aside)
