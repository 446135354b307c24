"""Datasets on the command line: ``[NAME=]PLACE`` or ``[NAME=]MODULE:FUNCTION``."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

from zapz.config.serve_settings import ServedDataset
from zapz.config.serve_types import FACTORY, NAME_WORDS, check_name, is_name
from zapz.errors import ConfigError
from zapz.storage.uris import is_local, local_path, redact

_SUFFIXES = (".zip", ".zarr", ".levels")
"""Suffixes of places that a name does not have."""


def with_given(
    configured: Sequence[ServedDataset], arguments: Sequence[str], options: Mapping[str, object]
) -> tuple[ServedDataset, ...]:
    """Return the datasets of the configuration, then those of the command line.

    A name that the user gives replaces a configured dataset. A name that zapz derives does not.

    Args:
        configured: The datasets of the configuration.
        arguments: The arguments.
        options: Storage options of their places.

    Raises:
        ConfigError: An argument has no usable name, or a name is given twice.
    """
    found = {dataset.name: dataset for dataset in configured}
    users = {name: f"[serve.datasets.{name}]" for name in found}
    replaceable = set(found)
    for argument in arguments:
        given, place = _split(argument)
        is_factory = re.fullmatch(FACTORY, place) is not None and not _exists(place)
        name = given or name_of(place, is_factory=is_factory)
        if name is None:
            raise _without_name(place)
        if name in users and not (given and name in replaceable):
            raise _taken(name, place, users)
        users[name] = redact(argument)
        replaceable.discard(name)
        found[name] = (
            ServedDataset(name=name, factory=place, fixed=True)
            if is_factory
            else ServedDataset(name=name, place=place, storage_options=options, fixed=True)
        )
    return tuple(found.values())


def _split(argument: str) -> tuple[str, str]:
    """Return the name in an argument, which may be empty, and the place or factory.

    Raises:
        ConfigError: The name is invalid, or nothing follows it.
    """
    name, mark, place = argument.partition("=")
    if not mark or set(name) & set("/:") or _exists(argument):
        return "", argument
    check_name(name, redact(argument), f"If this is a path, write `{shlex.quote(f'./{argument}')}`.")
    if not place:
        raise ConfigError("a name without a place", where=argument, expected="NAME=PLACE or NAME=MODULE:FUNCTION")
    return name, place


def _exists(place: str) -> bool:
    """Return whether a text is the path of something; other texts are no error."""
    return is_local(place) and os.path.exists(local_path(place))  # noqa: PTH110


def name_of(place: str, *, is_factory: bool = False) -> str | None:
    """Return the name under which a dataset is served if the user gives none.

    It is the last part of a path or URI without suffixes, or the name of a function. Characters
    that a name cannot have become ``-``.

    Args:
        place: Path, URI, or ``module:function``.
        is_factory: Whether it is ``module:function``.

    Returns:
        The name; None if none can be derived.
    """
    last = place.partition(":")[2] if is_factory else _last_part(place)
    while last.endswith(_SUFFIXES):
        last = last[: last.rindex(".")]
    name = re.sub(r"[^A-Za-z0-9_.-]|^\.|\.(?=\.|$)|\.(?=v[23]$)", "-", last)
    return name if is_name(name) and re.search(r"[A-Za-z0-9]", name) else None


def _last_part(place: str) -> str:
    """Return the last part of a path; of a chain of URIs, that of the first with a path."""
    if is_local(place):
        return local_path(place).name
    for part in redact(place).split("::"):
        path = part.partition("://")[2].strip("/")
        if path:
            return path.rpartition("/")[2]
    return ""


def _without_name(place: str) -> ConfigError:
    return ConfigError(
        "no name for a dataset can be derived from its place",
        where=redact(place),
        expected="NAME=PLACE",
        hint=f"Give it a name, such as `{shlex.quote(f'data={redact(place)}')}`. A name has {NAME_WORDS}.",
    )


def _taken(name: str, place: str, users: Mapping[str, str]) -> ConfigError:
    free = next(other for n in range(2, len(users) + 3) if (other := f"{name}-{n}") not in users)
    return ConfigError(
        "two datasets have the same name",
        where=redact(place),
        expected="a name for each",
        found=f"{name!r}, the name of {users[name]}",
        hint=f"Give it a name of its own, such as `{shlex.quote(f'{free}={redact(place)}')}`.",
    )
