"""What the command line prints about an append: a line per slice, and a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Self, TextIO

from zapz.cli.words import count, fitting, is_terminal, last_part, shown, size
from zapz.config.settings import Config
from zapz.errors import ZapzError
from zapz.reports import Compared, PlanSummary, Progress, Recovery, Report, SliceReport, total

if TYPE_CHECKING:
    from zapz.cli.progress import Bar, Waits

_THERE = ("already", "skipped")
"""Outcomes of slices that share one line."""
_SHOWN = 3
"""Maximum number of notes shown per slice."""


class Talker:
    """Prints the progress and the results of an append."""

    def __init__(
        self, target: str, slices: Sequence[str], config: Config, *, quiet: bool, as_json: bool, verbose: bool
    ) -> None:
        """Begin.

        Args:
            target: The target, as given.
            slices: The slices, as given.
            config: The settings.
            quiet: Whether nothing is printed.
            as_json: Whether standard output is reserved for the JSON result.
            verbose: Whether more details are printed.
        """
        self._target = shown(target)
        self._slices = slices
        self._config = config
        self._quiet = quiet or as_json
        self._verbose = verbose
        self._said: tuple[str, ...] = ()
        self._begun = False
        self._recognises = config.register or "://" in target.removeprefix(
            "file://"
        )  # object stores always have a register
        self._unlabelled = False
        self._started = time.perf_counter()
        self._there: list[SliceReport] = []
        self._reports: list[SliceReport] = []
        self._planned: list[SliceReport] = []
        self._recovered = Recovery()
        waits = config.polling is not None or config.lock_wait > 0
        self._progress = None if quiet else _progress(len(slices), waits=waits)
        self.phase: Callable[[Progress], None] | None = self._progress.tell if self._progress is not None else None
        """Called with the progress of the run; None if it is not shown."""

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.__enter__()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if (
            isinstance(error, ZapzError) and error.report is None and self._reports
        ):  # an error of a slice source has no report
            length = self._reports[-1].length
            error.report = total(
                self._target, self._reports, length, self._recovered, time.perf_counter() - self._started
            )
        try:
            if error is not None:
                self._say_planned()
                self._say_there()
        finally:
            if self._progress is not None:
                self._progress.__exit__()

    def remarks(self, lines: Iterable[str]) -> None:
        """Print remarks about settings that do not do what their names suggest."""
        self._said = tuple(lines)
        if not self._quiet:
            for line in self._said:
                self._say(f"note: {line}", sys.stderr)
            if self._verbose:
                from zapz.cli.details import settings_in_use  # imported where used: only -v needs it

                if found := settings_in_use(self._config):
                    self._say(f"settings: {found}")

    def recovered(self, recovery: Recovery) -> None:
        """Print what an earlier run had left, and how it was recovered."""
        self._recovered = self._recovered.joined(recovery)
        if self._quiet:
            return
        from zapz.cli.recovered import sentences  # imported where used: usually there is nothing to recover

        for line in (*sentences(recovery), *(f"note: {note}" for note in recovery.notes)):
            self._say(line)

    def _say(self, line: str, where: TextIO | None = None) -> None:
        """Print a line, wrapped on a terminal; printing never raises here (see ``printing``)."""
        where = where or sys.stdout
        for part in _wrapped(fitting(line, where), where):
            print(part, file=where, flush=True)

    def slice_done(self, report: SliceReport) -> None:
        """Print the result of a slice; slices that are already there are collected in one line."""
        if self._progress is not None:
            self._progress.slice_done(report.bytes_written)
        self._reports.append(report)
        if self._quiet:
            return
        if report.outcome in _THERE and len(self._slices) > 1 and not self._verbose:
            if self._there and self._there[-1].outcome != report.outcome:
                self._say_there()
            self._there.append(report)
            return
        self._say_there()
        self._say_begin(report)
        if report.outcome == "planned":
            self._planned.append(report)  # said at the end, in a table
            return
        self._say(f"{report.slice}: {_outcome(report)}")
        if report.plan is not None:
            self._say_details(report, report.plan)
        self._say_notes(report.notes)
        if report.outcome == "appended" and not report.last and not self._recognises and not self._unlabelled:
            self._unlabelled = True
            self._say(
                f"  note: the slice has no {self._config.append_dim} labels. If you give it again, it is appended again "
                "(--set register=true recognises the last slices)"
            )

    def _say_details(self, report: SliceReport, plan: PlanSummary) -> None:
        from zapz.cli import details  # imported where used: most appends print one line

        found = details.variables(plan) if self._verbose else []
        if report.times is not None:
            found.append(details.times(report.times))
        for line in found:
            self._say(f"  {line}")

    def _say_planned(self) -> None:
        """Say what a dry run has planned so far: a table, then notes."""
        found, self._planned = self._planned, []
        if not found:
            return
        from zapz.cli import dry_run  # imported where used: appends draw nothing
        from zapz.cli.terminal import look_at

        look = look_at(sys.stdout)
        last = next((report.last for report in reversed(found) if report.last), "")
        before = dry_run.before_and_after(found, self._target, last.removesuffix("T00:00:00"))
        lines = look.wrapped(look.text(before)) if before else []
        lines += ["", *dry_run.planned(found, self._config, look, whole=self._verbose)]
        for line in lines:
            self._say(line)
        for report in found:
            if self._verbose and report.plan is not None:
                self._say(f"{report.slice}:")
                self._say_details(report, report.plan)
        self._say_notes([f"{last_part(report.slice)}: {note}" for report in found for note in report.notes])

    def _say_begin(self, report: SliceReport) -> None:
        """Print before the first line of a slice whether the target is created or replaced."""
        if self._begun:
            return
        self._begun = True
        if report.created:
            self._say(f"created {self._target}")
        elif report.outcome == "planned" and report.plan is not None and report.plan["creates"]:
            self._say(f"would {'replace' if report.plan['replaces'] else 'create'} {self._target}")
        elif self._config.force_new and report.outcome == "appended":
            self._say(f"replaced {self._target}")

    def _say_there(self) -> None:
        """Print one line about the collected slices that were already there."""
        found, self._there = self._there, []
        if not found:
            return
        self._say(f"{found[0].slice}: {_outcome(found[0])}" if len(found) == 1 else _there(found))
        self._say_notes([note for report in found for note in report.notes])

    def _say_notes(self, notes: Iterable[str]) -> None:
        lines = list(notes)
        shown_ = lines if self._verbose else lines[:_SHOWN]
        for note in shown_:
            self._say(f"  note: {note}")
        if len(shown_) < len(lines):
            self._say(f"  … and {len(lines) - len(shown_)} more notes (-v shows them)")

    def standing(self, error: BaseException) -> str:
        """Return which slices are in the target after an error, and what to do; may be empty."""
        from zapz.cli.standing import standing  # imported where used: most runs end well

        return standing(error, self._slices, self._reports, recognised=self._recognises)

    def summary(self, report: Report) -> None:
        """Print the summary of the run."""
        if self._quiet:
            return
        self._say_planned()
        if len(self._there) < len(report.slices) or len(self._there) == 1:
            self._say_there()
        for note in report.notes:
            if note not in self._said:
                self._say(f"note: {note}")
        if not report.slices:
            self._say("No slices: nothing to do.")
        elif self._there:  # all slices were already there
            self._say(" · ".join([_there(self._there), *_last(report), f"{report.seconds:.1f} s"]))
            self._say_notes([note for each in self._there for note in each.notes])
        else:
            self._say(_of_one(report) if len(report.slices) == 1 else _of_many(report))


def _wrapped(line: str, where: TextIO) -> list[str]:
    """Return a line as a terminal has room for it; elsewhere unchanged."""
    if not is_terminal(where):
        return [line]
    from zapz.cli.terminal import lines_for  # imported where used: scheduled runs have no terminal

    return lines_for(where, line)


def _progress(slices: int, *, waits: bool) -> Bar | Waits | None:
    """Return a progress bar on a terminal, else messages about waits; None if nothing can wait."""
    if sys.stderr is not None and sys.stderr.isatty():
        from zapz.cli.progress import Bar  # imported where used: runs without a terminal do not need it
        from zapz.cli.terminal import can_redraw

        if can_redraw(sys.stderr):
            return Bar(slices, sys.stderr)
    if not waits:
        return None
    from zapz.cli.progress import Waits  # imported where used

    return Waits()


def _outcome(report: SliceReport) -> str:
    """Return the result of a slice as text."""
    match report.outcome:
        case "appended":
            chunks = f"{count(report.copied_chunks, 'chunk')} copied, {report.encoded_chunks:,} encoded"
            levels = f" in {count(report.levels, 'level')}" if report.levels else ""
            return f"appended {count(report.steps, 'step')}{levels}: {chunks}, {size(report.bytes_written)}"
        case "already":
            return f"already there, and equal{extent(report.compared)}"
        case "skipped":
            return "skipped: its labels are already there"
    return "empty: nothing to do"


def _there(found: list[SliceReport]) -> str:
    """Return how many slices were already there, and how much of them was compared."""
    if found[0].outcome == "skipped":
        return f"{count(len(found), 'slice')}: skipped, their labels are already there"
    compared = Compared()
    for report in found:
        compared = compared.plus(report.compared or Compared())
    return f"{count(len(found), 'slice')}: already there{extent(compared)}"


def extent(compared: Compared | None) -> str:
    """Return how much was compared, if that was not all."""
    if compared is None or compared.contents >= compared.chunks:
        return ""
    lengths = f"{compared.lengths:,} lengths" if compared.lengths < compared.chunks else "all lengths"
    part = f"{compared.contents:,} of {count(compared.chunks, 'chunk')}"
    return f" (compared: {lengths if compared.lengths else 'cells'}, the content of {part}, {size(compared.bytes)})"


def _of_one(report: Report) -> str:
    """Return the summary of a run of one slice."""
    counts = [
        (report.appended, "appended"),
        (report.already, "already there"),
        (report.skipped, "skipped or empty"),
        (sum(r.outcome == "planned" for r in report.slices), "planned, nothing written"),
    ]
    words = ", ".join(f"{n} {word}" for n, word in counts if n)
    if "planned" in words:
        return f"{report.target}: {words}"
    return f"{report.target}: {words}; length {report.length}; {size(report.bytes_written)} in {report.seconds:.1f} s"


_OUTCOMES = {
    "appended": "appended",
    "planned": "would be appended",
    "already": "already there",
    "skipped": "skipped",
    "empty": "empty",
}


def _of_many(report: Report) -> str:
    """Return the summary of a run of several slices."""
    outcomes = [r.outcome for r in report.slices]
    words = ", ".join(f"{outcomes.count(name):,} {word}" for name, word in _OUTCOMES.items() if name in outcomes)
    planned = "planned" in outcomes
    done = "nothing written" if planned else f"{size(report.bytes_written)} in {report.seconds:.1f} s"
    return " · ".join([f"{count(len(outcomes), 'slice')}: {words}", *_last(report, planned=planned), done])


def _last(report: Report, *, planned: bool = False) -> list[str]:
    """Return the target's last label, or its length if it has no labels."""
    length = max((r.length for r in report.slices), default=0) if planned else report.length
    label = report.last.removesuffix("T00:00:00")
    if not label:
        return [f"length {length:,}"]
    return [f"{label} {'would be' if planned else 'is'} the last"]
