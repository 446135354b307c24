"""Configuration files: found, read, and merged with keyword arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zapz.config import Config, make
from zapz.errors import ConfigError


def resolve(
    config: Config | Mapping[str, Any] | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None,
    settings: Mapping[str, Any],
) -> Config:
    """Make a configuration from what an API call was given: later layers win, and ``settings`` win over all.

    Raises:
        ConfigError: A file cannot be read, or a setting is wrong.
    """
    if isinstance(config, Config):
        return make({name: getattr(config, name) for name in config.__slots__}, settings) if settings else config
    if config is None:
        layers: list[Mapping[str, Any]] = []
    elif isinstance(config, Mapping):
        layers = [config]
    else:
        paths = [config] if isinstance(config, str | os.PathLike) else list(config)
        layers = [load(path) for path in paths]
    return make(*layers, settings)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one configuration file (TOML).

    Raises:
        ConfigError: It cannot be read or is not TOML; names the line.
    """
    import tomli  # imported where used

    where = os.fspath(path)
    try:
        data = Path(where).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError("cannot read the configuration file", where=where, found=error.strerror or "") from error
    try:
        settings = tomli.loads(data.decode("utf-8"))
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("the configuration file is not TOML", where=where, found=str(error)) from error
    try:
        make(settings)
    except ConfigError as error:
        raise error.at(where) from None
    return settings
