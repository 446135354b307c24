"""One call of ``append``: hold the lock, recover, and append slice by slice, each as a transaction of its own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from zapz import compat, create
from zapz import labels as labelling
from zapz.checks import Reading, StaticVariables, read_labels
from zapz.chunks import Cells
from zapz.config import Config
from zapz.errors import (
    ConflictError,
    FormatError,
    LockedError,
    SliceError,
    ZapzError,
)
from zapz.existing import Planned, outcome_of, recall
from zapz.format.metadata import Dataset
from zapz.planning import Plan, make_plan
from zapz.reports import Report, SliceReport, total
from zapz.running import run_plan
from zapz.sources.stores import Item, Source, Target
from zapz.steps import Placement
from zapz.storage.dataset import is_empty, listing_of, open_dataset
from zapz.storage.local import LocalStore
from zapz.storage.opening import open_store
from zapz.storage.posix import is_file
from zapz.storage.store import OURS, Store
from zapz.storage.uris import place_of
from zapz.txn.head import Commit, HeadMovedError
from zapz.txn.recover import Recovery
from zapz.txn.sessions import Session, leftovers, open_session, register_of, state_of
from zapz.waiting import open_slice

_TURNS = 100
"""So often a slice is planned again because somebody else appended between planning and writing."""
_MARKS = (".zgroup", ".zarray", "zarr.json")


@dataclass(slots=True)
class State:
    """What is known of the target while its lock is held."""

    dataset: Dataset | None
    last: dict[str, Cells] = field(default_factory=dict)
    length: int = 0
    planned: list[Planned] = field(default_factory=list)
    register: list[Commit] = field(default_factory=list)
    home: Reading | None = None

    def advance(self, plan: Plan, labels: Sequence[labelling.Labels]) -> None:
        """Take over what an append has made of the target."""
        for found in labels:
            self.last[found.path] = np.concatenate([found.old.stored, found.new.stored])[-2:]
        for path in plan.arrays.keys() - {found.path for found in labels}:
            self.last.pop(path, None)
        self.dataset = plan.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A slice about which everything is decided."""

    source: Source
    placement: Placement
    outcome: str = ""
    labels: tuple[labelling.Labels, ...] = ()
    plan: Plan | None = None


OnSlice = Callable[[SliceReport], None]


