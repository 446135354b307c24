"""Turns at a target: the lock is held, what an earlier run left is recovered, and the target is read."""

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
from zapz.txn.protocol import Session
from zapz.txn.register import Commit
from zapz.txn.session import open_session, successor_of
from zapz.waiting import Wait

_LOG = logging.getLogger("zapz")

T = TypeVar("T")


class TargetTurns:
    """The turns of one call at its target."""

    def __init__(self, store: Store, config: Config, watch: Watch) -> None:
        self.store = store
        """The target."""
        self.reader = TargetReader(store, config)
        """Reads it."""
        self.decider = Decider(store, config)
        """Decides about slices."""
        self.recovered = Recovery()
        """What was recovered, in all turns."""
        self.notes: tuple[str, ...] = ()
        """What is worth knowing about the storage."""
        self._config = config
        self._watch = watch
        self._register: list[Commit] | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[tuple[Session, State]]:
        """Take a turn at the target, recover what an earlier run left, and read the target.

        Raises:
            LockedError: Another writer's turn does not end in time.
            CancelledError: The caller has ended the wait.
            ZapzError: The target cannot be recovered, or read, or appended to.
        """
        wait = Wait(self._config.lock_wait, self._watch.cancelled, self._watch.waits)
        with open_session(self.store, wait, remember=self._config.register) as session:
            self.recovered = self.recovered.joined(session.recovered)
            self.note(session.notes)
            if not session.recovered.clean:
                self._tell(session.recovered)
            self.decider.begin_turn()
            if self._register is None:
                self._register = list(session.register)  # what this call appends is not taken for a repetition
            try:
                state = self.reader.look(session)
            except ZapzError:
                if not session.moved():
                    raise
                state = self.reader.look_again(session)
            state.register = self._register
            yield session, state

    def _tell(self, recovered: Recovery) -> None:
        """Tell what was recovered: those who asked, and whoever has set up logging; of others nobody is bothered."""
        if _LOG.hasHandlers():
            forward, back = recovered.rolled_forward, recovered.rolled_back
            _LOG.warning("recovered %s: finished %s, undid %s", printable(self.store.uri), forward, back)
        if self._watch.recovered is not None:
            self._watch.recovered(recovered)

    def note(self, notes: tuple[str, ...]) -> None:
        """Remember what is worth knowing."""
        self.notes = tuple(dict.fromkeys((*self.notes, *notes)))

    def look_only(self) -> State:
        """Read the target without its lock, for a plan that will not be executed here."""
        state = self.reader.look_only()
        if state.old is not None:  # nothing of it is read for the new one
            self.decider.store = successor_of(self.store)
        return state

    def looked(self, use: Callable[[State], T]) -> T:
        """Return what is seen of the target without its lock; if that is refused, in a turn: another writer may have been at work.

        Args:
            use: Looks at the target's state.

        Raises:
            ZapzError: It is refused for good, or there is no turn.
        """
        try:
            return use(self.reader.look())
        except ZapzError:
            if self._config.dry_run:
                raise
        with self.held() as (_, state):
            return use(state)

    def look_anew(self, session: Session, state: State) -> None:
        """Read a target that has just taken the place of the old one."""
        self.reader.anew, self._register = False, []
        fresh = self.reader.look(session)
        state.dataset, state.length, state.last, state.old = fresh.dataset, fresh.length, {}, None
        state.register = self._register
