"""What a target is like: read in a turn at it, or without one."""

from __future__ import annotations

from zapz.config.settings import Config
from zapz.errors import ConflictError, LockedError, NotFoundError, SliceError, ZapzError
from zapz.operations.state import State
from zapz.operations.target import check_surroundings
from zapz.planning import compatibility, config_checks
from zapz.storage.hierarchy import is_empty, listing_of, open_dataset
from zapz.storage.store import Store
from zapz.txn.protocol import Session
from zapz.txn.session import leftovers, register_of, state_of, successor_of

TURNS = 100
"""So often a slice is planned again because somebody else appended between planning and writing."""


class TargetReader:
    """Reads a target; nothing is written."""

    def __init__(self, store: Store, config: Config) -> None:
        self.anew = config.force_new
        """Whether the next slice makes a new target, in the place of the old one."""
        self.must_make = config.create == "always"
        """Whether there must be no target yet."""
        self._store = store
        self._config = config

    def look(self, session: Session | None = None) -> State:
        """Read the target; nothing is written."""
        check_surroundings(self._store)
        listing = listing_of(self._store)
        if is_empty(listing, session.leftovers if session is not None else leftovers(self._store)):
            if self._config.create == "never":
                raise NotFoundError(
                    "no such target",
                    where=self._store.uri,
                    expected="a Zarr dataset, since it is not to be created",
                    found="nothing",
                    hint="Check the path; or {create} creates it.",
                    remedies={"create": "auto"},
                )
            return State(dataset=None)
        if self.must_make and not self.anew:
            raise SliceError(
                "the target exists already",
                where=self._store.uri,
                expected="nothing there, since it is to be created",
                hint="If an earlier run of this command created it, run it with {create}: slices that are there are passed over.",
                remedies={"create": "auto"},
            )
        dataset = open_dataset(self._store, listing=listing)
        if self.anew:
            successor_of(self._store)  # refused where there can be none
            return State(dataset=None, old=dataset)
        length = compatibility.check_target(dataset, self._config, self._store.uri)
        config_checks.check_configured(dataset, self._config)
        return State(dataset=dataset, length=length)

    def note_appended(self) -> None:
        """Take note that the target has been made, or made anew."""
        self.anew = self.must_make = False

    def look_again(self, session: Session) -> State:
        """Wait for another turn, and read the target as it is then."""
        for remaining in range(TURNS, -1, -1):
            session.again()
            try:
                return self.look(session)
            except ZapzError:
                if not remaining or not session.moved():
                    raise
        raise AssertionError("the last try ends the loop")

    def look_only(self) -> State:
        """Read the target without its lock, for a plan that will not be executed here."""
        self._store.require_parent()
        holder, left = state_of(self._store)
        if holder is not None and left:
            raise LockedError(
                "another append is under way", where=self._store.uri, found=str(holder), hint="Wait for it."
            )
        if left:
            raise ConflictError(
                "an earlier run did not end",
                where=self._store.uri,
                found="; ".join(left),
                hint="Run `zapz recover`, or the append without --dry-run.",
            )
        state = self.look()
        state.register = list(register_of(self._store, remember=self._config.register))
        return state


def length_of(state: State, config: Config) -> int:
    """Return the target's length along the append dimension as far as it is known; 0 if there is none yet."""
    if state.dataset is not None:
        return compatibility.check_target(state.dataset, config, "target")
    return 0 if state.old is None else next(iter(state.old.lengths(config.append_dim).values()), 0)
