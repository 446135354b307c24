"""Slices are opened in order and closed exactly once, whatever fails and however far ahead they are opened; wrappings are entered and left."""

from __future__ import annotations

import contextvars
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kit.feeds import BrokenError, Opened, Record, Schedule, origin
from kit.volumes import amount, volume

from zapz.errors import CancelledError
from zapz.sources.feed import Feed

PATIENCE = 20.0
"""Seconds until a test that waits for something gives up."""
STAGES = ("pull", "open", "use", "close")
ERRORS = (BrokenError, KeyboardInterrupt, SystemExit, GeneratorExit)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [t for t in threading.enumerate() if t.name == "zapz-feed"]


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    length = draw(st.integers(0, 5))
    places = [(stage, number) for stage in STAGES for number in range(length)]
    chosen = draw(st.lists(st.sampled_from(places), max_size=4, unique=True)) if places else []
    # A StopIteration of an iterator is its end, which is no fault.
    kinds = {place: ERRORS + ((StopIteration,) if place[0] != "pull" else ()) for place in chosen}
    return Schedule(
        length=length,
        prefetch=draw(st.integers(0, 3)),
        faults={place: draw(st.sampled_from(kinds[place])) for place in chosen},
        leave_at=draw(st.none() | st.integers(0, 5)),
        cancel_at=draw(st.none() | st.integers(0, 5)),
        kind=draw(st.sampled_from(["generator", "iterator"])),
    )


def check_order(schedule: Schedule, record: Record) -> None:
    """Each slice is opened once, in order, used in order, and closed once, before the next is handed out."""
    used, _ = schedule.expected()
    opened = record.numbers("opened")
    assert record.numbers("use") == list(range(used))
    assert record.numbers("open") == list(range(len(record.numbers("open"))))
    assert opened == list(range(len(opened)))
    assert record.closed == opened
    places = {(event.what, event.number): i for i, event in enumerate(record.events)}
    for number in range(1, used):
        assert places["closed", number - 1] < places["use", number]
        if schedule.prefetch == 0:
            assert places["closed", number - 1] < places["pull", number]


def check_bounds(schedule: Schedule, record: Record) -> None:
    """No more is open than allowed; nothing is pulled after an error of pulling or opening, nor long after the end."""
    used, _ = schedule.expected()
    assert record.most_open() <= schedule.prefetch + 1
    assert len(record.numbers("pull")) <= used + max(1, schedule.prefetch)
    for stage in ("pull", "open"):
        failing = [n for s, n in schedule.faults if s == stage]
        assert not [n for n in record.numbers("pull") if failing and n > min(failing)]


def check_errors(schedule: Schedule, record: Record) -> None:
    """The first error leaves; the slices it leaves behind are told; other errors of closing are its notes."""
    _, end = schedule.expected()
    failures = [f"close {n}" for n in record.closed if ("close", n) in schedule.faults]
    first = end if end not in {"", "left"} else next(iter(failures), "")
    assert origin(record.error) == first
    notes = getattr(record.error, "__notes__", [])
    others = [failure for failure in failures if failure != first]
    assert len(notes) == len(others)
    for failure, note in zip(others, notes, strict=True):
        assert note.startswith("Closing failed as well: ")
        assert note.endswith((failure, "opened or closed"))
    for number, reason in record.reasons.items():
        if number in record.numbers("use"):
            assert origin(reason) == (end if end == f"use {number}" else "")
        elif end in {"left", ""}:
            assert isinstance(reason, GeneratorExit)
        else:
            assert reason is record.error


def check_threads(schedule: Schedule, record: Record) -> None:
    """Pulling, opening and the generator's end are in one thread, using and closing what was used in the caller's."""
    here = threading.get_ident()
    apart = {"pull", "open", "opened"} | ({"end"} if schedule.kind == "generator" else set())
    there = {event.thread for event in record.events if event.what in apart}
    assert len(there) <= 1
    assert (here in there) is (schedule.prefetch == 0 and bool(there))
    used = record.numbers("use")
    assert {e.thread for e in record.events if e.what == "use" or (e.what == "closed" and e.number in used)} <= {here}
    if schedule.kind == "generator":
        ends = [event for event in record.events if event.what == "end"]
        assert len(ends) == len(there)
        stopped_by_itself = len(record.numbers("pull")) == schedule.length or any(
            s == "pull" for s, _ in schedule.faults
        )
        assert not ends or stopped_by_itself or record.events[-1] == ends[0]  # its files are there while slices are


