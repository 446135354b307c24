"""Slices that are there already: recognised by their labels, and by comparing what lies there."""

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
from zapz.planning.labels import Labels, Line
from zapz.planning.placement import Placement
from zapz.reports import Compared, SliceOutcome
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import fill_cells, region
from zapz.storage.uris import canonical_uri
from zapz.txn.register import Commit

if TYPE_CHECKING:
    from zapz.checks.comparing import Side


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """A slice that a dry run has planned before: it would be there."""

    source: OpenSlice
    """The slice."""
    labels: tuple[Labels, ...]
    """Its labels."""
    placement: Placement
    """Where it would go."""


class LabelIndex:
    """All labels of a variable, and where each of them is: what an order would tell otherwise."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Any, list[int]] = {}

    def extend(self, values: Sequence[Any]) -> None:
        """Add labels behind the others."""
        for place, value in enumerate(values, len(self.values)):
            self._places.setdefault(value, []).append(place)
        self.values += values

    def holds(self, values: Sequence[Any]) -> bool:
        """Return whether labels are there, side by side."""
        starts = self.places(values[0]) if values else []
        return any(self.values[start : start + len(values)] == values for start in starts)

    def places(self, value: Any) -> list[int]:
        """Return the indices at which a label is."""
        return self._places.get(value, [])


@dataclass(slots=True, kw_only=True, eq=False)
class There:
    """What is there already, or would be in a dry run."""

    target: Reading
    """The target."""
    length: int
    """Number of steps that it really has."""
    planned: Sequence[Planned] = ()
    """What a dry run has planned before."""
    indexes: dict[str, LabelIndex] = field(default_factory=dict)
    """All labels of label variables, planned ones included, where they have been read: labels in no
    order are found in no other way."""
    budget: Budget
    """What comparing may cost."""

    def index(self, labels: Labels) -> LabelIndex:
        """Return all labels of a variable; they are read once."""
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
    """What becomes of a slice."""

    name: SliceOutcome = "planned"
    """Its name in reports."""
    compared: Compared | None = None
    """What has been compared, if the slice is there already; None if nothing was."""


def fingerprint_of(uri: str, documents: Mapping[str, bytes]) -> str:
    """Return what identifies a slice where it has no labels: a digest of its place and its documents."""
    digest = hashlib.sha256(os.fsencode(uri))
    for key, data in sorted(documents.items()):
        digest.update(f"\0{key}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:32]


def recall(
    there: There, source: OpenSlice, placement: Placement, register: list[Commit], config: Config
) -> Outcome | None:
    """Return what becomes of a slice without labels that was the subject of one of the last commits, and is there; None if it is new.

    Args:
        there: What is there.
        source: The slice.
        placement: Where it would go.
        register: The commits of earlier calls; the one that is recognised is taken out.
        config: Settings.

    Raises:
        LabelError: It is there, and ``on_existing`` says "refuse".
    """
    mark = fingerprint_of(canonical_uri(source.uri), source.dataset.documents)
    for commit in register:
        end = commit.offset + commit.length
        if commit.fingerprint != mark or commit.length != placement.length or end > there.length:
            continue
        from zapz.checks.comparing import Difference, Side, compare  # imported where used: new slices do without

        side = Side(reading=there.target, meanings={}, offset=commit.offset, length=commit.length)
        found = compare(side, source, placement, replace(there.budget, whole=True))
        if isinstance(found, Difference):
            continue
        register.remove(commit)
        if config.on_existing == "refuse":
            raise LabelError(
                "the slice was appended already",
                where=source.uri,
                found=f"at index {commit.offset}",
                hint="{on_existing} passes over what is there already.",
                remedies={"on_existing": "resume"},
            )
        return Outcome(name="skipped") if config.on_existing == "skip" else Outcome(name="already", compared=found)
    return None


def outcome_of(
    there: There, source: OpenSlice, placement: Placement, labels: Sequence[Labels], config: Config
) -> Outcome | None:
    """Return what becomes of a slice all of whose labels are there; None if it is new.

    Args:
        there: What is there.
        source: The slice.
        placement: Where it would go.
        labels: What was read of labels, per label variable.
        config: Settings.

    Raises:
        LabelError: Some labels are there and some are not, or all are, with other values.
    """
    if not labels:
        return None
    if config.label_order == "any":
        starts = {found.path: _start_in_any_order(there.index(found), found, source.uri) for found in labels}
    elif (place := _start_in_planned(there.planned, labels[0], source.uri)) is not None:
        return _decide(there, labels[0], there.length + place, source, placement, config)
    elif not there.length:
        return None
    else:
        starts = {found.path: _start(there.target, found, there.length, source.uri) for found in labels}
    places = set(starts.values())
    if places == {None}:
        return None
    if len(places) > 1:
        new, old = (
            next(p for p, s in starts.items() if (s is None) is missing) if None in places else ""
            for missing in (True, False)
        )
        raise LabelError(
            "labels of one group are in the target already, those of another are not",
            where=source.uri,
            expected="all of them, at one place, or none",
            found=f"{old or ' and '.join(starts)} there, {new or 'at different places'}",
            hint="Cut the slice, or append it to another target.",
        )
    return _decide(there, labels[0], next(iter(starts.values())) or 0, source, placement, config)


def _start_in_any_order(index: LabelIndex, labels: Labels, where: str) -> int | None:
    """Return where labels in no order are; None if none of them is there.

    Raises:
        LabelError: Some are there and others are not, or they are there in another order.
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
            "the labels of the slice are in the target already, in another order",
            where=f"{where}, {labels.path}",
            expected="all of them, side by side as in the slice, or none",
            found=text,
            hint="Cut the slice, or append it to another target.",
        )
    other = labels.new.text(next(i for i, found in enumerate(places) if not found))
    raise LabelError(
        "some labels of the slice are in the target already, but not all",
        where=f"{where}, {labels.path}",
        expected="all of them, or none",
        found=f"{text}, and {other} nowhere",
        hint="Cut the slice, or append it to another target.",
    )


