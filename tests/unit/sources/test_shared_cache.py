"""A cache for threads: each value is made once at a time, kept by bytes, and nothing waits for ever."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.together import PATIENCE, THREADS, at_once, wait_for_others

from zapz.errors import CancelledError, SliceError, StoreError
from zapz.sources.shared_cache import SharedCache


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def of(nbytes: int) -> Callable[[Any], int]:
    return lambda _: nbytes


class Gate:
    """A maker that stands still until all others wait for it, and counts how often it is called."""

    def __init__(self, cache: SharedCache, outcome: Callable[[int], Any]) -> None:
        self.cache, self.outcome = cache, outcome
        self.calls = 0
        self.guard = threading.Lock()

    def __call__(self) -> Any:
        with self.guard:
            self.calls += 1
            number = self.calls
        if number == 1:
            wait_for_others(self.cache)
        return self.outcome(number)


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_value_is_made_once() -> None:
    cache, calls = SharedCache(100), []
    for _ in range(3):
        assert cache.get("a", lambda: calls.append(1) or "value", of(10)) == "value"
    assert calls == [1]
    assert (len(cache), cache.nbytes, cache.hits, cache.misses) == (1, 10, 2, 1)


def test_what_was_used_least_recently_is_dropped_first() -> None:
    cache = SharedCache(100)
    for key in "abcd":
        cache.get(key, lambda key=key: key, of(25))
    cache.get("a", lambda: pytest.fail("a is kept"), of(25))
    cache.get("e", lambda: "e", of(50))
    assert list(cache._kept) == ["d", "a", "e"]
    assert (len(cache), cache.nbytes) == (3, 100)


def test_a_value_may_be_as_large_as_the_limit_and_no_larger() -> None:
    cache = SharedCache(100)
    cache.get("small", lambda: 1, of(1))
    assert cache.get("large", lambda: 2, of(101)) == 2
    assert list(cache._kept) == ["small"]
    assert cache.get("exact", lambda: 3, of(100)) == 3
    assert list(cache._kept) == ["exact"]
    assert cache.get("large", lambda: 4, of(101)) == 4
    assert (len(cache), cache.nbytes, cache.misses) == (1, 100, 4)


def test_a_cache_without_room_keeps_nothing() -> None:
    cache = SharedCache(0)
    assert [cache.get("a", lambda: "value", of(1)) for _ in range(2)] == ["value", "value"]
    assert (len(cache), cache.nbytes, cache.hits, cache.misses) == (0, 0, 0, 2)


@pytest.mark.parametrize("value", [None, 0, "", False])
def test_every_value_is_kept(value: Any) -> None:
    cache = SharedCache(100)
    cache.get("a", lambda: value, of(1))
    assert cache.get("a", lambda: pytest.fail("it is kept"), of(1)) is value


def test_a_dropped_value_is_freed_at_once_and_not_under_the_lock() -> None:
    class Value:
        def __del__(self) -> None:
            freed.append(cache.get("inner", lambda: "read while another is freed", of(1)))

    freed: list[str] = []
    cache = SharedCache(10)
    cache.get("a", Value, of(10))
    cache.get("b", lambda: "b", of(9))
    assert freed == ["read while another is freed"]


@given(st.integers(0, 50), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30)), max_size=60))
def test_sizes_and_order_are_those_of_a_plain_model(limit: int, calls: list[tuple[int, int]]) -> None:
    cache, model = SharedCache(limit), dict[int, int]()
    for key, nbytes in calls:
        hit = key in model
        made = cache.get(key, lambda nbytes=nbytes: nbytes, lambda value: value)
        assert made == (model[key] if hit else nbytes)
        if hit:
            model[key] = model.pop(key)
        elif nbytes <= limit:
            while sum(model.values()) + nbytes > limit:
                del model[next(iter(model))]
            model[key] = nbytes
        assert list(cache._kept) == list(model)
        assert cache.nbytes == sum(model.values()) <= limit
        assert len(cache) == len(model)
    assert cache.hits + cache.misses == len(calls)


# -- one at a time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nbytes", [10, 1000], ids=["kept", "too large to be kept"])
def test_threads_that_ask_at_once_share_one_value(nbytes: int) -> None:
    cache = SharedCache(100)
    make = Gate(cache, lambda _: object())
    values = at_once(lambda _: cache.get("a", make, of(nbytes)))
    assert make.calls == 1
    assert len(set(map(id, values))) == 1
    assert type(values[0]) is object
    assert (cache.hits, cache.misses, cache.nbytes) == (THREADS - 1, 1, 10 if nbytes == 10 else 0)
    assert not cache._making


def test_keys_do_not_wait_for_one_another() -> None:
    """Each maker waits for all the others, so one lock for all of them would hold everything up."""
    cache, together = SharedCache(10_000), threading.Barrier(THREADS)

    def make(number: int) -> int:
        together.wait(PATIENCE)
        return number

    assert at_once(lambda n: cache.get(n, lambda: make(n), of(10))) == list(range(THREADS))


def test_a_kept_value_is_read_while_another_is_made() -> None:
    cache = SharedCache(100)
    cache.get("kept", lambda: 1, of(1))
    assert cache.get("a", lambda: cache.get("kept", lambda: 2, of(1)) + len(cache) + cache.nbytes, of(1)) == 3


def test_values_may_need_others() -> None:
    cache = SharedCache(1000)

    def make(number: int) -> int:
        return 1 if number == 0 else cache.get(number - 1, lambda: make(number - 1), of(1)) + 1

    values = at_once(lambda n: cache.get(40 - n, lambda: make(40 - n), of(1)))
    assert values == [41 - n for n in range(THREADS)]
    assert cache.misses == 41


def test_a_value_that_needs_itself_does_not_wait_for_ever() -> None:
    cache = SharedCache(100)

    def make() -> int:
        return cache.get("a", make, of(1))

    outcome = at_once(lambda _: cache.get("a", make, of(1)), 1)[0]
    assert isinstance(outcome, RecursionError)
    assert not cache._making
    assert cache.get("a", lambda: 5, of(1)) == 5


@pytest.mark.usefixtures("hurried")
def test_many_threads_and_keys() -> None:
    """No value is made by two threads at the same time, and the limit always holds."""
    cache, guard, running = SharedCache(200), threading.Lock(), set[int]()

    def make(key: int) -> int:
        with guard:
            assert key not in running
            running.add(key)
        time.sleep(0)
        with guard:
            running.discard(key)
        if key % 7 == 6:
            raise ValueError(key)
        return key

    def run(number: int) -> int:
        seen = 0
        for turn in range(300):
            key = (turn * (number + 1)) % 20
            try:
                assert cache.get(key, lambda key=key: make(key), lambda key: 10 + key) == key
                seen += 1
            except ValueError as error:
                assert error.args == (key,)
            assert cache.nbytes <= 200
        return seen

    seen = at_once(run, 8)
    assert all(isinstance(each, int) for each in seen), seen
    assert cache.hits + cache.misses >= sum(seen)
    assert cache.nbytes == sum(nbytes for _, nbytes in cache._kept.values()) <= 200
    assert not cache._making


# -- errors ------------------------------------------------------------------------------------------------------------


class OddError(Exception):
    """An error whose constructor does not take what ``args`` holds."""

    def __init__(self, name: str, *, number: int) -> None:
        super().__init__(f"{name} has no {number}")
        self.number = number


class WordyError(Exception):
    """An error that says something else when its constructor gets its own text."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no {name}")


