"""The reference of all settings, generated from their declarations: Markdown, JSON schema, TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zapz.config.layers import SETTINGS
from zapz.config.table_types import ANY_NAME
from zapz.config.types import Key, SettingType, word
from zapz.errors import ConfigError

FORMATS = ("md", "json", "toml")
"""Formats of the reference."""


def markers(what: str) -> tuple[str, str]:
    """Return the comments before and after a generated part of a page.

    Args:
        what: The part, in one word.
    """
    return f"<!-- {what}: generated, do not edit -->", f"<!-- end of {what} -->"


OPENING, CLOSING = markers("settings")
"""Markers before and after the reference in a page."""

_NESTED = {
    f"variables.{ANY_NAME}": f"`variables.{ANY_NAME}` (`{ANY_NAME}` is a variable's, or `*` for all)",
    f"variables.{ANY_NAME}.encoding": f"`variables.{ANY_NAME}.encoding`",
    "append_label": "`append_label`",
    "levels": "`levels`",
    "slice_polling": "`slice_polling`",
    "profiling": "`profiling`",
    "serve": "`serve`",
    f"serve.datasets.{ANY_NAME}": f"`serve.datasets.{ANY_NAME}` (`{ANY_NAME}` is the first part of the dataset's URL)",
}
"""Nested tables that have their own table in the reference, with its heading."""

_BARE_KEY = re.compile(r"[\w-]+", re.ASCII)


def render(style: str) -> str:
    """Return the reference as "md", "json" (JSON schema) or "toml".

    Raises:
        ConfigError: Another style is requested.
    """
    renderers = {"md": _markdown, "json": _schema, "toml": _template}
    if style not in renderers:
        raise ConfigError(
            "unknown format of the reference", where="--format", expected=" or ".join(FORMATS), found=repr(style)
        )
    return renderers[style]()


def insert_into(page: str) -> str:
    """Return a page with today's reference of the settings between its markers.

    Raises:
        ConfigError: The page has no markers.
    """
    return put_between(page, "settings", _markdown())


def put_between(page: str, what: str, text: str) -> str:
    """Return a page with a generated part replaced.

    Args:
        page: The page.
        what: The part, as in ``markers``.
        text: Its new text.

    Raises:
        ConfigError: The markers are missing.
    """
    opening, closing = markers(what)
    before, opened, rest = page.partition(opening)
    _, closed, after = rest.partition(closing)
    if not opened or not closed:
        raise ConfigError(f"the page has no place for the {what}", expected=f"{opening} … {closing}")
    return f"{before}{opening}\n\n{text}\n\n{closing}{after}"


def _markdown() -> str:
    parts = [_rows("setting", SETTINGS.keys)]
    parts += [f"{heading}:\n\n{_rows('key', _within(path))}" for path, heading in _NESTED.items()]
    return "\n\n".join(parts)


def _within(path: str) -> Mapping[str, Key]:
    kind: SettingType = SETTINGS
    for name in path.split("."):
        kind = kind.keys[name].kind
    return kind.keys


def _rows(what: str, keys: Mapping[str, Key]) -> str:
    rows = [f"| {what} | values | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*rows, *(markdown_row(name, key) for name, key in keys.items())])


def markdown_row(name: str, key: Key) -> str:
    """Return the row of one setting in the reference."""
    default = "" if key.default is None else f"`{toml(key.default)}`"
    return f"| `{name}` | {key.kind.words} | {default} | {key.doc} |"


def _schema() -> str:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "zapz configuration"}
    return json.dumps(head | dict(SETTINGS.schema), indent=2, ensure_ascii=False)


def _template() -> str:
    lines = ["# zapz configuration: every setting with its default. Remove the # of what you change.", ""]
    for path, key in _every_key("", SETTINGS.keys):
        name = path.replace(f"datasets.{ANY_NAME}", "datasets.cube").replace(ANY_NAME, '"*"')
        has_keys = any(nested.startswith(f"{path}.") or nested == path for nested in _NESTED)
        lines += [f"# {key.doc}", f"# Values: {key.kind.words}."]
        lines += [] if key.example is None else [f"# For example: {name} = {toml(key.example)}"]
        lines += [f"# {name} = {'…' if key.default is None or has_keys else toml(key.default)}", ""]
    return "\n".join(lines).rstrip()


def _every_key(prefix: str, keys: Mapping[str, Key]) -> Iterator[tuple[str, Key]]:
    """Yield every key with its path, followed by the keys of its nested table."""
    for name, key in keys.items():
        path = f"{prefix}{name}"
        yield path, key
        for inner in (path, f"{path}.{ANY_NAME}"):
            if inner in _NESTED:
                yield from _every_key(f"{inner}.", _within(inner))


def keys_by_path() -> dict[str, Key]:
    """Return every setting and every key of a table by dotted name; ``NAME`` is any name."""
    return dict(_every_key("", SETTINGS.keys))


def toml_line(steps: Sequence[str], value: Any) -> str:
    """Return a line of TOML that sets a key in nested tables."""
    return f"{'.'.join(map(_toml_key, steps))} = {toml(value)}"


def _toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else word(name)


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_toml_key(k)} = {toml(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return word(value)
