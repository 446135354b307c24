"""One call of ``append``: lock, recover, and append each slice as a transaction of its own."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from zapz.config.settings import Config, remarks
from zapz.errors import ConfigError, SliceError, ZapzError, printable
from zapz.operations.append_slice import SliceAppender
from zapz.operations.run_plan import Watch
from zapz.operations.slice_feed import SliceFeed
from zapz.operations.state import State
from zapz.operations.target import open_target
from zapz.operations.target_state import length_of
from zapz.operations.target_turn import TargetTurns
from zapz.planning import config_checks
from zapz.planning.plan import Plan
from zapz.reports import Progress, Recovery, Report, SliceReport, total
from zapz.sources.open_slice import OpenSlice
from zapz.sources.opener import are_known, are_places, items_of

_LOG = logging.getLogger("zapz")
_NOTHING = {
    "empty": "an empty slice",
    "already": "a slice that is already in the target",
    "skipped": "a slice whose labels are already in the target",
}
"""Why there is nothing to plan, by outcome."""


OnSlice = Callable[[SliceReport], object]
"""Called after each slice with its report."""
OnPhase = Callable[[Progress], object]
"""Called with where a run is."""
OnRecovery = Callable[[Recovery], object]
"""Called with what an earlier run had left."""
OnProgress = Callable[[int, int], object]
"""Called with chunks done and chunks in all."""


class Cancel(Protocol):
    """A flag that stops an append, set from another thread; for example a ``threading.Event``."""

    def is_set(self) -> bool:
        """Return whether the append is to stop."""


class Appender:
    """One call of ``append``."""

    def __init__(
        self,
        target: object,
        config: Config,
        on_slice: OnSlice | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancel | None = None,
        on_phase: OnPhase | None = None,
        on_recovery: OnRecovery | None = None,
        *,
        explain: bool = False,
    ) -> None:
        config_checks.check_config(config)
        self.config = config
        self.store = open_target(target, config)
        callbacks = {"on_slice": on_slice, "on_progress": on_progress, "on_phase": on_phase, "on_recovery": on_recovery}
        for name, callback in callbacks.items():
            if callback is not None and not callable(callback):
                raise ConfigError("not callable", where=name, found=type(callback).__name__)
        if cancel is not None and not callable(getattr(cancel, "is_set", None)):
            raise ConfigError(
                "object has no is_set()", where="cancel", expected="a threading.Event", found=type(cancel).__name__
            )
        cancelled = cancel.is_set if cancel is not None else None
        self._on_slice = on_slice
        self._watch = Watch(on_progress, cancelled, on_phase, on_recovery, explain=explain)
        self._turns = TargetTurns(self.store, config, self._watch)
        self._slices = SliceFeed(self._turns, config, self._watch)
        self._appender = SliceAppender(self._turns, config, self._watch)

    def run(self, slices: Any) -> Report:
        """Append all slices, or plan them in a dry run; errors have the report so far.

        Raises:
            ZapzError: As ``zapz.append``.
        """
        started = time.perf_counter()
        reports: list[SliceReport] = []
        try:
            length = self._run(slices, reports)
        except ZapzError as error:
            error.report = self._total(reports, reports[-1].length if reports else 0, started)
            raise
        return self._total(reports, length, started)

    def _total(self, reports: list[SliceReport], length: int, started: float) -> Report:
        report = total(self.store.uri, reports, length, self._turns.recovered, time.perf_counter() - started)
        return replace(report, notes=(*remarks(self.config), *self._turns.notes))

    def _run(self, slices: Any, reports: list[SliceReport]) -> int:
        """Append all slices, and return the target's length in steps."""
        items = items_of(slices)
        if self.config.slice_order == "labels":
            items = self._turns.looked(partial(self._slices.sort, items))
        self._turns.decider.expect(items)
        self._watch.expect(items)
        if self.config.dry_run:
            run = self._run_dry
        elif are_places(items, self.config):
            run = self._run_held
        else:
            run = self._run_apart
        length = run(items, reports)
        return length_of(self._turns.reader.look(), self.config) if length is None else length

    def _run_dry(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Plan every slice; all stay open, because later slices are compared with earlier ones."""
        state = self._turns.look_only()
        self._look(items, state)
        with contextlib.ExitStack() as kept:

            def keep(opened: OpenSlice, _: BaseException | None) -> None:
                kept.push(lambda kind, error, trace: opened.close(error))  # noqa: ARG005 - the arguments of an exit callback

            with self._slices.feed(items, keep) as feed:
                for opened in feed:
                    self._report(self._appender.plan(opened, state), reports)
            return length_of(state, self.config)

    def _run_held(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Append slices that only need to be opened, while the target is held once."""
        if not items:
            return None
        with self._turns.held() as (session, state), contextlib.ExitStack() as stack:
            self._look(items, state)
            feed = stack.enter_context(self._slices.feed(items))
            for opened in feed:
                self._report(self._appender.append(opened, session, state), reports)
            return length_of(state, self.config)

    def _run_apart(self, items: Iterable[Any], reports: list[SliceReport]) -> int | None:
        """Append slices that must be waited for or computed; the target is not held during that."""
        self._turns.looked(partial(self._look, items))  # inspect them before slices are computed
        length: int | None = None
        with self._slices.feed(items) as feed:
            for opened in feed:
                self._slices.make_ready(opened)
                with self._turns.held() as (session, state):
                    self._report(self._appender.append(opened, session, state), reports)
                    length = length_of(state, self.config)
        return length

    def _look(self, items: Iterable[Any], state: State) -> None:
        """Inspect all known slices, if there are several, before the first is written."""
        if are_known(items, self.config) and len(items) > 1:
            self._slices.look(items, state)

    def _report(self, report: SliceReport, reports: list[SliceReport]) -> None:
        reports.append(report)
        counts = (report.steps, report.copied_chunks, report.encoded_chunks, report.bytes_written, report.seconds)
        words = "%s: %s %s: %d steps, %d chunks copied, %d encoded, %d bytes, %.2f s"
        _LOG.info(words, printable(self.store.uri), report.outcome, printable(report.slice), *counts)
        if self._on_slice is not None:
            self._on_slice(report)

    def plan(self, item: Any) -> Plan:
        """Plan the append of one slice.

        Raises:
            SliceError: The slice cannot be appended, or there is nothing to append.
            ZapzError: As ``zapz.plan``.
        """
        with self._slices.feed([item]) as feed:
            prepared = self._turns.decider.decide(next(feed), self._turns.look_only())
        if prepared.plan is None:
            raise SliceError("nothing to plan", where=prepared.source.uri, found=_NOTHING[prepared.outcome.name])
        return prepared.plan

    def execute(self, plan: Plan, item: Any) -> Report:
        """Execute a plan with its own slice, or with ``item`` unless that is None.

        Raises:
            ConflictError: The slice or the target does not match the plan.
            ZapzError: As ``zapz.append``.
        """
        from zapz.operations.execute_plan import execute_plan  # imported where used: most runs plan themselves

        self._turns.reader.replaces = False  # the plan itself defines the target that it needs
        started = time.perf_counter()
        with self._slices.feed([plan.slice_uri if item is None else item]) as feed:
            report = execute_plan(plan, next(feed), self._turns.held, self.config, self.store)
        length = plan.placement.offset + plan.placement.length
        return total(plan.target_uri, [report], length, self._turns.recovered, time.perf_counter() - started)
