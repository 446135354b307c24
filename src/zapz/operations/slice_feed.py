"""Open the slices of one call, one after another; lazy data are computed without the lock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.errors import ZapzError, printable
from zapz.operations.run_plan import Watch
from zapz.operations.state import State
from zapz.operations.target import apart_from
from zapz.operations.target_turn import TargetTurns
from zapz.planning.placement import Placement
from zapz.sources.contexts import leave_under
from zapz.sources.feed import Feed
from zapz.sources.open_slice import OpenSlice
from zapz.sources.opener import Opener

if TYPE_CHECKING:
    from zapz.operations.look_ahead import LookAhead

_LOG = logging.getLogger("zapz")


class SliceFeed:
    """Opens the slices of one call."""

    def __init__(self, turns: TargetTurns, config: Config, watch: Watch) -> None:
        self._turns = turns
        self._config = config
        self._cancelled = watch.cancelled
        self._phases = watch.phases
        self._timing = watch.timing
        self._ahead: LookAhead | None = None

    def look(self, items: Sequence[Any], state: State) -> None:
        """Inspect all slices before the first is written.

        Raises:
            ZapzError: As ``LookAhead.look``.
        """
        from zapz.operations.look_ahead import LookAhead  # imported where used: a single slice is opened directly

        opener = self._opener(replace(self._config, slice_polling=None))
        told = self._phases.looking if self._phases is not None else None
        self._ahead = LookAhead(opener, self._turns.decider, self._config, self._cancelled, told)
        self._ahead.look(items, state)

    def sort(self, items: Iterable[Any], state: State) -> list[Any]:
        """Return slices in the order of their first labels.

        Raises:
            ZapzError: As ``sorted_by_labels``.
        """
        from zapz.operations.slice_order import sorted_by_labels  # imported where used

        target = None if state.dataset is None else Reading(self._turns.store, state.dataset)
        return sorted_by_labels(items, self._opener(self._config), target, self._config)

    def _opener(self, config: Config) -> Opener:
        waits = self._phases.wait_for_slice if self._phases is not None else None
        return Opener(config, self._turns.store, apart_from(self._turns.store, config), self._cancelled, waits)

    def feed(
        self, items: Iterable[Any], close: Callable[[OpenSlice, BaseException | None], None] = OpenSlice.left
    ) -> Feed[Any, OpenSlice]:
        """Return a ``Feed`` that opens items in order; use it as a context manager."""
        opener, numbers, phases = self._opener(self._config), count(), self._phases

        def opened_item(item: Any) -> OpenSlice:
            return opener.open(item) if self._ahead is None else self._ahead.open(next(numbers), item, opener.open)

        def open_item(item: Any) -> OpenSlice:
            if phases is not None:
                phases.opening(item)
            if self._timing is None:
                return opened_item(item)
            with self._timing.opening():
                return opened_item(item)

        def open_ready(item: Any) -> OpenSlice:
            opened = open_item(item)
            if not opened.prepares:
                return opened
            try:
                self._compute(opened, self._turns.decider.glance(opened, self._turns.reader.look()))
            except ZapzError as error:  # another writer may be active: the slice is checked again under the lock
                _LOG.debug("%s is not computed ahead: %s", printable(opened.uri), printable(str(error)))
            except BaseException as error:
                leave_under(opened.close, error)
                raise
            return opened

        ahead = self._config.prefetch and not self._config.dry_run
        return Feed(items, open_ready if ahead else open_item, close, self._config.prefetch, self._cancelled)

    def make_ready(self, opened: OpenSlice) -> None:
        """Compute the lazy variables of a slice, after its form and labels have been checked.

        Raises:
            SliceError: The slice cannot be appended.
        """
        if not opened.prepares:
            return
        try:
            placement = self._turns.looked(partial(self._turns.decider.glance, opened))
        except ZapzError as error:
            opened.name_in(error)
            raise
        self._compute(opened, placement)

    def _compute(self, opened: OpenSlice, placement: Placement | None) -> None:
        if placement is None:
            return
        if self._phases is not None:
            self._phases.computing()
        opened.prepare({placement.paths.get(path, path) for path in (*placement.conversions, *placement.static)})