def _start_in_planned(earlier: Sequence[Planned], labels: Labels, where: str) -> int | None:
    """Return the index, counted from the first planned slice, at which a dry run would have put these labels before."""
    values = [
        v for planned in earlier for found in planned.labels if found.path == labels.path for v in found.new.values
    ]
    new = labels.new.values
    if not new or new[0] is None or new[0] not in values:
        return None
    start = values.index(new[0])
    if values[start : start + len(new)] != new:
        raise _partly(labels, where)
    return start


def _sides(there: There, start: int, length: int) -> Iterator[Side]:
    """Yield what holds some steps, counted from the target's first one: the target, and slices that a dry run has planned."""
    from zapz.checks.comparing import Side  # imported where used: new slices do without

    if start < there.length:
        own = min(start + length, there.length) - start
        yield Side(reading=there.target, meanings={}, offset=start, length=own)
    base = there.length
    for planned in there.planned:
        first, stop = max(start, base), min(start + length, base + planned.placement.length)
        if first < stop:
            reading = Reading(planned.source.store, planned.source.dataset)
            meanings = planned.placement.conversions
            yield Side(
                reading=reading, meanings=meanings, offset=first - base, length=stop - first, start=first - start
            )
        base += planned.placement.length


def _decide(
    there: There, labels: Labels, start: int, source: OpenSlice, placement: Placement, config: Config
) -> Outcome:
    if config.on_existing == "skip":
        return Outcome(name="skipped")
    found = f"{labels.new.text(0)} at index {start}"
    if config.on_existing == "refuse":
        raise LabelError(
            "the slice's labels are in the target already",
            where=f"{source.uri}, {labels.path}",
            found=found,
            hint="{on_existing} passes over what is there already.",
            remedies={"on_existing": "resume"},
        )
    from zapz.checks.comparing import Difference, compare  # imported where used: new slices do without

    total = Compared()
    for side in _sides(there, start, placement.length):
        result = compare(side, source, placement, there.budget)
        if isinstance(result, Difference):
            raise LabelError(
                "the slice's labels are in the target already, with other values",
                where=f"{source.uri}, {result.path}",
                expected=f"{result.here} at {result.place}, as in the target",
                found=f"{result.there} in the slice, whose labels begin at {labels.new.text(0)} ({result.extent})",
                hint="{on_existing} passes over the slice, and keeps what is there.",
                remedies={"on_existing": "skip"},
            )
        total = total.plus(result)
    return Outcome(name="already", compared=total)


def _partly(labels: Labels, where: str) -> LabelError:
    new, old = labels.new, labels.old
    return LabelError(
        "some labels of the slice are in the target already, but not all",
        where=f"{where}, {labels.path}",
        expected=f"labels {'before' if old.falls else 'after'} {old.text(-1)}",
        found=f"{new.text(0)} to {new.text(-1)}",
        hint="Cut the slice, or append it to another target.",
    )


def _start(target: Reading, labels: Labels, length: int, where: str) -> int | None:
    """Return the index at which the target holds a slice's labels; None if they come after its own, or nowhere."""
    new, old = labels.new, labels.old
    known = old.known
    if not known or not new.values or None in new.values or new.kind == "others" or new.kind != old.kind:
        return None
    if (new.values[0] < known[-1]) if old.falls else (new.values[0] > known[-1]):
        return None
    start = find(target, labels.path, new, length)
    if start is None:
        return None
    stop = start + len(new.values)
    stored = target.rows(labels.path, 0, start, min(stop, length))
    if stop > length or Line.of(new.encoding, stored).values != new.values:
        raise _partly(labels, where)
    return start


def find(target: Reading, path: str, labels: Line, length: int) -> int | None:
    """Return where the target's labels begin to equal a slice's first one; None if they nowhere do.

    Labels are sorted, so few chunks of them are read, however many there are; only where some are
    missing, more are.
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
