"""Report the progress of a run: the slice, its phase, and how many chunks and bytes are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from zapz.reports import Phase, Progress
from zapz.sources.names import name_of


class Phases:
    """Reports the progress of one run; created only if there is a callback."""

    def __init__(self, report: Callable[[Progress], object]) -> None:
        self._report = report
        self._slices: int | None = None
        self._begun = 0
        self._ahead = (-1, "")
        self._current = (-1, "")

    def expect(self, items: Iterable[Any]) -> None:
        """Record the number of slices, if it is known."""
        self._slices = len(items) if isinstance(items, Sequence) else None

    def _tell(self, phase: Phase, which: tuple[int, str], **more: Any) -> None:
        number, name = which
        self._report(Progress(phase=phase, slice=name, number=number, slices=self._slices, **more))

    def looking(self, number: int, item: Any) -> None:
        """Report that a slice is inspected before the first is written."""
        self._tell("looking", (number, name_of(item) or f"slice {number}"))

    def opening(self, item: Any) -> None:
        """Report that the next item is opened."""
        number = self._ahead[0] + 1
        self._ahead = (number, name_of(item) or f"slice {number}")
        self._tell("opening", self._ahead)

    def wait_for_slice(self, where: str, seconds: float) -> None:
        """Report that the run waits for an item that is being opened or sorted.

        Args:
            where: The item, if no item is being opened.
            seconds: Maximum duration of the wait.
        """
        number, name = self._ahead
        self._tell("waiting", (max(number, 0), name or where), wait=seconds)

    def computing(self) -> None:
        """Report that the item opened last is computed."""
        self._tell("computing", self._ahead)

    def wait_for_target(self, where: str, seconds: float) -> None:
        """Report that the run waits for the target, for at most this many seconds."""
        self._tell("waiting", (self._begun, where), wait=seconds)

    def begin(self, name: str) -> None:
        """Report that the next slice is being checked."""
        self._current = (self._begun, name)
        self._begun += 1
        self._tell("checking", self._current)

    def enter(self, phase: str) -> None:
        """Report the next phase of the current slice."""
        self._tell(cast("Phase", phase), self._current)

    def move(self, *, copies: bool, chunks: int, total: int, written: int) -> None:
        """Report how many chunks of the current slice are done; called from any thread.

        Args:
            copies: Whether any chunk is copied as bytes.
            chunks: Number of chunks done.
            total: Number of chunks of the slice.
            written: Bytes written.
        """
        phase: Phase = "copying" if copies else "encoding"
        self._tell(phase, self._current, chunks=chunks, total=total, bytes=written)
