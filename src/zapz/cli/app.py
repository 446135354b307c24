"""The command line, in Typer. What the commands do around the Python API is in ``commands``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zapz import __version__, interrupts
from zapz.cli import commands
from zapz.cli.commands import errors, print_json, storage
from zapz.cli.fast_path import APPEND, AppendOptions
from zapz.cli.zappend_command import zappend_command
from zapz.config.settings import Config

app = typer.Typer(
    name="zapz",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes.",
)


def _option(name: str) -> Any:
    """Return the Typer option for an entry of the table that the quick parser reads too."""
    option = APPEND[name]
    return typer.Option(*option.flags, metavar=option.metavar or None, help=option.help)


Target = Annotated[str, typer.Argument(metavar="TARGET", help="Path or URI of the Zarr dataset.")]
Journal = Annotated[
    str | None,
    typer.Option(
        "--journal", metavar="inside|beside", help="Where lock and journal lie, if they are not inside the target."
    ),
]
Json = Annotated[bool, _option("as_json")]
Traceback = Annotated[bool, _option("traceback")]
TargetOption = Annotated[list[str] | None, _option("target_option")]
Dim = Annotated[str | None, _option("append_dim")]
LockWait = Annotated[float | None, _option("lock_wait")]
ConfigFiles = Annotated[list[str] | None, _option("config")]
Assignments = Annotated[list[str] | None, _option("assignments")]


@app.command("append")
def append_command(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET SLICE...", help="The target, then the slices in their order; with --target, slices only."
        ),
    ] = None,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    target: Annotated[str | None, _option("target")] = None,
    append_dim: Dim = None,
    label: Annotated[str | None, _option("label")] = None,
    label_format: Annotated[str | None, _option("label_format")] = None,
    force_new: Annotated[bool, _option("force_new")] = False,
    sort: Annotated[bool, _option("sort")] = False,
    existing: Annotated[bool, _option("existing")] = False,
    new: Annotated[bool, _option("new")] = False,
    dry_run: Annotated[bool, _option("dry_run")] = False,
    as_json: Json = False,
    on_existing: Annotated[str | None, _option("on_existing")] = None,
    wait: Annotated[float | None, _option("wait")] = None,
    lock_wait: LockWait = None,
    workers: Annotated[int | None, _option("workers")] = None,
    target_option: TargetOption = None,
    slice_option: Annotated[list[str] | None, _option("slice_option")] = None,
    trust_config: Annotated[bool, _option("trust_config")] = False,
    quiet: Annotated[bool, _option("quiet")] = False,
    verbose: Annotated[bool, _option("verbose")] = False,
    traceback: Traceback = False,
) -> None:
    """Append slices to a target, each of them all or not at all; the target is created if it does not exist."""
    options = AppendOptions(
        arguments=arguments or [],
        config=config,
        assignments=assignments,
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


@app.command("recover")
def recover_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    as_json: Json = False,
    lock_wait: LockWait = None,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Finish or undo what a crash left, and say what was done."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import recover
        from zapz.cli.recovered import sentences

        made = _configured(config, assignments, target_option, journal=journal, lock_wait=lock_wait)
        with interrupts.handled():
            done = recover(target, made)
        if as_json:
            print_json(done)
        elif done.clean and not done.notes:
            typer.echo("Nothing to recover.")
        else:
            for line in sentences(done):
                typer.echo(line)
            for note in done.notes:
                typer.echo(f"note: {note}")


@app.command("unlock")
def unlock_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    as_json: Json = False,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Remove a lock whose holder is gone; refused while the holder lives or its lease is fresh."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import unlock

        found = unlock(target, _configured(config, assignments, target_option, journal=journal))
        if as_json:
            print_json({"unlocked": found})
        else:
            typer.echo("Unlocked: the holder is gone." if found else "Nobody holds a lock.")


@app.command("vacuum")
def vacuum_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    as_json: Json = False,
    lock_wait: LockWait = None,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Remove what aborted runs left; refused while one may still be at work."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import vacuum

        made = _configured(config, assignments, target_option, journal=journal, lock_wait=lock_wait)
        with interrupts.handled():
            done = vacuum(target, made)
        if as_json:
            print_json(done)
        else:
            rest = f"; {done.kept} are too young to be removed" if done.kept else ""
            typer.echo(f"Removed {done.removed} objects of aborted runs{rest}.")


def _configured(
    config: list[str] | None, assignments: list[str] | None, target_option: list[str] | None, **given: Any
) -> Config:
    """Return the configuration of a command that is no append; flags that were not given override nothing."""
    options = storage("target_storage_options", target_option)
    return commands.configured(config, assignments, options | {n: v for n, v in given.items() if v is not None})


@app.command("info")
def info_command(
    target: Target,
    config: ConfigFiles = None,
    assignments: Assignments = None,
    append_dim: Dim = None,
    as_json: Json = False,
    journal: Journal = None,
    target_option: TargetOption = None,
    traceback: Traceback = False,
) -> None:
    """Show dimensions, variables, codecs, range of labels, lock and journal."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import info
        from zapz.cli.output import describe

        found = info(target, _configured(config, assignments, target_option, journal=journal, append_dim=append_dim))
        if as_json:
            print_json(found)
        else:
            typer.echo(describe(found))


@app.command("config")
def config_command(
    style: Annotated[str, typer.Option("--format", metavar="md|json|toml", help="How to print it.")] = "md",
) -> None:
    """Print the reference of every setting."""
    with errors(show=False, as_json=False):
        from zapz.config.reference import render

        typer.echo(render(style))


@app.command("demo")
def demo_command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A folder that does not exist yet.")] = Path(
        "zapz-demo"
    ),
    traceback: Traceback = False,
) -> None:
    """Make a few slices, append them, and show the result."""
    with errors(show=traceback, as_json=False):
        from zapz.cli.demo import run

        run(folder, typer.echo)


app.command("zappend")(zappend_command)


@app.callback(invoke_without_command=True)
def version_option(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
