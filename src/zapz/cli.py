"""The command line. Everything it does is a call of the Python API; here is only talk."""

from __future__ import annotations

import json
import signal
import sys
import types
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from zapz import __version__
from zapz.errors import ConfigError, ZapzError

app = typer.Typer(
    name="zapz",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes.",
)

Target = Annotated[str, typer.Argument(metavar="TARGET", help="Path or URI of the Zarr dataset.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, alone, on standard output.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show the Python traceback of an error.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--target-option", metavar="K=V", help="fsspec storage option of the target; repeatable."),
]
Configs = Annotated[
    list[str] | None,
    typer.Option("--config", "-c", metavar="FILE", help="Configuration file (TOML); repeatable, later ones win."),
]
Dim = Annotated[
    str | None, typer.Option("--append-dim", "-d", metavar="NAME", help="Append dimension (default: time).")
]
LockWait = Annotated[
    float | None,
    typer.Option("--lock-wait", metavar="SECONDS", help="Wait so long for a target that another process holds."),
]


@app.command("append")
def append_command(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET SLICE...", help="The target, then the slices in their order; with --target, slices only."
        ),
    ],
    config: Configs = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="TARGET", help="The target; then all arguments are slices.")
    ] = None,
    append_dim: Dim = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and check; touch nothing.")] = False,
    as_json: Json = False,
    on_existing: Annotated[
        str | None,
        typer.Option("--on-existing", metavar="resume|refuse|skip", help="Slices whose labels are there already."),
    ] = None,
    lock_wait: LockWait = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", help="Threads that move chunks.")] = None,
    target_option: Options = None,
    slice_option: Annotated[
        list[str] | None,
        typer.Option("--slice-option", metavar="K=V", help="fsspec storage option of the slices; repeatable."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
    traceback: Traceback = False,
) -> None:
    """Append slices to a target, each of them all or not at all; the target is created if it does not exist."""
    given: dict[str, Any] = {
        "append_dim": append_dim,
        "on_existing": on_existing,
        "lock_wait": lock_wait,
        "workers": workers,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    if dry_run:
        settings["dry_run"] = True
    with _errors(show=traceback, as_json=as_json):
        settings |= _storage("target_storage_options", target_option) | _storage("slice_storage_options", slice_option)
        place, slices = _target_and_slices(arguments, target, config)
        from zapz.api import append
        from zapz.talk import Talker

        talker = Talker(quiet=quiet or as_json, verbose=verbose, total=len(slices))
        with talker, _signals():
            report = append(place, slices, config, on_slice=talker.slice_done, on_progress=talker.progress, **settings)
        if as_json:
            _print_json(report)
        else:
            talker.summary(report)


def _target_and_slices(arguments: list[str], target: str | None, config: list[str] | None) -> tuple[str, list[str]]:
    if target is not None:
        return target, arguments
    place, *slices = arguments
    if place == "-":
        from zapz.config_files import resolve

        named = resolve(config, {}).target_dir
        if named is None:
            raise ConfigError(
                "TARGET is - but no configuration names a target_dir",
                hint="Give -c FILE with target_dir, or the target itself.",
            )
        place = named
    if not slices:
        raise ConfigError(
            "no slices given", where="append", expected="TARGET SLICE...", found=place, hint="See `zapz append --help`."
        )
    return place, slices


def _storage(name: str, pairs: list[str] | None) -> dict[str, Any]:
    if not pairs:
        return {}
    options: dict[str, Any] = {}
    for pair in pairs:
        key, mark, text = pair.partition("=")
        if not mark:
            raise ConfigError(
                "not a storage option", where=f"--{name.partition('_')[0]}-option", expected="K=V", found=repr(pair)
            )
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return {name: options}


@app.command("recover")
def recover_command(
    target: Target,
    as_json: Json = False,
    lock_wait: LockWait = None,
    target_option: Options = None,
    traceback: Traceback = False,
) -> None:
    """Finish or undo what a crash left, and say what was done."""
    with _errors(show=traceback, as_json=as_json):
        from zapz.api import recover

        settings = _storage("target_storage_options", target_option) | (
            {} if lock_wait is None else {"lock_wait": lock_wait}
        )
        done = recover(target, **settings)
        if as_json:
            _print_json(done)
        elif done.clean:
            typer.echo("Nothing to recover.")
        else:
            for name in done.rolled_forward:
                typer.echo(f"Finished append {name}: it had been committed and is visible now.")
            for name in done.rolled_back:
                typer.echo(f"Undid append {name}: it had not been committed; the target is as it was before.")


@app.command("info")
def info_command(
    target: Target,
    append_dim: Dim = None,
    as_json: Json = False,
    target_option: Options = None,
    traceback: Traceback = False,
) -> None:
    """Show dimensions, variables, codecs, range of labels, lock and journal."""
    with _errors(show=traceback, as_json=as_json):
        from zapz.api import info
        from zapz.talk import describe

        settings = _storage("target_storage_options", target_option) | (
            {} if append_dim is None else {"append_dim": append_dim}
        )
        found = info(target, **settings)
        if as_json:
            _print_json(found)
        else:
            typer.echo(describe(found))


@app.command("config")
def config_command(
    style: Annotated[str, typer.Option("--format", metavar="md|json|toml", help="How to print it.")] = "md",
) -> None:
    """Print the reference of every setting."""
    with _errors(show=False, as_json=False):
        from zapz.reference import render

        typer.echo(render(style))


@app.command("demo")
def demo_command(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A folder that does not exist yet.")] = Path(
        "zapz-demo"
    ),
    traceback: Traceback = False,
) -> None:
    """Make a few slices, append them, and show the result."""
    with _errors(show=traceback, as_json=False):
        from zapz.demo import run

        run(folder, typer.echo)


@app.callback(invoke_without_command=True)
def version_option(version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False) -> None:
    """Append Zarr slices to a Zarr dataset, atomically, by copying chunk bytes."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _print_json(value: Any) -> None:
    from zapz.description import as_json

    typer.echo(json.dumps(as_json(value), indent=2, default=str))


class Stopped(BaseException):
    """A signal asked the process to end; like ``KeyboardInterrupt``, it is not an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _signals:  # noqa: N801 - reads as a statement
    """SIGTERM and SIGHUP end the run as Ctrl-C does: what is not committed is rolled back."""

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGHUP)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @staticmethod
    def _stop(number: int, _: types.FrameType | None) -> NoReturn:
        raise Stopped(number)


class _errors:  # noqa: N801 - reads as a statement
    """Turn errors into messages and exit codes."""

    def __init__(self, *, show: bool, as_json: bool) -> None:
        self._show = show
        self._as_json = as_json

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if error is None or isinstance(error, typer.Exit | SystemExit):
            return
        if isinstance(error, Stopped):
            typer.echo("Stopped; what was not committed has been rolled back.", err=True)
            raise SystemExit(128 + error.number) from None
        if isinstance(error, KeyboardInterrupt):
            typer.echo("Interrupted; what was not committed has been rolled back.", err=True)
            raise SystemExit(130) from None
        if not isinstance(error, ZapzError) or self._show:
            return
        if self._as_json:
            fields = {name: getattr(error, name) for name in ("code", "what", "where", "expected", "found", "hint")}
            typer.echo(json.dumps({"error": {**fields, "exit_code": error.exit_code, "message": str(error)}}, indent=2))
        typer.echo(f"zapz: {error}", err=True)
        for note in getattr(error, "__notes__", ()):
            typer.echo(f"      {note}", err=True)
        raise SystemExit(error.exit_code) from None


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
    sys.exit(0)
