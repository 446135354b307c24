"""Decide where a slice is placed and how its values are converted, from documents alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from zapz.checks.character_arrays import in_form_of
from zapz.config.array_encoding import UNSET
from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.operations.single_steps import with_dimension
from zapz.planning import compatibility
from zapz.planning.meaning import Conversions
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice
from zapz.storage.store import ReadableStore

if TYPE_CHECKING:
    from zapz.operations.level_slices import LevelSlices, Presented


class Placer:
    """Decides where the slices of one call are placed."""

    def __init__(self, config: Config, target: ReadableStore) -> None:
        """Decide for one target.

        Args:
            config: Settings.
            target: Its store.
        """
        self._config = config
        self._store = target
        self._conversions = Conversions()
        self._levels: LevelSlices | None = None

    def place(
        self, source: OpenSlice, target: Dataset | None, *, reads: bool = True, proves: bool = False
    ) -> tuple[OpenSlice, Dataset, Placement]:
        """Decide where a slice is placed.

        Args:
            source: The slice.
            target: The target; None if it is created from this slice.
            reads: Whether labels of the slice may be read, to choose time units for a new target
                that also fit later slices.
            proves: Whether cells of the target may be read, to prove how its levels were made. This
                is needed for a plan.

        Returns:
            The slice in the target's form, the target (if it is created: empty, as it will be), and
            the placement of the slice.

        Raises:
            SliceError: The slice cannot be appended.
        """
        config = self._config
        notes: list[str] = []
        form: Presented | None = None
        if target is not None and target.pyramids:
            form = self._levels_of().present(source, target, proves=proves)
            source = form.source
            notes += form.notes
        source = with_dimension(source, target, config)
        if target is None:
            from zapz.checks.label_units import with_label_units  # imported where used: most appends create no target
            from zapz.planning import levels, new_target

            levels.check_form(source.dataset, self._store.uri, source.uri)

            if reads and config.label_units == "auto":
                source, found = with_label_units(source, config)
                notes += found

            before = new_target.new_target(source.dataset, config, source.encodings)
        else:
            before, source = target, in_form_of(source, target, config.append_dim)
        placed = compatibility.place(
            before,
            source.dataset,
            config,
            source.uri,
            creates=target is None,
            chosen={path for path, encoding in source.encodings.items() if encoding.dtype is not UNSET},
            known=self._conversions,
            derived=form.derived if form is not None else {},
        )
        if form is not None and form.paths:
            placed = replace(placed, paths=form.paths)
        return source, before, replace(placed, notes=(*placed.notes, *notes)) if notes else placed

    def begin_turn(self) -> None:
        """Forget what was read of the target before its lock was taken."""
        if self._levels is not None:
            self._levels.begin_turn()

    def _levels_of(self) -> LevelSlices:
        if self._levels is None:
            from zapz.operations.level_slices import LevelSlices  # imported where used: most targets have no levels

            self._levels = LevelSlices(self._config, self._store)
        return self._levels
