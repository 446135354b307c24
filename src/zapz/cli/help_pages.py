"""Pages of ``--help``: plain text, options in groups, as wide as the terminal. What ``rich`` would add takes longer than most appends."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from zapz.cli.fast_path import GROUPS

_WIDEST = 80
_NARROW = 60
"""Columns below which what a thing does stands below its name."""
_COLUMN = 28
"""Columns that names take at most; what a longer one does stands below it."""

Row = tuple[str, str]
"""A name and what it does."""


class Command(TyperCommand):
    """A command whose page groups its options."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the command's name: arguments as they are called."""
        return ["[OPTIONS]", *(parameter.metavar for parameter in _arguments(self.get_params(ctx)))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


class Group(TyperGroup):
    """All commands together."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        formatter.write(page(self, ctx))


def context_of(name: str, root: Any) -> Any:
    """Return the context in which the page of a command is made.

    Args:
        name: The command.
        root: The context of all commands.

    Raises:
        ConfigError: There is no such command.
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
    """Return what the page of a command lists, by heading: arguments, commands, groups of options."""
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
    """Return how wide a page is: as the terminal, but not wider than what is read easily."""
    return max(min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST), 20)


def rows(of: Sequence[Row], width: int, column: int | None = None) -> str:
    """Return names and what they do in two columns, or below one another where there is no room.

    Args:
        of: The rows.
        width: How wide they are.
        column: Where the second column begins, if that is not for these rows alone to say.
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
    """Return a text in lines of at most so many characters."""
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
    """Return what stands at the end: commands as they are, so that they can be copied, and all else wrapped."""
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
