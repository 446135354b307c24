"""What the command line says: lines, how far it is, a summary."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self, TextIO

from zapz.cli.words import count, size
from zapz.reports import Compared, Progress, Report, SliceReport

if TYPE_CHECKING:
    from zapz.cli.progress import Bar, Waits
    from zapz.operations.describe import Info


class Talker:
    """Reports an append to a person."""

    def __init__(self, *, quiet: bool, as_json: bool, verbose: bool, total: int, waits: bool) -> None:
        """Begin.

        Args:
            quiet: Whether nothing is said.
            as_json: Whether standard output is left to the result.
            verbose: Whether more is said.
            total: Number of slices.
            waits: Whether the run may have to wait for something.
        """
        self._quiet = quiet or as_json
        self._verbose = verbose
        self._said: tuple[str, ...] = ()
        self._progress = None if quiet else _progress(total, waits=waits)
        self.phase: Callable[[Progress], None] | None = self._progress.tell if self._progress is not None else None
        """Called with where the run is; None if that is shown nowhere."""

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.__exit__()

    def remarks(self, lines: Iterable[str]) -> None:
        """Say which settings do not do what their names say."""
        self._said = tuple(lines)
        if not self._quiet:
            for line in self._said:
                self._say(f"note: {line}", sys.stderr)

    def _say(self, line: str, where: TextIO | None = None) -> None:
        """Print a line. What cannot be printed (a closed pipe, a full disk) must not decide what is appended: the rest is not said."""
        try:
            print(line, file=where or sys.stdout, flush=True)
        except OSError:
            self._quiet = True
            with contextlib.suppress(OSError):  # what is buffered cannot be written either
                os.dup2(os.open(os.devnull, os.O_WRONLY), (where or sys.stdout).fileno())

    def slice_done(self, report: SliceReport) -> None:
        """Say what became of a slice."""
        if self._progress is not None:
            self._progress.slice_done(report.bytes_written)
        if self._quiet:
            return
        detail = {
            "appended": f"appended {count(report.steps, 'step')}: {count(report.copied_chunks, 'chunk')} copied, "
            f"{report.encoded_chunks} encoded, {size(report.bytes_written)}",
            "planned": f"would append {count(report.steps, 'step')}",
            "already": f"is there already, and equal{_extent(report.compared)}",
            "skipped": "is there already by its labels; skipped",
            "empty": "is empty; nothing to do",
        }[report.outcome]
        self._say(f"{report.slice}: {detail}")
        if report.plan is not None:
            plan = report.plan
            counts = f"{count(plan['copied_chunks'], 'chunk')} copied, {plan['encoded_chunks']} encoded"
            needs = f"{size(plan['bytes'])} decoded; a worker needs at most {size(plan['working_set'])}"
            self._say(f"  at index {plan['offset']}: {counts}, {needs}")
            for check in plan["checks"]:
                state = (
                    "checked"
                    if check["check"] == "StaticEqual" and not plan["creates"]
                    else "checked only when the data are read"
                )
                self._say(f"  {check['check']} {check['path']}: {state}")
        shown = report.notes if self._verbose else report.notes[:3]
        for note in shown:
            self._say(f"  note: {note}")
        if len(shown) < len(report.notes):
            self._say(f"  … and {len(report.notes) - len(shown)} more notes (-v shows them)")

    def summary(self, report: Report) -> None:
        """Say what was done in all."""
        if self._quiet:
            return
        for name in report.recovered.rolled_forward:
            self._say(f"Finished append {name}, which an earlier run had committed.")
        for name in report.recovered.rolled_back:
            self._say(f"Undid append {name}, which an earlier run had left unfinished.")
        for note in (*report.recovered.notes, *(note for note in report.notes if note not in self._said)):
            self._say(f"note: {note}")
        if not report.slices:
            self._say("No slices: nothing to do.")
            return
        counts = [
            (report.appended, "appended"),
            (report.already, "already there"),
            (report.skipped, "skipped or empty"),
            (sum(r.outcome == "planned" for r in report.slices), "planned, nothing touched"),
        ]
        words = ", ".join(f"{n} {word}" for n, word in counts if n)
        self._say(
            f"{report.target}: {words}; length {report.length}; {size(report.bytes_written)} in {report.seconds:.1f} s"
        )


def _extent(compared: Compared | None) -> str:
    """Say how much was compared, if that was not all."""
    if compared is None or compared.contents >= compared.chunks:
        return ""
    lengths = f"{compared.lengths} lengths" if compared.lengths < compared.chunks else "all lengths"
    part = f"{compared.contents} of {count(compared.chunks, 'chunk')}"
    return f" (compared: {lengths if compared.lengths else 'cells'}, the content of {part}, {size(compared.bytes)})"


def _progress(total: int, *, waits: bool) -> Bar | Waits | None:
    """Return what shows how far a run is: a bar on a terminal; elsewhere only waits are told, if there may be some."""
    if sys.stderr is not None and sys.stderr.isatty():
        from zapz.cli.progress import Bar  # imported where used: scheduled runs do without
        from zapz.cli.terminal import can_redraw

        if can_redraw(sys.stderr):
            return Bar(total, sys.stderr)
    if not waits:
        return None
    from zapz.cli.progress import Waits  # imported where used

    return Waits()


def describe(info: Info) -> str:
    """Return a target's description for people."""
    lines = [
        f"{info.uri}  (Zarr v{info.zarr_format})",
        "",
        "dimensions: "
        + ", ".join(
            f"{name} {n}" + ("  <- append" if name == info.append_dim else "") for name, n in sorted(info.dims.items())
        ),
    ]
    lines += [f"labels of {path}: {first} … {last}" for path, (first, last) in info.labels.items()]
    rows = [("variable", "dims", "shape", "dtype", "chunks", "codecs")]
    for v in info.variables:
        chunks = _shape(v.chunks) + (f" of {_shape(v.inner_chunks)}" if v.inner_chunks else "")
        rows.append(
            (
                v.path,
                " ".join(d or "?" for d in v.dims) or "-",
                _shape(v.shape),
                v.dtype,
                chunks,
                v.codecs + (f", {size(v.dead_bytes)} dead" if v.dead_bytes else ""),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += ["", *("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows), ""]
    lock = info.lock
    lines.append(f"lock: process {lock.process} on {lock.host} since {lock.since}" if lock else "lock: free")
    state = "under way" if lock else "run `zapz recover`"
    lines += [f"journal: {entry} ({state})" for entry in info.journal] or ["journal: empty"]
    lines += [f"note: {note}" for note in info.notes]
    return "\n".join(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
