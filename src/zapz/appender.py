"""One call of ``append``: hold the lock, recover, and append slice by slice, each as a transaction of its own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from zapz import compat, create, execution
from zapz import labels as labelling
from zapz.array_task import Counts
from zapz.checks import Reading, StaticVariables, read_labels
from zapz.chunks import Cells
from zapz.config import Config
from zapz.errors import (
    ConflictError,
    FormatError,
    LockedError,
    SliceError,
)
from zapz.existing import Planned, fingerprint_of, outcome_of, recall
from zapz.format.metadata import Dataset
from zapz.planning import Plan, make_plan
from zapz.reports import Report, SliceReport, total
from zapz.sources.stores import Item, Source, Target
from zapz.steps import Placement
from zapz.storage.dataset import is_empty, listing_of, open_dataset
from zapz.storage.local import LocalStore
from zapz.storage.opening import open_store, place_of
from zapz.storage.posix import is_file
from zapz.storage.store import Store
from zapz.txn.head import Commit, HeadMovedError
from zapz.txn.recover import Recovery
from zapz.txn.sessions import Session, leftovers, open_session, state_of
from zapz.waiting import open_slice

MAX_WORKERS = 8
_IN_FLIGHT = 64
"""Requests to object services that are under way together, at most."""
_BYTES_IN_FLIGHT = 1 << 28
"""Bytes of chunks that are under way together, where their number is not set."""
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
            yield session, self._look(session)

    def _look(self, session: Session | None = None) -> State:
        """Read the target; nothing is written."""
        check_surroundings(self.store)
        listing = listing_of(self.store)
        if is_empty(listing, session.leftovers if session is not None else leftovers(self.store)):
            return State(dataset=None)
        dataset = open_dataset(self.store, listing=listing)
        length = compat.check_target(dataset, self.config, self.store.uri)
        return State(dataset=dataset, length=length, register=list(session.register) if session is not None else [])

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
        return self._look()

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
        check_apart(self.store, item)
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
            prepared = self.prepare(source, state)
            plan, counts = prepared.plan, None
            if plan is None:
                break
            try:
                counts = run_plan(plan, source.store, session, self.config, progress=self._on_progress)
                break
            except HeadMovedError:
                if not remaining:
                    raise
            session.again()
            self._static = StaticVariables()
            fresh = self._look(session)
            state.dataset, state.length, state.register, state.last = fresh.dataset, fresh.length, fresh.register, {}
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


def workers_of(config: Config, plan: Plan, *stores: Store) -> int:
    """Return the number of threads to use: as many as there are processors, or as hide the time that requests take."""
    if config.workers:
        return config.workers
    if not all(isinstance(store, LocalStore) for store in stores):
        largest = max((p.target.chunk_bytes for p in plan.arrays.values()), default=1)
        return max(2, min(_IN_FLIGHT, _BYTES_IN_FLIGHT // max(1, largest)))
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MAX_WORKERS, processors)


def run_plan(
    plan: Plan,
    source: Store,
    session: Session,
    config: Config,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Execute a plan as one transaction of a session.

    Raises:
        SliceError: The slice's metadata changed while it was copied.
        ZapzError: As ``append`` does.
    """
    total = sum(p.copies + p.encodes for p in plan.arrays.values()) if progress is not None else 0
    done = [0]

    def count(steps: int) -> None:
        done[0] += steps
        if progress is not None:
            progress(done[0], total)

    commit = Commit(
        fingerprint=fingerprint_of(place_of(plan.slice_uri), plan.slice.documents),
        offset=plan.placement.offset,
        length=plan.placement.length,
    )
    with session.begin(plan, commit, os.urandom(8).hex()) as transaction:
        counts = execution.run(
            plan,
            source,
            transaction.reading,
            transaction,
            workers=workers_of(config, plan, source, transaction.reading),
            verify=config.verify,
            progress=count if progress is not None else None,
        )
        if source.read_many(plan.slice.documents) != dict(plan.slice.documents):
            raise SliceError(
                "the slice's metadata changed while it was copied",
                where=plan.slice_uri,
                hint="Something still writes to it. Append it when it is complete: --wait SECONDS, slice_ready, slice_complete.",
            )
        return counts


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


def check_apart(store: Store, item: Item) -> None:
    """Refuse a slice that is, contains, or lies in the target; links are resolved.

    Raises:
        SliceError: It does.
    """
    name = os.fspath(item)
    a, b = place_of(store.uri), place_of(name)
    if a == b or a.startswith(b.rstrip("/") + "/") or b.startswith(a.rstrip("/") + "/"):
        raise SliceError(
            "slice and target are the same, or one lies inside the other",
            where=name,
            expected="two places",
            found=f"target {store.uri}",
            hint="Give another slice.",
        )