class Appender:
    """One call of ``append``."""

    def __init__(
        self, target: Target, config: Config, on_slice: OnSlice | None, on_progress: Callable[[int, int], None] | None
    ) -> None:
        self.config = config
        self.store = open_target(target, config)
        self._on_slice = on_slice
        self._on_progress = on_progress
        self._static = StaticVariables()
        self._recovered = Recovery()
        self._said: set[str] = set()
        self._register: list[Commit] | None = None

    def run(self, slices: Item | Iterable[Item]) -> Report:
        """Append all slices, or plan them in a dry run."""
        started = time.perf_counter()
        items: Iterable[Item] = [slices] if isinstance(slices, str | os.PathLike) else slices
        reports: list[SliceReport] = []
        length: int | None = None
        if self.config.dry_run:
            state = self.look_only()
            reports.extend(self._reported(self._planned(self._open(item), state)) for item in items)
            length = length_of(state, self.config)
        elif isinstance(items, Sequence) and items and self.config.polling is None:
            with self.held() as (session, state):
                reports.extend(self._reported(self._appended(self._open(item), session, state)) for item in items)
                length = length_of(state, self.config)
        else:  # the lock is not held while a slice is waited for, or made
            for item in items:
                source = self._open(item)
                with self.held() as (session, state):
                    reports.append(self._reported(self._appended(source, session, state)))
                    length = length_of(state, self.config)
        if length is None:
            length = length_of(self._look(), self.config)
        return total(self.store.uri, reports, length, self._recovered, time.perf_counter() - started)

    def _reported(self, report: SliceReport) -> SliceReport:
        if self._on_slice is not None:
            self._on_slice(report)
        return report

    @contextlib.contextmanager
    def held(self) -> Iterator[tuple[Session, State]]:
        """Take a turn at the target, recover what an earlier run left, and read the target."""
        with open_session(self.store, self.config.lock_wait, remember=self.config.register) as session:
            self._recovered = self._recovered.joined(session.recovered)
            self._static = StaticVariables()
            if self._register is None:
                self._register = list(session.register)  # what this call appends is not taken for a repetition
            try:
                state = self._look(session)
            except ZapzError:
                if not session.moved():
                    raise
                state = self._look_again(session)
            state.register = self._register
            yield session, state

    def _look_again(self, session: Session) -> State:
        """Wait for another turn, and read the target as it is then."""
        for remaining in range(_TURNS, -1, -1):
            session.again()
            try:
                return self._look(session)
            except ZapzError:
                if not remaining or not session.moved():
                    raise
        raise AssertionError("the last try ends the loop")

    def _look(self, session: Session | None = None) -> State:
        """Read the target; nothing is written."""
        check_surroundings(self.store)
        listing = listing_of(self.store)
        if is_empty(listing, session.leftovers if session is not None else leftovers(self.store)):
            return State(dataset=None)
        dataset = open_dataset(self.store, listing=listing)
        length = compat.check_target(dataset, self.config, self.store.uri)
        return State(dataset=dataset, length=length)

    def look_only(self) -> State:
        """Read the target without its lock, for a plan that will not be executed here."""
        self.store.require_parent()
        holder, left = state_of(self.store)
        if holder is not None and left:
            found = f"held by process {holder.process} on {holder.host} since {holder.since}"
            raise LockedError("another append is under way", where=self.store.uri, found=found, hint="Wait for it.")
        if left:
            raise ConflictError(
                "an earlier run did not end",
                where=self.store.uri,
                found="; ".join(left),
                hint="Run `zapz recover`, or the append without --dry-run.",
            )
        state = self._look()
        state.register = list(register_of(self.store, remember=self.config.register))
        return state

    def prepare(self, source: Source, state: State) -> Prepared:
        """Decide everything about a slice; nothing is written."""
        creates = state.dataset is None
        before = create.new_target(source.dataset, self.config) if state.dataset is None else state.dataset
        placement = compat.place(before, source.dataset, self.config, source.uri, creates=creates)
        prepared = Prepared(source=source, placement=placement)
        if placement.length == 0:
            return replace(prepared, outcome="empty")
        target = Reading(self.store, before)
        known = (
            {path: np.empty(0, before.arrays[path].dtype) for path in before.lengths(placement.dim)}
            if creates
            else state.last
        )
        labels = read_labels(target, source, placement, known)
        length = 0 if creates else state.length
        outcome = outcome_of(target, source, placement, labels, self.config, length, state.planned)
        if outcome is None and state.register and (not labels or self.config.label_order == "any"):
            outcome = recall(target, source, placement, state.register, self.config, length)
        if outcome is not None:
            return replace(prepared, outcome=outcome)
        for found in labels:
            labelling.check_labels(found, self.config, source.uri)
        plan = self._plan(source, before, placement, creates=creates)
        if not creates:
            self._static.check(state.home or target, source, placement, self.config)
        return replace(prepared, labels=tuple(labels), plan=plan)

    def _plan(self, source: Source, before: Dataset, placement: Placement, *, creates: bool) -> Plan:
        config, stop = self.config, placement.offset + placement.length
        documents = create.changed_documents(before, source.dataset, config, stop, creates=creates)
        known = not creates and config.attrs_update_mode in {"keep", "ignore"}
        return make_plan(
            target_uri=self.store.uri,
            slice_uri=source.uri,
            creates=creates,
            before=before,
            slice_=source.dataset,
            placement=placement,
            documents=documents,
            recompress=config.recompress,
            after=create.grown(before, documents, placement.dim, stop) if known else None,
        )

    def _open(self, item: Item) -> Source:
        check_apart(self.store, item, self.config)
        return open_slice(item, self.config)

    def _report(self, prepared: Prepared) -> SliceReport:
        notes = tuple(note for note in prepared.placement.notes if note not in self._said)
        self._said.update(notes)
        return SliceReport(
            slice=prepared.source.uri, outcome=prepared.outcome, steps=prepared.placement.length, notes=notes
        )

    def _planned(self, source: Source, state: State) -> SliceReport:
        """Plan a slice in a dry run, as if those before it had been appended."""
        started = time.perf_counter()
        prepared = self.prepare(source, state)
        report, plan = self._report(prepared), prepared.plan
        if plan is not None:
            report = replace(report, outcome="planned", plan=plan.summary())
            state.advance(plan, prepared.labels)
            state.planned.append(Planned(source=source, labels=prepared.labels, placement=prepared.placement))
            if plan.creates:
                state.home = Reading(source.store, source.dataset)
        return replace(report, seconds=time.perf_counter() - started)

    def _appended(self, source: Source, session: Session, state: State) -> SliceReport:
        """Append a slice; where somebody else has appended since the target was read, it is read and planned again."""
        started = time.perf_counter()
        for remaining in range(_TURNS, -1, -1):
            plan, counts = None, None
            try:
                prepared = self.prepare(source, state)
                plan = prepared.plan
                if plan is not None:
                    counts = run_plan(
                        plan,
                        source.store,
                        session,
                        self.config,
                        without=self.config.excluded_variables,
                        progress=self._on_progress,
                    )
                break
            except ZapzError as error:  # what was read while somebody else wrote may be a mixture
                mixture = plan is None and session.moved()
                if not remaining or not (mixture or isinstance(error, HeadMovedError)):
                    raise
            self._static = StaticVariables()
            fresh = self._look_again(session)
            state.dataset, state.length, state.last = fresh.dataset, fresh.length, {}
        report = self._report(prepared)
        if plan is not None and counts is not None:
            report = replace(
                report,
                outcome="appended",
                copied_chunks=counts.copied,
                encoded_chunks=counts.encoded,
                bytes_written=counts.bytes,
            )
            state.advance(plan, prepared.labels)
            state.length = plan.placement.offset + plan.placement.length
        return replace(report, seconds=time.perf_counter() - started)


