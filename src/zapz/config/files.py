"""Configuration files: find and read them, and merge them with the arguments of a call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from zapz.config.layers import Layer, make
from zapz.config.settings import Config
from zapz.config.trust import LIMITED, Origin
from zapz.config.types import Place
from zapz.errors import ConfigError
from zapz.storage.uris import is_local, local_path, redact, told

ConfigFile = str | os.PathLike[str]
"""Path or URI of a configuration file."""
ConfigLike = Config | Mapping[str, object] | ConfigFile | Sequence[Mapping[str, object] | ConfigFile] | None
"""A configuration: settings (``SettingsDict``), a file of them, several of these (later ones win),
or a ``Config``."""
Encodings = Mapping[str, Mapping[str, object]]
"""How variables of a new target are stored, in the words of xarray's ``to_zarr``."""
Layers = Sequence[Mapping[str, object] | ConfigFile | Layer]
"""Several, of which some have been read already."""

PROJECT_FILE = "pyproject.toml"
"""A file whose table ``[tool.zapz]`` holds settings; the rest of it is ignored."""

_MOST = 16 << 20
"""Maximum size of a configuration file, in bytes."""


def resolve(
    config: ConfigLike | Layers,
    settings: Mapping[str, object],
    environment: Mapping[str, str] | None = None,
    encoding: Encodings | None = None,
) -> Config:
    """Return the configuration for an API call: later layers win, and ``settings`` win over all.

    Args:
        config: A configuration, a mapping of settings, a configuration file, or a sequence of
            mappings and files.
        settings: Settings by name.
        environment: Values for variables in files; the environment of the process if None.
        encoding: Encodings of variables as in xarray, which are settings too.

    Raises:
        ConfigError: A file cannot be read, or a setting is invalid or not allowed in its place.
    """
    if encoding is not None:
        from zapz.config import xarray_encoding  # imported here: most appends do without

        settings = xarray_encoding.with_encodings(settings, encoding)
    arguments = Layer(settings, Place("argument "))
    if isinstance(config, Config):
        return make({name: getattr(config, name) for name in config.__slots__}, arguments) if settings else config
    if config is None:
        parts: Sequence[Any] = []
    elif isinstance(config, Sequence) and not isinstance(config, str | bytes):
        parts = config
    else:
        parts = [config]
    given = [table["trust_config"] for table in map(_of_the_caller, (*parts, settings)) if "trust_config" in table]
    trusted = given[-1:] == [True]
    return make(*(_layer(part, environment, trusted=trusted) for part in parts), arguments)


def _of_the_caller(part: Any) -> Mapping[str, Any]:
    if isinstance(part, Layer):
        part = part.settings if part.origin is Origin.CALLER else None
    return part if isinstance(part, Mapping) else {}


def _layer(part: Any, environment: Mapping[str, str] | None, *, trusted: bool) -> Layer:
    if isinstance(part, Layer):
        return part
    if isinstance(part, Mapping):
        return Layer(part, Place())
    if isinstance(part, str | os.PathLike):
        return load(part, environment, trusted=trusted)
    raise ConfigError(
        "unsupported configuration type",
        where="config",
        expected="a path or URI, a table of settings, or a list of these",
        found=type(part).__name__,
    )


def load(
    file: ConfigFile, environment: Mapping[str, str] | None = None, *, trusted: bool = False, found: bool = False
) -> Layer:
    """Read one configuration file: TOML, JSON or YAML, by its suffix.

    From a ``pyproject.toml``, only the table ``[tool.zapz]`` is used.

    Args:
        file: Path or URI.
        environment: Values for variables in the file; the environment of the process if None.
        trusted: Whether a file that is not local may set anything and use variables, as a local
            file may.
        found: Whether zapz found the file, and the caller did not name it. Such a file is limited
            like one that is not local.

    Returns:
        Its settings, not validated yet, with their lines and what they may set.

    Raises:
        ConfigError: The file cannot be read, does not match its suffix, or uses variables and may
            not; names the line where possible.
    """
    from zapz.config.parsers import read, read_project  # imported here: most appends read no file

    given = os.fspath(file)
    where = redact(given)
    parts = [part for part in where.split("::") if "://" in part or "::" not in where]
    try:
        text = _bytes_of(given, where).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration file is not UTF-8", where=where, found=str(error)) from error
    name = PurePosixPath((parts or [where])[0])
    origin = Origin.FOUND if found else Origin.LOCAL_FILE if trusted or is_local(given) else Origin.ELSEWHERE
    known = os.environ if environment is None else environment
    if name.name == PROJECT_FILE:
        settings, lines = read_project(text, where, origin)
    else:
        settings, lines = read(text, name.suffix, where, None if origin in LIMITED else known, origin)
    return Layer(settings, Place(f"{where}, ", lines), origin)


def same_file(given: ConfigFile, path: str) -> bool:
    """Return whether a configuration file is the file at a local path."""
    text = os.fspath(given)
    try:
        return is_local(text) and local_path(text).samefile(path)
    except OSError:
        return False


def local_files(layers: Layers) -> tuple[str, ...]:
    """Return the local files among the layers of a configuration, as absolute paths."""
    files = [os.fspath(layer) for layer in layers if isinstance(layer, str | os.PathLike)]
    return tuple(str(local_path(file)) for file in files if is_local(file))


def _bytes_of(uri: str, where: str) -> bytes:
    what = "cannot read the configuration file"
    try:
        with _open(uri) as stream:
            data: bytes = stream.read(_MOST + 1)
    except Exception as error:  # every backend has its own errors
        raise ConfigError(what, where=where, found=told(error)) from error
    if len(data) > _MOST:
        raise ConfigError("the configuration file is too large", where=where, expected=f"at most {_MOST} bytes")
    return data


def _open(uri: str) -> Any:
    if is_local(uri):
        return Path(local_path(uri)).open("rb")
    import fsspec  # imported only when needed

    return fsspec.open(uri, "rb")
