"""Slices that are read or computed while they are appended: each cell once, and in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.cubes import files, quiet
from kit.slices_kit import Stored, again, at_once, cube, days, mapped, reading, written
from kit.trees import tree
from kit.volumes import volume

import zapz

TARGETS: dict[str, tuple[int, dict[str, Any]] | None] = {
    "new": None,
    "one step a chunk": (2, {"chunks": (1, 4, 6)}),
    "the slice's chunks": (3, {"chunks": (5, 4, 6)}),
    "small chunks": (3, {"chunks": (1, 2, 3)}),
    "chunks across the end": (2, {"chunks": (3, 3, 4)}),
    "shards": (3, {"chunks": (1, 2, 3), "shards": (4, 4, 6)}),
    "packed": (2, {"chunks": (3, 4, 6), "dtype": "int16", "scale_factor": 0.25, "_FillValue": -1}),
}
"""Name -> format and encoding of the cube's variable in the target."""

targets = pytest.mark.parametrize("target", TARGETS)
limits = pytest.mark.parametrize("limit", ["1GB", "100B"])


@cache
def _files(name: str) -> dict[str, bytes]:
    style = TARGETS[name]
    assert style is not None
    dataset = cube(0, 2)
    dataset["v"].encoding = dict(style[1])
    with tempfile.TemporaryDirectory() as folder:
        return files(written(dataset, Path(folder) / "target.zarr", zarr_format=style[0]))


def _target(name: str, path: Path) -> Path:
    return path if TARGETS[name] is None else again(_files(name), path)


def _expected(name: str, slices: list[xr.Dataset], path: Path) -> xr.Dataset:
    parts = slices if TARGETS[name] is None else [cube(0, 2), *slices]
    return at_once(parts, path, zarr_format=3)


@cache
def _whole(new: bool, *parts: tuple[int, int]) -> xr.Dataset:
    """Return what is expected of ``cube(*part)`` for each part, in a target that is new or has its first two steps."""
    name = "new" if new else "small chunks"
    with tempfile.TemporaryDirectory() as folder:
        return _expected(name, [cube(*part) for part in parts], Path(folder) / "reference.zarr")


def _assert_values(target: Path, expected: xr.Dataset) -> None:
    found = reading(target)
    assert set(found.variables) == set(expected.variables)
    for name, variable in expected.variables.items():
        xr.testing.assert_equal(found[name].variable, variable)


# -- arrays that are read ----------------------------------------------------------------------------------------------


@limits
@targets
def test_each_cell_of_a_stored_array_is_read_once(target: str, limit: str, tmp_path: Path) -> None:
    place = _target(target, tmp_path / "target.zarr")
    slices = [cube(2, 5), cube(7, 2)]
    arrays: list[Stored] = []

    def stored(values: Any) -> Stored:
        arrays.append(Stored(values))
        return arrays[-1]

    zapz.append(place, [mapped(s, stored) for s in slices], memory_limit=limit)
    _assert_values(place, _whole(target == "new", (2, 5), (7, 2)))
    for array in arrays:
        assert array.counts.max(initial=0) <= 1
        assert array.counts.min(initial=1) == 1 or array.shape in ((), (4, 6)), (
            "static variables need no second reading"
        )


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<i4"])
def test_a_large_stored_array_is_read_in_parts(dtype: str, tmp_path: Path) -> None:
    values = np.arange(64 * 50 * 50).reshape(64, 50, 50).astype(dtype)
    array = Stored(values)
    item = {"time": ("time", days(0, 64)), "v": (("time", "y", "x"), array, {}, {"chunks": (4, 50, 50)})}
    zapz.append(tmp_path / "target.zarr", item, memory_limit="100kB", workers=2)
    np.testing.assert_array_equal(reading(tmp_path / "target.zarr")["v"], values)
    assert array.largest <= 4 * 50 * 50
    assert (array.counts == 1).all()


class Breaking(Stored):
    """A stored array of which one step cannot be read, or is not what it said."""

    def __init__(self, values: Any, step: int, fault: str) -> None:
        super().__init__(values)
        self._step, self._fault = step, fault

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        part = key[0].indices(self.shape[0]) if key else (0, 1, 1)
        if not part[0] <= self._step < part[1]:
            return found
        if self._fault == "error":
            raise OSError("the file is damaged here")
        turned = {"smaller": found[:, :-1], "turned": found.swapaxes(1, 2), "another type": found.astype("complex128")}
        return turned[self._fault]


