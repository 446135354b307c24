"""Sort the slices of a call by their labels."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from zapz.checks.reading import Reading, label_paths, read_ends
from zapz.config.settings import Config
from zapz.errors import ConfigError, LabelError
from zapz.operations.single_steps import with_dimension
from zapz.planning.labels import Line
from zapz.planning.meaning import meaning_of
from zapz.sources.opener import Opener, are_known


def sorted_by_labels(items: Iterable[Any], opener: Opener, target: Reading | None, config: Config) -> list[Any]:
    """Return slices in the order of their first labels.

    The order is decreasing if the target's labels decrease, or ``label_order`` is "decreasing".

    Args:
        items: Paths or URIs.
        opener: Opens them.
        target: The target; None if it does not exist yet.
        config: Settings.

    Raises:
        ConfigError: The slices are not all known in advance.
        LabelError: A slice has no label, or its label cannot be compared with the others.
        ZapzError: A slice cannot be opened.
    """
    if not are_known(items, config):
        raise ConfigError(
            "slices can be sorted only if all are known in advance",
            where="slice_order",
            expected="a list of paths or URIs",
            found=type(items).__name__ if config.slice_source is None else "arguments of a slice source",
            hint="Give the slices in order, without this setting.",
        )
    firsts = [_first(item, opener, target, config) for item in items]
    kinds = {kind for kind, _ in firsts}
    if len(kinds) > 1:
        raise LabelError("labels of the slices cannot be compared", where="slices", found=" and ".join(sorted(kinds)))
    numbers = sorted(range(len(firsts)), key=lambda i: firsts[i][1], reverse=_falls(target, config))
    return [items[i] for i in numbers]


def _first(item: Any, opener: Opener, target: Reading | None, config: Config) -> tuple[str, Any]:
    """Return the type of a slice's labels, and the first label."""
    source = opener.open(item)
    try:
        if target is not None and target.dataset.pyramids:
            from zapz.operations.level_slices import presented  # imported where used: most targets have no levels

            source, _ = presented(source, target.dataset, config, target.store.uri)
        source = with_dimension(source, target.dataset if target is not None else None, config)
        dataset = source.dataset
        for path in label_paths(dataset, config.append_dim):
            if dataset.arrays[path].shape[0]:
                cells = Reading(source.store, dataset).rows(path, 0, 0, 1)
                line = Line.of(meaning_of(dataset, path, config.v2_fill_value), cells)
                if line.known and line.kind != "others":
                    return line.kind, line.known[0]
    finally:
        source.close(None)
    raise LabelError(
        "a slice has no label to sort by",
        where=os.fspath(item),
        expected=f"a coordinate {config.append_dim!r}",
        found="none, or an empty one",
        hint="Give the slices in order, without --sort (slice_order).",
    )


def _falls(target: Reading | None, config: Config) -> bool:
    if config.label_order is not None or target is None:
        return config.label_order == "decreasing"
    for path in label_paths(target.dataset, config.append_dim):
        ends = read_ends(target, path, target.dataset.arrays[path].shape[0])
        return Line.of(meaning_of(target.dataset, path, config.v2_fill_value), ends).falls
    return False
