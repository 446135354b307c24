"""Dask arrays for a server: blocks are computed when they are read, only those that are needed, each once while it is kept."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from kit.slices_kit import cube, reading
from kit.together import THREADS, at_once, wait_for_others
from kit.trees import tree

import zapz
from zapz.errors import SliceError
from zapz.format.grid import Box, slices
from zapz.sources.arrays import ArraysSource, Options, source_of
from zapz.sources.dask_arrays import DaskRegion
from zapz.sources.dask_blocks import _ENTRY, DaskBlocks
from zapz.sources.shared_cache import SharedCache

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")


class Computed:
    """Counts the blocks that are computed; ``of`` returns a dask array of which it counts them."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.counts: Counter[tuple[int, ...]] = Counter()
        self.threads: set[int] = set()
        self.wait = lambda: None

    def __call__(self, cells: Any, block_info: Any = None) -> Any:
        with self.guard:
            self.counts[tuple(block_info[0]["chunk-location"])] += 1
            self.threads.add(threading.get_ident())
        self.wait()
        return cells

    def of(self, values: Any, chunks: Any) -> Any:
        array = da.from_array(values, chunks=chunks)
        found = array.map_blocks(self, dtype=array.dtype, meta=array._meta)
        self.counts.clear()
        return found


def regions(array: Any, limit: int = 10**9) -> DaskBlocks:
    return DaskBlocks(array, "v", SharedCache(limit))


def whole(shape: tuple[int, ...]) -> Box:
    return tuple((0, n) for n in shape)


VALUES = np.arange(10 * 20.0).reshape(10, 20)


# -- which blocks are computed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "blocks"),
    [
        (((2, 4), (4, 8)), {(1, 1)}),
        (((3, 4), (5, 6)), {(1, 1)}),
        (((3, 5), (5, 6)), {(1, 1), (2, 1)}),
        (((3, 5), (7, 9)), {(1, 1), (1, 2), (2, 1), (2, 2)}),
        (((9, 10), (19, 20)), {(4, 4)}),
        (((0, 2), (0, 16)), {(0, 0), (0, 1), (0, 2), (0, 3)}),
        (((4, 4), (0, 16)), set()),
        (((10, 10), (20, 20)), set()),
    ],
)
def test_a_box_computes_the_blocks_that_it_touches(box: Box, blocks: set[tuple[int, ...]]) -> None:
    computed = Computed()
    region = regions(computed.of(VALUES, (2, 4)))
    assert not computed.counts, "describing it computes nothing"
    found = region.read(box)
    np.testing.assert_array_equal(found, VALUES[slices(box)])
    assert found.dtype == region.dtype == VALUES.dtype
    assert computed.counts == dict.fromkeys(blocks, 1)


def test_blocks_that_are_not_needed_are_not_even_tried() -> None:
    def fail(cells: Any, block_info: Any = None) -> Any:
        if block_info[0]["chunk-location"] != (3,):
            raise AssertionError("not needed")
        return cells

    region = regions(da.arange(100, chunks=10).map_blocks(fail, dtype=int, meta=np.empty(0, int)))
    assert region.read(((30, 40),)).tolist() == list(range(30, 40))
    with pytest.raises(AssertionError, match="not needed"):
        region.read(((30, 41),))


def test_a_block_is_computed_in_the_thread_that_reads() -> None:
    """Threads of a server wait for their own work alone; pools of pools do not exist."""
    computed = Computed()
    region = regions(computed.of(VALUES, (2, 4)))
    with dask.config.set(scheduler="threads"):
        region.read(whole(region.shape))
    assert computed.threads == {threading.get_ident()}


def test_a_kept_block_is_not_computed_again() -> None:
    computed = Computed()
    region = regions(computed.of(VALUES, (2, 4)))
    region.read(((2, 4), (4, 8)))
    region.read(((3, 5), (7, 9)))
    region.read(whole(region.shape))
    region.read(whole(region.shape))
    assert len(computed.counts) == 25
    assert set(computed.counts.values()) == {1}


def test_blocks_are_dropped_when_the_cache_is_full() -> None:
    computed, block = Computed(), 2 * 4 * 8 + _ENTRY
    cache = SharedCache(2 * block)
    region = DaskBlocks(computed.of(VALUES, (2, 4)), "v", cache)
    for column in (0, 1, 0, 2, 0, 1):
        region.read(((0, 2), (4 * column, 4 * column + 4)))
    assert computed.counts == {(0, 0): 1, (0, 1): 2, (0, 2): 1}
    assert (len(cache), cache.nbytes) == (2, 2 * block)


def test_a_cache_without_room_still_gives_cells() -> None:
    computed, cache = Computed(), SharedCache(10)
    region = DaskBlocks(computed.of(VALUES, (2, 4)), "v", cache)
    for _ in range(2):
        np.testing.assert_array_equal(region.read(whole(region.shape)), VALUES)
    assert set(computed.counts.values()) == {2}
    assert cache.nbytes == 0


