"""Decide everything about one slice: where it goes, whether it is there already, what is written; nothing is written here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zapz.checks.already_appended import LabelIndex, Planned, There, outcome_of, recall
from zapz.checks.character_arrays import in_form_of
from zapz.checks.comparing import Budget, Compared
from zapz.checks.reading import Reading, digest_of, hidden, read_labels
from zapz.checks.static import StaticVariables
from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.planning import compatibility, new_target
from zapz.planning import label_order as labelling
from zapz.planning.documents import changed_documents, grown
from zapz.planning.placement import Placement
from zapz.planning.plan import Plan, make_plan
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import Cells
from zapz.storage.store import Store
from zapz.txn.register import Commit


@dataclass(slots=True)
class State:
    """What is known of the target while its lock is held."""

    dataset: Dataset | None
    last: dict[str, Cells] = field(default_factory=dict)
    length: int = 0
    planned: list[Planned] = field(default_factory=list)
    register: list[Commit] = field(default_factory=list)
    home: Reading | None = None
    indexes: dict[str, LabelIndex] = field(default_factory=dict)
    """All labels, where they have been read because they have no order."""
    old: Dataset | None = None
    """What is there, and is to be replaced by a new target (``force_new``)."""

    def advance(self, plan: Plan, labels: Sequence[labelling.Labels]) -> None:
        """Take over what an append has made of the target."""
        values = {found.path: found.new.values for found in labels}
        for path, index in self.indexes.items():
            index.extend(values.get(path, [None] * plan.placement.length))
        for found in labels:
            self.last[found.path] = np.concatenate([found.old.stored, found.new.stored])[-2:]
        for path in plan.arrays.keys() - {found.path for found in labels}:
            self.last.pop(path, None)
        self.dataset = plan.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A slice about which everything is decided."""

    source: OpenSlice
    placement: Placement
    outcome: str = ""
    compared: Compared | None = None
    labels: tuple[labelling.Labels, ...] = ()
    plan: Plan | None = None


class Decider:
    """Decides for one target, in one call."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self.static = StaticVariables()
        """What has been compared since the target's lock was taken."""
        self.budget = Budget.of(config)
        """What comparing slices that are there already may still cost."""

    def expect(self, items: Iterable[Any]) -> None:
        """Take note of how many slices will come, if that is known."""
        self.budget.slices = len(items) if isinstance(items, Sequence) else None

    def decide(self, source: OpenSlice, state: State) -> Prepared:
        """Decide everything about a slice; nothing is written."""
        creates = state.dataset is None
        source, before, placement = self.place(source, state)
        prepared = Prepared(source=source, placement=placement)
        if placement.length == 0:
            return replace(prepared, outcome="empty")
        target = Reading(self._store, before)
        known = (
            {path: np.empty(0, before.arrays[path].dtype) for path in before.lengths(placement.dim)}
            if creates
            else state.last
        )
        labels = read_labels(target, source, placement, known)
        length = 0 if creates else state.length
        there = self._there(target, state, length)
        outcome = outcome_of(there, source, placement, labels, self._config)
        if outcome is None and source.has_place and state.register and not labels:
            outcome = recall(there, source, placement, state.register, self._config)
        if outcome is not None:
            return replace(prepared, outcome=outcome.name, compared=outcome.compared)
        for found in labels:
            labelling.check_labels(found, self._config, source.uri)
        placement = replace(placement, labels=digest_of(labels))
        plan = self._plan(source, target, placement, labels, creates=creates)
        if not creates:
            self.static.check(state.home or target, source, placement, self._config)
        return replace(prepared, labels=tuple(labels), plan=plan)

    def _there(self, target: Reading, state: State, length: int) -> There:
        return There(target=target, length=length, planned=state.planned, indexes=state.indexes, budget=self.budget)

    def _attributes(
        self, source: OpenSlice, target: Reading, placement: Placement, *, creates: bool
    ) -> dict[str, dict[str, Any]]:
        if not self._config.attrs and not self._config.variables:
            return {}
        from zapz.checks.configured_attributes import (  # imported where used: most appends do without
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
        labels: Sequence[labelling.Labels],
        *,
        creates: bool,
    ) -> Plan:
        config, stop, before = self._config, placement.offset + placement.length, target.dataset
        attributes = self._attributes(source, target, placement, creates=creates)
        unfilled = [found.path for found in labels if hidden(target, found.path, found.new.stored, source.uri)]
        documents = changed_documents(
            before, source.dataset, config, stop, creates=creates, attributes=attributes, unfilled=unfilled
        )
        known = not creates and not attributes and not unfilled and config.attrs_update_mode in {"keep", "ignore"}
        return make_plan(
            target_uri=self._store.uri,
            slice_uri=source.uri,
            creates=creates,
            before=before,
            slice_=source.dataset,
            placement=placement,
            documents=documents,
            recompress=config.recompress,
            after=grown(before, documents, placement.dim, stop) if known else None,
        )

    def glance(self, source: OpenSlice, state: State) -> Placement | None:
        """Decide as much as can be seen without the slice's data: form and labels; return None if they will not be needed.

        Raises:
            SliceError: It may not follow.
        """
        source, before, placement = self.place(source, state)
        if state.dataset is None or not placement.length:
            return placement if placement.length else None
        target = Reading(self._store, before)
        labels = read_labels(target, source, placement, state.last)
        by_labels = replace(self._config, on_existing="refuse" if self._config.on_existing == "refuse" else "skip")
        if outcome_of(self._there(target, state, state.length), source, placement, labels, by_labels) is not None:
            return placement if self._config.on_existing == "resume" else None
        for found in labels:
            labelling.check_labels(found, self._config, source.uri)
        return placement

    def place(self, source: OpenSlice, state: State) -> tuple[OpenSlice, Dataset, Placement]:
        """Return the slice as the target sees it, the target, or its form if it is made, and where the slice goes."""
        creates, before = state.dataset is None, state.dataset
        if before is None:
            before = new_target.new_target(source.dataset, self._config, source.encodings)
        else:
            source = in_form_of(source, before, self._config.append_dim)
        chosen = {path for path, wish in source.encodings.items() if "dtype" in wish}
        placed = compatibility.place(before, source.dataset, self._config, source.uri, creates=creates, chosen=chosen)
        return source, before, placed
