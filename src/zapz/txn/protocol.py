"""What a writer gets on any type of storage: a turn, a transaction, recovery."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from zapz.errors import ConflictError
from zapz.format.grid import Index
from zapz.format.metadata import Dataset
from zapz.planning.plan import Plan
from zapz.planning.receipt import Receipt
from zapz.reports import Recovery
from zapz.storage.store import Holder, Parts, Store
from zapz.storage.waiting import Wait
from zapz.txn.register import Commit

if TYPE_CHECKING:
    from zapz.txn.vacuumed import Vacuumed


class HeadMovedError(ConflictError):
    """Another process took a turn since the target was read: read it again."""


def elsewhere(uri: str, found: str, *, beside: bool) -> ConflictError:
    """Return the error for a target whose lock and journal are where another setting puts them."""
    return ConflictError(
        "the target has a lock or journal where another setting puts it",
        where=uri,
        expected=f'journal = "{"inside" if beside else "beside"}"',
        found=found,
        hint="Use the same setting for all writers.",
    )


class Replacement(Protocol):
    """A target that is being replaced as a whole."""

    @property
    def store(self) -> Store:
        """Where the new target is built."""

    def take_place(self) -> tuple[str, ...]:
        """Replace the old target by the new one, and remove the old one; return notes."""


class Writing(Protocol):
    """A transaction that is open for writing."""

    @property
    def reading(self) -> Store:
        """The target, for reading chunks that will be replaced."""

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk, and record it. Thread-safe."""

    def merge(self, receipts: Iterable[Receipt]) -> None:
        """Record chunks that were written for this transaction elsewhere.

        They are committed or rolled back with it.
        """

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether a missing chunk must be written out."""

    def replaced(self) -> Iterable[str]:
        """Return the keys that exist already, where only those are replaced."""


class Session(Protocol):
    """A writer's turn."""

    recovered: Recovery
    """What was recovered when the turn began."""
    notes: tuple[str, ...]
    """Notes about the storage."""

    @property
    def register(self) -> tuple[Commit, ...]:
        """The last commits, where they are recorded."""

    @property
    def leftovers(self) -> Container[str]:
        """Names, directly in the target, that aborted runs may have left."""

    def begin(
        self, plan: Plan, commit: Commit, name: str, enter: Callable[[str], None] | None = None
    ) -> AbstractContextManager[Writing]:
        """Run the body as a transaction.

        If the body returns, the transaction is committed and visible. If it raises, the transaction
        is rolled back (local storage) or abandoned (object stores).

        Args:
            plan: What will be written.
            commit: Its entry for the register.
            name: A transaction name that was never used before.
            enter: Called when a phase after the body begins: "syncing", where all files are synced
                together, and "committing".

        Raises:
            HeadMovedError: Another process took a turn since the target was read.
        """

    def renewing(self, old: Dataset, name: str) -> AbstractContextManager[Replacement]:
        """Let the body build a new target, and replace the old one by it; else the old one stays.

        Args:
            old: The old target.
            name: A name that was never used before.
        """

    def again(self) -> None:
        """Wait for another turn; the caller must read the target again."""

    def moved(self) -> bool:
        """Return whether another process took a turn since this one began.

        Then the data that were read may be a mixture.
        """


class Coordinator(Protocol):
    """Keeps the writers of one target apart, and recovers what dead writers left."""

    def open(self, wait: Wait, *, remember: bool = False) -> AbstractContextManager[Session]:
        """Take a turn; see ``session.open_session``."""

    def recover(self, wait: Wait) -> Recovery:
        """Recover what a crash left; take no turn if there is nothing."""

    def unlock(self) -> bool:
        """Remove a lock whose holder is dead; return whether there was one."""

    def vacuum(self, wait: Wait, name: str) -> Vacuumed:
        """Remove what aborted runs left; ``name`` is a name that no transaction ever had."""

    def successor(self) -> Store:
        """Return the store in which a target's replacement is built; nothing is created.

        Raises:
            AbilityError: The target cannot be replaced as a whole on this storage.
            ConfigError: It cannot be replaced with this setting.
        """

    def state(self) -> tuple[Holder | None, tuple[str, ...]]:
        """Return who holds the target, and what recovery would do; change nothing.

        While the target is held, the second part is empty.
        """

    def decided(self) -> bool:
        """Return whether a committed transaction may not be completely visible; change nothing."""

    def notes(self) -> tuple[str, ...]:
        """Return notes about the storage, without probing it."""

    def leftovers(self) -> Container[str]:
        """Return the names, directly in the target, that aborted runs may have left."""

    def register(self, *, remember: bool) -> tuple[Commit, ...]:
        """Return the last commits without taking a turn."""
