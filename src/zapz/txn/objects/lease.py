"""A lease: its owner renews it by replacing the head, and stops before it may be taken over."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from zapz.errors import ConflictError, StoreError
from zapz.storage import clock
from zapz.storage.layout import HEAD
from zapz.storage.objects.store import ObjectStore
from zapz.storage.store import Tag
from zapz.txn.objects.head import Head, encode

LEASE = 60.0
"""Seconds without a sign of life after which another process may take over a turn."""
RENEWALS = 6
"""Renewals per lease; 0 for none, in tests that control the time."""


class Lease:
    """Keeps a turn. While it runs, the head and its tag must be used only through it."""

    def __init__(self, store: ObjectStore, head: Head, tag: Tag, began: float) -> None:
        """Set the state of a turn that has just been taken.

        Args:
            store: The target.
            head: Its head, with the intent of this process.
            tag: The tag of the head.
            began: When the request that wrote the head was sent, in seconds of ``clock``.
        """
        self._store = store
        self._head = head
        self._tag = tag
        self._fresh = began
        self._lost = ""
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def take(cls, store: ObjectStore, head: Head, tag: Tag | None) -> Lease | None:
        """Replace the head with this tag by one with a new intent; return None if it has changed.

        The lease is not renewed before ``start``: the caller stores it first, so that an interrupt
        leaves no renewal behind.
        """
        began = clock.now()
        new = store.replace(HEAD, encode(head), tag)
        return None if new is None else cls(store, head, new, began)

    @property
    def state(self) -> tuple[Head, Tag]:
        """The head and its tag."""
        return self._head, self._tag

    def start(self) -> None:
        """Renew in the background from now on."""
        if RENEWALS:
            self._thread = threading.Thread(target=self._run, name="zapz-lease", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop renewing, and refuse further writes."""
        self._lost = self._lost or "the lease has ended"
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._head.lease / RENEWALS) and not self._lost:
            with contextlib.suppress(StoreError):  # the next attempt may succeed; ``check`` checks the time
                self.move(lambda head: head.renew(time.time()))

    def change(self, how: Callable[[Head], Head]) -> None:
        """Change the head in this process; it is sent with the next renewal or move."""
        with self._guard:
            self._head = how(self._head)

    def move(self, how: Callable[[Head], Head]) -> bool:
        """Change the head, also in the store; if it has changed there, the lease ends: False."""
        with self._guard:
            started = clock.now()
            head = how(self._head)
            tag = self._store.replace(HEAD, encode(head), self._tag)
            if tag is None:
                self._lost = "another process has taken over"
                return False
            self._head, self._tag, self._fresh = head, tag, started
            return True

    def check(self) -> None:
        """Refuse to continue unless the lease is valid for at least the time needed to stop.

        Raises:
            ConflictError: It may not be.
        """
        limit = self._head.lease / 2
        if not self._lost and clock.now() - self._fresh > limit:
            self._lost = f"the lease could not be renewed for {limit:.0f} s"
        if self._lost:
            raise ConflictError(
                "aborted: this process may have lost its lease",
                where=self._store.uri,
                found=self._lost,
                hint="Run the command again.",
            )
