"""A language for schedules of a feed: which item fails where, what a feed made of it, and what it should have made.

``Schedule.run`` feeds numbers through a real ``Feed`` and records every event; ``Schedule.expected`` is the same in ten lines without threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from zapz.errors import CancelledError
from zapz.sources.feed import Feed

Fault = tuple[str, int]
"""Where something fails: a stage (pull, open, use, close) and the number of an item."""


class BrokenError(Exception):
    """An ordinary error."""


class Opened:
    """An opened slice."""

    def __init__(self, number: int) -> None:
        self.number = number


@dataclass(frozen=True)
class Event:
    what: str
    number: int
    thread: int


@dataclass
class Record:
    """What happened in a run."""

    events: list[Event] = field(default_factory=list)
    reasons: dict[int, BaseException | None] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    error: BaseException | None = None

    def note(self, what: str, number: int = -1) -> None:
        self.events.append(Event(what, number, threading.get_ident()))

    def numbers(self, what: str) -> list[int]:
        return [event.number for event in self.events if event.what == what]

    def trace(self) -> str:
        return " ".join(event.what if event.number < 0 else f"{event.what} {event.number}" for event in self.events)

    def most_open(self) -> int:
        """How many slices were open or being opened at once, at most."""
        now = most = 0
        for event in self.events:
            now += {"open": 1, "closed": -1}.get(event.what, 0)
            most = max(most, now)
        return most


class Counter:
    """An iterator that is no generator."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = iter(numbers)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return next(self._numbers)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A feed of numbers, and what fails in it."""

    length: int = 3
    prefetch: int = 0
    faults: dict[Fault, type[BaseException]] = field(default_factory=dict)
    leave_at: int | None = None
    cancel_at: int | None = None
    kind: str = "generator"

    def run(self) -> Record:
        """Feed the numbers, and record what happens."""
        record, cancel = Record(), threading.Event()

        def reach(stage: str, number: int) -> None:
            record.note(stage, number)
            self._fail(stage, number)

        def numbers() -> Iterator[int]:
            try:
                for number in range(self.length):
                    reach("pull", number)
                    yield number
            finally:
                record.note("end")

        def open_item(number: int) -> Opened:
            reach("open", number)
            record.note("opened", number)
            return Opened(number)

        def close(opened: Opened, error: BaseException | None) -> None:
            record.closed.append(opened.number)
            record.reasons[opened.number] = error
            try:
                reach("close", opened.number)
            finally:
                record.note("closed", opened.number)

        items = {"generator": numbers, "iterator": lambda: Counter(numbers())}[self.kind]()
        try:
            with Feed(items, open_item, close, self.prefetch, cancel.is_set) as feed:
                for opened in feed:
                    reach("use", opened.number)
                    if self.cancel_at == opened.number:
                        cancel.set()
                    if self.leave_at == opened.number:
                        break
        except BaseException as error:  # noqa: BLE001 - judged by the test
            record.error = error
        return record

    def _fail(self, stage: str, number: int) -> None:
        if (stage, number) in self.faults:
            raise self.faults[stage, number](f"{stage} {number}")

    def expected(self) -> tuple[int, str]:
        """How many slices are used, and what ends it: a fault as ``stage number``, ``left``, ``cancelled``, or nothing."""
        for number in range(self.length):
            for stage in ("pull", "open", "use"):
                if (stage, number) in self.faults:
                    return number + (stage == "use"), f"{stage} {number}"
            if self.leave_at == number:
                return number + 1, "left"
            if ("close", number) in self.faults:
                return number + 1, f"close {number}"
            if self.cancel_at == number:
                return number + 1, "cancelled"
        return self.length, ""


def origin(error: BaseException | None) -> str:
    """Return what an error says, or the one that it stands for: a ``StopIteration`` cannot be raised where it would end a loop."""
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
        error = error.__cause__
    return "" if error is None else "cancelled" if isinstance(error, CancelledError) else str(error)
