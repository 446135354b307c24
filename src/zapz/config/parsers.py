"""Parse configuration files, TOML, JSON and YAML, into settings with the line of each key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from typing import Any

from zapz.config.environment import Span, refuse_secrets, substituted, without_variables
from zapz.config.toml_positions import lines_of, spans_of
from zapz.config.trust import Origin
from zapz.config.types import Place, Steps
from zapz.errors import ConfigError, MetadataError
from zapz.format import jsontext

Lines = Mapping[Steps, int]
"""Line of each key."""
_Read = tuple[Any, Lines]
_MOST = 1_000_000
"""Maximum number of values in a YAML file; each use of an alias counts again."""
_PROJECT_TABLE = ("tool", "zapz")
"""Path of the table with settings in a ``pyproject.toml``."""


def read(
    text: str,
    suffix: str,
    where: str,
    environment: Mapping[str, str] | None,
    origin: Origin = Origin.ELSEWHERE,
) -> tuple[dict[str, Any], Lines]:
    """Return the settings in a file, and the lines of their keys.

    Args:
        text: Its text.
        suffix: Suffix of its name, which defines the format.
        where: The file, for messages.
        environment: Values for ``$NAME`` and ``${NAME}``; None if variables may not be used. ``$$``
            becomes ``$``.
        origin: Origin of the file, for messages.

    Raises:
        ConfigError: The suffix is unknown, the text does not match it, a variable is not set or not
            allowed, or a secret would be published.
    """
    if suffix.lower() not in _READERS:
        raise ConfigError(
            "unknown type of configuration file",
            where=where,
            expected=" or ".join(_READERS),
            found=suffix or "no suffix",
        )
    name, reader, spans = _READERS[suffix.lower()]
    text, values = substituted(text, where, environment, origin)
    try:
        settings, lines = reader(text, where)
    except RecursionError as error:
        raise ConfigError("the configuration file is nested too deeply", where=where) from error
    if not isinstance(settings, dict):
        what = f"the configuration file is {name}, but not a table of settings"
        raise ConfigError(what, where=where, expected="keys and their values", found=type(settings).__name__)
    refuse_secrets(values, lambda: spans(text), where)
    return settings, lines


def read_project(text: str, where: str, origin: Origin) -> tuple[dict[str, Any], Lines]:
    """Return the settings in ``[tool.zapz]`` of a ``pyproject.toml``, and the lines of their keys.

    The rest of the file does not belong to zapz and may contain dollar signs. So environment
    variables are only available in configuration files of zapz.

    Args:
        text: Its text.
        where: The file, for messages.
        origin: Origin of the file, for messages.

    Raises:
        ConfigError: The file is not TOML, does not have this table, or uses variables in it.
    """
    try:
        settings, lines = _toml(text, where)
    except RecursionError as error:
        raise ConfigError("the configuration file is nested too deeply", where=where) from error
    for step in _PROJECT_TABLE:
        settings = settings.get(step) if isinstance(settings, dict) else None
    if not isinstance(settings, dict):
        found = "no table" if settings is None else type(settings).__name__
        raise ConfigError("project file without settings", where=where, expected="a table [tool.zapz]", found=found)
    depth = len(_PROJECT_TABLE)
    lines = {steps[depth:]: line for steps, line in lines.items() if steps[:depth] == _PROJECT_TABLE}
    return _without_variables(settings, where, Place(f"{where}, ", lines), origin), lines


def _without_variables(value: Any, where: str, place: Place, origin: Origin) -> Any:
    if isinstance(value, dict):
        return {
            without_variables(name, where, str(place / name), origin): _without_variables(
                inner, where, place / name, origin
            )
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_variables(inner, where, place / position, origin) for position, inner in enumerate(value)]
    return without_variables(value, where, str(place), origin) if isinstance(value, str) else value


def _toml(text: str, where: str) -> _Read:
    import tomli  # imported only when needed

    try:
        return dates_as_text(tomli.loads(text)), lines_of(text)
    except tomli.TOMLDecodeError as error:
        raise _broken("TOML", where, str(error)) from error


def _json(text: str, where: str) -> _Read:
    try:
        settings = jsontext.parse(text, where)
    except MetadataError as error:
        found = [part for part in (error.what, error.found) if part]
        raise _broken("JSON", where, ": ".join(found) + _lines_with(text, error.found)) from error
    return settings, dict(_json_lines(text, settings, 0, ()))


def _lines_with(text: str, quoted: str) -> str:
    """Return text with the lines of a key that is quoted in a message; "" if it is not a key."""
    pattern = rf'"{re.escape(quoted[1:-1])}"\s*:'
    lines = sorted({text.count("\n", 0, match.start()) + 1 for match in re.finditer(pattern, text)})
    return f" (line {', '.join(map(str, lines))})" if lines else ""


def _json_lines(text: str, value: Any, start: int, steps: Steps) -> Iterator[tuple[Steps, int]]:
    if isinstance(value, dict):
        for member in jsontext.members(text, start):
            inner = (*steps, member.key)
            yield inner, text.count("\n", 0, member.start) + 1
            yield from _json_lines(text, value[member.key], member.start, inner)


def _json_spans(text: str) -> Iterator[Span]:
    for member in jsontext.members(text):
        yield Span(member.key, member.start, member.end)


def _yaml(text: str, where: str) -> _Read:
    try:
        import yaml  # type: ignore[import-untyped] # imported only when needed
    except ImportError as error:
        raise ConfigError(
            "the package for YAML is not installed", where=where, found=str(error), hint="pip install 'zapz[yaml]'"
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Keeps dates as text."""

    Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: loader.construct_scalar(node))
    lines: dict[Steps, int] = {}
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        _yaml_lines(node, where, (), lines, {})
        return ({} if node is None else loader.construct_document(node)), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise _broken("YAML", where, f"{error.problem} at line {mark.line + 1}, column {mark.column + 1}") from error
    except yaml.YAMLError as error:
        raise _broken("YAML", where, str(error)) from error