@pytest.mark.parametrize("fault", ["error", "smaller", "turned", "another type"])
@pytest.mark.parametrize("step", [0, 4])
def test_what_cannot_be_read_leaves_the_target_as_it_was(fault: str, step: int, tmp_path: Path) -> None:
    place = _target("chunks across the end", tmp_path / "target.zarr")
    before = tree(place)
    dataset = cube(2, 5)
    bad = mapped(dataset) | {"v": (dataset["v"].dims, Breaking(dataset["v"].values, step, fault))}
    with pytest.raises((zapz.ZapzError, OSError)) as caught:
        zapz.append(place, [bad])
    assert fault != "error" or "the file is damaged here" in f"{caught.value} {caught.value.__cause__}"
    assert tree(place) == before
    zapz.append(place, [dataset])
    _assert_values(place, _whole(False, (2, 5)))


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_lazily_opened_dataset_is_not_loaded(chunks: Any, tmp_path: Path) -> None:
    if chunks is not None:
        pytest.importorskip("dask.array")
    place = _target("chunks across the end", tmp_path / "target.zarr")
    with quiet(), xr.open_zarr(written(cube(2, 5), tmp_path / "slice.zarr", zarr_format=3), chunks=chunks) as opened:
        zapz.append(place, [opened])
        assert not opened["v"].variable._in_memory
    _assert_values(place, _expected("chunks across the end", [cube(2, 5)], tmp_path / "reference.zarr"))


# -- arrays that are computed -----------------------------------------------------------------------------------------


class Computed:
    """A cube computed block by block with dask, which counts how often each block is computed."""

    def __init__(self, dataset: xr.Dataset, name: str, chunks: Any, hook: Callable[[], None] = lambda: None) -> None:
        da = pytest.importorskip("dask.array")
        values = dataset[name].values
        self.calls: list[Any] = []

        def block(block_info: Any) -> Any:
            place = tuple(block_info[None]["array-location"])
            self.calls.append(place)
            hook()
            return values[tuple(slice(a, b) for a, b in place)]

        sizes = da.core.normalize_chunks(chunks, values.shape, dtype=values.dtype)
        self.array = da.map_blocks(
            block, chunks=sizes, dtype=values.dtype, meta=np.empty((0,) * values.ndim, values.dtype)
        )
        self.blocks = int(np.prod([len(c) for c in sizes]))

    def assert_computed_once(self) -> None:
        assert len(set(self.calls)) == self.blocks
        assert [place for place, times in Counter(self.calls).items() if times > 1] == []


GRAPHS: dict[str, tuple[Any, Any]] = {
    "regular": ((1, 4, 6), None),
    "irregular": (((2, 1, 2), (1, 3), (2, 1, 3)), None),
    "one block": (-1, None),
    "rechunked": ((1, 4, 6), (-1, 2, 3)),
    "rechunked twice": ((5, 1, 1), (2, 4, 6)),
    "rechunked irregularly": (((2, 1, 2), (1, 3), (2, 1, 3)), ((1, 4), (2, 2), (5, 1))),
}
"""Name -> blocks that are computed, and what they are rechunked to."""


def _lazy(dataset: xr.Dataset, graph: str) -> tuple[xr.Dataset, list[Computed]]:
    blocks, rechunked = GRAPHS[graph]
    flat = tuple(b if isinstance(b, int) else -1 for b in blocks[1:]) if isinstance(blocks, tuple) else -1
    counted = {
        "v": Computed(dataset, "v", blocks),
        "flags": Computed(dataset, "flags", blocks),
        "lat": Computed(dataset, "lat", flat),
    }
    lazy = dataset.copy()
    for name, computed in counted.items():
        array = computed.array.rechunk(rechunked) if rechunked and name != "lat" else computed.array
        lazy[name] = lazy[name].copy(data=array)
    return lazy, list(counted.values())


@limits
@targets
@pytest.mark.parametrize("graph", GRAPHS)
def test_each_block_is_computed_once(graph: str, target: str, limit: str, tmp_path: Path) -> None:
    place = _target(target, tmp_path / "target.zarr")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    lazy, counted = _lazy(cube(2, 5), graph)
    zapz.append(place, [lazy], memory_limit=limit, temp_dir=str(scratch))
    for computed in counted:
        computed.assert_computed_once()
    _assert_values(place, _whole(target == "new", (2, 5)))
    assert list(scratch.iterdir()) == []
    assert lazy["v"].chunks is not None, "the user's Dataset is as lazy as before"


