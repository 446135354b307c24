"""What the command line says: lines, a progress bar on a terminal, a summary."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, TextIO

from zapz.reports import Compared, Report, SliceReport

if TYPE_CHECKING:
    from zapz.operations.describe import Info, StepInfo

_LATER = 1.0
"""Seconds after which a progress bar appears."""
_GAPS = 5
"""So many gaps in labels are listed."""


class Talker:
    """Reports an append to a person."""

    def __init__(self, *, quiet: bool, verbose: bool, total: int) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._total = total
        self._number = 0
        self._started = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._guard = threading.Lock()
        self._said: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_bar()

    def remarks(self, lines: Iterable[str]) -> None:
        """Say which settings do not do what their names say."""
        self._said = tuple(lines)
        if not self._quiet:
            for line in self._said:
                self._say(f"note: {line}", sys.stderr)

    def _say(self, line: str, where: TextIO | None = None) -> None:
        """Print a line at once. That it cannot be printed decides nothing: see ``cli.printing``."""
        print(line, file=where or sys.stdout, flush=True)

    def _stop_bar(self) -> None:
        with self._guard:
            if self._bar is not None:
                self._bar.stop()
                self._bar = self._task = None

    def progress(self, done: int, total: int) -> None:
        """Move the progress bar, if standard error is a terminal and the append takes long enough to want one."""
        if self._quiet or not sys.stderr.isatty() or time.monotonic() - self._started < _LATER:
            return
        with self._guard:
            if self._bar is None:
                from rich.console import Console  # imported where used: it comes with Typer
                from rich.progress import Progress

                self._bar = Progress(console=Console(stderr=True), transient=True)
                self._bar.start()
                self._task = self._bar.add_task(f"slice {self._number + 1} of {self._total}", total=total)
            self._bar.update(self._task, completed=done)

    def slice_done(self, report: SliceReport) -> None:
        """Say what became of a slice."""
        self._stop_bar()
        self._number += 1
        self._started = time.monotonic()
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


def count(number: int, noun: str) -> str:
    """Return a number of things, in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:  # noqa: PLR2004 - decimal units
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


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
    for path, (first, last) in info.labels.items():
        lines.append(f"labels of {path}: {first} … {last}")
        if path in info.steps:
            lines.append(f"steps of {path}: {steps_text(info.steps[path])}")
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


def steps_text(steps: StepInfo) -> str:
    """Say what step labels keep, and where steps are missing."""
    if not steps.step:
        return "no regular one"
    if not steps.gaps:
        return f"{steps.step}, none missing"
    listed = [f"{gap.missing} between {gap.after} and {gap.before}" for gap in steps.first[:_GAPS]]
    more = ["…"] if steps.gaps > len(listed) else []
    return f"{steps.step}, {steps.missing} missing in {count(steps.gaps, 'gap')}: {', '.join([*listed, *more])}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