def length_of(state: State, config: Config) -> int:
    """Return the target's length along the append dimension as far as it is known; 0 if there is none yet."""
    return 0 if state.dataset is None else compat.check_target(state.dataset, config, "target")


def open_target(target: Target, config: Config) -> Store:
    """Open the store of a target."""
    if not isinstance(target, str | os.PathLike):
        return target
    return open_store(
        target,
        config.target_storage_options,
        durable=config.durability == "full",
        follow_links=config.follow_links,
        beside=config.journal == "beside",
        single_writer=config.single_writer,
    )


def check_surroundings(store: Store) -> None:
    """Refuse a target that lies inside another Zarr group, whose consolidated metadata would not know of it.

    Raises:
        FormatError: It does; names the root.
    """
    if not isinstance(store, LocalStore):
        return
    for folder in store.root.resolve().parents:
        for mark in _MARKS:
            if is_file(str(folder / mark)):
                raise FormatError(
                    "the target lies inside another Zarr dataset",
                    where=store.uri,
                    found=f"{folder}",
                    hint="Append to that dataset's root, or move the target out of it.",
                )


def check_apart(store: Store, item: Item, config: Config) -> None:
    """Refuse a slice that is, contains, or lies in the target; links are resolved.

    Raises:
        SliceError: It does.
    """
    name = os.fspath(item)
    a, b = place_of(store.uri), place_of(name)
    if (
        b in {a, f"{a}{OURS}" if config.journal == "beside" else a}
        or a.startswith(b.rstrip("/") + "/")
        or b.startswith(a.rstrip("/") + "/")
    ):
        raise SliceError(
            "slice and target are the same, or one lies inside the other",
            where=name,
            expected="two places",
            found=f"target {store.uri}",
            hint="Give another slice.",
        )
