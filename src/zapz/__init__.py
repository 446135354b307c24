"""Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes.

``append`` appends. ``plan`` reports what an append would do. ``recover`` finishes or undoes what a
crash left. ``info`` describes a target. ``check`` tests whether it is sound. Names are loaded when
they are first used, so importing zapz is fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zapz.api import append, append_map, check, execute, info, plan, recover, unlock, vacuum
    from zapz.config.settings import Config
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
    from zapz.planning.plan import Plan
    from zapz.reports import Progress, Report, SliceReport
    from zapz.sources.source import Source
    from zapz.txn.recovery import Recovery
    from zapz.txn.vacuumed import Vacuumed

_HOMES = {
    "api": ("append", "append_map", "check", "execute", "info", "plan", "recover", "unlock", "vacuum"),
    "reports": ("Progress", "Report", "SliceReport"),
    "config.settings": ("Config",),
    "operations.check": ("Checked", "Finding"),
    "operations.describe": ("Info",),
    "planning.plan": ("Plan",),
    "txn.recovery": ("Recovery",),
    "txn.vacuumed": ("Vacuumed",),
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
    "CancelledError",
    "Checked",
    "ChunkError",
    "Config",
    "ConfigError",
    "ConflictError",
    "DTypeError",
    "DimensionError",
    "EncodingError",
    "Finding",
    "FormatError",
    "Info",
    "JournalError",
    "LabelError",
    "LockedError",
    "MetadataError",
    "NotFoundError",
    "Plan",
    "Progress",
    "Recovery",
    "Report",
    "SliceError",
    "SliceReport",
    "Source",
    "StoreError",
    "UnsupportedError",
    "Vacuumed",
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


def __getattr__(name: str) -> Any:
    import importlib

    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"zapz.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'zapz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
