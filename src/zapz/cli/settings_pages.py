"""What ``zapz config`` shows: all settings by topic on a terminal, one of them explained, or the whole reference."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple, TextIO

from zapz.cli.help_pages import paragraph, rows, width_of_pages
from zapz.cli.hints import flag_of
from zapz.config.assignments import VARIABLE
from zapz.config.reference import keys_by_path, markdown_row, render, toml, toml_line
from zapz.config.table_types import ANY_NAME, property_schema
from zapz.config.topics import SAMPLES, TOPICS
from zapz.config.trust import HARMLESS, UNFILED
from zapz.config.types import Key, nearest
from zapz.errors import ConfigError, as_argument


class Setting(NamedTuple):
    """One setting, or one key of it."""

    steps: list[str]
    """Its name and, in a table, the keys that lead to it; names of variables as the user has them."""
    known: str
    """The same as the reference has it, dotted."""
    key: Key
    """What it is."""

    @property
    def path(self) -> str:
        """Its dotted name."""
        return ".".join(self.steps)


def settings_page(name: str | None, style: str | None, stream: TextIO) -> str:
    """Return what ``zapz config`` prints.

    Args:
        name: A setting, dotted perhaps; None for all.
        style: "md", "json" or "toml"; None for what people read, if they do.
        stream: Where it is printed: of all settings a terminal gets the short list, a file or pipe
            the whole reference.

    Raises:
        ConfigError: There is no such setting or style.
    """
    if name is None:
        return overview() if style is None and stream.isatty() else render(style or "md")
    setting = found(name)
    if style == "md":
        return markdown_row(setting.path, setting.key)
    if style == "json":
        return json.dumps(property_schema(setting.key, unsets=True), indent=2, ensure_ascii=False)
    if style == "toml":
        return toml_line(setting.steps, sample(setting.known, setting.key))
    return explanation(setting) if style is None else render(style)


def overview() -> str:
    """Return all settings by topic, with their defaults, each in a few words."""
    width, keys = width_of_pages(), keys_by_path()
    topics = {
        topic: [(name + _default(keys[name]), text) for name, text in settings.items()]
        for topic, settings in TOPICS.items()
    }
    column = max(len(called) for of in topics.values() for called, _ in of) + 4
    parts = [f"{topic}:\n{rows(of, width, column)}" for topic, of in topics.items()]
    last = "`zapz config NAME` explains one; `zapz config --format md` is the whole reference."
    return "\n\n".join([*parts, paragraph(last, width)])


def _default(key: Key) -> str:
    return "" if key.default is None or key.default in ({}, ()) else f" = {toml(key.default)}"


def explanation(setting: Setting) -> str:
    """Return all that there is to say of one setting, and how it is given."""
    width, key, value = width_of_pages(), setting.key, sample(setting.known, setting.key)
    facts = [("Values", f"{key.kind.words}."), ("Default", "none." if key.default is None else f"{toml(key.default)}.")]
    code = [] if setting.steps[0] in UNFILED else [("In a file", toml_line(setting.steps, value))]
    code += [("As a flag", flag_of(setting.path, value)), ("In Python", as_argument(setting.path, value))]
    code += _variable(setting, value)
    parts = [
        setting.path,
        paragraph(key.doc, width, indent=2),
        rows([*facts, ("Files", _files(setting.steps[0]))], width, 13),
        "For example:\n" + "\n".join(f"  {label:<11}{text}" for label, text in code),
    ]
    before = f"{setting.known}."
    inner = [
        (path.removeprefix(before), _first_sentence(each.doc))
        for path, each in keys_by_path().items()
        if path.startswith(before)
    ]
    if inner:
        last = f"`zapz config {setting.path}.{inner[0][0]}` explains one."
        parts += [f"Keys:\n{rows(inner, width)}", paragraph(last, width)]
    return "\n\n".join(parts)


def _variable(setting: Setting, value: Any) -> Sequence[tuple[str, str]]:
    steps = [
        step if name == ANY_NAME else step.upper()
        for name, step in zip(setting.known.split("."), setting.steps, strict=False)
    ]
    name = VARIABLE + "__".join(steps)
    text = value if isinstance(value, str) else toml(value)
    return [("Variable", f"{name}={shlex.quote(text)}")] if re.fullmatch(r"\w+", name, re.ASCII) else []


def _files(name: str) -> str:
    if name in UNFILED:
        return "none may set it."
    if name in HARMLESS:
        return "any may set it, an unnamed zapz.toml too."
    return "a local one that is named (-c FILE) may set it."


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s|;", text)[0].rstrip(".") + "."


def sample(path: str, key: Key) -> Any:
    """Return a value that shows how a setting is given; not its default, where there are others to choose from."""
    if path in SAMPLES or key.example is not None:
        return SAMPLES.get(path, key.example)
    if isinstance(key.default, bool):
        return not key.default
    choices = [choice for choice in key.kind.schema.get("enum", ()) if choice != key.default]
    if choices:
        return choices[0]
    if key.default is None and key.kind.keys:
        name, inner = next(iter(key.kind.keys.items()))
        return {name: sample(f"{path}.{name}", inner)}
    return key.default


def found(name: str) -> Setting:
    """Return the setting of a name.

    Args:
        name: As in a file or on the command line; the name of a variable stands for itself.

    Raises:
        ConfigError: There is none.
    """
    keys = keys_by_path()
    first, *inner = name.removeprefix("--").split(".")
    steps = [first.replace("-", "_"), *inner]
    for path, key in keys.items():
        known = path.split(".")
        if all(k in (s, ANY_NAME) for k, s in zip(known, steps, strict=False)):
            if len(known) == len(steps):
                return Setting(steps, path, key)
            if len(known) > len(steps) and known[len(steps) - 1] == ANY_NAME:
                return found(".".join(steps[:-1]))  # a name of the user's own: the table says what it can hold
    last = {path.rpartition(".")[2]: path for path in reversed(keys)}
    meant = nearest(".".join(steps), keys) or nearest(steps[-1], last)
    raise ConfigError(
        "unknown setting",
        where="zapz config",
        found=repr(name),
        hint=f"Did you mean {last.get(meant or '', meant)!r}?" if meant else "`zapz config` lists all.",
    )
