"""Attributes: values of Python as JSON, and text of JSON in which only what changed is written anew."""

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
    """Return an attribute's value as JSON can hold it: NumPy scalars as numbers, arrays as lists, times as ISO 8601 text.

    Raises:
        ConfigError: JSON cannot hold it.
    """
    found = value
    if isinstance(value, np.ndarray | np.generic):
        found = [str(item) for item in value.reshape(-1)] if value.dtype.kind in "mM" else value.tolist()
        found = found[0] if value.dtype.kind in "mM" and not value.ndim else found
    elif isinstance(value, dt.date | dt.time):
        found = value.isoformat()
    elif isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):  # what is no text is refused below
            found = value.decode()
    if found is None or isinstance(found, str | bool | int | float):
        return found
    if isinstance(found, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in found.items()}
    if isinstance(found, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(found)]
    raise ConfigError(
        "an attribute holds what JSON cannot",
        where=where,
        expected="text, numbers, true or false, lists and tables of them",
        found=f"{type(value).__name__} {str(value)[:60]!r}",
    )


def plain_attributes(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as JSON can hold them, without the names of dimensions; raises as ``plain`` does."""
    return {str(key): plain(value, str(key)) for key, value in given.items() if key != DIMS}


def retext(text: str, attributes: Mapping[str, Any]) -> str:
    """Return the JSON text of attributes, taking from the old text every value that has not changed."""
    old = {m.key: text[m.start : m.end] for m in jsontext.members(text)}
    parts = {}
    for name, value in attributes.items():
        same = name in old and _equal(jsontext.parse(old[name], name), value)
        parts[name] = old[name] if same else jsontext.dumps(value)
    return jsontext.joined(parts, indent=2)


def _equal(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # 1 and 1.0 and true are different texts; NaN is itself
