"""Typer options, created from the table in ``fast_path``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import typer

from zapz.cli.fast_path import APPEND


def completing(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completion function for the shell that proposes these words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words() if word.startswith(incomplete)]

    return complete


def option(name: str) -> Any:
    """Return the Typer option for an entry of the table in ``fast_path``."""
    entry = APPEND[name]
    choices = entry.metavar.split("|")
    return typer.Option(
        *entry.flags,
        metavar=entry.metavar or None,
        help=entry.help,
        rich_help_panel=entry.group,
        autocompletion=completing(lambda: choices) if len(choices) > 1 else None,
    )


def journal_option() -> Any:
    """Return the option ``--journal``, for commands that find a lock and a journal."""
    return typer.Option(
        "--journal",
        metavar="inside|beside",
        help="Where lock and journal are, if not inside the target.",
        rich_help_panel=APPEND["config"].group,
        autocompletion=completing(lambda: ["inside", "beside"]),
    )
