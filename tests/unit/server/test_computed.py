"""Chunks that are made when they are requested: arrays in memory, lazy, computed, templated."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from kit.cubes import same, values_of
from kit.serving import Core, CoreStore, StatusError

from zapz import Source
from zapz.config.layers import make
from zapz.errors import ConfigError
from zapz.server.limits import Limit

FORMATS = ["/d", "/d.v2", "/d.v3"]
DTYPES = ["?", "i1", "<i2", ">i4", "<i8", "u1", "<u4", "<f2", "<f4", ">f8", "<c8", "S5", "<U4", "O"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (5, 7), (0,), (0, 3), (2, 0)])
def test_arrays_in_memory(dtype: str, shape: tuple[int, ...]) -> None:
    values = values_of(shape, dtype)
    core = Core(
        {"d": {"a": (tuple("xyz"[: len(shape)]), values)}},
        config=make({"variables": {"a": {"encoding": {"chunks": [max(1, n // 2) for n in shape]}}}} if shape else {}),
    )
    for prefix in FORMATS:
        found = core.read(prefix)
        same(found, {"a": values})


@pytest.mark.parametrize("dtype", ["<M8[ns]", "<M8[D]", "<m8[s]"])
def test_times(dtype: str) -> None:
    import xarray

    values = np.array([1, 5, 9], "i8").astype(dtype)
    values[1] = "NaT"
    core = Core({"d": {"t": (("x",), values)}})
    for prefix in FORMATS:
        found = xarray.open_zarr(CoreStore(core, prefix), chunks=None, decode_timedelta=True)["t"].values
        np.testing.assert_array_equal(found, values.astype(found.dtype))


def test_compressed_by_default_and_as_configured() -> None:
    values = np.zeros((100, 100))
    core = Core({"d": {"a": (("x", "y"), values)}})
    codecs = core.ask("/d/a/zarr.json").json["codecs"]
    assert codecs[-1] == {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
    assert len(core.ask("/d/a/c/0/0").body) < 1000
    raw = Core(
        {"d": {"a": (("x", "y"), values)}},
        config=make({"variables": {"a": {"encoding": {"compressor": None, "chunks": [50, 30]}}}}),
    )
    assert [codec["name"] for codec in raw.ask("/d/a/zarr.json").json["codecs"]] == ["bytes"]
    assert len(raw.ask("/d/a/c/1/3").body) == 50 * 30 * 8


def test_edges_are_padded_with_fill() -> None:
    values = np.arange(5, dtype="f4")
    core = Core(
        {"d": {"a": (("x",), values)}},
        config=make({"variables": {"a": {"encoding": {"compressor": None, "chunks": [4], "fill_value": -1}}}}),
    )
    assert np.frombuffer(core.ask("/d/a/c/1").body, "<f4").tolist() == [4, -1, -1, -1]
    assert core.ask("/d/a/c/1").body == core.ask("/d/a/c/1").body


def test_xarray_with_packing() -> None:
    import xarray

    data = xarray.Dataset(
        {"a": (("time", "x"), np.array([[1.5, np.nan], [2.5, 3.5]]))},
        {"time": np.array(["2020-01-01", "2020-02-01"], "M8[ns]")},
        {"title": "T"},
    )
    data["a"].encoding = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 0.0, "_FillValue": -1}
    core = Core({"d": data})
    for prefix in FORMATS:
        found = xarray.open_zarr(CoreStore(core, prefix), chunks=None)
        xarray.testing.assert_equal(found, data)
        assert found["a"].encoding["dtype"] == np.dtype("i2")
        assert found.attrs["title"] == "T"


def counted(calls: list[Any]) -> Any:
    """Return a dask array of 20 blocks that notes which are computed."""
    import dask.array

    guard = threading.Lock()

    def block(part: np.ndarray[Any, Any], block_info: Mapping[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        assert block_info is not None
        with guard:
            calls.append(block_info[None]["chunk-location"])
        return part * 2

    source = dask.array.from_array(np.arange(400.0).reshape(20, 20), chunks=(4, 5))
    return source.map_blocks(block, dtype=source.dtype, meta=np.empty((0, 0)))


def test_a_chunk_of_dask_computes_its_block() -> None:
    calls: list[Any] = []
    core = Core({"d": {"a": (("y", "x"), counted(calls))}})
    core.ask("/d/")
    core.ask("/d/zarr.json")
    assert calls == []
    assert core.ask("/d/a/c/1/2").status == 200
    assert calls == [(1, 2)]
    core.ask("/d/a/c/1/2")
    core.ask("/d.v2/a/1.2")
    assert calls == [(1, 2)]
    same(core.read("/d"), {"a": np.arange(400.0).reshape(20, 20) * 2})
    assert len(calls) == 20


def test_simultaneous_clients_compute_once() -> None:
    calls: list[Any] = []
    core = Core({"d": {"a": (("y", "x"), counted(calls))}})
    start, bodies = threading.Barrier(16), []

    def ask() -> None:
        start.wait()
        bodies.append(core.ask("/d/a/c/3/3").body)

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [(3, 3)]
    assert len(set(bodies)) == 1
    assert len(bodies) == 16


def test_random_numbers_stay_while_cached() -> None:
    import dask.array

    core = Core({"d": {"a": (("x",), dask.array.random.random(100, chunks=10))}})
    assert core.ask("/d/a/c/3").body == core.ask("/d/a/c/3").body
    assert core.ask("/d/a/c/3").headers["etag"] == core.ask("/d.v2/a/3").headers["etag"]
    with pytest.raises(ConfigError, match="cannot be sharded"):
        Core(
            {"d": {"a": (("x",), np.arange(8))}},
            config=make({"variables": {"a": {"encoding": {"chunks": [2], "shards": [4]}}}, "zarr_format": 3}),
        )


def failing(error: Exception) -> Source:
    """Return a source whose second chunk fails."""
    good = {"a": (("x",), np.arange(8))}
    documents = (
        Core({"d": good}, config=make({"variables": {"a": {"encoding": {"chunks": [2]}}}}))
        .datasets["d"]
        .current()
        .dataset.documents
    )  # type: ignore[attr-defined]

    class Failing(Source):
        def documents(self) -> Mapping[str, bytes]:
            return documents

        def cells(self, path: str, box: Any) -> Any:
            if box[0][0] == 2:
                raise error
            return np.arange(*box[0])

    return Failing()


@pytest.mark.parametrize(
    "error",
    [RuntimeError("/secret/path"), KeyError("x"), OSError(5, "EIO"), MemoryError(), FileNotFoundError("/secret")],
)
def test_a_source_that_fails(error: Exception) -> None:
    core = Core({"d": failing(error)})
    for _ in range(2):
        answer = core.ask("/d/a/c/1")
        assert answer.status == 500, error
        assert b"secret" not in answer.body
        assert core.ask("/d/a/c/2").status == 200
    with pytest.raises(StatusError):
        core.read("/d", ["a"])


def test_a_source_with_stored_chunks() -> None:
    values = np.arange(8)
    config = make({"variables": {"a": {"encoding": {"chunks": [2]}}}})
    core = Core({"d": {"a": (("x",), values)}}, config=config)
    documents = dict(core.datasets["d"].current().dataset.documents)  # type: ignore[attr-defined]
    chunks = {f"a/c/{i}": core.ask(f"/d/a/c/{i}").body for i in range(3)}

    class Stored(Source):
        def documents(self) -> Mapping[str, bytes]:
            return documents

        def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
            return chunks[key][offset : None if length is None else offset + length]

    served = Core({"d": Stored()})
    assert served.ask("/d/a/c/1").body == chunks["a/c/1"]
    assert served.ask("/d/a/c/3").status == 404
    values[6:] = 0
    for prefix in FORMATS:
        same(served.read(prefix), {"a": values})


def test_memory_is_limited() -> None:
    values = np.zeros(1 << 16)
    memory = Limit(1 << 18)
    core = Core({"d": {"a": (("x",), values)}}, options={"memory": memory})
    answer = core.ask("/d/a/c/0")
    assert answer.status == 500
    assert "max_memory" not in answer.json["error"]["message"]
    assert answer.json["error"]["message"] == "a chunk needs more memory than the server may use"
    small = Core(
        {"d": {"a": (("x",), values)}},
        config=make({"variables": {"a": {"encoding": {"chunks": [1 << 12]}}}}),
        options={"memory": memory},
    )
    back = memory.take((1 << 18) - 1000)
    busy = small.ask("/d/a/c/0")
    assert (busy.status, busy.headers["retry-after"]) == (503, "1")
    back()
    assert small.ask("/d/a/c/0").status == 200
    assert memory.used == 0


def test_one_array_and_what_cannot_be_served() -> None:
    same(Core({"d": np.arange(6).reshape(2, 3)}).read("/d"), {"data": np.arange(6).reshape(2, 3)})
    for thing in (5, [1], None, object()):
        with pytest.raises(ConfigError, match="cannot be served"):
            Core({"d": thing})


def test_levels_and_groups_in_memory() -> None:
    import xarray

    tree = xarray.DataTree.from_dict(
        {"/": xarray.Dataset({"a": ("x", [1, 2])}), "/g": xarray.Dataset({"b": ("y", [3.0])})}
    )
    core = Core({"d": tree})
    same(core.read("/d"), {"a": np.array([1, 2]), "g/b": np.array([3.0])})
