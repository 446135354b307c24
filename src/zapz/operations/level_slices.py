"""Slices without the coarser levels of a target: presented as its finest level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zapz.checks.reading import Reading
from zapz.config.settings import Config
from zapz.format.metadata import Dataset
from zapz.planning import compatibility
from zapz.planning.derivation import Derivation
from zapz.planning.flat_slice import FlatForm, flat_form
from zapz.planning.level_windows import derivation_of
from zapz.sources.open_slice import OpenSlice
from zapz.sources.renamed import renamed
from zapz.storage.store import ReadableStore

if TYPE_CHECKING:
    from zapz.checks.level_proof import LevelProofs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Presented:
    """A slice as a target with levels needs it."""

    source: OpenSlice
    """The slice, with the target's paths."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Its own path of each array and group, by the target's; empty if they are the same."""
    derived: Mapping[str, Derivation] = field(default_factory=dict)
    """The arrays of coarser levels that are derived from it."""
    notes: Sequence[str] = ()
    """Notes for the user."""


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

    def begin_turn(self) -> None:
        """Forget what was proven before the target's lock was taken."""
        self._proofs = None

    def present(self, source: OpenSlice, target: Dataset, *, proves: bool) -> Presented:
        """Return a slice with the target's paths, and what is derived from it.

        Args:
            source: The slice.
            target: The target.
            proves: Whether cells of the target may be read, to prove how its levels were made.
                Otherwise the derivations are those that its metadata suggest.

        Raises:
            SliceError: A level cannot be derived.
            ConfigError: A configured method contradicts the target's metadata.
        """
        source, form = presented(source, target, self._config, self._store.uri)
        if not (proves and form.windows):
            derived = {path: derivation_of(each) for path, each in form.windows.items()}
            return Presented(source=source, paths=form.paths, derived=derived)
        if self._proofs is None:
            from zapz.checks.level_proof import LevelProofs  # imported where used: most slices have their levels

            self._proofs = LevelProofs(self._config)
        length = compatibility.check_target(target, self._config, "target")
        proven, notes = self._proofs.derived(Reading(self._store, target), form.windows, length)
        return Presented(source=source, paths=form.paths, derived=proven, notes=notes)


def presented(source: OpenSlice, target: Dataset, config: Config, where: str) -> tuple[OpenSlice, FlatForm]:
    """Return a slice with the target's paths, and how it was presented.

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
    return (renamed(source, form.paths) if form.paths else source), form
