"""``zapz check``: test whether a target is sound."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from zapz.cli.commands import configured, errors, print_json, storage
from zapz.cli.fast_path import APPEND
from zapz.cli.options import journal_option, option
from zapz.cli.terminal import lines_for
from zapz.errors import FormatError

if TYPE_CHECKING:
    from zapz.operations.check import Checked

_LATER = 1.0
"""Time after which a progress bar appears, in seconds."""


def check_command(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="Path or URI of the Zarr dataset.")],
    chunks: Annotated[  # noqa: FBT002 - Typer's options are booleans
        bool,
        typer.Option("--chunks", help="Also read and decode every chunk.", rich_help_panel=APPEND["append_dim"].group),
    ] = False,
    config: Annotated[list[str] | None, option("config")] = None,
    assignments: Annotated[list[str] | None, option("assignments")] = None,
    no_config: Annotated[bool, option("no_config")] = False,  # noqa: FBT002
    append_dim: Annotated[str | None, option("append_dim")] = None,
    as_json: Annotated[bool, option("as_json")] = False,  # noqa: FBT002
    journal: Annotated[str | None, journal_option()] = None,
    workers: Annotated[int | None, option("workers")] = None,
    target_option: Annotated[list[str] | None, option("target_option")] = None,
    traceback: Annotated[bool, option("traceback")] = False,  # noqa: FBT002
) -> None:
    """Check documents, labels and (with --chunks) all chunks of a dataset; write nothing."""
    with errors(show=traceback, as_json=as_json):
        from zapz.api import check

        given = {"append_dim": append_dim, "journal": journal, "workers": workers}
        settings = storage("target_storage_options", target_option)
        settings |= {name: value for name, value in given.items() if value is not None}
        with _Bar() as bar:
            made = configured(config, assignments, settings, no_config=no_config)
            found = check(target, made, chunks=chunks, on_progress=bar.move)
        if as_json:
            print_json(found)
        else:
            lines = (part for line in describe_check(found).split("\n") for part in lines_for(sys.stdout, line))
            typer.echo("\n".join(lines))
        if not found.sound:
            raise SystemExit(FormatError.exit_code)


class _Bar:
    """A progress bar, shown if standard error is a terminal and the check takes long enough."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def move(self, done: int, total: int) -> None:
        """Show how many chunks are done."""
        if not sys.stderr.isatty() or time.monotonic() - self._began < _LATER:
            return
        with self._guard:
            if self._bar is None:
                from rich.console import Console  # imported where used: it comes with Typer
                from rich.progress import Progress

                self._bar = Progress(console=Console(stderr=True), transient=True)
                self._bar.start()
                self._task = self._bar.add_task("checking chunks", total=total)
            self._bar.update(self._task, completed=done)


def describe_check(found: Checked) -> str:
    """Return the result of a check as text; the last line says whether the dataset is sound."""
    from zapz.cli.hints import in_shell
    from zapz.cli.output import steps_text
    from zapz.cli.words import count, size

    kind = "" if found.zarr_format is None else f"  (Zarr v{found.zarr_format})"
    lines = [f"{found.uri}{kind}", "", f"documents: {found.documents}, of {count(found.arrays, 'array')}"]
    for path, number in found.labels.items():
        lines.append(f"labels of {path}: {number:,}")
        if found.steps[path].step:
            lines.append(f"steps of {path}: {steps_text(found.steps[path])}")
    if found.chunks is None:
        lines.append("chunks: not read (--chunks reads them)")
    else:
        stale = "" if found.chunks.stale is None else f", {found.chunks.stale:,} beyond the shape"
        lines.append(
            f"chunks: {found.chunks.stored:,} stored ({size(found.chunks.bytes)}), {found.chunks.missing:,} missing{stale}"
        )
    lock = found.lock
    lines.append(f"lock: {lock}" if lock else "lock: free")
    state = "in progress" if lock else "run `zapz recover`"
    lines += [f"journal: {entry} ({state})" for entry in found.journal] or ["journal: empty"]
    lines += [f"note: {note}" for note in found.notes]
    if found.changed:
        lines.append("note: the target changed during the check, so the result may mix two states; check it again")
    errors = [finding.as_error() for finding in found.findings]
    lines += ["", *(error.message(in_shell(error)) for error in errors)]
    sound = "sound, as far as it was checked" if found.notes else "sound"  # notes say what was not checked
    return "\n".join([*lines, sound if found.sound else count(len(found.findings), "finding")])
