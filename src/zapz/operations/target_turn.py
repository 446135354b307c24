"""Turns at a target: the lock is held, an earlier run is recovered, and the target is read."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from zapz.config.settings import Config
from zapz.errors import ZapzError, printable
from zapz.operations.plan_slice import Decider
from zapz.operations.run_plan import Watch
from zapz.operations.state import State
from zapz.operations.target_state import TargetReader
from zapz.reports import Recovery
from zapz.storage.store import Store
from zapz.storage.waiting import Wait
from zapz.txn.protocol import Session
from zapz.txn.register import Commit
from zapz.txn.session import open_session, successor_of

_LOG = logging.getLogger("zapz")

T = TypeVar("T")


class TargetTurns:
    """The turns of one call at its target: the periods in which it holds the lock."""

    def __init__(self, store: Store, config: Config, watch: Watch) -> None:
        self.store = store
        """The target."""
        self.reader = TargetReader(store, config)
        """Reads the target."""
        self.decider = Decider(store, config)
        """Decides about slices."""
        self.recovered = Recovery()
        """What was recovered, in all turns."""
        self.notes: tuple[str, ...] = ()
        """Remarks about the storage, for the report."""
        self._config = config
        self._watch = watch
        self._register: list[Commit] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[tuple[Session, State]]:
        """Take the lock, recover what an earlier run left, and read the target.

        Raises:
            LockedError: Another writer holds the target longer than ``lock_wait``.
            CancelledError: The caller has cancelled the wait.
            ZapzError: The target cannot be recovered, read, or appended to.
        """
        wait = Wait(self._config.lock_wait, self._watch.cancelled, self._watch.waits)
        with open_session(self.store, wait, remember=self._config.register) as session:
            self.recovered = self.recovered.joined(session.recovered)
            self.note(session.notes)
            if not session.recovered.clean:
                self._tell(session.recovered)
            self.decider.begin_turn()
            if self._register is None:
                self._register = list(session.register)  # without the commits of this call, which are not repetitions
            try:
                state = self.reader.look(session)
            except ZapzError:
                if not session.moved():
                    raise
                state = self.reader.look_again(session)
            state.register = self._register
            yield session, state

    def _tell(self, recovered: Recovery) -> None:
        """Report what was recovered to the callback, and to the log if a handler is configured."""
        if _LOG.hasHandlers():
            forward, back = recovered.rolled_forward, recovered.rolled_back
            _LOG.warning("recovered %s: finished %s, undid %s", printable(self.store.uri), forward, back)
        if self._watch.recovered is not None:
            self._watch.recovered(recovered)

    def note(self, notes: tuple[str, ...]) -> None:
        """Add remarks for the report."""
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))

    def look_only(self) -> State:
        """Read the target without its lock, for a plan that is not executed in this call.

        Raises:
            ZapzError: As ``TargetReader.look_only``.
        """
        state = self.reader.look_only()
        if state.old is not None:  # plan against the new target, not against the old one
            self.decider.store = successor_of(self.store)
        return state

    def looked(self, use: Callable[[State], T]) -> T:
        """Call ``use`` with the target's state, read without its lock.

        If that fails, call it once more with the lock held: another writer may have been active.

        Args:
            use: Inspects the target's state.

        Returns:
            What ``use`` returns.

        Raises:
            ZapzError: It fails with the lock held too, or the lock cannot be taken.
        """
        try:
            return use(self.reader.look())
        except ZapzError:
            if self._config.dry_run:
                raise
        with self.held() as (_, state):
            return use(state)

    def read_replacement(self, session: Session, state: State) -> None:
        """Read a target that has just replaced the old one, and update the state."""
        self.reader.replaces, self._register = False, []
        fresh = self.reader.look(session)
        state.dataset, state.length, state.last, state.old = fresh.dataset, fresh.length, {}, None
        state.register = self._register
