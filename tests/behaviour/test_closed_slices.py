"""What zapz opens it closes, once, whatever happens; what the user opened stays open."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from kit.slices_kit import cube, mapped, written
from kit.trees import tree

import zapz


class Doors:
    """Opens slices in every way that zapz knows, and writes down what was opened and closed."""

    def __init__(self, folder: Path) -> None:
        self.events: list[str] = []
        self._folder = folder

    def dataset(self, start: int, y: int) -> xr.Dataset:
        """Return a Dataset that says when it is closed."""
        dataset = cube(start, 2, y=y)
        dataset.set_close(lambda: self.events.append(f"close {start}"))
        return dataset

    def function(self, start: int, y: int) -> xr.Dataset:
        """Open a Dataset, as a slice source does."""
        self.events.append(f"open {start}")
        return self.dataset(start, y)

    @contextlib.contextmanager
    def manager(self, start: int, y: int) -> Iterator[Any]:
        """Open and close a mapping."""
        self.events.append(f"open {start}")
        try:
            yield mapped(cube(start, 2, y=y))
        finally:
            self.events.append(f"close {start}")

    def bare(self, start: int, y: int) -> Iterator[Any]:
        """Do the same, without the decorator."""
        self.events.append(f"open {start}")
        try:
            yield self.dataset(start, y)
        finally:
            self.events.append(f"close {start}")

    def disposed(self, start: int, y: int) -> Any:
        """Return a slice source object as zappend had them first."""
        doors = self

        class Object:
            def get_dataset(self) -> xr.Dataset:
                doors.events.append(f"open {start}")
                return cube(start, 2, y=y)

            def dispose(self) -> None:
                doors.events.append(f"close {start}")

        return Object()

    def source(self, start: int, y: int) -> Any:
        """Return a slice source object as zappend has them."""
        doors = self

        class Object:
            def get_dataset(self) -> xr.Dataset:
                doors.events.append(f"open {start}")
                return cube(start, 2, y=y)

            def close(self) -> None:
                doors.events.append(f"close {start}")

        return Object()

    def hierarchy(self, start: int, y: int) -> zapz.Source:
        """Return a slice of a program's own making, which gives documents and chunks as bytes."""
        events = self.events
        events.append(f"open {start}")
        folder = written(cube(start, 2, y=y), self._folder / f"hierarchy{start}", zarr_format=3)
        stored = {key: value for key, value in tree(folder).items() if value is not None}

        class Hierarchy(zapz.Source):
            def documents(self) -> dict[str, bytes]:
                return {key: value for key, value in stored.items() if key.endswith("zarr.json")}

            def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
                return stored[key][offset : None if length is None else offset + length]

            def close(self) -> None:
                events.append(f"close {start}")

        return Hierarchy()


STARTS = (0, 2, 4)
WAYS: dict[str, Callable[[Doors, list[tuple[int, int]]], tuple[Any, dict[str, Any]]]] = {
    "context managers": lambda d, args: ([d.manager(*a) for a in args], {}),
    "objects with dispose": lambda d, args: ([d.disposed(*a) for a in args], {}),
    "function that gives objects with dispose": lambda d, args: (
        [list(a) for a in args],
        {"slice_source": d.disposed},
    ),
    "function that yields": lambda d, args: ([list(a) for a in args], {"slice_source": d.bare}),
    "objects": lambda d, args: ([d.source(*a) for a in args], {}),
    "function": lambda d, args: ([(a, {}) for a in args], {"slice_source": d.function}),
    "function that gives context managers": lambda d, args: ([list(a) for a in args], {"slice_source": d.manager}),
    "function that gives objects": lambda d, args: (
        [{"start": s, "y": y} for s, y in args],
        {"slice_source": d.source},
    ),
    "sources": lambda d, args: ((d.hierarchy(*a) for a in args), {}),
    "function that gives sources": lambda d, args: ([list(a) for a in args], {"slice_source": d.hierarchy}),
    "generator of context managers": lambda d, args: ((d.manager(*a) for a in args), {}),
}


@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("wrong", [None, 0, 1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_what_zapz_opens_it_closes_once(way: str, wrong: int | None, prefetch: int, tmp_path: Path) -> None:
    doors = Doors(tmp_path)
    items, settings = WAYS[way](doors, [(s, 5 if i == wrong and i else 4) for i, s in enumerate(STARTS)])
    if wrong == 0:
        written(cube(-2, 2, y=3), tmp_path / "target.zarr", zarr_format=2)
    with contextlib.nullcontext() if wrong is None else pytest.raises(zapz.SliceError):
        zapz.append(tmp_path / "target.zarr", items, prefetch=prefetch, **settings)
    opened = [e for e in doors.events if e.startswith("open")]
    assert sorted(doors.events) == sorted([*opened, *(e.replace("open", "close") for e in opened)])
    if prefetch == 0:
        reached = STARTS if wrong is None else STARTS[: wrong + 1]
        assert doors.events == [f"{verb} {start}" for start in reached for verb in ("open", "close")]


@pytest.mark.parametrize("item", ["a number", "no dataset", "a broken array"])
def test_what_turns_out_to_be_no_slice_is_closed_too(item: str, tmp_path: Path) -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def manager() -> Iterator[Any]:
        events.append("open")
        try:
            yield {"a number": 1, "no dataset": {"v": 1}, "a broken array": {"time": ("time", object())}}[item]
        finally:
            events.append("close")

    with pytest.raises(zapz.SliceError):
        zapz.append(tmp_path / "target.zarr", [manager()])
    assert events == ["open", "close"]


@pytest.mark.parametrize("wrong", [False, True])
def test_what_the_user_opened_stays_open(wrong: bool, tmp_path: Path) -> None:
    doors = Doors(tmp_path)
    items = [doors.dataset(0, 4), doors.dataset(2, 5 if wrong else 4)]
    with pytest.raises(zapz.SliceError) if wrong else contextlib.nullcontext():
        zapz.append(tmp_path / "target.zarr", items)
    assert doors.events == []


@pytest.mark.parametrize("wrong", [False, True])
def test_a_generator_is_ended(wrong: bool, tmp_path: Path) -> None:
    ended: list[str] = []

    def produce() -> Iterator[xr.Dataset]:
        try:
            yield cube(0, 2)
            yield cube(2, 2, y=5 if wrong else 4)
            yield cube(4, 2, y=5 if wrong else 4)
        finally:
            ended.append(threading.current_thread().name)

    with pytest.raises(zapz.SliceError) if wrong else contextlib.nullcontext():
        zapz.append(tmp_path / "target.zarr", produce())
    assert ended == [threading.current_thread().name]
