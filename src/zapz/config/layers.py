"""Layers of settings, from files and callers, are merged into one validated configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from zapz.config import trust
from zapz.config.option_types import check_logging
from zapz.config.settings import Config
from zapz.config.table_types import is_table, table
from zapz.config.trust import Origin
from zapz.config.types import Key, Place, SettingType
from zapz.errors import ConfigError

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Settings, with their place and origin."""

    settings: Settings
    """The settings, as given."""
    place: Place
    """Their place, for messages."""
    origin: Origin = Origin.CALLER
    """Their origin, which decides what they may set."""


_FIELDS: Mapping[str, Key] = {f.name: f.metadata["key"] for f in fields(Config)}
NAMES: tuple[str, ...] = tuple(_FIELDS)
"""Names of all settings, in the order of the reference."""

_ALIAS, _ALIASED = "zarr_version", "zarr_format"
SETTINGS: SettingType = table(
    "a table of settings",
    {**_FIELDS, _ALIAS: Key(kind=_FIELDS[_ALIASED].kind, doc=f"Another name of {_ALIASED}.", example=2)},
)
"""Type of a whole configuration."""


def make(*layers: Settings | Layer) -> Config:
    """Merge layers of settings, of which later ones win, and validate the result.

    Tables are merged key by key at any depth; lists and codecs are replaced. None removes what an
    earlier layer set. In settings of a caller, a dotted name stands for a key in nested tables, so
    that ``error.remedies`` can be passed unchanged.

    Raises:
        ConfigError: A setting is unknown, invalid, or not allowed in its place.
    """
    merged: dict[str, Any] = {}
    for given in layers:
        layer = given if isinstance(given, Layer) else Layer(given, Place())
        if layer.origin is Origin.CALLER:
            layer = replace(layer, settings=_nested(layer.settings))
        checked = _checked(layer)
        if layer.origin is not Origin.CALLER and "logging" in merged:
            from zapz.config import logging_types  # imported here: most appends read no file

            merged["logging"] = logging_types.without_replaced(merged["logging"], checked.get("logging"))
        merged = SETTINGS.merge(merged, checked)
    check_logging(merged.get("logging"))
    return Config(**merged)


def _nested(settings: Settings) -> Settings:
    """Return a caller's settings with dotted names (as in remedies) expanded to nested tables."""
    dots = [name for name in settings if isinstance(name, str) and "." in name] if is_table(settings) else []
    if not dots:
        return settings
    found: dict[str, Any] = {name: value for name, value in settings.items() if name not in dots}
    for dotted in dots:
        *outer, last = dotted.split(".")
        table_: Any = found
        for name in outer:
            inner = table_.get(name)
            table_[name] = dict(inner) if is_table(inner) else {}
            table_ = table_[name]
        table_[last] = settings[dotted]
    return found


def _checked(layer: Layer) -> dict[str, Any]:
    if is_table(layer.settings):
        meant = (_ALIASED if name == _ALIAS else name for name in layer.settings)
        trust.check_trust((name for name in meant if name in _FIELDS), layer.origin, layer.place)
    checked: dict[str, Any] = SETTINGS.check(layer.settings, layer.place)
    if layer.origin is not Origin.CALLER and checked.get("logging"):
        from zapz.config import logging_types  # imported only when needed

        logging_types.check_logging_of_file(checked.get("logging"), layer.place / "logging")
    if _ALIAS in checked:
        alias = checked.pop(_ALIAS)
        if checked.setdefault(_ALIASED, alias) != alias:
            raise ConfigError(
                "setting given twice, under two names",
                where=str(layer.place / _ALIAS),
                expected=f"the same as {_ALIASED} ({checked[_ALIASED]})",
                found=str(alias),
                hint=f"Remove {_ALIAS}.",
            )
    return checked
