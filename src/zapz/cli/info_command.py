"""``zapz info``: describe a target."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zapz.cli.commands import configured, errors, print_json, storage
from zapz.cli.fast_path import APPEND
from zapz.cli.options import journal_option, option

if TYPE_CHECKING:
    from zapz.operations.describe import Info

_OUTPUT = APPEND["as_json"].group


def info_command(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Path or URI of the Zarr dataset.")],
    chunks: Annotated[  # noqa: FBT002 - Typer's options are booleans
        bool,
        typer.Option(
            "--chunks",
            help="Count stored and missing chunks, and their bytes.",
            rich_help_panel=APPEND["append_dim"].group,
        ),
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page to FILE, with a small picture of the last step of each variable.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    config: Annotated[list[str] | None, option("config")] = None,
    assignments: Annotated[list[str] | None, option("assignments")] = None,
    no_config: Annotated[bool, option("no_config")] = False,  # noqa: FBT002
    append_dim: Annotated[str | None, option("append_dim")] = None,
    as_json: Annotated[bool, option("as_json")] = False,  # noqa: FBT002
    journal: Annotated[str | None, journal_option()] = None,
    target_option: Annotated[list[str] | None, option("target_option")] = None,
    traceback: Annotated[bool, option("traceback")] = False,  # noqa: FBT002
) -> None:
    """Show labels and their gaps, variables, what the next append does, lock and journal."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import info

        given = {"append_dim": append_dim, "journal": journal}
        settings = storage("target_storage_options", target_option)
        settings |= {name: value for name, value in given.items() if value is not None}
        made = configured(config, assignments, settings, no_config=no_config)
        found = info(target, made, chunks=chunks, thumbnails=html is not None)
        if html is not None:
            _write(html, found)
        if as_json:
            from dataclasses import replace

            print_json(replace(found, thumbnails=()))
        else:
            from zapz.cli.output import describe
            from zapz.cli.terminal import look_at
            from zapz.cli.words import fitting

            place = found.uri if "://" in target or "::" in target else target
            look = look_at(sys.stdout)
            typer.echo("\n".join(describe(found, look, look.text(fitting(place, sys.stdout)))))
            if html is not None:
                typer.echo(f"page: {look.text(fitting(str(html), sys.stdout))}")


def _write(file: Path, found: Info) -> None:
    """Write the page of a target to a file.

    Raises:
        StoreError: The file cannot be written.
    """
    from zapz.errors import StoreError
    from zapz.operations.info_page import info_document

    try:
        file.write_text(info_document(found), encoding="utf-8")
    except OSError as error:
        raise StoreError(
            "cannot write the page",
            where=str(file),
            found=error.strerror or str(error),
            hint="Give another FILE to --html.",
        ) from error