class LonelyError(Exception):
    """An error of which there is only one."""

    def __new__(cls, *_: object) -> Self:
        return LONELY

    def __copy__(self) -> LonelyError:
        return self


LONELY: Any = Exception.__new__(LonelyError)
ERRORS: dict[str, Callable[[], Exception]] = {
    "plain": lambda: ValueError("bad", 5),
    "empty": RuntimeError,
    "key": lambda: KeyError("x"),
    "system": lambda: FileNotFoundError(2, "No such file", "/data/a.nc"),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "memory": lambda: MemoryError("no room"),
    "group": lambda: ExceptionGroup("several", [ValueError(1), KeyError(2)]),
    "zapz": lambda: SliceError("bad cells", where="v", expected="1", found="2", hint="Look."),
    "zapz's of storage": lambda: StoreError("storage failed", where="a.zarr"),
    "odd": lambda: OddError("it", number=5),
    "wordy": lambda: WordyError("thing"),
}


def failing(error: Exception) -> Callable[[int], Any]:
    def outcome(_: int) -> Any:
        raise error

    return outcome


@pytest.mark.parametrize("name", ERRORS)
def test_threads_that_ask_at_once_get_the_same_error(name: str) -> None:
    original, cache = ERRORS[name](), SharedCache(100)
    original.add_note("seen in block 3")
    make = Gate(cache, failing(original))
    errors = at_once(lambda _: cache.get("a", make, of(1)))
    assert make.calls == 1
    assert len({id(error) for error in errors}) == THREADS, "each thread has an error of its own"
    assert sum(error is original for error in errors) == 1
    for error in errors:
        assert type(error) is type(original)
        assert (str(error), error.__notes__) == (str(original), ["seen in block 3"])
        same = {key: value for key, value in vars(original).items() if key != "__notes__"}
        assert {key: value for key, value in vars(error).items() if key != "__notes__"} == same
    assert [len({id(error.__notes__) for error in errors})] == [THREADS]
    if isinstance(original, OSError):
        assert {error.errno for error in errors} == {original.errno}
    assert cache.get("a", lambda: "value", of(1)) == "value", "an error is not kept"
    assert (cache.hits, cache.misses, len(cache)) == (0, 2, 1)


