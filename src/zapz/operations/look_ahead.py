"""Inspect all slices of a call before the first is written.

Do they exist, and can they be appended in this order? This reads their metadata and labels. Before
a slice is appended, they are compared again: a slice that has changed since is refused.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from zapz.checks.already_appended import fingerprint_of
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
"""Maximum number of slices that are opened at the same time."""
_KEPT_BYTES = 4_000_000
"""Maximum number of bytes of metadata that are kept. A slice in a local folder whose metadata are
kept, and have not changed, is not opened again."""
_FEW = 64
"""Maximum number of labels of a slice that are kept, so that they are not converted again."""

Seen = tuple[OpenSlice, dict[str, Cells]]
"""A slice, and its labels as stored, by label variable; each of shape (steps,)."""


class LookAhead:
    """Inspects the slices of one call, and opens them later if they have not changed."""

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
        """Inspect all slices.

        Args:
            items: Paths or URIs.
            state: The current state of the target; its first and last labels are added to it.

        Raises:
            SliceError: A slice cannot follow the target, or the slice before it.
            ZapzError: A slice cannot be opened. With ``slice_polling``, a slice may be missing or
                incomplete.
            CancelledError: The caller has cancelled; nothing was written.
        """
        ahead = _Ahead(state)
        for number, seen in enumerate(self._seen(items)):
            if self._told is not None:
                self._told(number, items[number])
            if seen is not None:
                self._check(number, *seen, ahead)

    def _check(self, number: int, source: OpenSlice, own: dict[str, Cells], ahead: _Ahead) -> None:
        self._labels[number] = {path: SeenLabels(digest_of_cells(cells)) for path, cells in own.items()}
        found = self._foresee(number, source, own, ahead)
        if is_folder(source.uri) and (size := sum(map(len, source.dataset.documents.values()))) <= self._budget:
            self._budget -= size
            self._kept[number] = source
        else:
            self._marks[number] = fingerprint_of(source.uri, source.dataset.documents)
        if found is not None:
            ahead.advance(source.uri, *found)

    def _foresee(
        self, number: int, source: OpenSlice, own: Mapping[str, Cells], ahead: _Ahead
    ) -> tuple[list[Labels], int] | None:
        """Return a slice's labels and its length in steps; None if it would not be appended."""
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
        if ahead.holds(labels) or self._decider.is_there(source, placement, labels, target, state):
            return None
        for found in labels:
            if ahead.last is not None and None not in found.new.values and not follows(found, config):
                raise _out_of_order(found, source.uri, ahead.last)
            check_labels(found, config, source.uri)
        return labels, placement.length

    def _seen(self, items: Sequence[Any]) -> Iterator[Seen | None]:
        """Yield slices in order; remote slices are opened in parallel, some ahead of their turn."""
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
        """Open a slice and read its labels; return None if the run waits for the slice later."""
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
        """Open a slice that is to be appended now.

        Args:
            number: Index of the slice in the call, from 0.
            item: The slice as given by the caller.
            opener: Opens it.

        Raises:
            SliceError: Its metadata changed since they were inspected.
            ZapzError: It cannot be opened.
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
                "the slice's metadata changed since zapz first read them",
                where=source.uri,
                hint="Another process may still be writing the slice. Append it when it is complete.",
            )
        return replace(source, labels_seen=self._labels.pop(number))


class _Ahead:
    """The target as it would be after the slices inspected so far."""

    def __init__(self, state: State) -> None:
        self._target = state
        self.state = replace(
            state, last=dict(state.last), after={}, dataset=None if state.old is not None else state.dataset
        )
        self.last: str | None = None
        """URI of the last slice that would be appended; None if there is none yet."""

    def note_ends(self, labels: Sequence[Labels]) -> None:
        """Keep the target's own first and last labels, so that they are read only once."""
        for found in labels:
            self.state.last.setdefault(found.path, found.old)
            if self._target.dataset is not None and self._target.old is None:
                self._target.last.setdefault(found.path, found.old)

    def holds(self, labels: Sequence[Labels]) -> bool:
        """Return whether the slices inspected so far contain all these labels consecutively."""
        return bool(labels) and all(
            (index := self.state.after.get(each.path)) is not None and index.holds(each.new.values) for each in labels
        )

    def advance(self, uri: str, labels: Sequence[Labels], length: int) -> None:
        """Record a slice that would be appended, and its length in steps."""
        self.last = uri
        self.state.note_following(labels, length)
        self.state.note_labels(labels)


def _out_of_order(labels: Labels, where: str, before: str) -> LabelError:
    """Return the error for a slice that does not follow the slice before it."""
    return LabelError(
        "the slices are not in the order of their labels; nothing was written",
        where=f"{where}, {labels.path}",
        expected=f"a label that follows {labels.old.text(-1)}, the last label of {before}",
        found=labels.new.text(0),
        hint="Give the slices in the order of their labels, or let {slice_order} sort them by their first labels.",
        remedies={"slice_order": "labels"},
    )
