"""Slices without the coarser levels of a target: presented as its finest level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.planning import compatibility
from zapz.planning.derivation import Derivation
from zapz.planning.flat_slice import flat_form
from zapz.planning.level_windows import Windows
from zapz.sources.open_slice import OpenSlice
from zapz.storage.store import ReadableStore

if TYPE_CHECKING:
    from zapz.checks.level_proof import LevelProofs


class LevelSlices:
    """Presents the slices of one call to a target with levels."""

    def __init__(self, config: Config, store: ReadableStore) -> None:
        """Present slices to one target.

        Args:
            config: Settings.
            store: The target.
        """
        self._config = config
        self._store = store
        self._proofs: LevelProofs | None = None

    def present(self, source: OpenSlice, target: Dataset) -> tuple[OpenSlice, Mapping[str, Derivation], Sequence[str]]:
        """Return a slice with the target's paths.

        Args:
            source: The slice.
            target: The target.

        Returns:
            The slice, the arrays that are derived from it, and notes for the user.

        Raises:
            SliceError: A level cannot be derived.
            ConfigError: A configured method contradicts the target's metadata.
        """
        source, windows = presented(source, target, self._config, self._store.uri)
        if not windows:
            return source, {}, ()
        if self._proofs is None:
            from zapz.checks.level_proof import LevelProofs  # imported where used: most slices have their levels

            self._proofs = LevelProofs(self._config)
        length = compatibility.check_target(target, self._config, "target")
        return source, *self._proofs.derived(Reading(self._store, target), windows, length)


def presented(
    source: OpenSlice, target: Dataset, config: Config, where: str
) -> tuple[OpenSlice, Mapping[str, Windows]]:
    """Return a slice with the target's paths, and the arrays of coarser levels that are derived.

    Args:
        source: The slice.
        target: The target.
        config: Settings.
        where: The target, for messages.

    Raises:
        SliceError: A level cannot be derived.
        ConfigError: A configured method contradicts the target's metadata.
    """
    form = flat_form(target, source.dataset, config, where)
    if not form.paths:
        return source, {}
    from zapz.sources.renamed import renamed  # imported where used: most slices have their levels

    return renamed(source, form.paths), form.windows
