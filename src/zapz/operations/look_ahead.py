"""Look at all slices of a call before the first of them is written: are they there, may they follow, in this order?

It costs their metadata and labels. What was seen is compared when a slice's turn comes: one that
has changed meanwhile is refused.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from zapz.checks.already_appended import LabelIndex, fingerprint_of
from zapz.checks.reading import Reading, digest_of_cells, label_paths, read_labels
from zapz.config.settings import Config
from zapz.errors import CancelledError, LabelError, MetadataError, NotFoundError, SliceError
from zapz.format.buffers import Cells
from zapz.operations.plan_slice import Decider
from zapz.operations.state import State
from zapz.planning.label_order import check_labels, follows
from zapz.planning.labels import Labels, SeenLabels
from zapz.sources.open_slice import OpenSlice
from zapz.sources.opener import Opener
from zapz.sources.readiness import IncompleteError
from zapz.storage.local.posix import is_folder
from zapz.storage.uris import is_local

_OPEN = 8
"""Slices that are open at a time."""
_KEPT_BYTES = 4_000_000
"""Bytes of metadata that are remembered, so that slices of local folders are not read again if
theirs are the same."""
_FEW = 64
"""Labels of a slice that are remembered, so that they are not converted again."""

Seen = tuple[OpenSlice, dict[str, Cells]]
"""A slice, and its labels as it stores them."""


class LookAhead:
    """What was seen of the slices of one call."""

    def __init__(
        self,
        opener: Opener,
        decider: Decider,
        config: Config,
        cancelled: Callable[[], bool] | None = None,
        told: Callable[[int, Any], None] | None = None,
    ) -> None:
        self._opener = opener
        self._decider = decider
        self._config = config
        self._cancelled = cancelled
        self._told = told
        self._labels: dict[int, dict[str, SeenLabels]] = {}
        self._marks: dict[int, str] = {}
        self._kept: dict[int, OpenSlice] = {}
        self._budget = _KEPT_BYTES

    def look(self, items: Sequence[Any], state: State) -> None:
        """Look at all slices.

        Args:
            items: Places.
            state: The target as it is; its first and last labels are noted in it.

        Raises:
            SliceError: One may not follow the target or the one before it.
            ZapzError: One cannot be opened; a slice that is waited for may be missing or
                incomplete.
            CancelledError: ``cancelled`` says so; nothing was written.
        """
        ahead = _Ahead(state)
        for number, seen in enumerate(self._seen(items)):
            if self._told is not None:
                self._told(number, items[number])
            if seen is not None:
                self._check(number, *seen, ahead)

    def _check(self, number: int, source: OpenSlice, own: dict[str, Cells], ahead: _Ahead) -> None:
        self._labels[number] = {path: SeenLabels(digest_of_cells(cells)) for path, cells in own.items()}
        labels = self._foresee(number, source, own, ahead)
        if is_folder(source.uri) and (size := sum(map(len, source.dataset.documents.values()))) <= self._budget:
            self._budget -= size
            self._kept[number] = source
        else:
            self._marks[number] = fingerprint_of(source.uri, source.dataset.documents)
        if labels is not None:
            ahead.advance(source.uri, labels)

    def _foresee(self, number: int, source: OpenSlice, own: Mapping[str, Cells], ahead: _Ahead) -> list[Labels] | None:
        """Return the labels of a slice; None if it would not be appended."""
        state, config = ahead.state, self._config
        source, before, placement = self._decider.placer.place(source, state.dataset)
        target = Reading(self._decider.store, before)
        if state.dataset is None:
            state.dataset, state.length = before, 0
        if not placement.length:
            return None
        labels = read_labels(target, source, placement, state.last, config, own)
        for found in labels:
            if found.path in own and found.new.stored.size <= _FEW:
                seen = self._labels[number][found.path]
                seen.conversion, seen.labels = placement.conversions[found.path], found
        if ahead.last is None:
            ahead.note_ends(labels)
        if ahead.holds(labels) or (state.length and self._decider.is_there(source, placement, labels, target, state)):
            return None
        for found in labels:
            if ahead.last is not None and None not in found.new.values and not follows(found, config):
                raise _out_of_order(found, source.uri, ahead.last)
            check_labels(found, config, source.uri)
        return labels

    def _seen(self, items: Sequence[Any]) -> Iterator[Seen | None]:
        """Yield slices in their order; those of services are opened in parallel, some ahead."""
        if all(is_local(os.fspath(item)) for item in items):
            yield from map(self._open, items)
            return
        with ThreadPoolExecutor(_OPEN, thread_name_prefix="zapz-look") as pool:
            waiting: deque[Future[Seen | None]] = deque()
            try:
                for item in items:
                    waiting.append(pool.submit(self._open, item))
                    if len(waiting) == _OPEN:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _open(self, item: Any) -> Seen | None:
        """Open a slice and read its labels; None if it is not there yet, and waited for."""
        if self._cancelled is not None and self._cancelled():
            raise CancelledError("cancelled", where="slices", hint="Nothing was written.")
        try:
            source = self._opener.open(item)
        except (NotFoundError, MetadataError, IncompleteError):
            if self._config.polling is None:
                raise
            return None
        try:
            reading = Reading(source.store, source.dataset)
            paths = label_paths(source.dataset, self._config.append_dim)
            return source, {path: reading.rows(path, 0, 0, source.dataset.arrays[path].shape[0]) for path in paths}
        finally:
            source.close(None)

    def open(self, number: int, item: Any, opener: Callable[[Any], OpenSlice]) -> OpenSlice:
        """Open a slice for good.

        Args:
            number: The how many-th of the call it is, from 0.
            item: What it was given as.
            opener: Opens it.

        Raises:
            SliceError: Its metadata are no longer those that were looked at.
        """
        if number not in self._labels:
            return opener(item)
        kept = self._kept.pop(number, None)
        if kept is not None:
            source, same = kept, kept.is_unchanged(kept.dataset.documents)
        else:
            source = opener(item)
            same = fingerprint_of(source.uri, source.dataset.documents) == self._marks.pop(number)
        if not same:
            source.close(None)
            raise SliceError(
                "the slice's metadata changed since it was looked at",
                where=source.uri,
                hint="Something still writes to it. Append it when it is complete.",
            )
        return replace(source, labels_seen=self._labels.pop(number))


class _Ahead:
    """The target as it would be after the slices that were looked at."""

    def __init__(self, state: State) -> None:
        self._target = state
        self.state = replace(state, last=dict(state.last), dataset=None if state.old is not None else state.dataset)
        self.there: dict[str, LabelIndex] = {}
        """Labels of slices that were looked at."""
        self.last: str | None = None
        """The slice that would be appended last."""

    def note_ends(self, labels: Sequence[Labels]) -> None:
        """Remember the target's own first and last labels, so that they are read once."""
        for found in labels:
            self.state.last.setdefault(found.path, found.old)
            if self._target.dataset is not None and self._target.old is None:
                self._target.last.setdefault(found.path, found.old)

    def holds(self, labels: Sequence[Labels]) -> bool:
        """Return whether slices that were looked at have all these labels, side by side."""
        return bool(labels) and all(
            (index := self.there.get(each.path)) is not None and index.holds(each.new.values) for each in labels
        )

    def advance(self, uri: str, labels: Sequence[Labels]) -> None:
        """Take note of a slice that would be appended."""
        self.last = uri
        for found in labels:
            self.there.setdefault(found.path, LabelIndex()).extend(found.new.values)
        self.state.note_labels(labels)


def _out_of_order(labels: Labels, where: str, before: str) -> LabelError:
    """Return what to say if a slice does not follow another one of the call."""
    return LabelError(
        "the slices are not in the order of their labels; nothing was written",
        where=f"{where}, {labels.path}",
        expected=f"a label that follows {labels.old.text(-1)}, the last one of {before}",
        found=labels.new.text(0),
        hint="Give them in the order of their labels; or {slice_order} sorts them by their first ones.",
        remedies={"slice_order": "labels"},
    )
