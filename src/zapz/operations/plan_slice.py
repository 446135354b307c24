"""Decide about one slice: is it already there, where is it placed, and what is to be written?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from zapz.checks.already_appended import Outcome, There, outcome_of, recall
from zapz.checks.budget import Budget
from zapz.checks.reading import Reading, check_followers, check_level_labels, digest_of, hidden, read_labels
from zapz.checks.static import StaticVariables
from zapz.config.settings import Config
from zapz.operations.place_slice import Placer
from zapz.operations.state import State
from zapz.planning.documents import changed_documents, grown
from zapz.planning.labels import Labels, day_of
from zapz.planning.placement import Placement
from zapz.planning.plan import Plan, make_plan
from zapz.sources.open_slice import LABEL, OpenSlice
from zapz.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A slice, and everything that was decided about it."""

    source: OpenSlice
    """The slice, in the target's form."""
    placement: Placement
    """Where it is placed."""
    outcome: Outcome = field(default_factory=Outcome)
    """The outcome for the slice: "planned" if there is something to write."""
    labels: tuple[Labels, ...] = ()
    """Its labels, and the target's last labels before it."""
    plan: Plan | None = None
    """What is to be written; None if nothing is."""
    differing: tuple[str, ...] = ()
    """Static variables that differ from the target's and are ignored."""
    tolerated: Mapping[str, float] = field(default_factory=dict)
    """Largest difference of each static variable that differs within the tolerance, in the
    variable's units."""

    @property
    def last_label(self) -> str:
        """The target's last label after the slice, as text; empty if there are no labels."""
        if not self.labels:
            return ""
        line = self.labels[0].old if self.plan is None else self.labels[0].new
        return line.text(-1) if line.values else ""


