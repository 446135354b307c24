"""What the two kinds of storage offer alike to whoever writes: a turn, a transaction, recovery."""

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
from zapz.txn.register import Commit
from zapz.waiting import Wait

if TYPE_CHECKING:
    from zapz.txn.vacuumed import Vacuumed


class HeadMovedError(ConflictError):
    """Somebody else took a turn since the target was read: read it again."""


def elsewhere(uri: str, found: str, *, beside: bool) -> ConflictError:
    """Return the error that says that lock and journal are where another setting puts them."""
    return ConflictError(
        "the target has a lock or journal in another place than the setting says",
        where=uri,
        expected=f'journal = "{"inside" if beside else "beside"}"',
        found=found,
        hint="Use the same setting everywhere.",
    )


class Replacement(Protocol):
    """A target that is being replaced as a whole."""

    @property
    def store(self) -> Store:
        """Where the new one is built."""

    def take_place(self) -> tuple[str, ...]:
        """Put the new target in the place of the old one, and remove that; return what is worth knowing."""


class Writing(Protocol):
    """A transaction that is open for writing."""

    @property
    def reading(self) -> Store:
        """The target, for reading what is going to be replaced."""

    def put(self, path: str, index: Index, parts: Parts) -> Receipt:
        """Write a chunk, and account for it. Thread-safe."""

    def merge(self, receipts: Iterable[Receipt]) -> None:
        """Account for chunks that were written for this transaction elsewhere: they are decided with it, or undone with it."""

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether "no chunk" must be written out."""

    def replaced(self) -> Iterable[str]:
        """Return the keys at which something lies already, where only those are replaced."""


class Session(Protocol):
    """A writer's turn."""

    recovered: Recovery
    """What was recovered."""
    notes: tuple[str, ...]
    """What is worth knowing about the storage."""

    @property
    def register(self) -> tuple[Commit, ...]:
        """The last commits, where they are remembered."""

    @property
    def leftovers(self) -> Container[str]:
        """Names, right in the target, of what aborted runs may have left."""

    def begin(
        self, plan: Plan, commit: Commit, name: str, enter: Callable[[str], None] | None = None
    ) -> AbstractContextManager[Writing]:
        """Run the body as a transaction: committed and visible if it returns, undone or given up if it raises.

        Args:
            plan: What is going to be written.
            commit: What it will be remembered as.
            name: A name that was never used before.
            enter: Called as each part of it begins that follows the body: "syncing", where that is
                done at once, and "committing".

        Raises:
            HeadMovedError: Somebody else took a turn since the target was read.
        """

    def renewing(self, old: Dataset, name: str) -> AbstractContextManager[Replacement]:
        """Let the body build a new target and put it in the place of the old one; otherwise that one stays.

        Args:
            old: The old one.
            name: A name that was never used before.
        """

    def again(self) -> None:
        """Wait for another turn; what was read of the target must be read again."""

    def moved(self) -> bool:
        """Return whether somebody else took a turn since this one began, so that what was read may be a mixture."""


class Coordinator(Protocol):
    """Keeps the writers of one target apart, and sees to what those left that are gone."""

    def open(self, wait: Wait, *, remember: bool = False) -> AbstractContextManager[Session]:
        """Take a turn; see ``session.open_session``."""

    def recover(self, wait: Wait) -> Recovery:
        """Recover what a crash left, without a turn if there is nothing."""

    def unlock(self) -> bool:
        """Remove a lock whose holder is gone; return whether there was one."""

    def vacuum(self, wait: Wait, name: str) -> Vacuumed:
        """Remove what aborted runs left; ``name`` is one that no transaction ever had."""

    def successor(self) -> Store:
        """Return the place where a target's replacement is built; nothing is made.

        Raises:
            AbilityError: The target cannot be replaced as a whole on this storage.
            ConfigError: Nor with this setting.
        """

    def state(self) -> tuple[Holder | None, tuple[str, ...]]:
        """Say, without changing anything, who holds the target, and what recovery would do; nothing of the latter while it is held."""

    def notes(self) -> tuple[str, ...]:
        """Return what is worth knowing about the storage, without trying anything."""

    def leftovers(self) -> Container[str]:
        """Return names, right in the target, of what aborted runs may have left."""

    def register(self, *, remember: bool) -> tuple[Commit, ...]:
        """Return the last commits without taking a turn."""