def check_laws(schedule: Schedule) -> None:
    record = schedule.run()
    assert not [t for t in threading.enumerate() if t.name == "zapz-feed"]
    for check in (check_order, check_bounds, check_errors, check_threads):
        check(schedule, record)


@given(schedules())
@settings(max_examples=400)
@example(Schedule(prefetch=2, faults={("open", 1): StopIteration, ("close", 0): StopIteration}))
@example(Schedule(prefetch=3, length=5, leave_at=0, faults={("close", n): KeyboardInterrupt for n in range(5)}))
@example(
    Schedule(
        prefetch=1, length=5, faults={("use", 1): BrokenError, ("close", 1): BrokenError, ("close", 2): BrokenError}
    )
)
def test_the_laws_hold_for_any_schedule(schedule: Schedule) -> None:
    check_laws(schedule)


@volume
@pytest.mark.usefixtures("hurried")
@given(schedules())
@settings(max_examples=amount(5_000, 100_000))
def test_the_laws_hold_for_any_schedule_of_threads_in_a_hurry(schedule: Schedule) -> None:
    check_laws(schedule)


@pytest.mark.parametrize(
    ("schedule", "trace"),
    [
        (Schedule(length=2), "pull 0 open 0 opened 0 use 0 close 0 closed 0 pull 1 open 1 opened 1 use 1 close 1 closed 1 end"),
        (Schedule(leave_at=0), "pull 0 open 0 opened 0 use 0 close 0 closed 0 end"),
        (Schedule(faults={("pull", 1): BrokenError}), "pull 0 open 0 opened 0 use 0 close 0 closed 0 pull 1 end"),
        (Schedule(faults={("open", 1): BrokenError}), "pull 0 open 0 opened 0 use 0 close 0 closed 0 pull 1 open 1 end"),
        (Schedule(faults={("use", 0): BrokenError}), "pull 0 open 0 opened 0 use 0 close 0 closed 0 end"),
        (Schedule(faults={("close", 0): BrokenError}), "pull 0 open 0 opened 0 use 0 close 0 closed 0 end"),
        (Schedule(cancel_at=0), "pull 0 open 0 opened 0 use 0 close 0 closed 0 end"),
        (Schedule(length=0), "end"),
    ],
    ids=str,
)  # fmt: skip
def test_without_prefetching_everything_has_its_turn(schedule: Schedule, trace: str) -> None:
    assert schedule.run().trace() == trace


def wait(event: threading.Event) -> None:
    assert event.wait(PATIENCE), "it never happened"


def until(feed: Feed[Any, Any], flag: str) -> None:
    """Wait in the feed's thread until the caller has come so far."""
    with feed._changed:
        assert feed._changed.wait_for(lambda: getattr(feed, flag), PATIENCE), f"never {flag}"


@pytest.mark.parametrize("prefetch", [1, 2, 5])
def test_so_many_are_opened_ahead_while_one_is_used(prefetch: int) -> None:
    opened: dict[int, threading.Event] = {n: threading.Event() for n in range(20)}
    with Feed(range(20), lambda n: opened[n].set() or n, lambda *_: None, prefetch) as feed:
        for n in feed:
            wait(opened[min(19, n + prefetch)])
            assert not any(opened[m].is_set() for m in range(n + prefetch + 1, 20))


@pytest.mark.parametrize("error", [BrokenError, KeyboardInterrupt, None])
def test_an_opening_under_way_is_waited_for_and_its_slice_closed(error: type[BaseException] | None) -> None:
    begun, go, closed = threading.Event(), threading.Event(), []

    def open_item(number: int) -> int:
        if number == 1:
            begun.set()
            wait(go)
        return number

    def close(number: int, reason: BaseException | None) -> None:
        closed.append((number, type(reason)))
        go.set()  # the slice in use is closed while the next one is being opened

    def use() -> None:
        with Feed(range(9), open_item, close, 1) as feed:
            next(feed)
            wait(begun)
            if error is not None:
                raise error

    if error is None:
        use()
    else:
        with pytest.raises(error):
            use()
    assert closed == [(0, type(error() if error else None)), (1, error or GeneratorExit)]


