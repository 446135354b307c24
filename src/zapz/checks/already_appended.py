"""Recognise slices that are already in the target, by their labels and by comparing data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from zapz.checks.budget import Budget
from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.errors import LabelError
from zapz.format.fill_cells import fill_cells
from zapz.planning.labels import Labels, Line
from zapz.planning.placement import Placement
from zapz.reports import Compared, SliceOutcome
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import region
from zapz.storage.uris import canonical_uri
from zapz.txn.register import Commit

if TYPE_CHECKING:
    from zapz.checks.comparing import Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """A slice that a dry run has planned: later slices are checked as if it were appended."""

    source: OpenSlice
    """The slice."""
    labels: tuple[Labels, ...]
    """Its labels."""
    placement: Placement
    """Where it would be placed."""


class LabelIndex:
    """All labels of a variable and their indices; for labels without an order."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Any, list[int]] = {}

    def extend(self, values: Sequence[Any]) -> None:
        """Add labels at the end."""
        for place, value in enumerate(values, len(self.values)):
            self._places.setdefault(value, []).append(place)
        self.values += values

    def holds(self, values: Sequence[Any]) -> bool:
        """Return whether these labels occur consecutively."""
        starts = self.places(values[0]) if values else []
        return any(self.values[start : start + len(values)] == values for start in starts)

    def places(self, value: Any) -> list[int]:
        """Return the indices of a label."""
        return self._places.get(value, [])


@dataclass(slots=True, kw_only=True, eq=False)
class There:
    """What is already in the target, or would be in a dry run."""

    target: Reading
    """The target."""
    length: int
    """Number of steps in the target, without planned slices."""
    planned: Sequence[Planned] = ()
    """The slices that a dry run has planned so far."""
    after: Mapping[str, LabelIndex] = field(default_factory=dict)
    """Labels of slices that are planned, or were inspected, and that follow the target's labels, by
    variable."""
    indexes: dict[str, LabelIndex] = field(default_factory=dict)
    """All labels by variable, including planned slices, where they have been read. Labels without
    an order can be found in no other way."""
    budget: Budget
    """What may still be read for comparisons."""

    def index(self, labels: Labels) -> LabelIndex:
        """Return all labels of a variable; read them at the first call."""
        if labels.path not in self.indexes:
            found = self.indexes[labels.path] = LabelIndex()
            if self.length:
                stored = self.target.rows(labels.path, 0, 0, self.length)
                found.extend(Line.of(labels.new.encoding, stored).values)
            for earlier in self.planned:
                values = {each.path: each.new.values for each in earlier.labels}
                found.extend(values.get(labels.path, [None] * earlier.placement.length))
        return self.indexes[labels.path]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """The outcome for a slice that is already there."""

    name: SliceOutcome = "planned"
    """Its name in reports."""
    compared: Compared | None = None
    """What has been compared, if the slice is there already; None if nothing was."""


