"""Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes.

``append`` appends. ``plan`` reports what an append would do. ``recover`` finishes or undoes what a
crash left. ``info`` describes a target. ``check`` tests whether it is sound. Names are loaded when
they are first used, so importing zapz is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zapz.api import append, append_map, check, execute, info, plan, recover, unlock, vacuum
    from zapz.config.append_label import AppendLabelDict
    from zapz.config.files import ConfigLike
    from zapz.config.level_types import LevelsDict
    from zapz.config.settings import Config
    from zapz.config.settings_dict import EncodingDict, SettingsDict, VariableDict
    from zapz.errors import (
        AbilityError,
        CancelledError,
        ChunkError,
        ConfigError,
        ConflictError,
        DimensionError,
        DTypeError,
        EncodingError,
        FormatError,
        JournalError,
        LabelError,
        LockedError,
        MetadataError,
        NotFoundError,
        SliceError,
        StoreError,
        UnsupportedError,
        VariableError,
        ZapzError,
    )
    from zapz.operations.check import Checked, Finding
    from zapz.operations.describe import Info
    from zapz.operations.map_settings import MapSettingsDict
    from zapz.planning.plan import Plan
    from zapz.reports import Progress, Recovery, Report, SliceReport
    from zapz.sources.given import SliceLike, SlicesLike, TargetLike
    from zapz.sources.source import Source
    from zapz.txn.vacuumed import Vacuumed

_HOMES = {
    "api": ("append", "append_map", "check", "execute", "info", "plan", "recover", "unlock", "vacuum"),
    "reports": ("Progress", "Recovery", "Report", "SliceReport"),
    "config.append_label": ("AppendLabelDict",),
    "config.files": ("ConfigLike",),
    "config.level_types": ("LevelsDict",),
    "config.settings": ("Config",),
    "config.settings_dict": ("EncodingDict", "SettingsDict", "VariableDict"),
    "operations.check": ("Checked", "Finding"),
    "operations.describe": ("Info",),
    "operations.map_settings": ("MapSettingsDict",),
    "planning.plan": ("Plan",),
    "txn.vacuumed": ("Vacuumed",),
    "sources.given": ("SliceLike", "SlicesLike", "TargetLike"),
    "sources.source": ("Source",),
    "errors": (
        "AbilityError",
        "CancelledError",
        "ChunkError",
        "ConfigError",
        "ConflictError",
        "DTypeError",
        "DimensionError",
        "EncodingError",
        "FormatError",
        "JournalError",
        "LabelError",
        "LockedError",
        "MetadataError",
        "NotFoundError",
        "SliceError",
        "StoreError",
        "UnsupportedError",
        "VariableError",
        "ZapzError",
    ),
}
"""Public names by module. No module has the name of a public function: importing the module would
hide the function."""

__all__ = [
    "AbilityError",
    "AppendLabelDict",
    "CancelledError",
    "Checked",
    "ChunkError",
    "Config",
    "ConfigError",
    "ConfigLike",
    "ConflictError",
    "DTypeError",
    "DimensionError",
    "EncodingDict",
    "EncodingError",
    "Finding",
    "FormatError",
    "Info",
    "JournalError",
    "LabelError",
    "LevelsDict",
    "LockedError",
    "MapSettingsDict",
    "MetadataError",
    "NotFoundError",
    "Plan",
    "Progress",
    "Recovery",
    "Report",
    "SettingsDict",
    "SliceError",
    "SliceLike",
    "SliceReport",
    "SlicesLike",
    "Source",
    "StoreError",
    "TargetLike",
    "UnsupportedError",
    "Vacuumed",
    "VariableDict",
    "VariableError",
    "ZapzError",
    "append",
    "append_map",
    "check",
    "execute",
    "info",
    "plan",
    "recover",
    "unlock",
    "vacuum",
]


if not TYPE_CHECKING:  # to a type checker there is what is imported above, and no other name

    def __getattr__(name: str) -> object:
        import importlib

        for module, names in _HOMES.items():
            if name in names:
                value = getattr(importlib.import_module(f"zapz.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module 'zapz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
