"""``zapz zappend``: zappend's command line, with its options, for scripts that call it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from zapz import __version__
from zapz.cli import commands
from zapz.cli.discovery import with_unnamed
from zapz.cli.fast_path import APPEND, options_of
from zapz.errors import ConfigError

_SHOWN = 5
"""Maximum number of slices shown in a message."""


def zappend_command(
    slices: Annotated[list[str] | None, typer.Argument(metavar="SLICES...", help="The slices, in order.")] = None,
    config: Annotated[
        list[str] | None, typer.Option("--config", "-c", metavar="CONFIG", help=APPEND["config"].help)
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="TARGET", help="The target; it overrides target_dir of a configuration."
        ),
    ] = None,
    force_new: Annotated[bool, typer.Option("--force-new", help=APPEND["force_new"].help)] = False,  # noqa: FBT002
    dry_run: Annotated[bool, typer.Option("--dry-run", help=APPEND["dry_run"].help)] = False,  # noqa: FBT002
    traceback: Annotated[bool, typer.Option("--traceback", help=APPEND["traceback"].help)] = False,  # noqa: FBT002
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,  # noqa: FBT002
    help_config: Annotated[
        Literal["json", "md"] | None,
        typer.Option("--help-config", metavar="json|md", help="Print the reference of every setting."),
    ] = None,
    trust_config: Annotated[bool, typer.Option("--trust-config", help=APPEND["trust_config"].help)] = False,  # noqa: FBT002
    no_config: Annotated[bool, typer.Option("--no-config", help=APPEND["no_config"].help)] = False,  # noqa: FBT002
) -> None:
    """Append slices with the options of `zappend`; a new target is Zarr v2 by default."""
    if version:
        typer.echo(__version__)
        return
    with commands.errors(show=traceback, as_json=False):
        if help_config is not None:
            from zapz.config.reference import render

            typer.echo(render(help_config))
            return
        if not slices:
            typer.echo("No slices: nothing to do.")
            return
        layers = _configuration(slices, config or [], target, trust=trust_config, no_config=no_config)
    commands.append_slices(
        options_of(
            ["-", *slices],
            config=layers,
            no_config=True,  # already in the layers
            force_new=force_new,
            dry_run=dry_run,
            trust_config=trust_config,
            traceback=traceback,
        )
    )


def _configuration(
    slices: Sequence[str], files: Sequence[str], target: str | None, *, trust: bool, no_config: bool
) -> list[Any]:
    """Return configurations that name the target; later ones override earlier ones.

    Raises:
        ConfigError: No configuration names the target, or one is wrong.
    """
    from zapz.config.files import resolve
    from zapz.sources.xarray_files import file_or_item, is_file

    read = list(files) if no_config else with_unnamed(files)
    layers: list[Any] = [{"zarr_format": 2}, *read, *([{"target_dir": target}] if target else [])]
    made = resolve(layers, {"trust_config": True} if trust else {})
    if made.target_dir is None:
        words = [*(word for file in files for word in ("-c", file)), *slices[:_SHOWN]]
        rest = " ..." if len(slices) > _SHOWN else ""
        raise ConfigError(
            "no target",
            where="zapz zappend",
            expected="-t TARGET, or a configuration (-c) with target_dir",
            found="neither",
            hint=f"zapz zappend -t TARGET {shlex.join(words)}{rest}",
        )
    if made.slice_source is None and any(map(is_file, slices)):
        opened = {"slice_source": file_or_item, "slice_source_kwargs": {"engine": made.slice_engine}}
        layers.append({**opened, "slice_engine": None})
    return layers