class Decider:
    """Decides for one target, in one call."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store = store
        """The store from which the target is read."""
        self._config = config
        self._static = StaticVariables()
        self._same_labels: set[str] = set()
        self.placer = Placer(config, store)
        """Decides where slices are placed."""
        self.budget = Budget.of(config)
        """What may still be read to compare slices that are already there."""

    def begin_turn(self) -> None:
        """Forget comparisons that were done before the target's lock was taken."""
        self._static = StaticVariables()
        self._same_labels = set()
        self.placer.begin_turn()

    def expect(self, items: Iterable[Any]) -> None:
        """Record the number of slices, if it is known."""
        self.budget.slices = len(items) if isinstance(items, Sequence) else None

    def decide(self, source: OpenSlice, state: State) -> Prepared:
        """Decide everything about a slice; write nothing.

        Raises:
            SliceError: The slice cannot be appended, or changed since it was inspected.
            ZapzError: The slice or the target cannot be read.
        """
        creates = state.dataset is None
        source, before, placement = self.placer.place(source, state.dataset, proves=True)
        prepared = Prepared(source=source, placement=placement)
        if placement.length == 0:
            return replace(prepared, outcome=Outcome(name="empty"))
        target = Reading(self.store, before)
        labels = read_labels(target, source, placement, {} if creates else state.last, self._config)
        length = 0 if creates else state.length
        there = self.there(target, state, length)
        outcome = outcome_of(there, source, placement, labels, self._config)
        if outcome is None and source.has_place and state.register and not labels:
            outcome = recall(there, source, placement, state.register, self._config)
        if outcome is not None:
            return replace(prepared, outcome=outcome, labels=tuple(labels))
        gaps = check_followers(labels, source, self._config)
        others = check_level_labels(target, source, placement, labels, self._same_labels)
        placement = replace(placement, labels=digest_of(labels), notes=(*placement.notes, *gaps))
        if source.one_step:
            note = source.one_step.replace(LABEL, day_of(labels[0].new.text(0)) if labels else "")
            placement = replace(placement, notes=(note, *placement.notes))
            prepared = replace(prepared, placement=placement)
        plan = self._plan(source, target, placement, labels, others, creates=creates)
        tolerated: Mapping[str, float] = {}
        if not creates:
            tolerated = self._static.check(state.home or target, source, placement, self._config)
        differing: tuple[str, ...] = ()
        if self._config.static == "ignore" and not creates:
            from zapz.checks.ignored_static import differing_static  # imported where used: most appends do not need it

            differing = differing_static(self._static, state.home or target, source, placement, self._config)
        decided = replace(prepared, placement=placement, labels=tuple(labels), plan=plan)
        return replace(decided, differing=differing, tolerated=tolerated)

    def there(self, target: Reading, state: State, length: int) -> There:
        """Return what a slice is compared with to find whether it is already there."""
        return There(
            target=target,
            length=length,
            planned=state.planned,
            after=state.after,
            indexes=state.indexes,
            budget=self.budget,
        )

    def is_there(
        self, source: OpenSlice, placement: Placement, labels: list[Labels], target: Reading, state: State
    ) -> bool:
        """Return whether the slice's labels are already there; data are not compared.

        Raises:
            LabelError: Labels are already there, and ``on_existing`` is "refuse"; or only some of
                them are there.
        """
        there = self.there(target, state, state.length)
        return outcome_of(there, source, placement, labels, self._by_labels) is not None

    @cached_property
    def _by_labels(self) -> Config:
        return replace(self._config, on_existing="refuse" if self._config.on_existing == "refuse" else "skip")

    def _attributes(
        self, source: OpenSlice, target: Reading, placement: Placement, *, creates: bool
    ) -> dict[str, dict[str, Any]]:
        if not self._config.attrs and not self._config.variables:
            return {}
        from zapz.checks.configured_attributes import (  # imported where used: most appends do not need it
            After,
            configured_attributes,
        )

        slice_ = Reading(source.store, source.dataset)
        mode, old = self._config.attrs_update_mode, target.dataset.groups.get("", {})
        new = source.dataset.groups.get("", {})
        updated = old if creates or mode in {"keep", "ignore"} else new if mode == "replace" else {**old, **new}
        after = After(target=target, slice=slice_, placement=placement, creates=creates, attrs=updated)
        return configured_attributes(after, self._config)

    def _plan(
        self,
        source: OpenSlice,
        target: Reading,
        placement: Placement,
        labels: Sequence[Labels],
        others: Mapping[str, Any],
        *,
        creates: bool,
    ) -> Plan:
        config, stop, before = self._config, placement.offset + placement.length, target.dataset
        attributes = self._attributes(source, target, placement, creates=creates)
        stored = {found.path: found.new.stored for found in labels} | {**others}
        unfilled = [path for path, cells in stored.items() if hidden(target, path, cells, source.uri)]
        documents = changed_documents(
            before, source.dataset, config, stop, creates=creates, attributes=attributes, unfilled=unfilled
        )
        known = not creates and not attributes and not unfilled and config.attrs_update_mode in {"keep", "ignore"}
        return make_plan(
            target_uri=self.store.uri,
            slice_uri=source.uri,
            creates=creates,
            before=before,
            slice_=source.dataset,
            placement=placement,
            documents=documents,
            recompress=config.recompress,
            slice_has_place=source.has_place,
            append_label=config.append_label if source.one_step else None,
            after=grown(before, documents, placement.dim, stop) if known else None,
        )

    def glance(self, source: OpenSlice, state: State) -> Placement | None:
        """Decide what can be decided without the slice's data: its form and labels.

        Returns:
            The placement; None if the slice's data will not be needed.

        Raises:
            SliceError: The slice cannot be appended.
        """
        source, before, placement = self.placer.place(source, state.dataset, reads=False)
        if state.dataset is None or not placement.length:
            return placement if placement.length else None
        target = Reading(self.store, before)
        labels = read_labels(target, source, placement, state.last, self._config)
        if self.is_there(source, placement, labels, target, state):
            return placement if self._config.on_existing == "resume" else None
        check_followers(labels, source, self._config)
        return placement
