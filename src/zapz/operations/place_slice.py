"""Decide where a slice is placed and how its values are converted, from documents alone."""

from __future__ import annotations

from dataclasses import replace

from zapz.checks.character_arrays import in_form_of
from zapz.config.array_encoding import UNSET
from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.planning import compatibility
from zapz.planning.config_checks import check_single
from zapz.planning.meaning import Conversions
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice


def with_dimension(source: OpenSlice, target: Dataset | None, config: Config) -> OpenSlice:
    """Return a slice that has the append dimension.

    A slice without that dimension becomes one step. It is returned unchanged if nothing says which
    step it is.

    Args:
        source: The slice.
        target: The target; None if it is created from this slice.
        config: Settings.

    Raises:
        SliceError: The label is not where ``append_label`` says, or is one value for several steps.
    """
    if any(config.append_dim in array.dims for array in source.dataset.arrays.values()):
        check_single(source.dataset, target, config, source.uri)
        return source
    from zapz.sources.expanded import expanded  # imported where used: most slices have the dimension

    return expanded(source, target, config)


class Placer:
    """Decides where the slices of one call are placed."""

    def __init__(self, config: Config, target: str) -> None:
        """Decide for one target.

        Args:
            config: Settings.
            target: Its URI.
        """
        self._config = config
        self._target = target
        self._conversions = Conversions()

    def place(
        self, source: OpenSlice, target: Dataset | None, *, reads: bool = True
    ) -> tuple[OpenSlice, Dataset, Placement]:
        """Decide where a slice is placed.

        Args:
            source: The slice.
            target: The target; None if it is created from this slice.
            reads: Whether labels of the slice may be read, to choose time units for a new target
                that also fit later slices.

        Returns:
            The slice in the target's form, the target (if it is created: empty, as it will be), and
            the placement of the slice.

        Raises:
            SliceError: The slice cannot be appended.
        """
        config = self._config
        notes: list[str] = []
        source = with_dimension(source, target, config)
        if target is None:
            from zapz.checks.label_units import with_label_units  # imported where used: most appends create no target
            from zapz.planning import levels, new_target

            levels.check_form(source.dataset, self._target, source.uri)

            if reads and config.label_units == "auto":
                source, notes = with_label_units(source, config)

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
        )
        return source, before, replace(placed, notes=(*placed.notes, *notes)) if notes else placed
