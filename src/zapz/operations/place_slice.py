"""Decide where a slice goes, and how its values become the target's, by documents alone."""

from __future__ import annotations

from zapz.checks.character_arrays import in_form_of
from zapz.config.array_encoding import UNSET
from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.planning import compatibility
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice


def place(source: OpenSlice, target: Dataset | None, config: Config) -> tuple[OpenSlice, Dataset, Placement]:
    """Decide where a slice goes.

    Args:
        source: The slice.
        target: The target; None if it is made from this slice.
        config: Settings.

    Returns:
        The slice as the target sees it, the target (its form, if it is made), and where the slice goes.

    Raises:
        SliceError: It may not follow.
    """
    if target is None:
        from zapz.planning import new_target  # imported where used: most appends make none

        before = new_target.new_target(source.dataset, config, source.encodings)
    else:
        before, source = target, in_form_of(source, target, config.append_dim)
    chosen = {path for path, encoding in source.encodings.items() if encoding.dtype is not UNSET}
    placed = compatibility.place(before, source.dataset, config, source.uri, creates=target is None, chosen=chosen)
    return source, before, placed
