"""Slices that are there already: recognised by their labels, and by comparing what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zapz.checks import Reading, same_cells
from zapz.chunks import fill_cells, region
from zapz.compat import meaning_of
from zapz.config import Config
from zapz.errors import LabelError
from zapz.labels import Labels, Line
from zapz.sources.stores import Source
from zapz.steps import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A slice that a dry run has planned before: it would be there."""

    source: Source
    """The slice."""
    labels: tuple[Labels, ...]
    """Its labels."""


def outcome_of(
    target: Reading,
    source: Source,
    placement: Placement,
    labels: Sequence[Labels],
    config: Config,
    length: int,
    earlier: Sequence[Planned],
) -> str | None:
    """Return "already" or "skipped" if all labels of a slice are in the target; None if it is new.

    Args:
        target: The target.
        source: The slice.
        placement: Where it would go.
        labels: What was read of labels, per label variable.
        config: Settings.
        length: Number of steps that the target really has.
        earlier: What a dry run has planned before.

    Raises:
        LabelError: Some labels are there and some are not, or all are, with other values.
    """
    if not labels or config.label_order == "any":
        return None
    for planned in earlier:
        if _same_labels(planned.labels, labels):
            same = planned.source.uri == source.uri
            there = Reading(planned.source.store, planned.source.dataset)
            return _decide(there, source, replace(placement, offset=0), labels[0], 0, config, same=same)
    if not length:
        return None
    starts = {found.path: _start(target, found, length, source.uri) for found in labels}
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
    start = next(iter(starts.values())) or 0
    return _decide(target, source, replace(placement, offset=start), labels[0], start, config, same=False)


def _same_labels(a: Sequence[Labels], b: Sequence[Labels]) -> bool:
    return [(x.path, x.new.values) for x in a] == [(x.path, x.new.values) for x in b]


def _decide(
    there: Reading, source: Source, placement: Placement, labels: Labels, start: int, config: Config, *, same: bool
) -> str:
    if config.on_existing == "skip":
        return "skipped"
    found = f"{labels.new.text(0)} at index {start}"
    if config.on_existing == "refuse":
        hint = 'on_existing = "resume" or "skip" passes over it.'
        raise LabelError(
            "the slice's labels are in the target already", where=f"{source.uri}, {labels.path}", found=found, hint=hint
        )
    differs = None if same else equals_there(there, source, placement)
    if differs is None:
        return "already"
    raise LabelError(
        "the slice's labels are in the target already, with other values",
        where=f"{source.uri}, {differs}",
        found=found,
        hint='Replacing is not appending. Set on_existing = "skip" to pass over it.',
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
        raise LabelError(
            "some labels of the slice are in the target already, but not all",
            where=f"{where}, {labels.path}",
            expected=f"labels {'before' if old.falls else 'after'} {old.text(-1)}",
            found=f"{new.text(0)} to {new.text(-1)}",
            hint="Cut the slice, or append it to another target.",
        )
    return start


def find(target: Reading, path: str, labels: Line, length: int) -> int | None:
    """Return where the target's labels begin to equal a slice's first one; None if they nowhere do.

    Labels are sorted, so few chunks of them are read, however many there are; only where some are missing, more are.
    """
    array = target.dataset.arrays[path]
    reader = target.reader(path)
    meaning, fill = meaning_of(target.dataset, path), fill_cells(array)
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


def equals_there(target: Reading, source: Source, placement: Placement) -> str | None:
    """Compare the first and last chunk of each variable of a slice with what the target holds at the placement's offset.

    Returns:
        The path of a variable that differs, or None.
    """
    mine = Reading(source.store, source.dataset)
    for path, meaning in placement.conversions.items():
        array = source.dataset.arrays[path]
        axis = array.axis(placement.dim)
        if axis is None or not all(array.units.counts):
            continue
        last = tuple(n - 1 for n in array.units.counts)
        for unit in {tuple(0 for _ in last), last}:
            box = array.units.box(unit)
            there = tuple(
                (a + placement.offset, b + placement.offset) if i == axis else (a, b) for i, (a, b) in enumerate(box)
            )
            if not same_cells(meaning.apply(mine.cells(path, box)), target.cells(path, there)):
                return path
    return None