@pytest.mark.parametrize("limit", [10**9, 0])
def test_simultaneous_readers_compute_a_block_once(limit: int) -> None:
    computed, cache = Computed(), SharedCache(limit)
    computed.wait = lambda: wait_for_others(cache)
    region = DaskBlocks(computed.of(VALUES, (2, 4)), "v", cache)
    for found in at_once(lambda _: region.read(((2, 4), (4, 8)))):
        np.testing.assert_array_equal(found, VALUES[2:4, 4:8])
    assert computed.counts == {(1, 1): 1}


def test_simultaneous_readers_of_several_blocks() -> None:
    computed = Computed()
    region = regions(computed.of(VALUES, (2, 4)))
    for found in at_once(lambda _: region.read(((1, 5), (3, 9)))):
        np.testing.assert_array_equal(found, VALUES[1:5, 3:9])
    assert len(computed.counts) == 9
    assert set(computed.counts.values()) == {1}


def test_arrays_in_one_cache_are_told_apart() -> None:
    """Even if a program gave them the same name, and if one was freed before the other was made."""
    cache = SharedCache(10**9)
    for number in range(20):
        array = da.from_array(np.full((4, 4), number), chunks=2, name="of the program")
        assert (DaskBlocks(array, "v", cache).read(((0, 4), (0, 4))) == number).all()
    assert len(cache) == 80


def test_assignments_to_cells_have_no_effect_later() -> None:
    array = da.zeros((4,), chunks=2)
    region = regions(array)
    assert region.read(((0, 2),)).tolist() == [0, 0]
    array[:] = 1
    assert region.read(((0, 4),)).tolist() == [0, 0, 0, 0]
    assert regions(array).read(((0, 4),)).tolist() == [1, 1, 1, 1]


def test_what_is_random_is_the_same_while_it_is_kept() -> None:
    def noise(cells: Any) -> Any:
        return np.random.default_rng().random(cells.shape)

    region = regions(da.zeros((6, 6), chunks=3).map_blocks(noise, dtype=float, meta=np.empty((0, 0))))
    first = region.read(whole(region.shape))
    for box in (((0, 6), (0, 6)), ((2, 5), (1, 4)), ((0, 3), (0, 3))):
        np.testing.assert_array_equal(region.read(box), first[slices(box)])
    assert len(np.unique(first)) == 36
    random = regions(da.random.default_rng().random((6, 6), chunks=3), limit=0)
    np.testing.assert_array_equal(random.read(((0, 6), (0, 6)))[2:5, 1:4], random.read(((2, 5), (1, 4))))


def test_inputs_that_blocks_share_are_computed_for_each_of_them() -> None:
    """The price of computing no more than is needed; as each is computed by itself, memory is bounded."""
    computed = Computed()
    array = computed.of(VALUES, (2, 20)).rechunk((10, 4))
    region = regions(array)
    np.testing.assert_array_equal(region.read(((0, 10), (4, 8))), VALUES[:, 4:8])
    assert set(computed.counts.values()) == {1}
    np.testing.assert_array_equal(region.read(((0, 10), (0, 8))), VALUES[:, :8])
    assert set(computed.counts.values()) == {2}


@pytest.mark.parametrize("blocks", [10, 8000])
def test_a_graph_is_optimized_at_once_unless_it_has_very_many_blocks(
    blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = da.arange(blocks, chunks=1) * 2
    region, optimize, keys = regions(array), array.__dask_optimize__, list[int]()

    def counting(graph: Any, wanted: Any) -> Any:
        keys.append(len(wanted))
        return optimize(graph, wanted)

    monkeypatch.setattr(region, "_optimize", counting)
    assert region.read(((3, 6),)).tolist() == [6, 8, 10]
    assert keys == ([10] if blocks == 10 else [1, 1, 1])


# -- cells -------------------------------------------------------------------------------------------------------------


@st.composite
def arrays_and_boxes(draw: st.DrawFn) -> tuple[tuple[tuple[int, ...], ...], Box]:
    """Return block lengths per axis, uneven and some of them 0, and a box."""
    chunks = tuple(
        tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))) for _ in range(draw(st.integers(0, 3)))
    )
    lengths = [sum(sizes) for sizes in chunks]
    spans = (sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in lengths)
    return chunks, tuple((a, b) for a, b in spans)


