"""Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes.

``append`` does it, ``plan`` says what it would do, ``recover`` finishes or undoes what a crash left, ``info`` describes a target.
Importing zapz imports none of its machinery: names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zapz.api import append, append_map, execute, info, plan, recover, unlock, vacuum
    from zapz.config import Config
    from zapz.description import Info
    from zapz.errors import (
        CancelledError,
        ChunkError,
        ConfigError,
        ConflictError,
        FormatError,
        JournalError,
        LockedError,
        SliceError,
        StoreError,
        ZapzError,
    )
    from zapz.planning import Plan
    from zapz.reports import Report, SliceReport
    from zapz.sources.source import Source
    from zapz.txn.recover import Recovery
    from zapz.txn.vacuuming import Vacuumed

_HOMES = {
    "api": ("append", "append_map", "execute", "info", "plan", "recover", "unlock", "vacuum"),
    "reports": ("Report", "SliceReport"),
    "config": ("Config",),
    "description": ("Info",),
    "planning": ("Plan",),
    "txn.recover": ("Recovery",),
    "txn.vacuuming": ("Vacuumed",),
    "sources.source": ("Source",),
    "errors": (
        "CancelledError",
        "ChunkError",
        "ConfigError",
        "ConflictError",
        "FormatError",
        "JournalError",
        "LockedError",
        "SliceError",
        "StoreError",
        "ZapzError",
    ),
}
"""Module of each public name. No module is named like a function: importing it would hide the function."""

__all__ = [
    "CancelledError",
    "ChunkError",
    "Config",
    "ConfigError",
    "ConflictError",
    "FormatError",
    "Info",
    "JournalError",
    "LockedError",
    "Plan",
    "Recovery",
    "Report",
    "SliceError",
    "SliceReport",
    "Source",
    "StoreError",
    "Vacuumed",
    "ZapzError",
    "append",
    "append_map",
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
