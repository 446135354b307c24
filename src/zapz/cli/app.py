"""The commands and their options, in Typer; ``commands`` has what they share."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from zapz import __version__, interrupts
from zapz.cli import commands
from zapz.cli.check_command import check_command
from zapz.cli.commands import errors, print_json, storage
from zapz.cli.fast_path import AppendOptions
from zapz.cli.help_pages import Command, Group
from zapz.cli.info_command import info_command
from zapz.cli.options import journal_option, option
from zapz.cli.reference_commands import config_command, demo_command, help_command
from zapz.cli.serve_command import EXAMPLES as SERVE_EXAMPLES
from zapz.cli.serve_command import serve_command
from zapz.cli.terminal import lines_for
from zapz.cli.zappend_command import zappend_command
from zapz.config.settings import Config

_EXAMPLES = """
Examples:
  # The target first, then the slices in order. Run it again to continue.
  zapz append cube.zarr june/*.zarr

  # Show what would be appended. Nothing is written.
  zapz append --dry-run cube.zarr june/*.zarr

  # Accept coordinates that differ by rounding.
  zapz append --set static=1e-6 cube.zarr june/*.zarr

  # Append NetCDF files (needs xarray).
  zapz append --set slice_source=xarray:open_dataset cube.zarr june/*.nc
"""

app = typer.Typer(
    name="zapz",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes.",
    epilog="`zapz help COMMAND` explains a command. `zapz config` lists all settings.",
)


Target = Annotated[str, typer.Argument(metavar="TARGET", help="Path or URI of the Zarr dataset.")]
Journal = Annotated[str | None, journal_option()]
Json = Annotated[bool, option("as_json")]
Traceback = Annotated[bool, option("traceback")]
TargetOption = Annotated[list[str] | None, option("target_option")]
Dim = Annotated[str | None, option("append_dim")]
LockWait = Annotated[float | None, option("lock_wait")]
ConfigFiles = Annotated[list[str] | None, option("config")]
Assignments = Annotated[list[str] | None, option("assignments")]
NoConfig = Annotated[bool, option("no_config")]


@app.command("append", cls=Command, epilog=_EXAMPLES)
def append_command(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET SLICE...", help="The target, then the slices in order; with --target, only slices."
        ),
    ] = None,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    no_config: NoConfig = False,
    target: Annotated[str | None, option("target")] = None,
    append_dim: Dim = None,
    label: Annotated[str | None, option("label")] = None,
    label_format: Annotated[str | None, option("label_format")] = None,
    force_new: Annotated[bool, option("force_new")] = False,
    sort: Annotated[bool, option("sort")] = False,
    existing: Annotated[bool, option("existing")] = False,
    new: Annotated[bool, option("new")] = False,
    dry_run: Annotated[bool, option("dry_run")] = False,
    as_json: Json = False,
    on_existing: Annotated[str | None, option("on_existing")] = None,
    wait: Annotated[float | None, option("wait")] = None,
    lock_wait: LockWait = None,
    workers: Annotated[int | None, option("workers")] = None,
    target_option: TargetOption = None,
    slice_option: Annotated[list[str] | None, option("slice_option")] = None,
    trust_config: Annotated[bool, option("trust_config")] = False,
    quiet: Annotated[bool, option("quiet")] = False,
    verbose: Annotated[bool, option("verbose")] = False,
    traceback: Traceback = False,
) -> None:
    """Append slices to a target, each completely or not at all; create the target if needed."""
    options = AppendOptions(
        arguments=arguments or [],
        config=config,
        assignments=assignments,
        no_config=no_config,
        target=target,
        append_dim=append_dim,
        label=label,
        label_format=label_format,
        force_new=force_new,
        sort=sort,
        existing=existing,
        new=new,
        dry_run=dry_run,
        as_json=as_json,
        on_existing=on_existing,
        wait=wait,
        lock_wait=lock_wait,
        workers=workers,
        target_option=target_option,
        slice_option=slice_option,
        trust_config=trust_config,
        quiet=quiet,
        verbose=verbose,
        traceback=traceback,
    )
    commands.append_slices(options)


@app.command("recover", cls=Command)
def recover_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    no_config: NoConfig = False,
    as_json: Json = False,
    lock_wait: LockWait = None,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Finish or undo what a crash left, and report what was done."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import recover
        from zapz.cli.recovered import sentences

        made = _configured(config, assignments, no_config, target_option, journal=journal, lock_wait=lock_wait)
        with interrupts.handled():
            done = recover(target, made)
        if as_json:
            print_json(done)
        elif done.clean and not done.notes:
            typer.echo("Nothing to recover.")
        else:
            for line in (*sentences(done), *(f"note: {note}" for note in done.notes)):
                typer.echo("\n".join(lines_for(sys.stdout, line)))


@app.command("unlock", cls=Command)
def unlock_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    no_config: NoConfig = False,
    as_json: Json = False,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Remove a lock whose holder has ended; refuse while it is running or its lease is valid."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import unlock

        found = unlock(target, _configured(config, assignments, no_config, target_option, journal=journal))
        if as_json:
            print_json({"unlocked": found})
        else:
            typer.echo("Unlocked: the holder has ended." if found else "No process holds a lock.")


@app.command("vacuum", cls=Command)
def vacuum_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    no_config: NoConfig = False,
    as_json: Json = False,
    lock_wait: LockWait = None,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Remove what aborted runs left; refuse while another process may still be appending."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import vacuum

        made = _configured(config, assignments, no_config, target_option, journal=journal, lock_wait=lock_wait)
        with interrupts.handled():
            done = vacuum(target, made)
        if as_json:
            print_json(done)
        else:
            rest = f"; {done.kept} are too recent to be removed" if done.kept else ""
            typer.echo(f"Removed {done.removed} objects of aborted runs{rest}.")


def _configured(
    config: list[str] | None,
    assignments: list[str] | None,
    no_config: bool,
    target_option: list[str] | None,
    **given: Any,
) -> Config:
    """Return the configuration of a command other than ``append``; flags not given are ignored."""
    options = storage("target_storage_options", target_option)
    settings = options | {n: v for n, v in given.items() if v is not None}
    return commands.configured(config, assignments, settings, no_config=no_config)


app.command("info", cls=Command)(info_command)
app.command("check", cls=Command)(check_command)
app.command("serve", cls=Command, epilog=SERVE_EXAMPLES)(serve_command)
app.command("config", cls=Command)(config_command)
app.command("demo", cls=Command)(demo_command)
app.command("zappend", cls=Command)(zappend_command)
app.command("help", cls=Command)(help_command)


@app.callback(invoke_without_command=True)
def versionoption(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version.")] = False,
) -> None:
    """Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes."""
    if version:
        typer.echo(f"zapz {__version__}")
        raise typer.Exit