def fingerprint_of(uri: str, documents: Mapping[str, bytes]) -> str:
    """Return a digest of a slice's URI and documents; it identifies a slice without labels."""
    digest = hashlib.sha256(os.fsencode(uri))
    for key, data in sorted(documents.items()):
        digest.update(f"\0{key}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:32]


def recall(
    there: There, source: OpenSlice, placement: Placement, register: list[Commit], config: Config
) -> Outcome | None:
    """Return the outcome for a slice without labels that was appended before; None if it is new.

    Args:
        there: What is already in the target.
        source: The slice.
        placement: Where the slice would be placed.
        register: The commits of earlier calls; the recognised commit is removed.
        config: Settings.

    Raises:
        LabelError: The slice is already there, and ``on_existing`` is "refuse".
    """
    mark = fingerprint_of(canonical_uri(source.uri), source.dataset.documents)
    for commit in register:
        end = commit.offset + commit.length
        if commit.fingerprint != mark or commit.length != placement.length or end > there.length:
            continue
        from zapz.checks.comparing import Difference, Side, compare  # imported where used: new slices do not need it

        side = Side(reading=there.target, meanings={}, offset=commit.offset, length=commit.length)
        found = compare(side, source, placement, replace(there.budget, whole=True))
        if isinstance(found, Difference):
            continue
        register.remove(commit)
        if config.on_existing == "refuse":
            raise LabelError(
                "the slice was already appended",
                where=source.uri,
                found=f"the slice at index {commit.offset}",
                hint="{on_existing} accepts slices that are already there.",
                remedies={"on_existing": "resume"},
            )
        return Outcome(name="skipped") if config.on_existing == "skip" else Outcome(name="already", compared=found)
    return None


def outcome_of(
    there: There, source: OpenSlice, placement: Placement, labels: Sequence[Labels], config: Config
) -> Outcome | None:
    """Return the outcome for a slice whose labels are all in the target; None if it is new.

    Args:
        there: What is already in the target.
        source: The slice.
        placement: Where the slice would be placed.
        labels: The labels of slice and target, per label variable.
        config: Settings.

    Raises:
        LabelError: Only some labels are there; or all are there with other values; or
            ``on_existing`` is "refuse".
    """
    if not labels:
        return None
    if config.label_order == "any":
        starts = {found.path: _start_in_any_order(there.index(found), found, source.uri) for found in labels}
    else:
        starts = {found.path: _start(there, found, source.uri) for found in labels}
    places = set(starts.values())
    if places == {None}:
        return None
    if len(places) > 1:
        if None in places:
            new, old = (next(p for p, s in starts.items() if (s is None) is missing) for missing in (True, False))
            found = f"labels of {old} in the target, but not those of {new}"
        else:
            found = f"labels of {' and '.join(starts)} at different indices"
        raise LabelError(
            "labels of one group are already in the target, those of another group are not",
            where=source.uri,
            expected="all of them, at the same index, or none",
            found=found,
            hint="Remove the steps that are already there from the slice, or append it to another target.",
        )
    return _decide(there, labels[0], next(iter(starts.values())) or 0, source, placement, config)


def _start_in_any_order(index: LabelIndex, labels: Labels, where: str) -> int | None:
    """Return the index at which labels without an order begin; None if none of them is there.

    Raises:
        LabelError: Only some of them are there, or they are there in another order.
    """
    new = labels.new.values
    if not new or None in new:
        return None
    places = [index.places(value) for value in new]
    if not any(places):
        return None
    for start in places[0]:
        if index.values[start : start + len(new)] == new:
            return start
    known = next(i for i, found in enumerate(places) if found)
    text = f"{labels.new.text(known)} at index {places[known][0]}"
    if all(places):
        raise LabelError(
            "the labels of the slice are already in the target, in another order",
            where=f"{where}, {labels.path}",
            expected="all of them, consecutive as in the slice, or none",
            found=text,
            hint="Split the slice, or append it to another target.",
        )
    other = labels.new.text(next(i for i, found in enumerate(places) if not found))
    raise LabelError(
        "some labels of the slice are already in the target, but not all",
        where=f"{where}, {labels.path}",
        expected="all of them, or none",
        found=f"{text}, but not {other}",
        hint="Remove the steps that are already there from the slice, or append it to another target.",
    )


def _sides(there: There, start: int, length: int) -> Iterator[Side]:
    """Yield what contains ``length`` steps from ``start`` on: the target, then planned slices."""
    from zapz.checks.comparing import Side  # imported where used: new slices do not need it

    if start < there.length:
        own = min(start + length, there.length) - start
        yield Side(reading=there.target, meanings={}, offset=start, length=own)
    base = there.length
    for planned in there.planned:
        first, stop = max(start, base), min(start + length, base + planned.placement.length)
        if first < stop:
            reading = Reading(planned.source.store, planned.source.dataset)
            meanings = planned.placement.conversions
            span = {"offset": first - base, "length": stop - first, "start": first - start, "base": base}
            yield Side(reading=reading, meanings=meanings, **span)
        base += planned.placement.length


def _decide(
    there: There, labels: Labels, start: int, source: OpenSlice, placement: Placement, config: Config
) -> Outcome:
    if config.on_existing == "skip":
        return Outcome(name="skipped")
    found = f"{labels.new.text(0)} at index {start}"
    if config.on_existing == "refuse":
        raise LabelError(
            "the slice's labels are already in the target",
            where=f"{source.uri}, {labels.path}",
            found=found,
            hint="{on_existing} accepts slices that are already there.",
            remedies={"on_existing": "resume"},
        )
    from zapz.checks.comparing import Difference, compare  # imported where used: new slices do not need it

    total = Compared()
    for side in _sides(there, start, placement.length):
        result = compare(side, source, placement, there.budget)
        if isinstance(result, Difference):
            raise LabelError(
                "the slice's labels are already in the target, with other values",
                where=f"{source.uri}, {result.path}",
                expected=f"{result.target_value} at {result.place}, as in the target",
                found=f"{result.slice_value} in the slice, whose labels begin at {labels.new.text(0)} ({result.extent})",
                hint="{on_existing} skips the slice and keeps the target's values.",
                remedies={"on_existing": "skip"},
            )
        total = total.plus(result)
    return Outcome(name="already", compared=total)


def _partly(labels: Labels, where: str) -> LabelError:
    new, old = labels.new, labels.old
    return LabelError(
        "some labels of the slice are already in the target, but not all",
        where=f"{where}, {labels.path}",
        expected=f"labels {'before' if old.falls else 'after'} {old.text(-1)}",
        found=f"{new.text(0)} to {new.text(-1)}",
        hint="Remove the steps that are already there from the slice, or append it to another target.",
    )


def _start(there: There, labels: Labels, where: str) -> int | None:
    """Return the index at which a slice's labels are; None if the first is not there.

    They are in the target, after it in slices that are planned or were inspected, or in both.
    """
    new, old, length = labels.new, labels.old, there.length
    known = old.known
    after = there.after.get(labels.path) or LabelIndex()
    if new.values and new.values[0] is not None and (places := after.places(new.values[0])):
        if after.values[places[0] : places[0] + len(new.values)] != new.values:
            raise _partly(labels, where)
        return length + places[0]
    if not length or not known or not new.values or None in new.values or new.kind == "others" or new.kind != old.kind:
        return None
    if (new.values[0] < known[-1]) if old.falls else (new.values[0] > known[-1]):
        return None
    start = find(there.target, labels.path, new, length)
    if start is None:
        return None
    stop = start + len(new.values)
    stored = Line.of(new.encoding, there.target.rows(labels.path, 0, start, min(stop, length))).values
    if stored + after.values[: max(0, stop - length)] != new.values:
        raise _partly(labels, where)
    return start


def find(target: Reading, path: str, labels: Line, length: int) -> int | None:
    """Return the index of a slice's first label in the target; None if it is not there.

    Labels are sorted, so a binary search reads few chunks; more only where labels are missing.
    """
    array = target.dataset.arrays[path]
    reader = target.reader(path)
    meaning, fill = labels.encoding, fill_cells(array)
    chunk = array.units.chunks[0]
    wanted = labels.values[0]

    def line(number: int) -> Line:
        box = ((number * chunk, min((number + 1) * chunk, length)),)
        return Line.of(meaning, region(reader, box, fill))

    low, high = 0, (length - 1) // chunk
    first, last = line(low).known, line(high).known
    sortable = bool(first and last)
    falls = sortable and last[-1] < first[0]
    while sortable and low < high:
        middle = (low + high + 1) // 2
        known = line(middle).known
        sortable = bool(known)
        if sortable and ((known[0] >= wanted) if falls else (known[0] <= wanted)):
            low = middle
        else:
            high = middle - 1
    numbers = [low] if sortable else range((length - 1) // chunk, -1, -1)
    for number in numbers:
        values = line(number).values
        if wanted in values:
            return number * chunk + values.index(wanted)
    return None
