"""Settings written as ``NAME=VALUE``, in ``--set`` and in environment variables. Pure.

::

    static=0.01                                   a number
    label_order=any                               text, because it is not a TOML value
    variables.sst.encoding.dtype=int16            dots separate the keys of nested tables
    excluded_variables=["a", "b"]                 any TOML value

A variable ``ZAPZ_SET_STATIC=0.01`` has the effect of ``--set static=0.01``. In the name of a
variable, two underscores stand for a dot: ``ZAPZ_SET_VARIABLES__SST__ENCODING__DTYPE=int16``. The
case of names that zapz knows does not matter. Other names, such as ``SST``, are used as written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zapz.config.layers import SETTINGS, Layer
from zapz.config.table_types import ANY_NAME
from zapz.config.types import Key, Place, shown
from zapz.errors import ConfigError

VARIABLE = "ZAPZ_SET_"
"""Prefix of environment variables that are settings."""

_STRUCTURED = ("[", "{", '"', "'")
"""First characters of a value that must be TOML."""


def assigned(text: str, where: str = "--set") -> Layer:
    """Return the layer of one setting.

    Args:
        text: ``NAME=VALUE``.
        where: Origin of the text, for messages.

    Raises:
        ConfigError: The text has another form, or the value is invalid TOML.
    """
    name, mark, value = text.partition("=")
    steps = _steps(name.strip())
    if not mark or not steps:
        raise ConfigError(
            "invalid assignment",
            where=where,
            expected="NAME=VALUE",
            found=repr(text),
            hint=f"For example: `{where} static=0.01`.",
        )
    return Layer(nested(steps, _value(value.strip(), f"{where} {name}")), Place(f"{where} "))


def assigned_by_variable(variable: str, text: str) -> Layer:
    """Return the layer of one setting in an environment variable.

    Args:
        variable: Its name: ``ZAPZ_SET_NAME``, or ``ZAPZ_SET_NAME__KEY`` for a key of a table.
        text: Its value.

    Raises:
        ConfigError: The name or the value is invalid.
    """
    steps: list[str] = []
    keys: Mapping[str, Key] = SETTINGS.keys
    for word in variable.removeprefix(VARIABLE).split("__"):
        known = {} if ANY_NAME in keys else {key.casefold(): key for key in keys}
        step = known.get(word.casefold(), word.lower()) if known else word
        key = keys.get(ANY_NAME) or keys.get(step)
        keys = key.kind.keys if key else {}
        steps.append(step)
    if not all(steps):
        raise ConfigError(
            "invalid name of a setting",
            where=variable,
            expected="ZAPZ_SET_NAME, or ZAPZ_SET_NAME__KEY for a key of a table",
        )
    return Layer(nested(steps, _value(text.strip(), variable)), Place(f"{variable}, "))


def nested(steps: list[str], value: Any) -> dict[str, Any]:
    """Return nested tables, with these keys from the outside in, that hold a value."""
    for step in reversed(steps):
        value = {step: value}
    found: dict[str, Any] = value
    return found


def _steps(name: str) -> list[str]:
    """Return the keys of a dotted name, quoted as in TOML if needed; an empty list if invalid."""
    quoted = '"' in name or "'" in name
    table: Any = _parsed(f"{name} = 0") if quoted else None
    if not quoted:
        first, *rest = name.split(".")
        plain = first.replace("-", "_")
        steps = [plain if plain in SETTINGS.keys else first, *rest]
        return steps if all(steps) else []
    steps = []
    while isinstance(table, Mapping):
        if len(table) != 1:
            return []
        ((step, table),) = table.items()
        steps.append(step)
    return steps


def _value(text: str, where: str) -> Any:
    from zapz.config.parsers import dates_as_text  # imported only when needed

    table = _parsed(f"value = {text}")
    if table is not None and list(table) == ["value"]:
        return dates_as_text(table["value"])
    if text.startswith(_STRUCTURED):
        raise ConfigError(
            "invalid value",
            where=where,
            expected='a TOML value, such as 0.01, true, "text" or ["a", "b"]',
            found="another value (not shown)" if "storage_options" in where.casefold() else shown(text),
            hint="Put NAME=VALUE into single quotes, so that the shell does not change it.",
        )
    return text


def _parsed(text: str) -> dict[str, Any] | None:
    import tomli  # imported here: most appends have no assignments

    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError:
        return None
