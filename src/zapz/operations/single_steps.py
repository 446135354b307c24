"""Slices without the append dimension: each is one step."""

from __future__ import annotations

from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.planning.config_checks import check_single
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
