"""Attributes: Python values as JSON, and JSON text in which only changed values are rewritten."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np

from zapz.errors import ConfigError
from zapz.format import jsontext
from zapz.format.fields import DIMS


def plain(value: Any, where: str) -> Any:
    """Return an attribute's value in a form that JSON can hold.

    NumPy scalars become numbers, arrays become lists, and times become ISO 8601 strings.

    Args:
        value: The value.
        where: Name of the attribute, for error messages.

    Raises:
        ConfigError: JSON cannot hold the value.
    """
    found = value
    if isinstance(value, np.ndarray | np.generic):
        found = [str(item) for item in value.reshape(-1)] if value.dtype.kind in "mM" else value.tolist()
        found = found[0] if value.dtype.kind in "mM" and not value.ndim else found
    elif isinstance(value, dt.date | dt.time):
        found = value.isoformat()
    elif isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):  # bytes that are not text are refused below
            found = value.decode()
    if found is None or isinstance(found, str | bool | int | float):
        return found
    if isinstance(found, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in found.items()}
    if isinstance(found, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(found)]
    raise ConfigError(
        "attribute value cannot be stored as JSON",
        where=where,
        expected="text, a number, true, false, or a list or table of these",
        found=f"{type(value).__name__} {str(value)[:60]!r}",
    )


def plain_attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes in a form that JSON can hold, without ``_ARRAY_DIMENSIONS``.

    Raises:
        ConfigError: JSON cannot hold a value.
    """
    return {str(key): plain(value, str(key)) for key, value in given.items() if key != DIMS}


def retext(text: str, attributes: Mapping[str, Any]) -> str:
    """Return the JSON text of attributes; unchanged values keep their old text."""
    old = {m.key: text[m.start : m.end] for m in jsontext.members(text)}
    parts = {}
    for name, value in attributes.items():
        same = name in old and _equal(jsontext.parse(old[name], name), value)
        parts[name] = old[name] if same else jsontext.dumps(value)
    return jsontext.joined(parts, indent=2)


def _equal(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # tells 1, 1.0 and True apart; NaN equals NaN
