"""Pages of ``--help``: plain text as wide as the terminal, with options in groups.

This module does not use ``rich``, which takes longer than most appends.
"""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from zapz.cli.fast_path import GROUPS

_WIDEST = 80
"""Maximum width of a page, in columns."""
_NARROW = 60
"""Width below which a description is put below its name, in columns."""
_COLUMN = 28
"""Maximum width of a name, in columns; the description of a longer name is put below it."""

Row = tuple[str, str]
"""A name and its description."""


class Command(TyperCommand):
    """A command whose page groups its options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what follows the command's name in the usage line."""
        return ["[OPTIONS]", *(parameter.metavar for parameter in _arguments(self.get_params(ctx)))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


class Group(TyperGroup):
    """The command ``zapz``, with a page that lists its commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


def context_of(name: str, root: Any) -> Any:
    """Return the context for the help page of a command.

    Args:
        name: The command.
        root: The context of ``zapz`` itself.

    Raises:
        ConfigError: The command does not exist.
    """
    command = root.command.commands.get(name)
    if command is not None:
        return type(root)(command, info_name=name, parent=root)
    from zapz.config.types import nearest  # imported where used: only messages need it
    from zapz.errors import ConfigError

    meant = nearest(name, root.command.commands)
    raise ConfigError(
        "no such command",
        where="zapz help",
        expected=" or ".join(root.command.commands),
        found=repr(name),
        hint=f"Did you mean {meant!r}?" if meant else "",
    )


def page(command: Command | Group, ctx: Any) -> str:
    """Return the help of a command as text."""
    width = width_of_pages()
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    parts = [_wrapped(f"Usage: {usage}", width, hanging=7)]
    parts += [_wrapped(text, width, indent=2) for text in _paragraphs(command.help)]
    sections = help_sections(command, ctx)
    column = _column([row for of in sections.values() for row in of], width)
    parts += [f"{title}:\n{rows(of, width, column)}" for title, of in sections.items()]
    parts += [_epilog(command.epilog, width)] if command.epilog else []
    return "\n\n".join(parts) + "\n"


def help_sections(command: Command | Group, ctx: Any) -> dict[str, list[Row]]:
    """Return the rows of a help page by heading: arguments, commands, groups of options."""
    parameters: Sequence[Any] = command.get_params(ctx)
    arguments = [(parameter.metavar, parameter.help or "") for parameter in _arguments(parameters)]
    sections = {"Arguments": arguments} if arguments else {}
    if isinstance(command, Group):
        sections["Commands"] = [(name, _summary(each)) for name, each in command.commands.items() if not each.hidden]
    options = [each for each in parameters if each.param_type_name == "option" and not each.hidden]
    grouped = any(option.rich_help_panel for option in options)
    for group in GROUPS if grouped else ["Options"]:
        of = [_row(each) for each in options if not grouped or (each.rich_help_panel or GROUPS[-1]) == group]
        sections |= {group: of} if of else {}
    return sections


def width_of_pages() -> int:
    """Return the width of a page in columns: the terminal's, within readable limits."""
    return max(min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST), 20)


def rows(of: Sequence[Row], width: int, column: int | None = None) -> str:
    """Return names and descriptions in two columns, or below each other on a narrow page.

    Args:
        of: The rows.
        width: Width of the page, in columns.
        column: Where descriptions begin; None computes it from these rows alone.
    """
    column = _column(of, width) if column is None or width < _NARROW else column
    lines = []
    for name, text in of:
        body = _wrapped(text, width, indent=column)
        if width < _NARROW or len(name) + 4 > column:
            lines += [f"  {name}", *([body] if text else [])]
        else:
            lines.append(f"  {name:<{column - 2}}{body[column:]}".rstrip())
    return "\n".join(lines)


def _column(of: Sequence[Row], width: int) -> int:
    names = [len(name) + 4 for name, _ in of if len(name) <= _COLUMN]
    return 6 if width < _NARROW else max(names, default=6)


def paragraph(text: str, width: int, indent: int = 0) -> str:
    """Return a text wrapped to ``width`` columns, each line indented by ``indent`` spaces."""
    return _wrapped(text, width, indent=indent)


def _arguments(parameters: Iterable[Any]) -> list[Any]:
    return [parameter for parameter in parameters if parameter.param_type_name == "argument" and not parameter.hidden]


def _row(option: Any) -> Row:
    flags = sorted(option.opts, key=lambda flag: flag.startswith("--"))
    text = option.help or ""
    return ", ".join(flags) + (f" {option.metavar}" if option.metavar else ""), text


def _summary(command: Any) -> str:
    return next(iter(_paragraphs(command.help)), "")


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n") if part.strip()]


def _epilog(text: str, width: int) -> str:
    """Return the text at the end of a page: commands unwrapped for copying, the rest wrapped."""
    lines = []
    for line in inspect.cleandoc(text).splitlines():
        words = line.strip()
        indent = len(line) - len(words)
        lines.append(line if words.startswith("zapz ") else _wrapped(words, width, indent=indent, hanging=indent))
    return "\n".join(lines)


def _wrapped(text: str, width: int, *, indent: int = 0, hanging: int = 0) -> str:
    before = " " * indent
    return textwrap.fill(
        text,
        width,
        initial_indent=before,
        subsequent_indent=before + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )
