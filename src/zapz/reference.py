"""The reference of all settings, written from their definitions: Markdown, JSON schema, a commented TOML template."""

from __future__ import annotations

import json
from typing import Any

from zapz.config import FORMATS, reference
from zapz.errors import ConfigError


def render(style: str) -> str:
    """Return the reference as "md", "json" (JSON schema) or "toml".

    Raises:
        ConfigError: Another style is asked for.
    """
    renderers = {"md": _markdown, "json": _schema, "toml": _template}
    if style not in renderers:
        raise ConfigError(
            "unknown format of the reference", where="--format", expected=" or ".join(FORMATS), found=repr(style)
        )
    return renderers[style]()


def _markdown() -> str:
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{s['name']}` | {s['values']} | `{_toml(s['default'])}` | {s['doc']} |".replace("`None`", "")
        for s in reference()
    ]
    return "\n".join(rows)


def _schema() -> str:
    properties = {
        s["name"]: {
            "description": s["doc"],
            **s["schema"],
            **({} if s["default"] is None else {"default": s["default"]}),
        }
        for s in reference()
    }
    return json.dumps(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "zapz configuration",
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
        },
        indent=2,
    )


def _template() -> str:
    lines = ["# zapz configuration: every setting with its default. Remove the # of what you change.", ""]
    for s in reference():
        lines += [
            f"# {s['doc']}",
            f"# Values: {s['values']}.",
            f"# {s['name']} = {_toml(s['default']) if s['default'] is not None else '…'}",
            "",
        ]
    return "\n".join(lines).rstrip()


def _toml(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{}"
    return json.dumps(list(value) if isinstance(value, tuple) else value)
