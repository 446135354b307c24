"""One call of ``append``: hold the lock, recover, and append slice by slice, each as a transaction of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from zapz import agreement, compat
from zapz.array_task import Counts
from zapz.checks import Reading, StaticVariables, digest_of, read_labels
from zapz.config import Config
from zapz.deciding import Decider, Prepared, State
from zapz.errors import (
    ConfigError,
    ConflictError,
    LockedError,
    SliceError,
    ZapzError,
)
from zapz.existing import Planned
from zapz.format.metadata import Dataset
from zapz.planning import Plan
from zapz.reports import Report, SliceReport, total
from zapz.running import run_plan
from zapz.slicing import Opener, are_places, items_of
from zapz.sources.feeding import Feed, leave_under
from zapz.sources.stores import OpenSlice, Target
from zapz.steps import Placement
from zapz.storage.dataset import fingerprint, is_empty, listing_of, open_dataset
from zapz.storage.exchange import Successor
from zapz.targets import check_apart, check_surroundings, open_target
from zapz.txn.head import Commit, HeadMovedError
from zapz.txn.recover import Recovery
from zapz.txn.renewal import require
from zapz.txn.sessions import Session, leftovers, open_session, register_of, state_of

_LOG = logging.getLogger("zapz")
_TURNS = 100
"""So often a slice is planned again because somebody else appended between planning and writing."""


OnSlice = Callable[[SliceReport], None]


class Cancel(Protocol):
    """What a caller sets to stop an append, from another thread; a ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Return whether to stop."""


class Appender:
    """One call of ``append``."""

    def __init__(
        self,
        target: Target,
        config: Config,
        on_slice: OnSlice | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        cancel: Cancel | None = None,
    ) -> None:
        agreement.check_config(config)
        self.config = config
        self.store = open_target(target, config)
        for name, callback in (("on_slice", on_slice), ("on_progress", on_progress)):
            if callback is not None and not callable(callback):
                raise ConfigError("not callable", where=name, found=type(callback).__name__)
        if cancel is not None and not callable(getattr(cancel, "is_set", None)):
            raise ConfigError(
                "has no is_set()", where="cancel", expected="a threading.Event", found=type(cancel).__name__
            )
        self._on_slice = on_slice
        self._on_progress = on_progress
        self._cancel = cancel
        self._cancelled = cancel.is_set if cancel is not None else None
        self._anew = config.force_new
        self._notes: tuple[str, ...] = ()
        self._decider = Decider(self.store, config)
        self._recovered = Recovery()
        self._said: set[str] = set()
        self._register: list[Commit] | None = None

    def run(self, slices: Any) -> Report:
        """Append all slices, or plan them in a dry run."""
        started = time.perf_counter()
        items = items_of(slices)
        if self.config.dry_run:
            run = self._run_dry
        elif are_places(items, self.config):
            run = self._run_held
        else:
            run = self._run_apart
        reports: list[SliceReport] = []
        length = run(items, reports)
        if length is None:
            length = length_of(self._look(), self.config)
        report = total(self.store.uri, reports, length, self._recovered, time.perf_counter() - started)
        return replace(report, notes=self._notes)

    def _run_dry(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Plan every slice; all stay open until the end, since later ones are compared with earlier ones."""
        state = self.look_only()
        with contextlib.ExitStack() as kept:

            def keep(opened: OpenSlice, _: BaseException | None) -> None:
                kept.push(lambda kind, error, trace: opened.close(error))  # noqa: ARG005 - what an exit is given

            with self._feed(items, keep) as feed:
                for opened in feed:
                    reports.append(self._reported(self._planned(opened, state)))  # noqa: PERF401 - a callback's StopIteration is its own
            return length_of(state, self.config)

    def _run_held(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Append slices that only need to be opened, in one turn at the target."""
        if not items:
            return None
        with self.held() as (session, state), self._feed(items) as feed:
            for opened in feed:
                reports.append(self._reported(self._appended(opened, session, state)))  # noqa: PERF401 - a callback's StopIteration is its own
            return length_of(state, self.config)

    def _run_apart(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Append slices that are waited for, or made: the target is not held meanwhile."""
        self._check_target()
        length: int | None = None
        with self._feed(items) as feed:
            for opened in feed:
                self._make_ready(opened)
                with self.held() as (session, state):
                    reports.append(self._reported(self._appended(opened, session, state)))
                    length = length_of(state, self.config)
        return length

    def _check_target(self) -> None:
        """See that the target can be appended to before slices are made; what is read while somebody writes may be a mixture."""
        try:
            self._look()
        except ZapzError:
            with self.held():
                pass

    def _feed(
        self, items: Iterable[Any], close: Callable[[OpenSlice, BaseException | None], None] = OpenSlice.left
    ) -> Feed[Any, OpenSlice]:
        opener = Opener(self.config, self.store, check_apart, self._cancelled)

        def open_ready(item: Any) -> OpenSlice:
            opened = opener.open(item)
            if not opened.prepares:
                return opened
            try:
                self._compute(opened, self._decider.glance(opened, self._look()))
            except ZapzError as error:  # somebody may be writing just now: its turn will tell
                _LOG.debug("%s is not computed ahead: %s", opened.uri, error)
            except BaseException as error:
                leave_under(opened.close, error)
                raise
            return opened

        ahead = self.config.prefetch and not self.config.dry_run
        return Feed(items, open_ready if ahead else opener.open, close, self.config.prefetch, self._cancelled)

    def _make_ready(self, opened: OpenSlice) -> None:
        """Compute what a slice has to be computed, once its form is seen to fit; what is seen while somebody writes may be a mixture."""
        if not opened.prepares:
            return
        try:
            placement = self._decider.glance(opened, self._look())
        except ZapzError:
            with self.held() as (_, state):
                placement = self._decider.glance(opened, state)
        self._compute(opened, placement)

    def _compute(self, opened: OpenSlice, placement: Placement | None) -> None:
        if placement is not None:
            opened.prepare({*placement.conversions, *placement.static})

    def _reported(self, report: SliceReport) -> SliceReport:
        counts = (report.steps, report.copied_chunks, report.encoded_chunks, report.bytes_written, report.seconds)
        words = "%s: %s %s: %d steps, %d chunks copied, %d encoded, %d bytes, %.2f s"
        _LOG.info(words, self.store.uri, report.outcome, report.slice, *counts)
        if self._on_slice is not None:
            self._on_slice(report)
        return report

    @contextlib.contextmanager
    def held(self) -> Iterator[tuple[Session, State]]:
        """Take a turn at the target, recover what an earlier run left, and read the target."""
        with open_session(self.store, self.config.lock_wait, remember=self.config.register) as session:
            self._recovered = self._recovered.joined(session.recovered)
            if not session.recovered.clean:
                forward, back = session.recovered.rolled_forward, session.recovered.rolled_back
                _LOG.warning("recovered %s: finished %s, undid %s", self.store.uri, forward, back)
            self._decider.static = StaticVariables()
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
        if self._anew:
            require(self.store)
            return State(dataset=None, old=dataset)
        length = compat.check_target(dataset, self.config, self.store.uri)
        agreement.check_configured(dataset, self.config)
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
        if state.old is not None:  # nothing of it is read for the new one
            self._decider = Decider(Successor(require(self.store)), self.config)
        state.register = list(register_of(self.store, remember=self.config.register))
        return state

    def plan(self, item: Any) -> Plan:
        """Plan the append of one slice.

        Raises:
            SliceError: There is nothing to append.
        """
        with self._feed([item]) as feed:
            prepared = self._decider.decide(next(feed), self.look_only())
        if prepared.plan is None:
            found = f"a slice that is {prepared.outcome}"
            raise SliceError("there is nothing to plan", where=prepared.source.uri, found=found)
        return prepared.plan

    def execute(self, plan: Plan, item: Any) -> Report:
        """Execute a plan, with the slice that it names or this one.

        Raises:
            ConflictError: Slice or target are no longer what the plan was made for.
        """
        started = time.perf_counter()
        self._anew = False  # a plan says what it builds on
        with self._feed([plan.slice_uri if item is None else item]) as feed:
            source = replace(next(feed), without=None)
            if not source.is_unchanged(plan.slice.documents):
                what = "the slice is no longer what the plan was made for"
                raise ConflictError(what, where=plan.slice_uri, hint="Plan again.")
            with self.held() as (session, state):
                if plan.creates and state.dataset is not None:
                    what, hint = "the plan makes a target, and there is one", "Plan again, or append with force_new."
                    raise ConflictError(what, where=plan.target_uri, hint=hint)
                here = fingerprint(state.dataset.documents) if state.dataset is not None else {}
                if any(here.get(key) != digest for key, digest in plan.base.items()):
                    what = "the target is no longer what the plan builds on"
                    raise ConflictError(what, where=plan.target_uri, hint="Plan again.")
                known = {path: np.empty(0, array.dtype) for path, array in plan.before.arrays.items()}
                labels = read_labels(Reading(self.store, plan.before), source, plan.placement, known)
                if digest_of(labels) != plan.placement.labels:
                    what = "the slice's labels are no longer what the plan was made for"
                    raise ConflictError(what, where=plan.slice_uri, hint="Plan again.")
                counts = run_plan(plan, source, session, self.config)
        report = _counted(SliceReport(slice=plan.slice_uri, outcome="", steps=plan.placement.length), counts)
        length = plan.placement.offset + plan.placement.length
        return total(plan.target_uri, [report], length, self._recovered, time.perf_counter() - started)

    def _report(self, prepared: Prepared) -> SliceReport:
        notes = tuple(note for note in prepared.placement.notes if note not in self._said)
        self._said.update(notes)
        return SliceReport(
            slice=prepared.source.uri, outcome=prepared.outcome, steps=prepared.placement.length, notes=notes
        )

    def _planned(self, source: OpenSlice, state: State) -> SliceReport:
        """Plan a slice in a dry run, as if those before it had been appended."""
        started = time.perf_counter()
        prepared = self._decider.decide(source, state)
        report, plan = self._report(prepared), prepared.plan
        if plan is not None:
            report = replace(report, outcome="planned", plan=plan.summary())
            state.advance(plan, prepared.labels)
            state.planned.append(Planned(source=source, labels=prepared.labels, placement=prepared.placement))
            if plan.creates:
                state.home = Reading(source.store, source.dataset)
        return replace(report, seconds=time.perf_counter() - started)

    def _appended(self, source: OpenSlice, session: Session, state: State) -> SliceReport:
        """Append a slice; where somebody else has appended since the target was read, it is read and planned again."""
        started = time.perf_counter()
        if state.old is not None:
            return self._renewed(source, session, state, state.old)
        for remaining in range(_TURNS, -1, -1):
            plan, counts = None, None
            try:
                prepared = self._decider.decide(source, state)
                plan = prepared.plan
                if plan is not None:
                    counts = run_plan(
                        plan,
                        source,
                        session,
                        self.config,
                        progress=self._on_progress,
                        cancelled=self._cancelled,
                    )
                break
            except ZapzError as error:  # what was read while somebody else wrote may be a mixture
                mixture = plan is None and session.moved()
                if not remaining or not (mixture or isinstance(error, HeadMovedError)):
                    raise
            self._decider.static = StaticVariables()
            fresh = self._look_again(session)
            state.dataset, state.length, state.last = fresh.dataset, fresh.length, {}
        report = self._report(prepared)
        if plan is not None and counts is not None:
            report = _counted(report, counts)
            state.advance(plan, prepared.labels)
            state.length = plan.placement.offset + plan.placement.length
            self._anew = False
        return replace(report, seconds=time.perf_counter() - started)

    def _renewed(self, source: OpenSlice, session: Session, state: State, old: Dataset) -> SliceReport:
        """Make a new target of a slice, and put it in the place of the old one."""
        config = replace(self.config, force_new=False)
        with session.renewing(old, os.urandom(8).hex()) as renewal:
            builder = Appender(renewal.store, config, None, self._on_progress, self._cancel)
            report = builder.make(source)
            if report.outcome != "appended":
                return report
            self._notes = renewal.take_place()
        self._anew, self._register = False, []
        fresh = self._look(session)
        state.dataset, state.length, state.last, state.old = fresh.dataset, fresh.length, {}, None
        state.register = self._register
        return report

    def make(self, source: OpenSlice) -> SliceReport:
        """Append a slice that is open already, in a turn of its own."""
        with self.held() as (session, state):
            return self._appended(source, session, state)


def _counted(report: SliceReport, counts: Counts) -> SliceReport:
    return replace(
        report,
        outcome="appended",
        copied_chunks=counts.copied,
        encoded_chunks=counts.encoded,
        bytes_written=counts.bytes,
    )


def length_of(state: State, config: Config) -> int:
    """Return the target's length along the append dimension as far as it is known; 0 if there is none yet."""
    if state.dataset is not None:
        return compat.check_target(state.dataset, config, "target")
    return 0 if state.old is None else next(iter(state.old.lengths(config.append_dim).values()), 0)
