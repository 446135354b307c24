"""The commands ``config``, ``demo`` and ``help``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from zapz.cli.commands import errors
from zapz.cli.help_pages import context_of
from zapz.cli.options import completing, option


def _setting_names() -> Iterable[str]:
    from zapz.config.reference import keys_by_path

    return keys_by_path()


def config_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A setting, such as static or variables.sst.encoding.dtype.",
            autocompletion=completing(_setting_names),
        ),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="md|json|toml",
            help="Print the full reference as Markdown, JSON schema, or commented TOML.",
            autocompletion=completing(lambda: ["md", "json", "toml"]),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """List all settings, or explain one; print the full reference into a file or a pipe."""
    with errors(show=False, as_json=as_json):
        from zapz.cli.settings_pages import settings_page

        typer.echo(settings_page(name, "json" if as_json else style, sys.stdout))


def demo_command(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder that does not exist yet (default: zapz-demo).")
    ] = Path("zapz-demo"),
    traceback: Annotated[bool, option("traceback")] = False,
) -> None:
    """Create a few slices, append them, and show the result."""
    with errors(show=traceback, as_json=False):
        from zapz.cli.demo import run
        from zapz.cli.terminal import look_at

        def zapz(words: Sequence[str]) -> None:
            with contextlib.redirect_stderr(sys.stdout), contextlib.suppress(SystemExit):
                context.find_root().command.main(list(words), prog_name="zapz", standalone_mode=False)

        run(folder, typer.echo, zapz, look_at(sys.stdout))


def _complete_command(context: typer.Context, incomplete: str) -> list[str]:
    names: Iterable[str] = context.find_root().command.commands  # type: ignore[attr-defined]
    return [name for name in names if name.startswith(incomplete)]


def help_command(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[COMMAND]", help="A command.", autocompletion=_complete_command),
    ] = None,
) -> None:
    """Show help for zapz, or for one command."""
    root = context.find_root()
    with errors(show=False, as_json=False):
        typer.echo((root if name is None else context_of(name, root)).get_help())
