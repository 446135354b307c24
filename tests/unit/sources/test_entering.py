"""What wraps a slice is entered, and left exactly once under the right error; array data are taken as they are, and closed only if they are ours."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

from zapz.sources.contexts import entered
from zapz.sources.feed import Feed
from zapz.sources.slice_source import invoke

Log = list[tuple[Any, ...]]
DATASET = xr.Dataset({"x": ("time", [1, 2])})


class Manager:
    """A context manager that yields ``inner``, or itself; it can fail, or swallow errors."""

    def __init__(
        self, log: Log, inner: Any = None, name: str = "manager", fails: str = "", *, swallows: bool = False
    ) -> None:
        self.log, self.inner, self.name, self.fails, self.swallows = log, inner, name, fails, swallows

    def __enter__(self) -> Any:
        self.log.append((self.name, "enter"))
        if self.fails == "enter":
            raise ValueError(f"{self.name} enter")
        return self if self.inner is None else self.inner

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert kind is (None if error is None else type(error))
        assert trace is getattr(error, "__traceback__", None)
        self.log.append((self.name, "exit", error))
        if self.fails == "exit":
            raise ValueError(f"{self.name} exit")
        if self.fails == "again":
            assert error is not None
            raise error
        return self.swallows


class Asked:
    """What zappend calls a slice source."""

    def __init__(self, log: Log, inner: Any = DATASET, fails: str = "") -> None:
        self.log, self.inner, self.fails = log, inner, fails

    def get_dataset(self) -> Any:
        self.log.append(("get",))
        if self.fails == "get":
            raise ValueError("get")
        return self.inner

    def close(self) -> None:
        self.log.append(("close",))
        if self.fails in {"close", "get"}:
            raise OSError("close")


class Answering:
    """Has what a ``zapz.Source`` has."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def documents(self) -> dict[str, bytes]:
        return {}

    def close(self) -> None:
        self.log.append(("close",))


