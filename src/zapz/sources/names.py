"""What people call a slice item, before it is opened and where it lies in no place of its own."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from zapz.storage.uris import redact

_LONGEST = 200
"""Characters of a name; what is longer is cut."""


def name_of(item: Any) -> str | None:
    """Return a short name of a slice item; None if it has none, as arrays in memory and open stores.

    A path or URI is its own name, without credentials. Arguments of a slice source are called by
    the positional ones, or by a keyword argument that stands alone; of several keywords one may be
    a secret.
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
    """Return the names of all arguments as one; None if one has none."""
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
