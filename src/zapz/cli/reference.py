"""Reference of the command line in Markdown, built from the commands: a page of the docs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from zapz.cli.app import app
from zapz.cli.help_pages import Row, help_sections
from zapz.config.reference import markers, put_between

OPENING, CLOSING = markers("commands")
"""Markers before and after the reference in a page."""


def command_reference() -> str:
    """Return the reference of all commands as Markdown, one section per command."""
    group: Any = typer.main.get_command(app)
    root = group.context_class(group, info_name="zapz", **group.context_settings)
    parts = [_described(group, root, "zapz")]
    for name, command in group.commands.items():
        context = group.context_class(command, info_name=name, parent=root)
        parts.append(_described(command, context, f"zapz {name}"))
    return "\n\n".join(parts)


def insert_into(page: str) -> str:
    """Return a page with the current reference of the command line between its markers.

    Raises:
        ConfigError: The page has no markers.
    """
    return put_between(page, "commands", command_reference())


def _described(command: Any, context: Any, name: str) -> str:
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", f"```text\n{usage}\n```", *_paragraphs(command.help)]
    parts += [_table(title, of) for title, of in help_sections(command, context).items()]
    parts += list(_examples(command.epilog or ""))
    return "\n\n".join(parts)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")]


def _table(title: str, of: Sequence[Row]) -> str:
    rows = [f"| {title} | |", "|---|---|"]
    return "\n".join([*rows, *(f"| {_code(name)} | {_text(text)} |" for name, text in of)])


def _code(name: str) -> str:
    """Return a name as code in a table: renderers disagree about a ``|`` in backticks."""
    return f"<code>{_text(name)}</code>" if "|" in name else f"`{name}`"


def _text(text: str) -> str:
    return text.replace("|", "&#124;")


def _examples(epilog: str) -> Iterator[str]:
    """Yield the end of a command's help: examples as a code block, a sentence unchanged."""
    heading, colon, examples = inspect.cleandoc(epilog).partition(":\n")
    if colon:
        yield f"{heading}:"
        yield f"```text\n{inspect.cleandoc(examples)}\n```"
    elif heading:
        yield heading
