"""The text of a configuration file becomes settings, with the line of each key: TOML, JSON and YAML; variables of the environment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from typing import Any

from zapz.errors import ConfigError, MetadataError
from zapz.format import jsontext
from zapz.kinds import Steps, nearest
from zapz.toml_lines import lines_of

Lines = Mapping[Steps, int]
"""Line of each key."""
_Read = tuple[Any, Lines]

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)|(\{))", re.ASCII)


def read(text: str, suffix: str, where: str, environment: Mapping[str, str]) -> tuple[dict[str, Any], Lines]:
    """Return the settings that a file holds, and the lines of their keys.

    Args:
        text: Its text.
        suffix: What its name ends with, which says what it is.
        where: The file, for messages.
        environment: Variables that ``$NAME`` and ``${NAME}`` stand for; ``$$`` stands for ``$``.

    Raises:
        ConfigError: The suffix is unknown, a variable is not set, or the text is not what the suffix says.
    """
    if suffix.lower() not in _READERS:
        raise ConfigError(
            "cannot tell what a configuration file is",
            where=where,
            expected=" or ".join(_READERS),
            found=suffix or "no suffix",
        )
    name, reader = _READERS[suffix.lower()]
    try:
        settings, lines = reader(substituted(text, where, environment), where)
    except RecursionError as error:
        raise ConfigError("the configuration file is nested too deeply", where=where) from error
    if not isinstance(settings, dict):
        what = f"the configuration file is {name}, but holds no settings"
        raise ConfigError(what, where=where, expected="keys and their values", found=type(settings).__name__)
    return settings, lines


def substituted(text: str, where: str, environment: Mapping[str, str]) -> str:
    """Replace variables of the environment in a text, wherever they stand in it.

    Raises:
        ConfigError: One is not set; names the line.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if match[0] == "$$":
            return "$"
        if name in environment:
            return environment[name]
        place = f"{where}, line {text.count(chr(10), 0, match.start()) + 1}"
        if match[3]:
            raise ConfigError("not a variable", where=place, expected="${NAME}", found=text[match.start() :][:20])
        meant = nearest(name, environment)
        raise ConfigError(
            "a variable of the environment is not set",
            where=place,
            found=match[0],
            hint=(f"Did you mean {meant!r}? " if meant else "") + "Set it, or write $$ for a dollar sign.",
        )

    return _VARIABLE.sub(value, text)


def _toml(text: str, where: str) -> _Read:
    import tomli  # imported where used

    try:
        return _dates_as_text(tomli.loads(text)), lines_of(text)
    except tomli.TOMLDecodeError as error:
        raise _broken("TOML", where, str(error)) from error


def _json(text: str, where: str) -> _Read:
    try:
        settings = jsontext.parse(text, where)
    except MetadataError as error:
        found = [part for part in (error.what.removeprefix("metadata is "), error.found) if part]
        raise _broken("JSON", where, ": ".join(found) + _lines_with(text, error.found)) from error
    return settings, dict(_json_lines(text, settings, 0, ()))


def _lines_with(text: str, quoted: str) -> str:
    """Say on which lines a key stands that is quoted in a message; nothing if it is no key."""
    pattern = rf'"{re.escape(quoted[1:-1])}"\s*:'
    lines = sorted({text.count("\n", 0, match.start()) + 1 for match in re.finditer(pattern, text)})
    return f" (line {', '.join(map(str, lines))})" if lines else ""


def _json_lines(text: str, value: Any, start: int, steps: Steps) -> Iterator[tuple[Steps, int]]:
    if isinstance(value, dict):
        for member in jsontext.members(text, start):
            inner = (*steps, member.key)
            yield inner, text.count("\n", 0, member.start) + 1
            yield from _json_lines(text, value[member.key], member.start, inner)


def _yaml(text: str, where: str) -> _Read:
    try:
        import yaml  # type: ignore[import-untyped] # imported where used
    except ImportError as error:
        raise ConfigError(
            "reading YAML takes another package", where=where, found=str(error), hint="pip install 'zapz[yaml]'"
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Leaves dates the text that they are."""

    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
    lines: dict[Steps, int] = {}
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        _yaml_lines(node, where, (), lines, set())
        return ({} if node is None else loader.construct_document(node)), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _broken("YAML", where, f"{error.problem} at line {mark.line + 1}, column {mark.column + 1}") from error
    except yaml.YAMLError as error:
        raise _broken("YAML", where, str(error)) from error


def _yaml_lines(node: Any, where: str, steps: Steps, lines: dict[Steps, int], seen: set[int]) -> None:
    """Note the line of each key of a YAML node, once if it is referred to again; refuse a key that stands twice in one table."""
    if id(node) in seen or not isinstance(getattr(node, "value", None), list):
        return
    seen.add(id(node))
    if node.id == "sequence":
        for position, inner in enumerate(node.value):
            _yaml_lines(inner, where, (*steps, position), lines, seen)
        return
    for key, inner in node.value:
        here, line = (*steps, str(key.value)), key.start_mark.line + 1
        if here in lines:
            found = f"a key stands twice in one table: {key.value!r} at lines {lines[here]} and {line}"
            raise _broken("YAML", where, found)
        lines[here] = line
        _yaml_lines(inner, where, here, lines, seen)


def _dates_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _dates_as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_dates_as_text(inner) for inner in value]
    return value.isoformat() if isinstance(value, date | time) else value


def _broken(what: str, where: str, found: str) -> ConfigError:
    return ConfigError(f"the configuration file is not {what}", where=where, found=found)


_READERS: Mapping[str, tuple[str, Callable[[str, str], _Read]]] = {
    ".toml": ("TOML", _toml),
    ".json": ("JSON", _json),
    ".yaml": ("YAML", _yaml),
    ".yml": ("YAML", _yaml),
}
