"""Read the state of a target, with or without its lock."""

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
"""Maximum number of retries when another writer commits between planning and writing."""


class TargetReader:
    """Reads a target; writes nothing."""

    def __init__(self, store: Store, config: Config) -> None:
        self.replaces = config.force_new
        """Whether the next slice creates a new target that replaces the old one."""
        self.must_create = config.create == "always"
        """Whether the target must not exist yet."""
        self._store = store
        self._config = config

    def look(self, session: Session | None = None) -> State:
        """Read the target; write nothing.

        Args:
            session: The open session; None if the lock is not held.

        Raises:
            NotFoundError: The target does not exist, and must not be created.
            SliceError: The target exists, and must be created; or it cannot be appended to.
            ZapzError: The target cannot be read.
        """
        check_surroundings(self._store)
        listing = listing_of(self._store)
        if is_empty(listing, session.leftovers if session is not None else leftovers(self._store)):
            if self._config.create == "never":
                raise NotFoundError(
                    "no such target",
                    where=self._store.uri,
                    expected="an existing Zarr dataset",
                    found="nothing",
                    hint="Check the path, or let {create} create the target.",
                    remedies={"create": "auto"},
                )
            return State(dataset=None)
        if self.must_create and not self.replaces:
            raise SliceError(
                "the target already exists",
                where=self._store.uri,
                expected="a path at which the target can be created",
                hint="If an earlier run of this command created it, run it with {create}: slices that are there are not appended again.",
                remedies={"create": "auto"},
            )
        dataset = open_dataset(self._store, listing=listing)
        if self.replaces:
            successor_of(self._store)  # raises where a target cannot be replaced
            return State(dataset=None, old=dataset)
        length = compatibility.check_target(dataset, self._config, self._store.uri)
        config_checks.check_configured(dataset, self._config)
        return State(dataset=dataset, length=length)

    def note_appended(self) -> None:
        """Record that the target has been created or replaced."""
        self.replaces = self.must_create = False

    def look_again(self, session: Session) -> State:
        """Take the target's lock again, and read its new state.

        Raises:
            ZapzError: As ``look``.
        """
        for remaining in range(TURNS, -1, -1):
            session.again()
            try:
                return self.look(session)
            except ZapzError:
                if not remaining or not session.moved():
                    raise
        raise AssertionError("the last attempt ends the loop")

    def look_only(self) -> State:
        """Read the target without its lock, for a plan that is not executed in this call.

        Raises:
            LockedError: Another append is in progress.
            ConflictError: An earlier run was interrupted, and is not recovered yet.
            ZapzError: As ``look``.
        """
        self._store.require_parent()
        holder, left = state_of(self._store)
        if holder is not None and left:
            raise LockedError(
                "another append is in progress", where=self._store.uri, found=str(holder), hint="Wait until it ends."
            )
        if left:
            raise ConflictError(
                "an earlier run was interrupted",
                where=self._store.uri,
                found="; ".join(left),
                hint="Run `zapz recover`, or the append without --dry-run.",
            )
        state = self.look()
        state.register = list(register_of(self._store, remember=self._config.register))
        return state


def length_of(state: State, config: Config) -> int:
    """Return the target's length along the append dimension, in steps; 0 for a new target."""
    if state.dataset is not None:
        return compatibility.check_target(state.dataset, config, "target")
    return 0 if state.old is None else next(iter(state.old.lengths(config.append_dim).values()), 0)
