"""The slices of one call, opened one after another; what has to be computed is computed while the target is not held."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from zapz.config.settings import Config
from zapz.errors import ZapzError
from zapz.operations.run_plan import Watch
from zapz.operations.target import check_apart
from zapz.operations.target_turn import TargetTurns
from zapz.planning.placement import Placement
from zapz.sources.contexts import leave_under
from zapz.sources.feed import Feed
from zapz.sources.open_slice import OpenSlice
from zapz.sources.opener import Opener

_LOG = logging.getLogger("zapz")


class SliceFeed:
    """Opens the slices of one call."""

    def __init__(self, turns: TargetTurns, config: Config, watch: Watch) -> None:
        self._turns = turns
        self._config = config
        self._cancelled = watch.cancelled
        self._phases = watch.phases
        self._timing = watch.timing

    def feed(
        self, items: Iterable[Any], close: Callable[[OpenSlice, BaseException | None], None] = OpenSlice.left
    ) -> Feed[Any, OpenSlice]:
        """Return the open slices of some items, to be used as a context; see ``Feed``."""
        phases = self._phases
        waits = phases.wait_for_slice if phases is not None else None
        opener = Opener(self._config, self._turns.store, check_apart, self._cancelled, waits)

        def open_item(item: Any) -> OpenSlice:
            if phases is not None:
                phases.opening(item)
            if self._timing is None:
                return opener.open(item)
            with self._timing.opening():
                return opener.open(item)

        def open_ready(item: Any) -> OpenSlice:
            opened = open_item(item)
            if not opened.prepares:
                return opened
            try:
                self._compute(opened, self._turns.decider.glance(opened, self._turns.reader.look()))
            except ZapzError as error:  # another writer may be at work just now: our own turn will tell
                _LOG.debug("%s is not computed ahead: %s", opened.uri, error)
            except BaseException as error:
                leave_under(opened.close, error)
                raise
            return opened

        ahead = self._config.prefetch and not self._config.dry_run
        return Feed(items, open_ready if ahead else open_item, close, self._config.prefetch, self._cancelled)

    def make_ready(self, opened: OpenSlice) -> None:
        """Compute what a slice has to be computed, once its form is seen to fit.

        Without a turn, what is seen while another writer is at work may be a mixture; if that is refused, a turn decides.

        Raises:
            SliceError: It may not follow.
        """
        if not opened.prepares:
            return
        try:
            placement = self._turns.decider.glance(opened, self._turns.reader.look())
        except ZapzError:
            with self._turns.held() as (_, state):
                try:
                    placement = self._turns.decider.glance(opened, state)
                except ZapzError as error:
                    opened.name_in(error)
                    raise
        self._compute(opened, placement)

    def _compute(self, opened: OpenSlice, placement: Placement | None) -> None:
        if placement is None:
            return
        if self._phases is not None:
            self._phases.computing()
        opened.prepare({*placement.conversions, *placement.static})
