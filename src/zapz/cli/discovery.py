"""Settings that are not on the command line: a discovered file, and environment variables.

Later sources override earlier ones: a ``zapz.toml`` (or ``[tool.zapz]`` in a ``pyproject.toml``) of
the working directory or the nearest folder above; files that ``ZAPZ_CONFIG`` names; files that
``-c`` names; variables ``ZAPZ_SET_NAME``. The first line that a command prints says what was read.
``--no-config`` reads none of it. The Python API never reads it.

A discovered file may come from another user. It may therefore set only harmless settings, and is
read only where no other user can have put it. The search must be cheap: most folders have no file.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zapz.errors import ConfigError

if TYPE_CHECKING:
    from zapz.config.settings import Config

_OWN, _PROJECT = "zapz.toml", "pyproject.toml"
_TABLE = rb"(?m)^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*zapz[ \t]*[\].]"
_MOST = 1 << 20
"""Number of bytes of a project file that are searched for the table."""
_FILE = r"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/:]*(?::\d+)?|::|[^:])+"
"""One file in ``ZAPZ_CONFIG``. Colons separate files, but not inside a URI or a chain of URIs."""


def layers_of(
    files: Sequence[Any] | None, assignments: Sequence[str] | None, *, no_config: bool = False, quiet: bool = False
) -> list[Any]:
    """Return the layers of a command's configuration, without its flags; later ones win.

    Args:
        files: Configuration files that the user named.
        assignments: Settings, NAME=VALUE.
        no_config: Whether discovered files and environment variables are ignored.
        quiet: Whether environment variables are used without a message.

    Raises:
        ConfigError: A discovered file is not a configuration, or an assignment is not a setting.
    """
    layers: list[Any] = list(files or ())
    if not no_config:
        layers = with_unnamed(layers, quiet=quiet)
    if assignments:
        from zapz.config.assignments import assigned  # imported where used: most appends do not use --set

        layers += map(assigned, assignments)
    return layers


def resolved(layers: Sequence[Any], settings: Mapping[str, Any]) -> Config:
    """Return the configuration of a command.

    Args:
        layers: Its layers.
        settings: Settings from flags, which override them.

    Raises:
        ConfigError: A file or a setting is wrong.
    """
    from zapz.config.files import resolve

    try:
        return resolve(layers, settings)
    except ConfigError as error:
        raise say_found(error, layers) from None


def with_unnamed(named: Sequence[Any], *, quiet: bool = False) -> list[Any]:
    """Return the layers of a configuration, and print which of them are not on the command line.

    Args:
        named: Files of the command line, in order.
        quiet: Whether environment variables are used without a message; a discovered file is
            always reported.

    Raises:
        ConfigError: A discovered file is not a configuration, or a variable is not a setting.
    """
    said: list[str] = []
    layers = [*_named_by_variable(), *named]
    if len(layers) > len(named):
        said.append("ZAPZ_CONFIG")
    variables = sorted(name for name in os.environ if name.startswith("ZAPZ_SET_") and os.environ[name])
    if variables:
        from zapz.config.assignments import assigned_by_variable  # imported where used: most commands have none

        layers += [assigned_by_variable(name, os.environ[name]) for name in variables]
        said += variables
    nearest = _nearest()
    if nearest is not None:
        found, line = _found(*nearest, layers)
        layers = [*found, *layers]
        said = [*line, *said]
        quiet = quiet and not line
    if said and not quiet:
        sys.stderr.write(f"settings: {', '.join(said)}\n")
        sys.stderr.flush()
    return layers


def _named_by_variable() -> list[str]:
    text = os.environ.get("ZAPZ_CONFIG", "")
    return re.findall(_FILE, text) if text else []


def _nearest() -> tuple[str, str, str] | None:
    """Return the working directory, the nearest folder with a settings file, and the file's name.

    None if there is no such file.
    """
    try:
        here = folder = os.getcwd()
    except OSError:  # the working directory was removed
        return None
    while True:
        for name in (_OWN, _PROJECT):
            path = os.path.join(folder, name)
            if os.path.isfile(path) and (name == _OWN or _has_table(path)):
                return here, folder, name
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _has_table(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return re.search(_TABLE, stream.read(_MOST)) is not None
    except OSError:
        return False


def _found(here: str, folder: str, name: str, layers: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Return the layer of a discovered file, unless it must not be read, and a message about it."""
    from zapz.config.files import load, same_file
    from zapz.config.layers import SETTINGS

    path = os.path.join(folder, name)
    if any(isinstance(each, str | os.PathLike) and same_file(each, path) for each in layers):
        return [], []
    shown = os.path.join(os.path.relpath(folder, here), name).removeprefix("./")
    reason = _reason_not_to_read(here, folder, path)
    if reason:
        return [], [f"{shown} is not read, because {reason} (-c {shown} reads it)"]
    try:
        layer = load(shown, found=True)
    except ConfigError as error:
        raise _found_error(error) from None
    known = ", ".join(each for each in layer.settings if each in SETTINGS.keys)
    return [layer], [f"{shown}{' [tool.zapz]' if name == _PROJECT else ''} ({known or 'none'})"]


def say_found(error: ConfigError, layers: Sequence[Any]) -> ConfigError:
    """Return a configuration error; if it concerns a discovered file, its hint says so."""
    from zapz.config.layers import Layer
    from zapz.config.trust import Origin

    files = [each for each in layers if isinstance(each, Layer) and each.origin is Origin.FOUND]
    return _found_error(error) if any(error.where.startswith(each.place.prefix) for each in files) else error


def _found_error(error: ConfigError) -> ConfigError:
    words = "The command line does not name this file: zapz found it in the working folder or above. Correct it, or use --no-config."
    return error.advised(f"{error.hint} {words}".lstrip(), error.remedies)


def _reason_not_to_read(here: str, folder: str, path: str) -> str:
    """Return why a discovered file must not be read; empty if it is the user's own."""
    inner = here
    while inner != folder:
        if os.path.lexists(os.path.join(inner, ".git")):
            return "it is above the repository"
        if theirs := _theirs(inner):
            return f"it is above a folder that {theirs}"
        inner = os.path.dirname(inner)
    home = os.path.realpath(os.path.expanduser("~"))
    if os.path.join(home, "").startswith(os.path.join(folder, "")):
        return "it is in the home folder" if home == folder else "it is above the home folder"
    if theirs := _theirs(folder):
        return f"it is in a folder that {theirs}"
    theirs = _theirs(path)
    return f"it {theirs}" if theirs else ""


def _theirs(path: str) -> str:
    """Return how other users can change a file or folder; empty if they cannot."""
    try:
        state = os.stat(path)
    except OSError:
        return "cannot be accessed"
    if state.st_uid != os.geteuid():
        return "belongs to another user"
    return "is writable by all users" if state.st_mode & stat.S_IWOTH else ""
