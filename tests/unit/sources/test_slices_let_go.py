"""A slice must be free when the call that appended it returns, not when the cyclic collector happens to run.

Memory is one reason: slices are large. The other is that closing files in the collector, which runs wherever Python allocates, crashes C
libraries that are not safe there (netCDF4 with strings of variable length).

One way is left out: where dask's own computing fails, dask's frames keep the error, and with it the caller's, also without zapz.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import zapz
from zapz.storage.waiting import Wait

Marks = list[weakref.ref]


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what was there before need not be walked over by the next test's call
    gc.disable()
    yield
    gc.enable()


def _dataset(label: int, marks: Marks, *, size: int = 4, wrong: bool = False) -> xr.Dataset:
    values = np.full((1, size), float(label))
    dims = ("time", "y" if wrong else "x")
    made = xr.Dataset({"a": (dims, values)}, coords={"time": [label]})
    marks.extend([weakref.ref(made), weakref.ref(values)])
    return made


class _Given(zapz.Source):
    """Cells of its own."""

    def __init__(self, label: int, marks: Marks, *, broken: bool = False) -> None:
        self.uri = f"given {label}"
        self._label = label
        self._broken = broken
        marks.append(weakref.ref(self))

    def documents(self) -> dict[str, bytes]:
        group = zarr.open_group(zarr.storage.MemoryStore(), mode="w", zarr_format=3)
        group.create_array("time", shape=(1,), dtype="i8", dimension_names=["time"])
        group.create_array("a", shape=(1, 4), dtype="f8", dimension_names=["time", "x"])
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        async def read(key: str) -> bytes:
            found = await group.store.get(key, default_buffer_prototype())
            assert found is not None
            return found.to_bytes()

        return {key: sync(read(key)) for key in ("zarr.json", "time/zarr.json", "a/zarr.json")}

    def cells(self, path: str, box: Any) -> np.ndarray:
        if self._broken and path == "a":
            raise RuntimeError("a broken sensor")
        shape = tuple(b - a for a, b in box)
        return np.full(shape, self._label, "i8" if path == "time" else "f8")


@contextmanager
def _managed(label: int, marks: Marks) -> Iterator[xr.Dataset]:
    yield _dataset(label, marks)


class _Asked:
    """What zappend calls a slice source."""

    def __init__(self, label: int, marks: Marks) -> None:
        self.label, self.marks = label, marks
        marks.append(weakref.ref(self))

    def get_dataset(self) -> xr.Dataset:
        return _dataset(self.label, self.marks)

    def close(self) -> None:
        """Nothing is open."""


def _dask(label: int, marks: Marks) -> xr.Dataset:
    made = _dataset(label, []).chunk({"x": 2})
    marks.append(weakref.ref(made))
    return made


def _mapping(label: int, marks: Marks) -> dict[str, Any]:
    made = _dataset(label, marks)
    return {"a": (("time", "x"), made["a"].values), "time": (("time",), made["time"].values)}


def _group(label: int, marks: Marks) -> zarr.Group:
    store = zarr.storage.MemoryStore()
    _dataset(label, []).to_zarr(store, zarr_format=3, consolidated=False)
    made = zarr.open_group(store, mode="r")
    marks.append(weakref.ref(store))
    return made


WAYS: dict[str, Callable[[int, Marks], Any]] = {
    "a dataset": _dataset,
    "a data array": lambda label, marks: _dataset(label, marks)["a"],
    "a dask dataset": _dask,
    "a mapping": _mapping,
    "a source": _Given,
    "a context manager": _managed,
    "an object that is asked": _Asked,
    "a group in memory": _group,
}


def _alive(marks: Marks) -> int:
    assert marks
    return sum(mark() is not None for mark in marks)


def _one(target: Path, make: Callable[[int, Marks], Any], label: int, **settings: Any) -> Marks:
    marks: Marks = []
    zapz.append(target, [make(label, marks)], **settings)
    return marks


@pytest.mark.parametrize("way", WAYS)
def test_one_call_each(tmp_path: Path, way: str) -> None:
    marks = [mark for label in range(3) for mark in _one(tmp_path / "t", WAYS[way], label)]
    assert _alive(marks) == 0


@pytest.mark.parametrize("prefetch", [0, 1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_one_call_for_all(tmp_path: Path, way: str, prefetch: int) -> None:
    marks: Marks = []
    zapz.append(tmp_path / "t", (WAYS[way](label, marks) for label in range(4)), prefetch=prefetch)
    assert _alive(marks) == 0


def _functions(target: Path, marks: Marks, **settings: Any) -> None:
    zapz.append_map(target, lambda label: _dataset(label, marks), range(3), **settings)


def _slice_source(target: Path, marks: Marks, **settings: Any) -> None:
    zapz.append(target, range(3), slice_source=lambda label: _dataset(label, marks), **settings)


def _yields(target: Path, marks: Marks, **settings: Any) -> None:
    def source(label: int) -> Iterator[xr.Dataset]:
        yield _dataset(label, marks)

    zapz.append(target, range(3), slice_source=source, **settings)


def _single(target: Path, marks: Marks, **settings: Any) -> None:
    zapz.append(target, _dataset(0, marks), **settings)


@pytest.mark.parametrize("way", [_functions, _slice_source, _yields, _single])
@pytest.mark.parametrize("settings", [{}, {"prefetch": 1}, {"dry_run": True}], ids=str)
def test_other_ways(tmp_path: Path, way: Callable[..., None], settings: dict[str, Any]) -> None:
    marks: Marks = []
    way(tmp_path / "t", marks, **settings)
    assert _alive(marks) == 0


def test_plan_and_execute(tmp_path: Path) -> None:
    marks: Marks = []

    def both() -> None:
        made = _dataset(0, marks)
        plan = zapz.plan(tmp_path / "t", made)
        zapz.execute(plan, slice=made)

    both()
    assert _alive(marks) == 0


def test_what_is_there_already(tmp_path: Path) -> None:
    first = _one(tmp_path / "t", _dataset, 0)
    assert _alive(first + _one(tmp_path / "t", _dataset, 0)) == 0


def test_a_new_target_in_place_of_the_old(tmp_path: Path) -> None:
    first = _one(tmp_path / "t", _dataset, 0)
    assert _alive(first + _one(tmp_path / "t", _dataset, 1, force_new=True)) == 0


# -- refusals


def _refused(kind: type[BaseException], act: Callable[[], object]) -> None:
    """Run something that must fail; nothing keeps the error afterwards."""
    try:
        act()
    except kind:
        return
    pytest.fail("nothing was refused")


def _twice(target: Path, make: Callable[[], Any], kind: type[BaseException], **settings: Any) -> None:
    zapz.append(target, [_dataset(0, [])])
    _refused(kind, lambda: zapz.append(target, [make()], **settings))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("prefetch", [0, 1])
@pytest.mark.parametrize("reason", ["dimension", "label", "cells", "source", "yields", "nothing", "exists", "locked"])
def test_refusals(tmp_path: Path, reason: str, prefetch: int, workers: int) -> None:
    target, marks = tmp_path / "t", []
    settings: dict[str, Any] = {"prefetch": prefetch, "workers": workers}

    def failing() -> xr.Dataset:
        marks.append(weakref.ref(_dataset(7, marks)))
        raise RuntimeError("no such day")

    def yields_twice() -> Iterator[xr.Dataset]:
        yield _dataset(0, marks)
        yield _dataset(1, marks)

    if reason == "dimension":
        _twice(target, lambda: _dataset(1, marks, wrong=True), zapz.SliceError, **settings)
    elif reason == "label":
        _twice(target, lambda: _dataset(-1, marks), zapz.SliceError, **settings)
    elif reason == "cells":
        _twice(target, lambda: _Given(1, marks, broken=True), RuntimeError, **settings)
    elif reason == "source":
        _refused(RuntimeError, lambda: zapz.append(target, [[]], slice_source=failing, **settings))
    elif reason == "yields":
        _refused(zapz.SliceError, lambda: zapz.append(target, [[]], slice_source=yields_twice, **settings))
    elif reason == "nothing":
        _refused(zapz.SliceError, lambda: zapz.append(target, [_dataset(0, marks), 42], **settings))
    elif reason == "exists":
        _twice(target, lambda: _dataset(0, marks), zapz.SliceError, on_existing="refuse", **settings)
    else:
        zapz.append(target, [_dataset(0, [])])
        from zapz.storage.local.store import LocalStore

        (target / ".zapz").mkdir()
        with LocalStore(target).hold(".zapz/head", Wait()):
            _refused(zapz.LockedError, lambda: zapz.append(target, [_dataset(1, marks)], **settings))
    assert _alive(marks) == 0


class _Bad:
    """An array that cannot be read."""

    def __init__(self, marks: Marks) -> None:
        self.shape, self.dtype, self.chunks = (1, 400), np.dtype("f8"), (1, 4)
        marks.append(weakref.ref(self))

    def __getitem__(self, key: Any) -> np.ndarray:
        if key[1].start > 100:
            raise RuntimeError("a broken sensor")
        return np.zeros([part.stop - part.start for part in key])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_while_chunks_are_moved_by_threads(tmp_path: Path, workers: int) -> None:
    marks: Marks = []

    def once() -> None:
        encoding = {"chunks": (1, 4)}
        slice_ = {"a": (("time", "x"), _Bad(marks), {}, encoding), "time": (("time",), np.array([1]))}
        zapz.append(tmp_path / "t", slice_, workers=workers)

    _refused(RuntimeError, once)
    assert _alive(marks) == 0


@pytest.mark.parametrize("prefetch", [0, 1])
def test_a_call_that_is_cancelled(tmp_path: Path, prefetch: int) -> None:
    marks: Marks = []
    cancel = threading.Event()

    def slices() -> Iterator[xr.Dataset]:
        for label in range(4):
            if label == 2:
                cancel.set()
            yield _dataset(label, marks)

    with pytest.raises(BaseException, match="cancelled") as caught:
        zapz.append(tmp_path / "t", slices(), cancel=cancel, prefetch=prefetch)
    del caught
    assert _alive(marks) == 0


# -- memory


def _large(label: int, marks: Marks) -> dict[str, Any]:
    values = np.full((1, 5 << 20), float(label))  # 40 MB
    marks.append(weakref.ref(values))
    return {"a": (("time", "x"), values), "time": (("time",), np.array([label]))}


def test_at_most_two_large_slices_are_in_memory_one_call_each(tmp_path: Path) -> None:
    marks: Marks = []
    for label in range(12):
        zapz.append(tmp_path / "t", _large(label, marks), durability="process")
        assert _alive(marks) <= 1
    assert _alive(marks) == 0


def test_at_most_two_large_slices_are_in_memory_one_call_for_all(tmp_path: Path) -> None:
    marks: Marks = []
    most = []

    def slices() -> Iterator[dict[str, Any]]:
        for label in range(12):
            yield _large(label, marks)
            most.append(_alive(marks))

    report = zapz.append(tmp_path / "t", slices(), durability="process", on_slice=lambda _: most.append(_alive(marks)))
    assert report.appended == 12
    assert max(most) <= 2
    assert _alive(marks) == 0
