"""Names of slice items, for messages: before they are opened, and of slices without a path."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from zapz.storage.uris import redact

_LONGEST = 200
"""Maximum length of a name, in characters; longer names are truncated."""


def name_of(item: Any) -> str | None:
    """Return a short name of a slice item; None for arrays in memory and open stores.

    The name of a path or URI is itself, without credentials. The name of arguments for a slice
    source is that of the positional arguments, or of a single keyword argument: of several, one may
    be a secret.
    """
    match item:
        case tuple() if len(item) == 2 and isinstance(item[0], list | tuple) and isinstance(item[1], dict):  # noqa: PLR2004 - (args, kwargs)
            return _joined(item[0]) or _joined(tuple(item[1].values()) if len(item[1]) == 1 else ())
        case list():
            return _joined(item)
        case dict():
            return _joined(tuple(item.values()) if len(item) == 1 else ())
    return _joined([item])


def _joined(parts: Sequence[Any]) -> str | None:
    """Return the names of all arguments as one name; None if an argument has none."""
    names = [_short(part) for part in parts]
    if not names or None in names:
        return None
    text = ", ".join(name for name in names if name)
    if all(isinstance(part, int | float | np.number) for part in parts):
        text = f"item {text}"
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…") or None


def _short(part: Any) -> str | None:
    if isinstance(part, os.PathLike):
        part = os.fspath(part)
    if isinstance(part, str):
        return "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else "?" for c in redact(part))
    if isinstance(part, dt.date | dt.time):
        return part.isoformat()
    return str(part) if isinstance(part, int | float | np.datetime64 | np.timedelta64 | np.number) else None
