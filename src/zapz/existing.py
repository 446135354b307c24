"""Slices that are there already: recognised by their labels, and by comparing what lies there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from zapz.checks import Reading, same_cells
from zapz.chunks import fill_cells, near, region
from zapz.compat import meaning_of
from zapz.config import Config
from zapz.errors import LabelError
from zapz.format.cf import Conversion
from zapz.format.grid import indices
from zapz.labels import Labels, Line
from zapz.sources.stores import OpenSlice
from zapz.steps import Placement
from zapz.storage.uris import place_of
from zapz.txn.head import Commit


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A slice that a dry run has planned before: it would be there."""

    source: OpenSlice
    """The slice."""
    labels: tuple[Labels, ...]
    """Its labels."""
    placement: Placement
    """Where it would go."""


def fingerprint_of(uri: str, documents: Mapping[str, bytes]) -> str:
    """Return what identifies a slice where it has no labels: a digest of its place and its documents."""
    digest = hashlib.sha256(uri.encode())
    for key, data in sorted(documents.items()):
        digest.update(f"\0{key}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:32]


def recall(
    target: Reading, source: OpenSlice, placement: Placement, register: list[Commit], config: Config, length: int
) -> str | None:
    """Return "already" or "skipped" if a slice without labels was the subject of one of the last commits, and is there; else None.

    Args:
        target: The target.
        source: The slice.
        placement: Where it would go.
        register: The commits of earlier calls; the one that is recognised is taken out.
        config: Settings.
        length: Number of steps that the target has.

    Raises:
        LabelError: It is there, and ``on_existing`` says "refuse".
    """
    mark = fingerprint_of(place_of(source.uri), source.dataset.documents)
    for commit in register:
        if commit.fingerprint != mark or commit.length != placement.length or commit.offset + commit.length > length:
            continue
        placed = replace(placement, offset=commit.offset)
        if _differing(target, {}, source, placed, every=True) is not None:
            continue
        register.remove(commit)
        if config.on_existing == "refuse":
            found = f"at index {commit.offset}"
            hint = 'on_existing = "resume" or "skip" passes over it.'
            raise LabelError("the slice was appended already", where=source.uri, found=found, hint=hint)
        return "skipped" if config.on_existing == "skip" else "already"
    return None


def outcome_of(
    target: Reading,
    source: OpenSlice,
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
    place = _start_in_planned(earlier, labels[0], source.uri)
    if place is not None:
        return _decide(
            labels[0], place, source, config, lambda: _differs_from_planned(earlier, place, source, placement)
        )
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
    placed = replace(placement, offset=start)
    return _decide(labels[0], start, source, config, lambda: equals_there(target, source, placed))


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


def _differs_from_planned(
    earlier: Sequence[Planned], start: int, source: OpenSlice, placement: Placement
) -> str | None:
    """Compare a slice with those planned ones that hold its place, first and last step of each part; return a variable that differs."""
    mine, base = Reading(source.store, source.dataset), 0
    for planned in earlier:
        first, stop = max(start, base), min(start + placement.length, base + planned.placement.length)
        there = Reading(planned.source.store, planned.source.dataset)
        for path, meaning in placement.conversions.items():
            axis = source.dataset.arrays[path].axis(placement.dim)
            if axis is None or path not in planned.placement.conversions:
                continue
            for step in {first, stop - 1} if first < stop else set():
                ours = meaning.apply(mine.rows(path, axis, step - start, step - start + 1))
                rows = there.rows(path, axis, step - base, step - base + 1)
                if not same_cells(ours, planned.placement.conversions[path].apply(rows)):
                    return path
        base += planned.placement.length
    return None


def _decide(labels: Labels, start: int, source: OpenSlice, config: Config, differing: Callable[[], str | None]) -> str:
    if config.on_existing == "skip":
        return "skipped"
    found = f"{labels.new.text(0)} at index {start}"
    if config.on_existing == "refuse":
        hint = 'on_existing = "resume" or "skip" passes over it.'
        raise LabelError(
            "the slice's labels are in the target already", where=f"{source.uri}, {labels.path}", found=found, hint=hint
        )
    path = differing()
    if path is None:
        return "already"
    raise LabelError(
        "the slice's labels are in the target already, with other values",
        where=f"{source.uri}, {path}",
        found=found,
        hint='Replacing is not appending. Set on_existing = "skip" to pass over it.',
    )


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


def equals_there(target: Reading, source: OpenSlice, placement: Placement) -> str | None:
    """Compare the first and last chunk of each variable of a slice with what the target holds at the placement's offset.

    Returns:
        The path of a variable that differs, or None.
    """
    return _differing(target, {}, source, placement)


def _differing(
    there: Reading, meanings: Mapping[str, Conversion], source: OpenSlice, placement: Placement, *, every: bool = False
) -> str | None:
    """Compare chunks of a slice (the first and last of each variable, or every one) with cells elsewhere.

    ``meanings`` bring those to the target's terms if they are not in them.
    """
    mine = Reading(source.store, source.dataset)
    for path, meaning in placement.conversions.items():
        array = source.dataset.arrays[path]
        axis = array.axis(placement.dim)
        if axis is None or not all(array.units.counts):
            continue
        last = tuple(n - 1 for n in array.units.counts)
        units = indices(tuple((0, n) for n in array.units.counts)) if every else {tuple(0 for _ in last), last}
        for unit in units:
            box = array.units.box(unit)
            shifted = tuple(
                (a + placement.offset, b + placement.offset) if i == axis else (a, b) for i, (a, b) in enumerate(box)
            )
            ours, theirs = meaning.apply(mine.cells(path, box)), there.cells(path, shifted)
            if path in meanings:
                theirs = meanings[path].apply(theirs)
            goal = there.dataset.arrays[path]
            if not (same_cells(ours, theirs) or (goal.codecs.lossy and near(goal, ours, theirs))):
                return path
    return None
