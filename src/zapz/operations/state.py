"""What one call knows about its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zapz.checks.already_appended import LabelIndex, Planned
from zapz.checks.reading import Reading
from zapz.format.metadata import Dataset
from zapz.planning.labels import Labels, Line
from zapz.planning.plan import Plan
from zapz.txn.register import Commit


@dataclass(slots=True, eq=False)
class State:
    """What is known about the target while its lock is held."""

    dataset: Dataset | None
    """The dataset; None if the target does not exist, or is to be replaced."""
    last: dict[str, Line] = field(default_factory=dict)
    """The first label and the last two, by variable."""
    length: int = 0
    """Length along the append dimension, in steps."""
    planned: list[Planned] = field(default_factory=list)
    """Slices that a dry run has planned, in order."""
    after: dict[str, LabelIndex] = field(default_factory=dict)
    """Labels of slices that are planned, or were inspected, and that follow the target's labels, by
    variable."""
    register: list[Commit] = field(default_factory=list)
    """The last commits of earlier calls."""
    home: Reading | None = None
    """In a dry run that would create the target: the slice that it would be created from."""
    indexes: dict[str, LabelIndex] = field(default_factory=dict)
    """All labels, by variable, where they have been read because they have no order."""
    old: Dataset | None = None
    """The existing dataset that a new target replaces (``force_new``); else None."""

    def advance(self, plan: Plan, labels: Sequence[Labels]) -> None:
        """Update the state after an append."""
        values = {found.path: found.new.values for found in labels}
        for path, index in self.indexes.items():
            index.extend(values.get(path, [None] * plan.placement.length))
        self.note_labels(labels)
        for path in plan.arrays.keys() - {found.path for found in labels}:
            self.last.pop(path, None)
        self.dataset = plan.after

    def note_following(self, labels: Sequence[Labels], length: int) -> None:
        """Record a slice that is planned, or was inspected: its labels, and its length in steps."""
        before = max((len(index.values) for index in self.after.values()), default=0)
        for found in labels:
            if found.path not in self.after:
                self.after[found.path] = LabelIndex()
                self.after[found.path].extend([None] * before)
        values = {found.path: found.new.values for found in labels}
        for path, index in self.after.items():
            index.extend(values.get(path, [None] * length))

    def note_labels(self, labels: Sequence[Labels]) -> None:
        """Record labels as the target's last labels."""
        for found in labels:
            self.last[found.path] = found.old.joined(found.new)