class Closable:
    """Something with ``close`` and nothing else."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def close(self) -> None:
        self.log.append(("close",))


def left(value: Any, error: BaseException | None = None, *, ours: bool = False) -> Any:
    """Enter a value and leave it; return what was inside."""
    found, leave = entered(value, ours=ours)
    leave(error)
    return found


def dataset_that_logs(log: Log) -> xr.Dataset:
    dataset = DATASET.copy()
    dataset.set_close(lambda: log.append(("close",)))
    return dataset


ARRAYS: dict[str, Callable[[Log, Path], Any]] = {
    "dataset": lambda log, _: dataset_that_logs(log),
    "array of xarray": lambda log, _: logging_array(log),
    "zarr store": lambda log, _: LoggingStore(log),
    "closable": lambda log, _: Closable(log),
}


def logging_array(log: Log) -> xr.DataArray:
    array = DATASET["x"].copy()
    array.set_close(lambda: log.append(("close",)))
    return array


class LoggingStore(zarr.storage.MemoryStore):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def close(self) -> None:
        self.log.append(("close",))


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("ours", [False, True])
def test_array_data_are_taken_as_they_are_and_closed_only_if_they_are_ours(
    kind: str, ours: bool, tmp_path: Path
) -> None:
    log: Log = []
    value = ARRAYS[kind](log, tmp_path)
    found, leave = entered(value, ours=ours)
    assert found is value
    assert log == []
    leave(None)
    assert log == [("close",)] * ours


@pytest.mark.parametrize(
    "value",
    ["a.zarr", Path("a.zarr"), {"x": ("time", [1])}, np.ones(3), zarr.group(), zarr.ones(3), None, 3, Asked, Manager],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
@pytest.mark.parametrize("ours", [False, True])
def test_what_wraps_nothing_is_returned(value: Any, ours: bool) -> None:
    """A path is a context manager, too, until Python 3.13, and warns; a class has the methods of its instances."""
    assert left(value, ours=ours) is value


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("error", [None, ValueError("append"), KeyboardInterrupt()], ids=repr)
def test_wrappings_are_entered_and_told_how_it_went(ours: bool, error: BaseException | None) -> None:
    log: Log = []
    inner = dataset_that_logs(log)
    assert left(Manager(log, inner), error, ours=ours) is inner
    assert log == [("manager", "enter"), ("manager", "exit", error)]  # what it yields is left to it
    log.clear()
    assert left(Asked(log, inner), error, ours=ours) is inner
    assert log == [("get",), ("close",)]
    log.clear()
    assert isinstance(left(Answering(log), error, ours=ours), Answering)
    assert log == [("close",)]


def test_a_manager_that_yields_itself_is_entered_once() -> None:
    log: Log = []
    manager = Manager(log)
    assert left(manager, ours=True) is manager
    assert log == [("manager", "enter"), ("manager", "exit", None)]


@pytest.mark.parametrize("make", [Asked, Answering, Closable])
def test_what_a_manager_closes_is_closed_once(make: Callable[[Log], Any]) -> None:
    log: Log = []
    left(contextlib.closing(make(log)), ours=True)
    assert log.count(("close",)) == 1


def test_wrappings_in_wrappings_are_left_from_inside_out() -> None:
    log: Log = []
    error = ValueError("append")
    value = Manager(log, Asked(log, Manager(log, "a.zarr", "inner", swallows=True)), "outer")
    assert left(value, error) == "a.zarr"
    assert log == [
        ("outer", "enter"), ("get",), ("inner", "enter"), ("inner", "exit", error), ("outer", "exit", error),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "first", "notes", "log"),
    [
        (lambda log: Manager(log, fails="enter"), "manager enter", 0, [("manager", "enter")]),
        (lambda log: Asked(log, fails="get"), "get", 1, [("get",), ("close",)]),
        (
            lambda log: Manager(log, Manager(log, None, "inner", "enter"), "outer", "exit"), "inner enter", 1,
            [("outer", "enter"), ("inner", "enter"), ("outer", "exit", "first")],
        ),
        (
            lambda log: Manager(log, Manager(log, None, "inner", "enter"), "outer", "again"), "inner enter", 0,
            [("outer", "enter"), ("inner", "enter"), ("outer", "exit", "first")],
        ),
        (lambda log: Asked(log, Manager(log, fails="enter")), "manager enter", 0, [("get",), ("manager", "enter"), ("close",)]),
    ],
)  # fmt: skip
def test_a_wrapping_that_cannot_be_entered_leaves_those_around_it(
    make: Callable[[Log], Any], first: str, notes: int, log: Log
) -> None:
    seen: Log = []
    with pytest.raises(ValueError, match=first) as caught:
        entered(make(seen), ours=True)
    assert len(getattr(caught.value, "__notes__", ())) == notes
    assert [tuple("first" if part is caught.value else part for part in entry) for entry in seen] == log


def test_an_exit_that_fails_does_not_stop_the_next() -> None:
    log: Log = []
    value = Manager(log, Manager(log, "a.zarr", "inner", "exit"), "outer", "exit")
    with pytest.raises(ValueError, match="inner exit") as caught:
        left(value)
    assert log[-1] == ("outer", "exit", caught.value)
    assert caught.value.__notes__ == ["Closing failed as well: ValueError: outer exit"]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("failing", [None, 1])
def test_slices_of_a_slice_source_know_whether_they_were_appended(prefetch: int, failing: int | None) -> None:
    """All together: a function with a context manager, called for each item, fed ahead; the one that fails is told."""
    outcomes: dict[int, str] = {}
    rest = threading.Event()

    @contextlib.contextmanager
    def source(number: int, ctx: str) -> Iterator[xr.Dataset]:
        assert ctx == "context"
        if number == 3:
            rest.set()
        try:
            yield DATASET * number
        except BaseException as error:
            outcomes[number] = type(error).__name__
            raise
        outcomes[number] = "appended"

    def run() -> None:
        opened = lambda item: entered(invoke(source, item, {}, "context"), ours=True)  # noqa: E731
        with Feed(range(5), opened, lambda pair, error: pair[1](error), prefetch) as feed:
            for number, (dataset, _) in enumerate(feed):
                assert int(dataset["x"][1]) == 2 * number
                if number == failing:
                    assert not prefetch or rest.wait(20)
                    raise KeyError(number)

    if failing is None:
        run()
        assert outcomes == dict.fromkeys(range(5), "appended")
    else:
        with pytest.raises(KeyError) as caught:
            run()
        assert not hasattr(caught.value, "__notes__")
        assert outcomes == {0: "appended", **dict.fromkeys(range(1, 2 + prefetch), "KeyError")}
