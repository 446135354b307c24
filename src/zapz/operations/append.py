"""One call of ``append``: hold the lock, recover, and append slice by slice, each as a transaction of its own."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Protocol

from zapz.checks.already_appended import Planned
from zapz.checks.reading import Reading
from zapz.checks.static import StaticVariables
from zapz.config.settings import Config
from zapz.errors import (
    ConfigError,
    SliceError,
    ZapzError,
)
from zapz.execution import sparse
from zapz.format.metadata import Dataset
from zapz.operations.plan_slice import Decider, Prepared, State
from zapz.operations.run_plan import run_plan
from zapz.operations.target import check_apart, open_target
from zapz.operations.target_state import TURNS, TargetReader, length_of
from zapz.planning import config_checks
from zapz.planning.placement import Placement
from zapz.planning.plan import Plan
from zapz.reports import Report, SliceReport, total
from zapz.sources.contexts import leave_under
from zapz.sources.feed import Feed
from zapz.sources.open_slice import OpenSlice, Target
from zapz.sources.opener import Opener, are_places, items_of
from zapz.txn.protocol import HeadMovedError, Session
from zapz.txn.recovery import Recovery
from zapz.txn.register import Commit
from zapz.txn.session import open_session, successor_of
from zapz.waiting import Wait

_LOG = logging.getLogger("zapz")


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
        config_checks.check_config(config)
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
        self._reader = TargetReader(self.store, config)
        self._notes: tuple[str, ...] = ()
        self._decider = Decider(self.store, config)
        self._recovered = Recovery()
        self._said: set[str] = set()
        self._register: list[Commit] | None = None

    def run(self, slices: Any) -> Report:
        """Append all slices, or plan them in a dry run."""
        started = time.perf_counter()
        items = items_of(slices)
        self._decider.expect(items)
        if self.config.dry_run:
            run = self._run_dry
        elif are_places(items, self.config):
            run = self._run_held
        else:
            run = self._run_apart
        reports: list[SliceReport] = []
        length = run(items, reports)
        if length is None:
            length = length_of(self._reader.look(), self.config)
        report = total(self.store.uri, reports, length, self._recovered, time.perf_counter() - started)
        return replace(report, notes=self._notes)

    def _run_dry(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Plan every slice; all stay open until the end, since later ones are compared with earlier ones."""
        state = self._look_only()
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
            self._reader.look()
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
                self._compute(opened, self._decider.glance(opened, self._reader.look()))
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
            placement = self._decider.glance(opened, self._reader.look())
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
        wait = Wait(self.config.lock_wait, self._cancelled)
        with open_session(self.store, wait, remember=self.config.register) as session:
            self._recovered = self._recovered.joined(session.recovered)
            self._notes = tuple(dict.fromkeys((*self._notes, *session.notes)))
            if not session.recovered.clean:
                forward, back = session.recovered.rolled_forward, session.recovered.rolled_back
                _LOG.warning("recovered %s: finished %s, undid %s", self.store.uri, forward, back)
            self._decider.static = StaticVariables()
            if self._register is None:
                self._register = list(session.register)  # what this call appends is not taken for a repetition
            try:
                state = self._reader.look(session)
            except ZapzError:
                if not session.moved():
                    raise
                state = self._reader.look_again(session)
            state.register = self._register
            yield session, state

    def _look_only(self) -> State:
        """Read the target without its lock, for a plan that will not be executed here."""
        state = self._reader.look_only()
        if state.old is not None:  # nothing of it is read for the new one
            self._decider = Decider(successor_of(self.store), self.config)
        return state

    def plan(self, item: Any) -> Plan:
        """Plan the append of one slice.

        Raises:
            SliceError: There is nothing to append.
        """
        with self._feed([item]) as feed:
            prepared = self._decider.decide(next(feed), self._look_only())
        if prepared.plan is None:
            found = f"a slice that is {prepared.outcome}"
            raise SliceError("there is nothing to plan", where=prepared.source.uri, found=found)
        return prepared.plan

    def execute(self, plan: Plan, item: Any) -> Report:
        """Execute a plan, with the slice that it names or this one; raises as ``execute_plan`` does."""
        from zapz.operations.execute_plan import execute_plan  # imported where used: most runs plan themselves

        self._reader.anew = False  # a plan says what it builds on
        started = time.perf_counter()
        with self._feed([plan.slice_uri if item is None else item]) as feed:
            report = execute_plan(plan, next(feed), self.held, self.config, self.store)
        length = plan.placement.offset + plan.placement.length
        return total(plan.target_uri, [report], length, self._recovered, time.perf_counter() - started)

    def _report(self, prepared: Prepared, more: tuple[str, ...] = ()) -> SliceReport:
        notes = tuple(note for note in (*prepared.placement.notes, *more) if note not in self._said)
        self._said.update(notes)
        return SliceReport(
            slice=prepared.source.uri,
            outcome=prepared.outcome,
            steps=prepared.placement.length,
            notes=notes,
            compared=prepared.compared,
        )

    def _planned(self, source: OpenSlice, state: State) -> SliceReport:
        """Plan a slice in a dry run, as if those before it had been appended."""
        started = time.perf_counter()
        prepared = self._decider.decide(source, state)
        plan = prepared.plan
        report = self._report(prepared, sparse.look(plan, source.store, self.store).notes if plan is not None else ())
        if plan is not None:
            report = replace(report, outcome="planned", plan=plan.summary())
            state.advance(plan, prepared.labels)
            state.planned.append(Planned(source=prepared.source, labels=prepared.labels, placement=prepared.placement))
            if plan.creates:
                state.home = Reading(source.store, source.dataset)
        return replace(report, seconds=time.perf_counter() - started)

    def _appended(self, source: OpenSlice, session: Session, state: State) -> SliceReport:
        """Append a slice; where somebody else has appended since the target was read, it is read and planned again."""
        started = time.perf_counter()
        if state.old is not None:
            return self._renewed(source, session, state, state.old)
        for remaining in range(TURNS, -1, -1):
            plan, counts = None, None
            try:
                prepared = self._decider.decide(source, state)
                plan = prepared.plan
                if plan is not None:
                    counts = run_plan(
                        plan,
                        prepared.source,
                        session,
                        self.config,
                        self.store,
                        progress=self._on_progress,
                        cancelled=self._cancelled,
                    )
                break
            except ZapzError as error:  # what was read while somebody else wrote may be a mixture
                mixture = plan is None and session.moved()
                if not remaining or not (mixture or isinstance(error, HeadMovedError)):
                    raise
            self._decider.static = StaticVariables()
            fresh = self._reader.look_again(session)
            state.dataset, state.length, state.last, state.indexes = fresh.dataset, fresh.length, {}, {}
        report = self._report(prepared, counts.notes if counts is not None else ())
        if plan is not None and counts is not None:
            report = report.counted(counts)
            state.advance(plan, prepared.labels)
            state.length = plan.placement.offset + plan.placement.length
            self._reader.anew = False
        return replace(report, seconds=time.perf_counter() - started)

    def _renewed(self, source: OpenSlice, session: Session, state: State, old: Dataset) -> SliceReport:
        """Make a new target of a slice, and put it in the place of the old one."""
        config = replace(self.config, force_new=False)
        with session.renewing(old, os.urandom(8).hex()) as renewal:
            builder = Appender(renewal.store, config, None, self._on_progress, self._cancel)
            report = builder.make(source)
            if report.outcome != "appended":
                return report
            self._notes = (*self._notes, *renewal.take_place())
        self._reader.anew, self._register = False, []
        fresh = self._reader.look(session)
        state.dataset, state.length, state.last, state.old = fresh.dataset, fresh.length, {}, None
        state.register = self._register
        return report

    def make(self, source: OpenSlice) -> SliceReport:
        """Append a slice that is open already, in a turn of its own."""
        with self.held() as (session, state):
            return self._appended(source, session, state)
