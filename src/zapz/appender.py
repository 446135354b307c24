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
    NotFoundError,
    SliceError,
)
from zapz.existing import Planned, outcome_of
from zapz.format.metadata import Dataset
from zapz.planning import Plan, make_plan
from zapz.reports import Report, SliceReport, total
from zapz.sources.stores import Item, Source, open_source
from zapz.steps import Placement
from zapz.storage.dataset import is_empty, open_dataset
from zapz.storage.local import LocalStore
from zapz.storage.opening import is_local, local_path, open_store
from zapz.storage.posix import is_file
from zapz.storage.store import Store
from zapz.txn import recover as recovering
from zapz.txn.recover import HEAD, Recovery
from zapz.txn.transaction import begin

MAX_WORKERS = 8
_RETRIES = 100
"""So often the folder of a new target is made again if somebody else removes it."""


_MARKS = (".zgroup", ".zarray", "zarr.json")


@dataclass(slots=True)
class State:
    """What is known of the target while its lock is held."""

    dataset: Dataset | None
    last: dict[str, Cells] = field(default_factory=dict)
    length: int = 0
    planned: list[Planned] = field(default_factory=list)
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


def place_of(uri: str) -> str:
    """Return where a URI leads: links resolved if it is local, trailing slashes dropped."""
    return os.path.realpath(local_path(uri)) if is_local(uri) else uri.rstrip("/")


class Appender:
    """One call of ``append``."""

    def __init__(
        self, target: Item, config: Config, on_slice: OnSlice | None, on_progress: Callable[[int, int], None] | None
    ) -> None:
        self.config = config
        self.store = open_target(target, config)
        self._on_slice = on_slice
        self._on_progress = on_progress
        self._static = StaticVariables()
        self._recovered = Recovery()
        self._said: set[str] = set()
        self.made_root = False

    def run(self, slices: Item | Iterable[Item]) -> Report:
        """Append all slices, or plan them in a dry run."""
        started = time.perf_counter()
        items: Iterable[Item] = [slices] if isinstance(slices, str | os.PathLike) else slices
        reports: list[SliceReport] = []
        length = 0
        if self.config.dry_run:
            state = self.look_only()
            reports.extend(self._reported(self._one(item, state)) for item in items)
            length = length_of(state, self.config)
        elif isinstance(items, Sequence):
            if not items:
                return Report(
                    target=self.store.uri,
                    length=length_of(self._look(), self.config),
                    seconds=time.perf_counter() - started,
                )
            with self.held() as state:
                reports.extend(self._reported(self._one(item, state)) for item in items)
                length = length_of(state, self.config)
        else:
            for item in items:
                with self.held() as state:
                    reports.append(self._reported(self._one(item, state)))
                    length = length_of(state, self.config)
            if not reports:
                length = length_of(self._look(), self.config)
        return total(self.store.uri, reports, length, self._recovered, time.perf_counter() - started)

    def _reported(self, report: SliceReport) -> SliceReport:
        if self._on_slice is not None:
            self._on_slice(report)
        return report

    @contextlib.contextmanager
    def held(self) -> Iterator[State]:
        """Hold the target's lock, recover what an earlier run left, and read the target."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove_root)
            self._hold(stack)
            done = recovering.recover(self.store)
            self._recovered = done if self._recovered.clean else self._recovered
            self.made_root = self.made_root or done.made_root
            state = self._look()
            self._static = StaticVariables()
            stack.callback(self.store.remove_folder, recovering.TRANSACTIONS)
            yield state
            self.made_root = self.made_root and state.dataset is None

    def _hold(self, stack: contextlib.ExitStack) -> None:
        """Take the lock; a new target's folder may go away under us if another process is refused and removes it."""
        for remaining in range(_RETRIES, -1, -1):
            self.made_root = self.store.make_root() or self.made_root
            try:
                stack.enter_context(self.store.hold(HEAD, self.config.lock_wait))
            except NotFoundError:
                if not remaining:
                    raise
            else:
                return

    def _remove_root(self) -> None:
        if self.made_root:
            self.store.remove_folder("")

    def _look(self) -> State:
        """Read the target; nothing is written."""
        check_surroundings(self.store)
        if is_empty(self.store):
            return State(dataset=None)
        dataset = open_dataset(self.store)
        return State(dataset=dataset, length=compat.check_target(dataset, self.config, self.store.uri))

    def look_only(self) -> State:
        """Read the target without its lock, for a plan that will not be executed here."""
        self.store.require_parent()
        left = recovering.describe(self.store)
        holder = self.store.holder(HEAD) if left else None
        if holder is not None:
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

    def prepare(self, item: Item, state: State) -> Prepared:
        """Open a slice and decide everything about it; nothing is written."""
        check_apart(self.store, item)
        source = self._open(item)
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
        config = self.config
        options, without = config.slice_storage_options, config.excluded_variables
        return open_source(item, options, follow_links=config.follow_links, without=without)

    def _one(self, item: Item, state: State) -> SliceReport:
        started = time.perf_counter()
        prepared = self.prepare(item, state)
        notes = tuple(note for note in prepared.placement.notes if note not in self._said)
        self._said.update(notes)
        report = SliceReport(
            slice=prepared.source.uri, outcome=prepared.outcome, steps=prepared.placement.length, notes=notes
        )
        plan = prepared.plan
        if plan is not None and self.config.dry_run:
            report = replace(report, outcome="planned", plan=plan.summary())
        elif plan is not None:
            counts = run_plan(
                plan,
                prepared.source.store,
                self.store,
                self.config,
                made_root=self.made_root,
                progress=self._on_progress,
            )
            report = replace(
                report,
                outcome="appended",
                copied_chunks=counts.copied,
                encoded_chunks=counts.encoded,
                bytes_written=counts.bytes,
            )
        if plan is not None:
            state.advance(plan, prepared.labels)
            if not self.config.dry_run:
                state.length = plan.placement.offset + plan.placement.length
            else:
                planned = Planned(source=prepared.source, labels=prepared.labels, placement=prepared.placement)
                state.planned.append(planned)
                if plan.creates:
                    state.home = Reading(prepared.source.store, prepared.source.dataset)
        return replace(report, seconds=time.perf_counter() - started)


def length_of(state: State, config: Config) -> int:
    """Return the target's length along the append dimension as far as it is known; 0 if there is none yet."""
    return 0 if state.dataset is None else compat.check_target(state.dataset, config, "target")


def workers_of(config: Config) -> int:
    """Return the number of threads to use."""
    return config.workers or min(
        MAX_WORKERS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def run_plan(
    plan: Plan,
    source: Store,
    target: Store,
    config: Config,
    *,
    made_root: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Execute a plan as one transaction. The target's lock must be held."""
    total = sum(p.copies + p.encodes for p in plan.arrays.values()) if progress is not None else 0
    done = [0]

    def count(steps: int) -> None:
        done[0] += steps
        if progress is not None:
            progress(done[0], total)

    with begin(target, plan, os.urandom(8).hex(), made_root=made_root) as transaction:
        return execution.run(
            plan,
            source,
            target,
            transaction,
            workers=workers_of(config),
            verify=config.verify,
            progress=count if progress is not None else None,
        )


def open_target(target: Item, config: Config) -> Store:
    """Open the store of a target."""
    return open_store(
        target, config.target_storage_options, durable=config.durability == "full", follow_links=config.follow_links
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
