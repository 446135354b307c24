"""Environment variables in a configuration file: their values, and a check for published secrets.

Variables are replaced in the text before it is parsed, so that they can be numbers or tables. The
value of a variable is known by its position in the text, not by its content. So an equal value
elsewhere is not mistaken for it, and surrounding text does not hide it.
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
    """The value of a variable at one place in a text."""

    name: str
    """Name of the variable."""
    line: int
    """Line of the file, before the replacements."""
    start: int
    """Offset of its first character, after the replacements."""
    end: int
    """Offset after its last character."""


class Span(NamedTuple):
    """A part of a text that belongs to a setting: all of it, or a key or value in it."""

    setting: str
    """The setting."""
    start: int
    """Offset of its first character."""
    end: int
    """Offset after its last character."""


def substituted(
    text: str, where: str, environment: Mapping[str, str] | None, origin: Origin = Origin.ELSEWHERE
) -> tuple[str, list[Value]]:
    """Replace all environment variables in a text.

    Args:
        text: The text.
        where: The file, for messages.
        environment: The variables by name; None if the text may not use them. ``$$`` becomes ``$``
            in either case.
        origin: Origin of the file, for messages.

    Returns:
        The new text, and the positions of the values in it.

    Raises:
        ConfigError: A variable is not set, or may not be used; names the line.
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
    """Return a text from a file that may not use variables; ``$$`` becomes ``$``.

    Args:
        text: The text.
        where: The file, for messages.
        place: The place in it, for messages.
        origin: Origin of the file.

    Raises:
        ConfigError: The text uses a variable.
    """

    def dollar(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        raise _forbidden(match[0], where, place, origin)

    return _VARIABLE.sub(dollar, text)


_NEVER = "pyproject.toml"
"""A file that may not use variables even if it is named."""


def _forbidden(found: str, where: str, place: str, origin: Origin) -> ConfigError:
    limited = origin in LIMITED
    return ConfigError(
        f"{described(origin) if limited else where} may not use environment variables",
        where=place,
        expected="$$ for a dollar sign",
        found=found,
        hint=advice(origin, where)
        if limited and not where.endswith(_NEVER)
        else "Put the setting into a separate configuration file, and pass it: `-c FILE`.",
    )


def _value(
    text: str, match: re.Match[str], where: str, line: int, environment: Mapping[str, str] | None, origin: Origin
) -> str:
    name, place = match[1] or match[2], f"{where}, line {line}"
    if environment is None:
        raise _forbidden(match[0] if name else text[match.start() :][:20], where, place, origin)
    if match[3]:
        raise ConfigError("invalid variable", where=place, expected="${NAME}", found=text[match.start() :][:20])
    if name in environment:
        return environment[name]
    meant = nearest(name, environment)
    raise ConfigError(
        "environment variable is not set",
        where=place,
        found=match[0],
        hint=(f"Did you mean {meant!r}? " if meant else "") + "Set the variable, or write $$ for a dollar sign.",
    )


def refuse_secrets(values: Iterable[Value], spans: Callable[[], Iterable[Span]], where: str) -> None:
    """Refuse secrets in keys and values that would be published, also as a part of them.

    Args:
        values: The values of variables.
        spans: Returns the positions of settings in the text.
        where: The file, for messages.

    Raises:
        ConfigError: A secret would be published; names variable and place, never the value.
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
                    expected="variables without secrets",
                    found=f"${{{secret.name}}}",
                    hint="Put secrets into storage options. If the value is not a secret, rename the variable: its name suggests a secret.",
                )
