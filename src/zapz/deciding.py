"""Decide everything about one slice: where it goes, whether it is there already, what is written; nothing is written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zapz import compat, create
from zapz import labels as labelling
from zapz.checks import Reading, StaticVariables, digest_of, read_labels
from zapz.chunks import Cells
from zapz.config import Config
from zapz.existing import Planned, outcome_of, recall
from zapz.format.metadata import Dataset
from zapz.planning import Plan, make_plan
from zapz.sources.source import SourceStore
from zapz.sources.stores import OpenSlice
from zapz.steps import Placement
from zapz.storage.store import Store
from zapz.txn.head import Commit


@dataclass(slots=True)
class State:
    """What is known of the target while its lock is held."""

    dataset: Dataset | None
    last: dict[str, Cells] = field(default_factory=dict)
    length: int = 0
    planned: list[Planned] = field(default_factory=list)
    register: list[Commit] = field(default_factory=list)
    home: Reading | None = None
    old: Dataset | None = None
    """What is there, and is to be replaced by a new target (``force_new``)."""

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

    source: OpenSlice
    placement: Placement
    outcome: str = ""
    labels: tuple[labelling.Labels, ...] = ()
    plan: Plan | None = None


class Decider:
    """Decides for one target, in one call."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config
        self.static = StaticVariables()
        """What has been compared since the target's lock was taken."""

    def decide(self, source: OpenSlice, state: State) -> Prepared:
        """Decide everything about a slice; nothing is written."""
        creates = state.dataset is None
        before, placement = self.place(source, state)
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
        outcome = outcome_of(target, source, placement, labels, self._config, length, state.planned)
        has_place = not isinstance(source.store, SourceStore)
        if outcome is None and has_place and state.register and (not labels or self._config.label_order == "any"):
            outcome = recall(target, source, placement, state.register, self._config, length)
        if outcome is not None:
            return replace(prepared, outcome=outcome)
        for found in labels:
            labelling.check_labels(found, self._config, source.uri)
        placement = replace(placement, labels=digest_of(labels))
        plan = self._plan(source, target, placement, creates=creates)
        if not creates:
            self.static.check(state.home or target, source, placement, self._config)
        return replace(prepared, labels=tuple(labels), plan=plan)

    def _attributes(
        self, source: OpenSlice, target: Reading, placement: Placement, *, creates: bool
    ) -> dict[str, dict[str, Any]]:
        if not self._config.attrs and not self._config.variables:
            return {}
        from zapz.after import After, configured_attributes  # imported where used: most appends do without

        slice_ = Reading(source.store, source.dataset)
        mode, old = self._config.attrs_update_mode, target.dataset.groups.get("", {})
        new = source.dataset.groups.get("", {})
        updated = old if creates or mode in {"keep", "ignore"} else new if mode == "replace" else {**old, **new}
        after = After(target=target, slice=slice_, placement=placement, creates=creates, attrs=updated)
        return configured_attributes(after, self._config)

    def _plan(self, source: OpenSlice, target: Reading, placement: Placement, *, creates: bool) -> Plan:
        config, stop, before = self._config, placement.offset + placement.length, target.dataset
        attributes = self._attributes(source, target, placement, creates=creates)
        documents = create.changed_documents(
            before, source.dataset, config, stop, creates=creates, attributes=attributes
        )
        known = not creates and not attributes and config.attrs_update_mode in {"keep", "ignore"}
        return make_plan(
            target_uri=self._store.uri,
            slice_uri=source.uri,
            creates=creates,
            before=before,
            slice_=source.dataset,
            placement=placement,
            documents=documents,
            recompress=config.recompress,
            after=create.grown(before, documents, placement.dim, stop) if known else None,
        )

    def glance(self, source: OpenSlice, state: State) -> Placement | None:
        """Decide as much as can be seen without the slice's data: form and labels; return None if they will not be needed.

        Raises:
            SliceError: It may not follow.
        """
        before, placement = self.place(source, state)
        if state.dataset is None or not placement.length:
            return placement if placement.length else None
        target = Reading(self._store, before)
        labels = read_labels(target, source, placement, state.last)
        by_labels = replace(self._config, on_existing="refuse" if self._config.on_existing == "refuse" else "skip")
        if outcome_of(target, source, placement, labels, by_labels, state.length, state.planned) is not None:
            return placement if self._config.on_existing == "resume" else None
        for found in labels:
            labelling.check_labels(found, self._config, source.uri)
        return placement

    def place(self, source: OpenSlice, state: State) -> tuple[Dataset, Placement]:
        """Return the target, or its form if it is made, and where the slice goes."""
        creates, before = state.dataset is None, state.dataset
        if before is None:
            before = create.new_target(source.dataset, self._config, source.encodings)
        chosen = {path for path, wish in source.encodings.items() if "dtype" in wish}
        return before, compat.place(before, source.dataset, self._config, source.uri, creates=creates, chosen=chosen)
