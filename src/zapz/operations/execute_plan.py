"""Execute a plan that was created earlier, possibly by another process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from zapz.checks.character_arrays import in_form_of
from zapz.checks.reading import Reading, check_level_labels, digest_of, read_labels
from zapz.config.settings import Config
from zapz.errors import ConflictError
from zapz.operations.run_plan import counted, run_plan
from zapz.operations.single_steps import with_dimension
from zapz.operations.state import State
from zapz.planning.plan import Plan
from zapz.reports import SliceReport
from zapz.sources.open_slice import OpenSlice
from zapz.storage.requirements import Requirements
from zapz.storage.store import Store
from zapz.txn.protocol import Session


def execute_plan(
    plan: Plan,
    source: OpenSlice,
    held: Callable[[], AbstractContextManager[tuple[Session, State]]],
    config: Config,
    store: Store,
) -> SliceReport:
    """Execute a plan.

    Args:
        plan: The plan.
        source: The slice that was planned.
        held: Takes the target's lock and reads the target.
        config: Settings.
        store: The target.

    Raises:
        ConflictError: The slice or the target does not match the plan.
        ZapzError: As ``zapz.append``.
    """
    source = replace(source, without=None)
    settings = replace(config, append_dim=plan.placement.dim, append_label=plan.append_label)
    if plan.placement.paths:
        from zapz.sources.renamed import renamed  # imported where used: most slices are presented as they are stored

        source = renamed(source, plan.placement.paths)
    source = with_dimension(source, None if plan.creates else plan.before, settings)
    if not plan.creates:
        source = in_form_of(source, plan.before, plan.placement.dim)
    if not source.is_unchanged(plan.slice.documents):
        what = "the slice does not match the plan"
        raise ConflictError(what, where=plan.slice_uri, hint="Plan again.")
    with held() as (session, state):
        if plan.creates and state.dataset is not None:
            what, hint = "the plan creates a target that already exists", "Plan again, or append with force_new."
            raise ConflictError(what, where=plan.target_uri, hint=hint)
        if Requirements(plan.base).violations(state.dataset.documents if state.dataset is not None else {}):
            what = "the target has changed since it was planned"
            raise ConflictError(what, where=plan.target_uri, hint="Plan again.")
        unread = replace(plan.placement, offset=0)  # the target's own labels are not needed
        before = Reading(store, plan.before)
        labels = read_labels(before, source, unread, {}, config)
        check_level_labels(before, source, unread, labels, set())
        if digest_of(labels) != plan.placement.labels:
            what = "the slice's labels do not match the plan"
            raise ConflictError(what, where=plan.slice_uri, hint="Plan again.")
        counts = run_plan(plan, source, session, config, store)
    report = SliceReport(slice=plan.slice_uri, outcome="planned", steps=plan.placement.length, notes=counts.notes)
    return counted(report, counts)
