"""Pages of ``zapz config``: a list of settings by topic, one setting, or the full reference."""

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
    """Its name and, inside a table, its keys; with the user's names of variables."""
    known: str
    """Its dotted path in the reference."""
    key: Key
    """Its type, default and documentation."""

    @property
    def path(self) -> str:
        """Its dotted name."""
        return ".".join(self.steps)


def settings_page(name: str | None, style: str | None, stream: TextIO) -> str:
    """Return what ``zapz config`` prints.

    Args:
        name: A setting, which may be dotted; None for all.
        style: "md", "json" or "toml"; None for a page of text.
        stream: Where it is printed. Without ``name`` and ``style``, a terminal receives the short
            list, a file or pipe the full reference.

    Raises:
        ConfigError: The setting or the style does not exist.
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
    """Return all settings by topic, with defaults and short descriptions."""
    width, keys = width_of_pages(), keys_by_path()
    topics = {
        topic: [(name + _default(keys[name]), text) for name, text in settings.items()]
        for topic, settings in TOPICS.items()
    }
    column = max(len(called) for of in topics.values() for called, _ in of) + 4
    parts = [f"{topic}:\n{rows(of, width, column)}" for topic, of in topics.items()]
    last = "`zapz config NAME` explains one setting. `zapz config --format md` prints the full reference."
    return "\n\n".join([*parts, paragraph(last, width)])


def _default(key: Key) -> str:
    return "" if key.default is None or key.default in ({}, ()) else f" = {toml(key.default)}"


def explanation(setting: Setting) -> str:
    """Return the documentation of one setting, with an example for each way to set it."""
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
        last = f"`zapz config {setting.path}.{inner[0][0]}` explains one key."
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
        return "no file may set it."
    if name in HARMLESS:
        return "any file may set it, also a discovered zapz.toml."
    return "a local file that you name (-c FILE) may set it."


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s|;", text)[0].rstrip(".") + "."


def sample(path: str, key: Key) -> Any:
    """Return an example value of a setting; not its default, if there are other values."""
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
    """Return the setting with a name.

    Args:
        name: Its name as in a file or on the command line, with the user's names of variables.

    Raises:
        ConfigError: The setting does not exist.
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
                return found(".".join(steps[:-1]))  # a name chosen by the user: explain its table
    last = {path.rpartition(".")[2]: path for path in reversed(keys)}
    meant = nearest(".".join(steps), keys) or nearest(steps[-1], last)
    raise ConfigError(
        "unknown setting",
        where="zapz config",
        found=repr(name),
        hint=f"Did you mean {last.get(meant or '', meant)!r}?" if meant else "`zapz config` lists all settings.",
    )
