"""``zapz serve``: serve datasets as Zarr over HTTP."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zapz.cli.commands import errors, storage
from zapz.cli.fast_path import APPEND
from zapz.cli.options import option
from zapz.errors import ConfigError

if TYPE_CHECKING:
    from zapz.config.serve_settings import ServedDataset

EXAMPLES = """
Examples:
  # A dataset may grow while it is read: append to it in another terminal.
  zapz serve cube.zarr

  # Names of your own, at any free port.
  zapz serve --port 0 sst=s3://bucket/v2/sst.zarr pyramid=chl.levels

  # Arrays in memory, which the function make in my_cubes.py creates.
  zapz serve cube=my_cubes:make

  # The datasets of a file (in [serve.datasets]), for other machines.
  zapz serve -c serve.toml --host 0.0.0.0 --token-file tokens.txt
"""
"""End of the command's help."""

NUMBERS = {"--port": "integer", "--refresh": "number", "--max-inflight": "integer"}
"""Options that ``zapz append`` lacks and whose values are numbers, with their kind."""

_SETTINGS, _SPEED, _OUTPUT = APPEND["config"].group, APPEND["workers"].group, APPEND["traceback"].group


def _flag(flags: str, metavar: str | None, text: str, group: str) -> Any:
    return typer.Option(*flags.split(), metavar=metavar, help=text, rich_help_panel=group)


_SOURCES = "[NAME=]PLACE, a path or URI, or [NAME=]MODULE:FUNCTION. NAME is the first part of the dataset's URL."
Sources = Annotated[list[str] | None, typer.Argument(metavar="[DATASET...]", help=_SOURCES)]
PlaceOption = Annotated[
    list[str] | None,
    _flag("--target-option", "K=V", "fsspec storage option of all places on the command line; repeatable.", _SETTINGS),
]
Host = Annotated[
    str | None, _flag("--host", "ADDRESS", "Address to listen at (default: 127.0.0.1); 0.0.0.0 is all.", _SETTINGS)
]
Port = Annotated[int | None, _flag("--port -p", "N", "Port (default: 8080); 0 is any free port.", _SETTINGS)]
TokenFile = Annotated[
    str | None, _flag("--token-file", "FILE", "Require one of the tokens in FILE with each request.", _SETTINGS)
]
Public = Annotated[
    bool, _flag("--public", None, "Let everyone read the data: other machines, web pages of any origin.", _SETTINGS)
]
Cors = Annotated[
    list[str] | None,
    _flag("--cors", "ORIGIN", "Let web pages of this origin read the data; repeatable.", _SETTINGS),
]
AllowedHost = Annotated[
    list[str] | None,
    _flag("--allowed-host", "NAME", "Accept requests to this host name too; repeatable.", _SETTINGS),
]
Stdlib = Annotated[
    bool, _flag("--stdlib", None, "Use Python's standard library even if uvicorn is installed.", _SETTINGS)
]
Workers = Annotated[int | None, _flag("--workers", "N", "Number of processes (default: 1).", _SPEED)]
Refresh = Annotated[
    float | None,
    _flag("--refresh", "SECONDS", "Check datasets on object stores for changes this often (default: 1).", _SPEED),
]
MaxInflight = Annotated[
    int | None,
    _flag("--max-inflight", "N", "Process at most N requests at a time (default: 64); others get 503.", _SPEED),
]
MaxMemory = Annotated[
    str | None,
    _flag("--max-memory", "SIZE", "Memory for replies and computed chunks (default: 1GiB); beyond, 503.", _SPEED),
]
Log = Annotated[bool, _flag("--log", None, "Print a line for each request.", _OUTPUT)]


def serve_command(
    datasets: Sources = None,
    config: Annotated[list[str] | None, option("config")] = None,
    assignments: Annotated[list[str] | None, option("assignments")] = None,
    no_config: Annotated[bool, option("no_config")] = False,
    target_option: PlaceOption = None,
    host: Host = None,
    port: Port = None,
    token_file: TokenFile = None,
    public: Public = False,
    cors: Cors = None,
    allowed_host: AllowedHost = None,
    stdlib: Stdlib = False,
    workers: Workers = None,
    refresh: Refresh = None,
    max_inflight: MaxInflight = None,
    max_memory: MaxMemory = None,
    log: Log = False,
    traceback: Annotated[bool, option("traceback")] = False,
) -> None:
    """Serve datasets as Zarr over HTTP, also while they grow, until Ctrl-C."""
    given = {
        "host": host,
        "port": port,
        "token_file": token_file,
        "public": public or None,
        "cors": cors,
        "allowed_hosts": allowed_host,
        "stdlib": stdlib or None,
        "workers": workers,
        "refresh": refresh,
        "max_inflight": max_inflight,
        "max_memory": max_memory,
        "log": log or None,
    }
    serve_given = {name: value for name, value in given.items() if value is not None}
    with errors(show=traceback, as_json=False):
        from zapz.cli.discovery import layers_of, resolved
        from zapz.config.serve_settings import serve_settings
        from zapz.server.arguments import with_given

        layers = layers_of(config, assignments, no_config=no_config)
        flags = storage("target_storage_options", target_option) | ({"serve": serve_given} if serve_given else {})
        made = resolved(layers, flags)
        settings = serve_settings(made)
        served = with_given(settings.datasets, datasets or [], made.target_storage_options)
        settings = replace(settings, datasets=served)
        _check(served, settings.token_file)
        from zapz.server.service import serve

        try:
            serve(settings, _say, config_files=layers)
        except KeyboardInterrupt:  # a second one, while running requests end: nothing is half done
            raise SystemExit(130) from None


def _check(datasets: Sequence[ServedDataset], token_file: str | None) -> None:
    """Check what can be wrong before the server starts, and make factories importable.

    Raises:
        ConfigError: There is no dataset, a factory does not exist, or the tokens cannot be used.
    """
    if not datasets:
        raise ConfigError(
            "nothing to serve",
            where="zapz serve",
            expected="datasets, as arguments or in a table [serve.datasets] of a configuration (-c FILE)",
            found="none",
            hint="For example: `zapz serve cube.zarr`. More examples: `zapz help serve`.",
        )
    if token_file is not None:
        from zapz.server.token_file import read_tokens

        read_tokens(token_file)
    for dataset in datasets:
        if dataset.factory is not None:
            _find_factory(dataset, dataset.factory)


def _find_factory(dataset: ServedDataset, factory: str) -> None:
    from zapz.sources.slice_source import import_from_here, resolve

    import_from_here()
    try:
        resolve(factory)
    except ConfigError as error:
        error.where = factory if dataset.fixed else f"serve.datasets.{dataset.name}.factory"
        error.expected = "MODULE:FUNCTION" if error.expected else ""  # not the other forms of a slice source
        raise


def _say(line: str) -> None:
    """Print a line at once, also into a file or a pipe: ``echo`` leaves nothing in a buffer."""
    from zapz.cli.terminal import lines_for

    typer.echo("\n".join(lines_for(sys.stdout, line)))