def interrupt() -> None:
    """Press Ctrl-C, from the feed's thread."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_an_interrupt_while_waiting_for_a_slice_stops_everything() -> None:
    closed = []

    def open_item(number: int) -> int:
        interrupt()
        until(feed, "_stopping")
        return number

    with pytest.raises(KeyboardInterrupt), Feed(range(9), open_item, lambda *left: closed.append(left), 2) as feed:
        next(feed)
    assert [number for number, _ in closed] == [0]
    assert isinstance(closed[0][1], KeyboardInterrupt)


def test_a_second_interrupt_ends_the_waiting_and_the_thread_closes_what_it_has() -> None:
    closed, go = [], threading.Event()

    def open_item(number: int) -> int:
        interrupt()
        until(feed, "_released")
        interrupt()
        wait(go)
        return number

    with pytest.raises(KeyboardInterrupt) as caught:  # noqa: SIM117 - the feed is asked afterwards
        with Feed(range(9), open_item, lambda *left: closed.append(left), 2) as feed:
            next(feed)
    assert caught.value.__notes__ == ["Closing failed as well: KeyboardInterrupt: "]
    assert closed == []
    assert feed._thread.is_alive()
    go.set()
    until(feed, "_finished")
    feed._thread.join(PATIENCE)
    assert [number for number, _ in closed] == [0]


def test_an_interrupt_while_the_thread_is_started_leaves_it_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt) as caught:  # noqa: PT012 - the feed is asked afterwards
        patched.setattr(threading.Thread, "start", lambda _: interrupt())
        with Feed(iter(numbers := [1, 2]), numbers.remove, lambda *_: None, 1) as feed:
            next(feed)
    assert not hasattr(caught.value, "__notes__")
    feed._thread.start()  # as the system may do it, a little late
    feed._thread.join(PATIENCE)
    assert not feed._thread.is_alive()
    assert numbers == [1, 2]


def test_the_context_is_left_when_the_thread_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    awaited = threading.Event()

    class SlowlyEnding(threading.Thread):
        def run(self) -> None:
            super().run()
            wait(awaited)

        def join(self, timeout: float | None = None) -> None:
            awaited.set()
            super().join(timeout)

    monkeypatch.setattr(threading, "Thread", SlowlyEnding)
    with Feed(range(3), int, lambda *_: None, 1) as feed:
        next(feed)
    assert awaited.is_set()
    assert not feed._thread.is_alive()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_of_a_generators_end_is_not_lost(prefetch: int) -> None:
    def numbers() -> Iterator[int]:
        try:
            yield from range(5)
        finally:
            raise BrokenError("end")

    with pytest.raises(BrokenError, match="end"), Feed(numbers(), int, lambda *_: None, prefetch) as feed:
        next(feed)
    with pytest.raises(ValueError, match="mine") as caught, Feed(numbers(), int, lambda *_: None, prefetch) as feed:
        raise ValueError("mine" if next(feed) == 0 else "")
    assert caught.value.__notes__ == ["Closing failed as well: BrokenError: end"]


def test_what_was_pulled_when_the_caller_cancels_is_not_opened() -> None:
    cancel, opened = threading.Event(), []
    items = (cancel.set() for _ in range(3))
    with pytest.raises(CancelledError), Feed(items, opened.append, lambda *_: None, 0, cancel.is_set) as feed:
        next(feed)
    assert opened == []


def test_the_thread_pulls_nothing_after_the_caller_cancels() -> None:
    cancel, begun, closed = threading.Event(), threading.Event(), []
    items = iter(range(5))

    def open_item(number: int) -> int:
        if number == 1:
            begun.set()
            wait(cancel)
        return number

    with Feed(items, open_item, lambda number, _: closed.append(number), 3, cancel.is_set) as feed:
        next(feed)
        wait(begun)
        cancel.set()
        with feed._changed:
            feed._wait(lambda: feed._ended)
        with pytest.raises(CancelledError):
            next(feed)
    assert closed == [0, 1]
    assert list(items) == [2, 3, 4]


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_exit_that_raises_what_it_was_given_has_not_failed(prefetch: int) -> None:
    def close(_: int, error: BaseException | None) -> None:
        if error is not None:
            raise error

    with Feed(range(5), int, close, prefetch) as feed:
        next(feed)
    with pytest.raises(BrokenError) as caught, Feed(range(5), int, close, prefetch) as feed:
        raise BrokenError(next(feed))
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("prefetch", [0, 1])
def test_an_error_is_the_last_thing_that_comes(prefetch: int) -> None:
    schedule = [1, 0, 1]
    with Feed(schedule, lambda n: 1 // n, lambda *_: None, prefetch) as feed:
        assert next(feed) == 1
        with pytest.raises(ZeroDivisionError):
            next(feed)
        assert list(feed) == []
    assert list(feed) == []


@pytest.mark.parametrize("prefetch", [0, 2])
def test_nothing_is_pulled_before_a_slice_is_asked_for(prefetch: int) -> None:
    numbers = iter(range(3))
    generator = (n for n in numbers)
    with Feed(generator, int, lambda *_: None, prefetch):
        pass
    assert list(generator) == [0, 1, 2]  # nor is a generator closed that the feed never touched


@pytest.mark.parametrize("prefetch", [0, 2])
def test_slices_and_items_are_let_go_when_they_are_closed(prefetch: int) -> None:
    gc.disable()
    try:
        seen: list[weakref.ref[Opened]] = []
        with Feed((Opened(n) for n in range(6)), lambda item: Opened(item.number), lambda *_: None, prefetch) as feed:
            for n, opened in enumerate(feed):
                assert opened.number == n
                assert all(reference() is None for reference in seen)
                seen.append(weakref.ref(opened))
                del opened
        assert len(seen) == 6
    finally:
        gc.enable()


def test_the_thread_sees_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    token = variable.set("set")
    with Feed(range(1), lambda _: variable.get(), lambda *_: None, 1) as feed:
        assert list(feed) == ["set"]
    variable.reset(token)


@pytest.mark.parametrize("prefetch", [0, 1])
def test_any_iterable_will_do(tmp_path: Path, prefetch: int) -> None:
    (tmp_path / "list.txt").write_text("a\nb\n")
    with (tmp_path / "list.txt").open() as lines:
        for items in (
            [1, 2],
            (1, 2),
            {1, 2},
            {1: 0, 2: 0}.keys(),
            {0: 1, 3: 2}.values(),
            np.arange(2),
            range(2),
            lines,
        ):
            with Feed(items, str.strip if items is lines else int, lambda *_: None, prefetch) as feed:
                assert len(list(feed)) == 2
        assert not lines.closed  # it is the user's


@pytest.mark.parametrize(
    "one", ["a.zarr", b"a.zarr", Path("a.zarr"), {"x": 1}, xr.Dataset({"x": 1})], ids=lambda v: type(v).__name__
)
def test_one_item_is_not_taken_for_many(one: Any) -> None:
    with pytest.raises(TypeError, match="one item"):
        Feed(one, lambda item: item, lambda *_: None)


def test_a_feed_is_used_in_its_context_and_once() -> None:
    feed = Feed([1], int, lambda *_: None)
    with pytest.raises(RuntimeError, match="in its context"):
        next(feed)
    with feed:
        assert list(feed) == [1]
    with pytest.raises(RuntimeError, match="once"), feed:
        pass


def test_a_frozen_error_stays_the_first_one() -> None:
    class FrozenError(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(name)

    with pytest.raises(FrozenError), Feed([1, 0], int, lambda n, _: 1 // (n - 1)) as feed:
        raise FrozenError(next(feed))


def test_this_process_can_be_interrupted() -> None:
    """Or the tests above would show nothing."""
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
