"""Settings that nobody named on the command line: a file in the folder, and variables of the environment.

From below: a ``zapz.toml`` (or ``[tool.zapz]`` in a ``pyproject.toml``) of the working directory or
    the nearest one above, files that
``ZAPZ_CONFIG`` names, files that ``-c`` names, variables ``ZAPZ_SET_NAME``. What was read so is
said in the first line that a command prints; ``--no-config`` reads none of it. Python never does. A
file that nobody named may be anybody's: it may set what is harmless, and is read only where the
user alone can have put it. Looking for one must cost next to nothing: most folders have none.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from typing import Any

from zapz.errors import ConfigError

_OWN, _PROJECT = "zapz.toml", "pyproject.toml"
_TABLE = rb"(?m)^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*zapz[ \t]*[\].]"
_MOST = 1 << 20
"""Bytes of a project file in which the table is looked for."""
_FILE = r"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/:]*(?::\d+)?|::|[^:])+"
"""One file in ``ZAPZ_CONFIG``: a colon separates, but not in a URI, nor in a chain of them."""


def with_unnamed(named: Sequence[Any], *, quiet: bool = False) -> list[Any]:
    """Return the layers of a configuration around the files that were named, and say what nobody named.

    Args:
        named: Files of the command line, in their order.
        quiet: Whether variables of the environment are read without a word; a file is always spoken
            of.

    Raises:
        ConfigError: What was found is no configuration, or a variable is no setting.
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
    """Return the working directory, the nearest folder that has a file of settings, and its name; None if none has."""
    try:
        here = folder = os.getcwd()
    except OSError:  # it was removed
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
    """Return the layer of a file that was found, if it is read, and what is said of it."""
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
    """Return an error of a configuration; one of a file that nobody named says so."""
    from zapz.config.layers import Layer
    from zapz.config.trust import Origin

    files = [each for each in layers if isinstance(each, Layer) and each.origin is Origin.FOUND]
    return _found_error(error) if any(error.where.startswith(each.place.prefix) for each in files) else error


def _found_error(error: ConfigError) -> ConfigError:
    words = (
        "Nobody named this file, it was found in the folder or above it: correct it, or leave it out with --no-config."
    )
    return error.advised(f"{error.hint} {words}".lstrip(), error.remedies)


def _reason_not_to_read(here: str, folder: str, path: str) -> str:
    """Return why a file is not the user's own for this folder; nothing if it is."""
    inner = here
    while inner != folder:
        if os.path.lexists(os.path.join(inner, ".git")):
            return "it lies above the repository"
        if theirs := _theirs(inner):
            return f"it lies above a folder that {theirs}"
        inner = os.path.dirname(inner)
    home = os.path.realpath(os.path.expanduser("~"))
    if os.path.join(home, "").startswith(os.path.join(folder, "")):
        return "it lies in the home folder" if home == folder else "it lies above the home folder"
    if theirs := _theirs(folder):
        return f"it lies in a folder that {theirs}"
    theirs = _theirs(path)
    return f"it {theirs}" if theirs else ""


def _theirs(path: str) -> str:
    """Return how others have a say in a file or folder; nothing if they have none."""
    try:
        state = os.stat(path)
    except OSError:
        return "cannot be looked at"
    if state.st_uid != os.geteuid():
        return "belongs to another user"
    return "is writable by everybody" if state.st_mode & stat.S_IWOTH else ""