@limits
@pytest.mark.parametrize("rechunk", [None, (-1, 2, 3)])
def test_an_input_of_two_variables_is_computed_once(rechunk: Any, limit: str, tmp_path: Path) -> None:
    place = _target("chunks across the end", tmp_path / "target.zarr")
    dataset = cube(2, 5)
    shared = Computed(dataset, "v", (1, 4, 6))
    array = shared.array if rechunk is None else shared.array.rechunk(rechunk)
    lazy = dataset.assign(v=dataset["v"].copy(data=array), flags=dataset["flags"].copy(data=(array.sum(axis=2, keepdims=True) * 0 + array > 5).astype("u1")))  # fmt: skip
    with np.errstate(invalid="ignore"):
        zapz.append(place, [lazy], memory_limit=limit)
    shared.assert_computed_once()
    values = dataset["v"].values
    flags = (values.sum(axis=2, keepdims=True) * 0 + values > 5).astype("u1")
    expected = dataset.assign(flags=dataset["flags"].copy(data=flags))
    _assert_values(place, _expected("chunks across the end", [expected], tmp_path / "reference.zarr"))


def test_a_slice_that_is_there_already_is_computed_once_at_most(tmp_path: Path) -> None:
    place = _target("chunks across the end", tmp_path / "target.zarr")
    zapz.append(place, [cube(2, 5)])
    lazy, counted = _lazy(cube(2, 5), "rechunked")
    assert zapz.append(place, [lazy]).already == 1
    assert all(max(Counter(c.calls).values(), default=0) <= 1 for c in counted)


class Masking(Stored):
    """A stored array that answers with masked arrays, like those of netCDF4."""

    def __init__(self, values: np.ma.MaskedArray[Any, Any]) -> None:
        super().__init__(values.data)
        self._mask = np.ma.getmaskarray(values)

    def __getitem__(self, key: Any) -> Any:
        return np.ma.masked_array(super().__getitem__(key), self._mask[key], fill_value=-99)


@limits
@pytest.mark.parametrize("form", ["array", "stored", "dask"])
def test_masked_cells_are_missing(form: str, limit: str, tmp_path: Path) -> None:
    values = np.ma.masked_greater(np.arange(20, dtype="f8").reshape(5, 4), 12)
    if form == "dask":
        da = pytest.importorskip("dask.array")
        data = da.from_array(values, chunks=(2, 3))
    else:
        data = Masking(values) if form == "stored" else values
    zapz.append(
        tmp_path / "target.zarr", {"time": ("time", days(0, 5)), "v": (("time", "x"), data)}, memory_limit=limit
    )
    np.testing.assert_array_equal(reading(tmp_path / "target.zarr")["v"], values.filled(np.nan))


def test_masked_cells_of_integers_that_dask_knows_are_missing(tmp_path: Path) -> None:
    """dask says beforehand that cells may be masked, so that the target gets a type that has missing values."""
    da = pytest.importorskip("dask.array")
    values = np.ma.masked_greater(np.arange(20, dtype="i4").reshape(5, 4), 12)
    v = (("time", "x"), da.from_array(values, chunks=(2, 3)))
    zapz.append(tmp_path / "target.zarr", {"time": ("time", days(0, 5)), "v": v})
    np.testing.assert_array_equal(reading(tmp_path / "target.zarr")["v"], values.astype("f8").filled(np.nan))


def test_masked_cells_of_integers_that_come_as_a_surprise_are_refused(tmp_path: Path) -> None:
    """Whether any cell is masked is known only once it is read."""
    values = np.ma.masked_greater(np.arange(20, dtype="i4").reshape(5, 4), 12)
    with pytest.raises(zapz.SliceError, match="a data type without a missing value"):
        zapz.append(tmp_path / "target.zarr", {"time": ("time", days(0, 5)), "v": (("time", "x"), Masking(values))})
    assert not (tmp_path / "target.zarr").exists()