@given(arrays_and_boxes(), st.sampled_from(["<f8", ">i2", "M8[ms]", "U3", "?"]), st.sampled_from([0, 700, 10**9]))
@settings(max_examples=200)
def test_cells_are_those_of_the_whole_array(
    case: tuple[tuple[tuple[int, ...], ...], Box], dtype: str, limit: int
) -> None:
    chunks, box = case
    shape = tuple(map(sum, chunks))
    values = (np.arange(int(np.prod(shape))) % 50).astype(dtype).reshape(shape)
    array = da.from_array(values, chunks=chunks)
    region = regions(array, limit)
    assert region.shape == shape
    assert region.dtype == np.dtype(dtype).newbyteorder("=")
    assert region.natural == tuple(max((1, *sizes)) for sizes in chunks)
    for _ in range(2):
        found = region.read(box)
        assert found.dtype == region.dtype
        np.testing.assert_array_equal(found, np.asarray(array)[slices(box)])


@pytest.mark.parametrize(
    ("chunks", "natural"),
    [
        (((4, 4, 2), (10, 10)), (4, 10)),
        (((2, 4, 4), (10, 10)), (4, 10)),
        (((10,), (20,)), (10, 20)),
        (((3, 0, 7), (1, 19)), (7, 19)),
    ],
)
def test_natural_chunks_are_the_largest_block(chunks: Any, natural: tuple[int, ...]) -> None:
    array = da.from_array(VALUES, chunks=chunks)
    region = regions(array)
    assert region.natural == natural
    assert DaskRegion(array, "v").natural in {natural, None}
    assert region.chunks is None


def test_a_single_cell() -> None:
    computed = Computed()
    array = computed.of(np.array(5.0), ())
    for each in (array, da.from_array(np.arange(4), chunks=2).sum(), da.from_array(np.array(5), chunks=())):
        region = regions(each)
        found = region.read(())
        assert (found.shape, found.dtype, region.natural) == ((), region.dtype, ())
        assert found == each.compute()


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_cells(shape: tuple[int, ...]) -> None:
    region = regions(da.zeros(shape))
    assert (region.shape, region.natural) == (shape, tuple(max(1, n) for n in shape))
    assert region.read(whole(shape)).shape == shape


def test_masked_cells_are_missing() -> None:
    masked = np.ma.masked_greater(np.arange(12.0).reshape(3, 4), 9)
    region = regions(da.from_array(masked, chunks=2))
    np.testing.assert_array_equal(region.read(whole(region.shape)), masked.filled(np.nan))
    numbers = regions(da.from_array(masked.astype("int16"), chunks=2))
    assert numbers.dtype == DaskRegion(da.from_array(masked.astype("int16"), chunks=2), "v").dtype == np.float32
    np.testing.assert_array_equal(numbers.read(((2, 3), (0, 4))), [[8, 9, np.nan, np.nan]])


def test_masked_cells_that_were_not_declared() -> None:
    def masked(cells: Any) -> Any:
        return np.ma.masked_equal(cells, 3)

    array = da.arange(6, chunks=3, dtype="f8").map_blocks(masked, dtype="f8", meta=np.empty(0))
    assert np.isnan(regions(array).read(((3, 4),)))[0]
    with pytest.raises(SliceError, match="without a missing value"):
        regions(array.astype("i4").map_blocks(masked, dtype="i4", meta=np.empty(0, "i4"))).read(((3, 4),))


def test_cells_that_are_shared_cannot_be_changed() -> None:
    values = VALUES.copy()
    region = regions(da.from_array(values, chunks=(2, 4)))
    found = region.read(((0, 2), (0, 4)))
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 5
    values[0, 0] = 7
    assert region.read(((0, 1), (0, 1))) == 0
    assert values.flags.writeable


def test_a_kept_block_keeps_nothing_else() -> None:
    """A view of a large array counts as a small one, so it would fill the memory unseen."""

    def corner(cells: Any) -> Any:
        return np.zeros((1000, 1000))[: len(cells), : len(cells)]

    region = regions(da.zeros((4, 4), chunks=2).map_blocks(corner, dtype=float, meta=np.empty((0, 0))))
    found = region.read(((0, 2), (0, 2)))
    owner = found
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert owner.nbytes == 4 * 8
    buffered = da.from_delayed(dask.delayed(np.frombuffer)(bytes(80), np.float64, 3), (3,), float)
    assert regions(buffered).read(((0, 3),)).base.base is None


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_an_unknown_shape_is_refused() -> None:
    array = da.arange(10, chunks=5)
    with pytest.raises(SliceError, match="unknown shape") as blocks:
        regions(array[array > 3])
    with pytest.raises(SliceError, match="unknown shape") as as_before:
        DaskRegion(array[array > 3], "v")
    assert str(blocks.value) == str(as_before.value)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda cells: cells[:-1], "(4,) of int64"),
        (lambda cells: cells[:, None], "(5, 1) of int64"),
        (lambda cells: cells.astype("f8"), "(5,) of float64"),
        (lambda cells: cells.astype("f8") + 1j, "(5,) of complex128"),
        (lambda cells: None, "() of object"),
    ],
)
def test_a_block_that_is_not_as_declared_is_refused(function: Any, found: str) -> None:
    array = da.arange(10, chunks=5).map_blocks(function, dtype="i8", meta=np.empty(0, "i8"))
    source = served({"v": ("x", array)})
    with pytest.raises(SliceError, match="other cells than declared") as caught:
        source.cells("v", ((5, 10),))
    assert (caught.value.where, caught.value.expected, caught.value.found) == ("cube, v", "(5,) of int64", found)


