"""Keyword arguments of ``append_map``: types for editors and type checkers."""

from __future__ import annotations

from zapz.config.files import ConfigLike, Encodings
from zapz.config.settings_dict import CommonSettings
from zapz.operations.append import Cancel, OnPhase, OnProgress, OnRecovery, OnSlice


class MapSettingsDict(CommonSettings, total=False):
    """Settings and keyword arguments of ``append``; ``slice_source`` is a positional argument."""

    config: ConfigLike
    """A configuration: settings, a file, or several of these; later ones override earlier ones."""
    encoding: Encodings | None
    """How variables of a new target are stored, in the form of xarray's ``to_zarr``."""
    on_slice: OnSlice | None
    """Called after each slice with its report."""
    on_progress: OnProgress | None
    """Called with the chunks done and the chunks planned of the current slice, from any thread."""
    on_phase: OnPhase | None
    """Called with a ``Progress`` when the run enters another phase, and as chunks are done."""
    on_recovery: OnRecovery | None
    """Called with what an earlier run had left and how it was recovered, if there was anything."""
    cancel: Cancel | None
    """Checked between slices and between chunks; once it is set, the append ends."""
    explain: bool
    """Whether reports list copied chunks, reasons for encoding others, and each part's duration."""