@limits
def test_texts_and_times_are_computed(limit: str, tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    dataset = xr.Dataset(
        {
            "text": (("time", "x"), np.array([["a", "bcd"], ["é", ""], ["x", "y"]], object)),
            "fixed": (("time", "x"), np.array([["a", "bcd"], ["é", ""], ["x", "y"]])),
            "seen": (("time", "x"), days(0, 6).reshape(3, 2) + np.timedelta64(90, "m")),
            "took": (("time", "x"), np.arange(6).reshape(3, 2).astype("m8[s]")),
            "ok": (("time", "x"), np.arange(6).reshape(3, 2) > 2),
        },
        {"time": ("time", days(0, 3))},
    )
    expected = reading(written(dataset, tmp_path / "reference.zarr", zarr_format=3))
    for number, item in enumerate([dataset, dataset.chunk({"time": 2}), dataset.chunk({"time": 1, "x": 1})]):
        place = tmp_path / f"{number}.zarr"
        zapz.append(place, [item], memory_limit=limit)
        _assert_values(place, expected)


def test_the_target_is_free_while_a_slice_is_computed(tmp_path: Path) -> None:
    """Another writer appends the slice before ours while ours is computed."""
    place = _target("chunks across the end", tmp_path / "target.zarr")
    once = threading.Lock()

    def other_writer() -> None:
        if once.acquire(blocking=False):
            zapz.append(place, [cube(2, 3)])

    dataset = cube(5, 4)
    lazy = dataset.assign(v=dataset["v"].copy(data=Computed(dataset, "v", (1, 4, 6), other_writer).array))
    zapz.append(place, [lazy])
    _assert_values(place, _expected("chunks across the end", [cube(2, 3), dataset], tmp_path / "reference.zarr"))


def test_a_computation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    place = _target("chunks across the end", tmp_path / "target.zarr")
    before = tree(place)

    def fail() -> None:
        raise ZeroDivisionError("in the user's own function")

    dataset = cube(2, 5)
    lazy = dataset.assign(v=dataset["v"].copy(data=Computed(dataset, "v", (1, 4, 6), fail).array))
    with pytest.raises((ZeroDivisionError, zapz.ZapzError)) as caught:
        zapz.append(place, [lazy], memory_limit="100B", temp_dir=str(scratch))
    assert "in the user's own function" in f"{caught.value} {caught.value.__cause__}"
    assert tree(place) == before
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("prefetch", [0, 2])
def test_slices_computed_ahead_are_the_same(prefetch: int, tmp_path: Path) -> None:
    place = _target("packed", tmp_path / "target.zarr")
    parts = [cube(2, 5), cube(7, 1), cube(8, 3), cube(11, 2)]
    pairs = [_lazy(p, "one block") for p in parts]
    assert zapz.append(place, (lazy for lazy, _ in pairs), prefetch=prefetch).appended == len(parts)
    for _, counted in pairs:
        for computed in counted:
            computed.assert_computed_once()
    _assert_values(place, _expected("packed", parts, tmp_path / "reference.zarr"))


# -- memory ------------------------------------------------------------------------------------------------------------

_CHILD = """
import sys, threading, time
import numpy as np, xarray as xr, dask.array as da, zarr, zapz
case, folder = sys.argv[1:]
STEPS, SIDE, MB = 50, 1000, 1 << 20

class Virtual:
    shape, dtype = (STEPS, SIDE, SIDE), np.dtype("f8")
    def __getitem__(self, key):
        return np.full([len(range(*k.indices(n))) for k, n in zip(key, self.shape)], 1.5)

def data():
    if case == "numpy":
        return np.full((STEPS, SIDE, SIDE), 1.5)
    if case == "stored":
        return Virtual()
    if case == "lazily opened":
        return xr.open_zarr(folder + "/slice.zarr", chunks=None)["v"].variable
    blocks = da.map_blocks(lambda block_info: np.full(block_info[None]["chunk-shape"], 1.5),
                           chunks=((1,) * STEPS, SIDE, SIDE), dtype="f8", meta=np.empty((0, 0, 0)))
    return {"dask": blocks, "dask, two steps together": blocks.rechunk((2, SIDE, SIDE)),
            "dask, all steps together": blocks.rechunk((STEPS, 200, 200))}[case]

def anonymous():
    with open("/proc/self/status") as status:
        return sum(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

labels = np.datetime64("2024-01-01", "ns") + np.arange(STEPS + 2) * np.timedelta64(24, "h")
target = folder + "/target.zarr"
first = {"time": ("time", labels[:2]), "v": (("time", "y", "x"), np.zeros((2, SIDE, SIDE)), {}, {"chunks": (1, SIDE, SIDE)})}
zapz.append(target, [first])
made = data()
item = {"time": ("time", labels[2:]), "v": made if isinstance(made, xr.Variable) else (("time", "y", "x"), made)}
before, peak, done = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
zapz.append(target, [item], memory_limit=64 * MB, workers=2, durability="process", temp_dir=folder)
done.set()
watcher.join()
assert float(zarr.open_group(target, mode="r")["v"][-1, -1, -1]) == 1.5
print(max(0, peak - before) // MB)
"""


@volume
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by /proc")
@pytest.mark.parametrize("case", ["numpy", "stored", "lazily opened", "dask", "dask, two steps together"])
def test_400_megabytes_are_appended_in_bounded_memory(case: str, tmp_path: Path) -> None:
    """Measured: anonymous memory beyond what is there before. Bound: 4 x workers x chunk + memory_limit + 150 MB."""
    pytest.importorskip("dask.array")
    if case == "lazily opened":
        values = np.broadcast_to(np.float64(1.5), (50, 1000, 1000))
        with quiet():
            xr.Dataset({"v": (("time", "y", "x"), values, {}, {"chunks": (1, 1000, 1000)})}).to_zarr(
                tmp_path / "slice.zarr"
            )
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, case, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) <= 4 * 2 * 8 + 64 + 150, child.stdout