def _yaml_lines(node: Any, where: str, steps: Steps, lines: dict[Steps, int], sizes: dict[int, int]) -> int:
    """Record the line of each key of a YAML node, once if aliases refer to it again.

    Refuse duplicate keys in a table, and aliases that expand a few lines to an enormous
    configuration.

    Returns:
        The number of values in the node, with aliases expanded.

    Raises:
        ConfigError: A key is a duplicate, or the expanded node is too large.
    """
    if id(node) in sizes or not isinstance(getattr(node, "value", None), list):
        return sizes.get(id(node), 1)
    sizes[id(node)] = size = 1
    if node.id == "sequence":
        for position, inner in enumerate(node.value):
            size += _yaml_lines(inner, where, (*steps, position), lines, sizes)
    else:
        size += _yaml_table(node, where, steps, lines, sizes)
    if size > _MOST:
        raise _broken("YAML", where, f"aliases that expand to more than {_MOST:,} values")
    sizes[id(node)] = size
    return size


def _yaml_table(node: Any, where: str, steps: Steps, lines: dict[Steps, int], sizes: dict[int, int]) -> int:
    size = 0
    for key, inner in node.value:
        here, line = (*steps, str(key.value)), key.start_mark.line + 1
        if here in lines:
            found = f"duplicate key in a table: {key.value!r} at lines {lines[here]} and {line}"
            raise _broken("YAML", where, found)
        lines[here] = line
        size += _yaml_lines(inner, where, here, lines, sizes)
    return size


def _yaml_spans(text: str) -> Iterator[Span]:
    """Yield the positions of the values of each setting, also behind aliases and merge keys."""
    import yaml

    root = yaml.compose(text, yaml.SafeLoader)
    tables, seen = [root] if root else [], set[tuple[str, int]]()
    for outer in tables:
        for key, value in outer.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged = value.value if value.id == "sequence" else [value]
                tables += [inner for inner in merged if inner not in tables]
                continue
            nodes = [value]
            while nodes:
                node = nodes.pop()
                if (key.value, id(node)) in seen:
                    continue
                seen.add((key.value, id(node)))
                if isinstance(node.value, str):
                    yield Span(key.value, node.start_mark.index, node.end_mark.index)
                else:
                    nodes += [x for inner in node.value for x in (inner if isinstance(inner, tuple) else [inner])]


def dates_as_text(value: Any) -> Any:
    """Return a TOML value in which dates and times are text."""
    if isinstance(value, dict):
        return {name: dates_as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [dates_as_text(inner) for inner in value]
    return value.isoformat() if isinstance(value, date | time) else value


def _broken(what: str, where: str, found: str) -> ConfigError:
    return ConfigError(f"the configuration file is not {what}", where=where, found=found)


_READERS: Mapping[str, tuple[str, Callable[[str, str], _Read], Callable[[str], Iterator[Span]]]] = {
    ".toml": ("TOML", _toml, spans_of),
    ".json": ("JSON", _json, _json_spans),
    ".yaml": ("YAML", _yaml, _yaml_spans),
    ".yml": ("YAML", _yaml, _yaml_spans),
}
