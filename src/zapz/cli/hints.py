"""Hints for the command line: settings become flags."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from zapz.cli.fast_path import APPEND
from zapz.errors import ZapzError, as_argument

_FLAGS = {"slice_polling.timeout": "wait", "append_label.from": "label", "append_label.format": "label_format"}
"""Settings whose flag has another name."""
_WORDS = {("slice_order", "labels"): "--sort", ("create", "always"): "--new", ("create", "never"): "--existing"}
"""Values that have a flag of their own."""
_INSTEAD = {("create", "auto"): " (without --new or --existing)"}
"""Remarks about flags that would override the setting."""


def in_shell(error: ZapzError) -> str:
    """Return the hint of an error with its settings as flags, such as ``--set static=0.01``."""
    words = error.hint
    for name, value in error.remedies.items():
        in_file = f" (in a file: `{name} = {_toml(value)}`)" if name.startswith("variables.") else ""
        instead = _INSTEAD.get((name, value), "") if isinstance(value, str) else ""
        words = words.replace(as_argument(name, value), f"`{flag_of(name, value)}`{in_file}{instead}")
    return words


def flag_of(name: str, value: Any) -> str:
    """Return the flag and value that set something on the command line."""
    if isinstance(value, str) and (name, value) in _WORDS:
        return _WORDS[name, value]
    option = APPEND.get(_FLAGS.get(name, name))
    if option is not None and option.kind != "flag":
        return f"{option.flags[0]} {shlex.quote(str(value))}"
    if option is not None and value is True:
        return option.flags[0]
    text = value if isinstance(value, str) else _toml(value)
    return f"--set {shlex.quote(f'{name}={text}')}"


def _toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", r"\u007f")
    return repr(value)