def test_an_error_of_a_block_reaches_every_reader_and_is_not_kept() -> None:
    calls, cache = [], SharedCache(10**9)

    def fails(cells: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            wait_for_others(cache)
            raise OSError(5, "the disk is damaged here", "a.nc")
        return cells

    region = DaskBlocks(da.zeros((4,), chunks=2).map_blocks(fails, dtype=float, meta=np.empty(0)), "v", cache)
    errors = at_once(lambda _: region.read(((0, 2),)))
    assert len(calls) == 1
    assert {(type(e), e.errno, e.filename) for e in errors} == {(OSError, 5, "a.nc")}
    assert len(set(map(id, errors))) == THREADS
    assert region.read(((0, 2),)).tolist() == [0, 0]


# -- slices of them ----------------------------------------------------------------------------------------------------


def served(item: Any, limit: int = 10**9) -> ArraysSource:
    return source_of(item, "cube", Options(blocks=SharedCache(limit)))


def test_preparing_a_source_computes_nothing() -> None:
    computed = Computed()
    item = {"v": (("y", "x"), computed.of(VALUES, (2, 4)))}
    source = served(item)
    assert not source.pending
    source.prepare(["v"])
    assert not computed.counts
    assert source.array_encodings["v"].chunks == [2, 4]
    source.cells("v", ((2, 4), (4, 8)))
    assert computed.counts == {(1, 1): 1}
    as_before = source_of(item, "cube", Options())
    assert as_before.pending
    as_before.prepare(["v"])
    assert not as_before.pending
    assert len(computed.counts) == 25


def test_times_of_a_source_are_not_read() -> None:
    """Their units are those that xarray gives to lazy times."""
    computed = Computed()
    source = served({"t": ("x", computed.of(np.arange(10).astype("M8[ns]"), 5))})
    assert not computed.counts
    assert source.array_encodings["t"].units == "nanoseconds since 1970-01-01"
    assert source.array_encodings["t"].chunks == [5]


def test_objects_are_read_once_and_whole() -> None:
    computed = Computed()
    array = computed.of(np.array(["one", "two", None, "three"], dtype=object), 2)
    source = served({"v": ("x", array)})
    assert computed.counts == {(0,): 1, (1,): 1}
    assert not source.pending
    for _ in range(2):
        assert source.cells("v", ((1, 4),)).tolist() == ["two", "", "three"]
    assert computed.counts == {(0,): 1, (1,): 1}


@pytest.mark.parametrize("limit", [10**9, 2000, 0])
@pytest.mark.parametrize("chunks", [{"time": 2, "y": 3, "x": 4}, {"time": (1, 4), "y": (1, 3), "x": -1}], ids=str)
@pytest.mark.parametrize(
    "encoding", [{}, {"chunks": (3, 4, 4)}, {"dtype": "int16", "scale_factor": 0.25, "_FillValue": -1}], ids=str
)
def test_a_target_is_that_of_the_arrays_in_memory(
    limit: int, chunks: Any, encoding: dict[str, Any], tmp_path: Path
) -> None:
    """The engine reads and encodes regions that cannot be changed, whichever chunks it makes of them."""
    dataset = cube(0, 5)
    dataset["v"].encoding = encoding
    zapz.append(tmp_path / "lazy.zarr", served(dataset.chunk(chunks), limit))
    xr.testing.assert_identical(reading(tmp_path / "lazy.zarr"), _expected(dataset, tmp_path / "plain.zarr"))
    if "chunks" in encoding:
        lazy, plain = (
            {k: v for k, v in tree(tmp_path / f"{n}.zarr").items() if k.startswith("v/")} for n in ("lazy", "plain")
        )
        assert len(plain) > 3
        assert lazy == plain


def _expected(dataset: xr.Dataset, place: Path) -> xr.Dataset:
    zapz.append(place, dataset)
    return reading(place)


def test_appending_does_not_load_what_a_server_needs(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, zapz\n"
        f"zapz.append({str(tmp_path / 'a.zarr')!r}, {{'time': ('time', numpy.arange(3)), 'v': ('time', numpy.arange(3))}})\n"
        "assert 'zapz.sources.arrays' in sys.modules\n"
        "assert not {'dask', 'zapz.sources.dask_blocks'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
