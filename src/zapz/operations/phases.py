"""Where a run is, told as it goes on: which slice, which phase of it, how many chunks and bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from zapz.reports import Phase, Progress
from zapz.sources.names import name_of


class Phases:
    """Tells of one run; nothing of it is made where nobody listens."""

    def __init__(self, told: Callable[[Progress], object]) -> None:
        self._told = told
        self._slices: int | None = None
        self._begun = 0
        self._ahead = (-1, "")
        self._current = (-1, "")

    def expect(self, items: Iterable[Any]) -> None:
        """Take note of how many slices will come, if that is known."""
        self._slices = len(items) if isinstance(items, Sequence) else None

    def _tell(self, phase: Phase, which: tuple[int, str], **more: Any) -> None:
        number, name = which
        self._told(Progress(phase=phase, slice=name, number=number, slices=self._slices, **more))

    def looking(self, number: int, item: Any) -> None:
        """Tell that a slice is looked at before the first is written."""
        self._tell("looking", (number, name_of(item) or f"slice {number}"))

    def opening(self, item: Any) -> None:
        """Tell that the next item is opened."""
        number = self._ahead[0] + 1
        self._ahead = (number, name_of(item) or f"slice {number}")
        self._tell("opening", self._ahead)

    def wait_for_slice(self, where: str, seconds: float) -> None:
        """Tell that an item is waited for: the one that is being opened, or one that is to be sorted."""
        number, name = self._ahead
        self._tell("waiting", (max(number, 0), name or where), wait=seconds)

    def computing(self) -> None:
        """Tell that the item that was opened last is computed."""
        self._tell("computing", self._ahead)

    def wait_for_target(self, where: str, seconds: float) -> None:
        """Tell that the target is waited for."""
        self._tell("waiting", (self._begun, where), wait=seconds)

    def begin(self, name: str) -> None:
        """Tell that it is the next slice's turn."""
        self._current = (self._begun, name)
        self._begun += 1
        self._tell("checking", self._current)

    def enter(self, phase: str) -> None:
        """Tell of the next phase of the slice whose turn it is."""
        self._tell(cast("Phase", phase), self._current)

    def move(self, *, copies: bool, chunks: int, total: int, written: int) -> None:
        """Tell how many of its chunks are done; from any thread."""
        phase: Phase = "copying" if copies else "encoding"
        self._tell(phase, self._current, chunks=chunks, total=total, bytes=written)
