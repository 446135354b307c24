"""A lease: the owner renews it by replacing the head, and stops itself before anybody else may take over."""

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
"""Seconds without a sign of life after which a writer's turn may be taken over."""
RENEWALS = 6
"""Renewals per lease; 0 for none, where a test steps through time by itself."""


class Lease:
    """Keeps a turn. While it runs, the head and its tag are only to be used through it."""

    def __init__(self, store: ObjectStore, head: Head, tag: Tag, began: float) -> None:
        """Begin.

        Args:
            store: The target.
            head: Its head, with our intent.
            tag: The head's.
            began: When the request that put it there was sent, by ``clock``.
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
        """Put a head with our intent in the place of the one that has this tag; return None if the head has moved on.

        It is not renewed before ``start``: the caller first remembers the lease, so that an
            interrupt leaves no renewal behind.
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
        """Renew no more, and let nothing be written any more."""
        self._lost = self._lost or "it has ended"
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._head.lease / RENEWALS) and not self._lost:
            with contextlib.suppress(StoreError):  # the next try may succeed; ``check`` looks at the time
                self.move(lambda head: head.renew(time.time()))

    def change(self, how: Callable[[Head], Head]) -> None:
        """Change the head here; it is sent with the next renewal or move."""
        with self._guard:
            self._head = how(self._head)

    def move(self, how: Callable[[Head], Head]) -> bool:
        """Change the head, here and there; return False if somebody else has, which ends the lease."""
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
        """Refuse to go on unless the lease stays with us for at least as long as it takes to stop.

        Raises:
            ConflictError: It may not.
        """
        limit = self._head.lease / 2
        if not self._lost and clock.now() - self._fresh > limit:
            self._lost = f"the lease could not be renewed for {limit:.0f} s"
        if self._lost:
            raise ConflictError(
                "the append was given up because it may no longer be this process's turn",
                where=self._store.uri,
                found=self._lost,
                hint="Run it again.",
            )