def test_an_error_of_which_there_is_only_one_is_told_by_another() -> None:
    cache = SharedCache(100)
    errors = at_once(lambda _: cache.get("a", Gate(cache, failing(LONELY)), of(1)))
    others = [error for error in errors if error is not LONELY]
    assert len(others) == THREADS - 1
    assert all(type(error) is RuntimeError and error.__cause__ is LONELY for error in others)
    assert "LonelyError" in str(others[0])


def frames(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_errors_of_other_threads_do_not_grow_one_another() -> None:
    """A traceback shows where the value failed, and its own thread's way there; what is added to one error is in no other."""

    def make_inside() -> Any:
        raise SliceError("bad cells", where="v") from KeyError("cause")

    def with_place(number: int) -> Any:
        try:
            return cache.get("a", make, of(1))
        except SliceError as error:
            error.add_note(f"thread {number}")
            raise error.at("slice") from error.__cause__

    for _ in range(5):
        cache = SharedCache(100)
        make = Gate(cache, lambda _: make_inside())
        errors = at_once(with_place)
        assert make.calls == 1
        for number, error in enumerate(errors):
            assert error.where == "slice, v"
            assert error.__notes__ == [f"thread {number}"]
            assert isinstance(error.__cause__, KeyError)
            assert error.__context__ is error.__cause__ or error.__context__ is None
            assert frames(error)[:2] == ["run", "with_place"]
            assert frames(error)[-1] == "make_inside"
            assert [frames(error).count(name) for name in ("run", "get", "_make", "make_inside")] == [1, 1, 1, 1]


def test_a_size_that_cannot_be_told_is_an_error_of_all() -> None:
    cache = SharedCache(100)

    def size(_: object) -> int:
        raise TypeError("no size")

    make = Gate(cache, lambda _: "value")
    errors = at_once(lambda _: cache.get("a", make, size))
    assert make.calls == 1
    assert [str(error) for error in errors] == ["no size"] * THREADS
    assert len(cache) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, CancelledError("cancelled")], ids=str)
def test_an_interrupt_is_of_one_thread_alone(error: Any) -> None:
    """The others try themselves: one of them makes the value, for all of them."""
    cache = SharedCache(100)

    def outcome(number: int) -> Any:
        if number <= 3:
            raise error
        return "value"

    make = Gate(cache, outcome)
    outcomes = at_once(lambda _: cache.get("a", make, of(1)))
    kind = error if isinstance(error, type) else type(error)
    assert make.calls == 4
    assert sorted(str(type(each)) for each in outcomes) == sorted([str(kind)] * 3 + [str(str)] * (THREADS - 3))
    assert not cache._making


def interrupt() -> None:
    """Interrupt the main thread, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def test_a_thread_that_is_interrupted_while_it_waits_disturbs_no_other() -> None:
    cache, begun, release = SharedCache(100), threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        assert release.wait(PATIENCE)
        return "value"

    def wait_and_interrupt() -> None:
        wait_for_others(cache, 1)
        interrupt()

    with ThreadPoolExecutor(2) as pool:
        maker = pool.submit(cache.get, "a", make, of(1))
        assert begun.wait(PATIENCE)
        pool.submit(wait_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            cache.get("a", make, of(1))
        release.set()
        assert maker.result(PATIENCE) == "value"
    assert cache.get("a", lambda: pytest.fail("it is kept"), of(1)) == "value"


def test_a_thread_that_is_interrupted_while_it_makes_a_value() -> None:
    cache, begun = SharedCache(100), threading.Event()

    def make() -> str:
        begun.set()
        wait_for_others(cache, 3)
        interrupt()
        time.sleep(PATIENCE)
        return "too late"

    def other(_: int) -> str:
        assert begun.wait(PATIENCE)
        return cache.get("a", lambda: "value", of(1))

    with ThreadPoolExecutor(3) as pool:
        others = [pool.submit(other, number) for number in range(3)]
        with pytest.raises(KeyboardInterrupt):
            cache.get("a", make, of(1))
        assert [each.result(PATIENCE) for each in others] == ["value"] * 3
    assert (cache.hits, cache.misses) == (2, 2)


def test_nothing_of_a_failed_value_is_left() -> None:
    """Without the cyclic collector: an error that is gone keeps neither cells nor frames."""

    class Big:
        pass

    seen: list[weakref.ref[Big]] = []

    def make() -> Any:
        big = Big()
        seen.append(weakref.ref(big))
        wait_for_others(cache, 3)
        raise ValueError("bad") from KeyError("cause")

    cache = SharedCache(100)

    def call(_: int) -> str:
        try:
            return str(cache.get("a", make, of(1)))
        except ValueError as error:
            return str(error)

    gc.collect()
    gc.disable()
    try:
        assert at_once(call, 4) == ["bad"] * 4
        assert len(seen) == 1
        assert seen[0]() is None
    finally:
        gc.enable()
