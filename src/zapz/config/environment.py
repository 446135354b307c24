"""Variables of the environment in a configuration file: what they stand for, and where those that hold secrets may not stand.

Variables are replaced in the text, before it is parsed, so that they can be numbers or tables. What
a variable has brought is known by where it stands in the text, not by what it is: no value that
happens to be the same is taken for it, and no text around it hides it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from zapz.config.trust import LIMITED, PUBLISHED, Origin, advice, described, looks_secret
from zapz.config.types import nearest
from zapz.errors import ConfigError

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)|(\{))", re.ASCII)


class Value(NamedTuple):
    """What a variable stands for, at one place of a text."""

    name: str
    """The variable."""
    line: int
    """Line of the file, before anything was replaced."""
    start: int
    """Offset of its first character, after all was replaced."""
    end: int
    """Offset behind its last one."""


class Span(NamedTuple):
    """A part of a text that belongs to a setting: a key or a value in it, or all of it."""

    setting: str
    """The setting."""
    start: int
    """Offset of its first character."""
    end: int
    """Offset behind its last one."""


def substituted(
    text: str, where: str, environment: Mapping[str, str] | None, origin: Origin = Origin.ELSEWHERE
) -> tuple[str, list[Value]]:
    """Replace variables of the environment in a text, wherever they stand in it; tell where their values are.

    Args:
        text: The text.
        where: The file, for messages.
        environment: The variables; None if the text may not use them. ``$$`` stands for ``$`` all
            the same.
        origin: Where the file comes from, for messages.

    Raises:
        ConfigError: One is not set, or may not be used; names the line.
    """
    parts: list[str] = []
    values: list[Value] = []
    length = stop = 0
    for match in _VARIABLE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        value = "$" if match[0] == "$$" else _value(text, match, where, line, environment, origin)
        before = text[stop : match.start()]
        parts += [before, value]
        stop = match.end()
        length += len(before) + len(value)
        values.append(Value(match[1] or match[2] or "", line, length - len(value), length))
    return "".join([*parts, text[stop:]]), values


def without_variables(text: str, where: str, place: str, origin: Origin) -> str:
    """Return a text of a file that may not use variables; ``$$`` stands for ``$``.

    Args:
        text: The text.
        where: The file, for messages.
        place: The place in it, for messages.
        origin: Where the file comes from.

    Raises:
        ConfigError: It uses one.
    """

    def dollar(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        raise _forbidden(match[0], where, place, origin)

    return _VARIABLE.sub(dollar, text)


def _forbidden(found: str, where: str, place: str, origin: Origin) -> ConfigError:
    limited = origin in LIMITED
    return ConfigError(
        f"{described(origin) if limited else where} may not use variables of the environment",
        where=place,
        expected="$$, if a dollar sign is meant",
        found=found,
        hint=advice(origin, where) if limited else "Put the setting into a file of its own, and name that: `-c FILE`.",
    )


def _value(
    text: str, match: re.Match[str], where: str, line: int, environment: Mapping[str, str] | None, origin: Origin
) -> str:
    name, place = match[1] or match[2], f"{where}, line {line}"
    if environment is None:
        raise _forbidden(match[0] if name else text[match.start() :][:20], where, place, origin)
    if match[3]:
        raise ConfigError("not a variable", where=place, expected="${NAME}", found=text[match.start() :][:20])
    if name in environment:
        return environment[name]
    meant = nearest(name, environment)
    raise ConfigError(
        "a variable of the environment is not set",
        where=place,
        found=match[0],
        hint=(f"Did you mean {meant!r}? " if meant else "") + "Set it, or write $$ for a dollar sign.",
    )


def refuse_secrets(values: Iterable[Value], spans: Callable[[], Iterable[Span]], where: str) -> None:
    """Refuse secrets where they would be published, whole or in part of a key or a value.

    Args:
        values: What variables stand for.
        spans: Where in the text each setting stands.
        where: The file, for messages.

    Raises:
        ConfigError: One would be; names variable and place, never the value.
    """
    secrets = [value for value in values if value.end > value.start and looks_secret(value.name)]
    if not secrets:
        return
    published = [span for span in spans() if span.setting in PUBLISHED]
    for secret in secrets:
        for span in published:
            if secret.start < span.end and span.start < secret.end:
                raise ConfigError(
                    "a secret would be published in the target's metadata",
                    where=f"{where}, line {secret.line}, {span.setting}",
                    expected="variables that hold no secret",
                    found=f"${{{secret.name}}}",
                    hint="Secrets belong in storage options. If it is none, rename the variable: its name says that it is one.",
                )
