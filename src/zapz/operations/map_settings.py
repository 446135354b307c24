"""Keyword arguments of ``append_map``: types for editors and type checkers."""

from __future__ import annotations

from zapz.config.files import ConfigLike, Encodings
from zapz.config.settings_dict import CommonSettings
from zapz.operations.append import Cancel, OnPhase, OnProgress, OnRecovery, OnSlice


class MapSettingsDict(CommonSettings, total=False):
    """Settings, and the other keyword arguments of ``append``; the slice source is an argument."""

    config: ConfigLike
    """A configuration: settings, a file of them, or several of these, later ones winning."""
    encoding: Encodings | None
    """How variables of a new target are stored, in the words of xarray's to_zarr."""
    on_slice: OnSlice | None
    """Called after each slice with its report."""
    on_progress: OnProgress | None
    """Called with chunks done and chunks planned of the current slice, from any thread."""
    on_phase: OnPhase | None
    """Called with a Progress whenever the run enters another phase, and as chunks are done."""
    on_recovery: OnRecovery | None
    """Called with what an earlier run had left, if it had left something."""
    cancel: Cancel | None
    """Looked at between slices and chunks; once it is set, the append ends."""
    explain: bool
    """Whether reports say which chunks were copied, why others were not, and what took time."""
