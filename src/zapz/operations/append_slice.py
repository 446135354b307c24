"""Append one slice: plan it, and execute the plan as a transaction; or only plan it."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from zapz.checks.already_appended import Planned
from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.errors import ZapzError
from zapz.execution.writer import Counts
from zapz.format.metadata import Dataset
from zapz.operations.plan_slice import Prepared
from zapz.operations.run_plan import Watch, counted, run_plan
from zapz.operations.state import State
from zapz.operations.target_state import TURNS
from zapz.operations.target_turn import TargetTurns
from zapz.reports import SliceReport
from zapz.sources.open_slice import OpenSlice
from zapz.txn.protocol import HeadMovedError, Session

if TYPE_CHECKING:
    from zapz.operations.foresee import Foresight


class SliceAppender:
    """Appends the slices of one call, one at a time."""

    def __init__(self, turns: TargetTurns, config: Config, watch: Watch) -> None:
        self._turns = turns
        self._config = config
        self._watch = watch
        self._said: set[str] = set()
        self._foresight: Foresight | None = None

    def plan(self, source: OpenSlice, state: State) -> SliceReport:
        """Plan a slice in a dry run, as if the slices before it had been appended.

        Raises:
            ZapzError: As ``zapz.append``.
        """
        started = time.perf_counter()
        self._watch.begin(source.called)
        try:
            prepared = self._turns.decider.decide(source, state)
        except ZapzError as error:
            source.name_in(error)
            raise
        plan = prepared.plan
        if plan is None:
            report = self._report(prepared)
        else:
            if self._foresight is None:
                from zapz.operations.foresee import Foresight  # imported where used: appends do without

                self._foresight = Foresight(self._turns.store, ordered=self._config.label_order != "any")
            summary, found = self._foresight.foresee(prepared, plan)
            report = replace(self._report(prepared, found), outcome="planned")
            report = replace(report, plan={**summary, "replaces": state.old is not None})
            state.advance(plan, prepared.labels)
            state.planned.append(Planned(source=prepared.source, labels=prepared.labels, placement=prepared.placement))
            state.note_following(prepared.labels, prepared.placement.length)
            if plan.creates:
                state.home = Reading(source.store, source.dataset)
        return replace(report, seconds=time.perf_counter() - started)

    def append(self, source: OpenSlice, session: Session, state: State) -> SliceReport:
        """Append a slice; read the target and plan again if another writer has appended since.

        Raises:
            ZapzError: As ``zapz.append``.
        """
        started = time.perf_counter()
        if state.old is not None:
            return self._replace(source, session, state, state.old)
        self._watch.begin(source.called)
        try:
            prepared, counts = self._executed(source, session, state)
        except ZapzError as error:
            source.name_in(error)
            raise
        plan = prepared.plan
        report = self._report(prepared, counts.notes if counts is not None else ())
        if plan is not None and counts is not None:
            report = replace(counted(report, counts), created=plan.creates)
            if self._watch.timing is not None:
                report = replace(report, plan=plan.summary(), times=self._watch.timing.end())
            state.advance(plan, prepared.labels)
            state.length = plan.placement.offset + plan.placement.length
            self._turns.reader.note_appended()
        return replace(report, seconds=time.perf_counter() - started)

    def _executed(self, source: OpenSlice, session: Session, state: State) -> tuple[Prepared, Counts | None]:
        """Plan a slice and execute the plan; repeat both if the target has changed."""
        for remaining in range(TURNS, -1, -1):
            plan = None
            try:
                prepared = self._turns.decider.decide(source, state)
                plan = prepared.plan
                return prepared, None if plan is None else run_plan(
                    plan, prepared.source, session, self._config, self._turns.store, self._watch
                )
            except ZapzError as error:  # data read while another writer wrote may be a mixture of two states
                mixture = plan is None and session.moved()
                if not remaining or not (mixture or isinstance(error, HeadMovedError)):
                    raise
            self._turns.decider.begin_turn()
            fresh = self._turns.reader.look_again(session)
            state.dataset, state.length, state.last, state.indexes = fresh.dataset, fresh.length, {}, {}
        raise AssertionError("the last attempt ends the loop")

    def _replace(self, source: OpenSlice, session: Session, state: State, old: Dataset) -> SliceReport:
        """Create a new target from a slice, and replace the old target with it."""
        config = replace(self._config, force_new=False)
        with session.renewing(old, os.urandom(8).hex()) as replacement:
            turns = TargetTurns(replacement.store, config, self._watch)
            with turns.held() as (inner, empty):
                report = SliceAppender(turns, config, self._watch).append(source, inner, empty)
            if report.outcome != "appended":
                return report
            self._turns.note(replacement.take_place())
        self._turns.read_replacement(session, state)
        return replace(report, created=False)

    def _report(self, prepared: Prepared, more: tuple[str, ...] = ()) -> SliceReport:
        placement, written = prepared.placement, prepared.plan is not None
        notes = tuple(note for note in (*placement.notes, *more) if note not in self._said)
        self._said.update(notes)
        each_time = [f"{path}: filled with missing values" for path in placement.filled if written]
        if prepared.outcome.name == "already":
            each_time += [f"{path}: not compared, the slice lacks it" for path in placement.filled]
        each_time += [
            f"{path}: differs from the target; the target's values are kept (static: ignore)"
            for path in prepared.differing
        ]
        each_time += [
            f"{path}: differs from the target by at most {gap:.2g}; the target's values are kept "
            f"(static: {self._config.static})"
            for path, gap in prepared.tolerated.items()
        ]
        if prepared.plan is not None and not prepared.plan.creates:
            each_time += [f"{path}: rounded to {dtype}" for path, dtype in placement.rounded.items()]
        return SliceReport(
            slice=prepared.source.called,
            outcome=prepared.outcome.name,
            steps=placement.length,
            notes=(*each_time, *notes),
            levels=len(prepared.plan.after.levels) if prepared.plan is not None else 0,
            filled=placement.filled if written else (),
            compared=prepared.outcome.compared,
            length=placement.offset + (placement.length if written else 0),
            last=prepared.last_label,
        )
