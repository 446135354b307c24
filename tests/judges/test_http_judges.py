"""The clients that judge ``zapz serve`` are judged themselves: they read a correct server right, and find what a wrong one does.

The server is a static one over small stores. ``-m judges`` runs them; ``.ci/run`` runs those that are named small: all.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from kit.http_clients import CLIENTS, Arrays, assert_same, by_obstore, everything, members
from kit.http_judges import ERRORS_ARE_FILL, as_raster, by_gdal, by_zarrita, zarrita
from kit.judging import FailedError
from kit.static_server import Behaviour, StaticServer, static_server

pytestmark = pytest.mark.judges

Client = Callable[[str, Sequence[str], int | None], Arrays]
ALL = {**CLIENTS, "zarrita": by_zarrita, "gdal": by_gdal}
DIMS = {"a": "yx", "b": "tyx", "t": "t", "s": "", "flag": "yx", "hole": "yx", "big": "yx", "sub/a": "yx"}
KEY = {2: "0.0", 3: "c/0/0"}
"""The first chunk of an array of two dimensions."""
OTHER = {2: "0.1", 3: "c/0/1"}
"""Another one, of the same shape."""


def write(store: Path, zarr_format: int) -> None:
    """Write arrays of several types and dimensions, one with absent chunks, one in a subgroup, and in Zarr 3 a sharded one."""
    random = np.random.default_rng(zarr_format)
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format)

    def create(path: str, cells: np.ndarray, dims: str, **options: object) -> zarr.Array:
        names = {"dimension_names": list(dims)} if zarr_format == 3 else {"attributes": {"_ARRAY_DIMENSIONS": [*dims]}}
        # Blosc of Zarr 2 reads on in memory where a chunk is cut, and no client sees it.
        options |= {"compressors": numcodecs.Zstd()} if zarr_format == 2 else {}
        return group.create_array(path, shape=cells.shape, dtype=cells.dtype, **names, **options)

    plane, cube = random.normal(size=(7, 9)), random.integers(-99, 99, (5, 7, 9)).astype("i2")
    chunks = {"chunks": (3, 4)}
    create("a", plane.astype("f4"), "yx", **chunks, fill_value=-1)[:] = plane
    create("b", cube, "tyx", chunks=(2, 3, 4), fill_value=-1)[:] = cube
    create("t", np.arange(5) * 10**15, "t", chunks=(2,))[:] = np.arange(5) * 10**15
    create("s", np.array(0.0), "")[...] = 4.5
    create("flag", plane > 0, "yx", **chunks)[:] = plane > 0
    create("hole", plane, "yx", **chunks, fill_value=7)[:3] = 1
    create("big", plane.astype(">i2"), "yx", **chunks)[:] = 1000 * plane
    create("sub/a", plane, "yx", **chunks)[:] = -plane
    if zarr_format == 3:
        create("sharded", np.zeros((12, 16), "f4"), "YX", **chunks, shards=(6, 8))[:] = random.normal(size=(12, 16))
    zarr.consolidate_metadata(store, zarr_format=zarr_format)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores ``v2`` and ``v3``, and ``plain2`` and ``plain3`` without consolidated metadata."""
    folder = tmp_path_factory.mktemp("stores")
    for zarr_format in (2, 3):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
            write(folder / f"v{zarr_format}", zarr_format)
        shutil.copytree(folder / f"v{zarr_format}", folder / f"plain{zarr_format}")
    (folder / "plain2" / ".zmetadata").unlink()
    root = folder / "plain3" / "zarr.json"
    document = json.loads(root.read_text())
    del document["consolidated_metadata"]
    root.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def correct(stores: Path) -> Iterator[StaticServer]:
    with static_server(stores) as server:
        yield server


def values(stores: Path, zarr_format: int, *paths: str) -> Arrays:
    """Return what is in the files."""
    group = zarr.open_group(stores / f"v{zarr_format}", mode="r")
    return {path: np.asarray(group[path][...]) for path in paths}


def expected(stores: Path, client: str, zarr_format: int) -> Arrays:
    """Return what a client must find."""
    paths = [*DIMS, *(["sharded"] if zarr_format == 3 else [])]
    found = values(stores, zarr_format, *paths)
    if client != "gdal":
        return found
    return {path: as_raster(cells) for path, cells in found.items() if path not in {"s", "sharded"}}  # it has neither


@pytest.mark.parametrize("zarr_format", [2, 3], ids=["small v2", "small v3"])
@pytest.mark.parametrize("client", ALL)
def test_a_correct_server_is_read_right(client: str, zarr_format: int, stores: Path, correct: StaticServer) -> None:
    right = expected(stores, client, zarr_format)
    for known in (None, zarr_format):
        assert_same(ALL[client](f"{correct.url}v{zarr_format}", list(right), known), right, client)


@pytest.mark.parametrize("zarr_format", [2, 3], ids=["small v2", "small v3"])
def test_everything_is_all_clients_here(zarr_format: int, stores: Path, correct: StaticServer) -> None:
    right = expected(stores, "fsspec", zarr_format)
    found = everything(f"{correct.url}v{zarr_format}", list(right), [zarr_format])
    assert found.keys() == {(client, zarr_format) for client in CLIENTS}
    for who, arrays in found.items():
        assert_same(arrays, right, who)


@pytest.mark.parametrize("zarr_format", [2, 3], ids=["small v2", "small v3"])
def test_members_are_found_by_pages_too(zarr_format: int, stores: Path, correct: StaticServer) -> None:
    kinds = {**dict.fromkeys(DIMS, "array"), "sub": "group", **({"sharded": "array"} if zarr_format == 3 else {})}
    assert members(f"{correct.url}v{zarr_format}") == kinds
    assert members(f"{correct.url}v{zarr_format}", consolidated=False) == kinds
    assert members(f"{correct.url}plain{zarr_format}") == kinds
    with static_server(stores, Behaviour(listings=False)) as server:
        assert members(f"{server.url}plain{zarr_format}") == {}  # a silent loss, which the judge of a server must see


def sending(wrong: str, stores: Path, zarr_format: int) -> Behaviour:
    """Return the behaviour of a server that sends something wrong for the first chunk of array ``a``."""
    first = f"v{zarr_format}/a/{KEY[zarr_format]}"
    other = (stores / f"v{zarr_format}" / "a" / OTHER[zarr_format]).read_bytes()
    if isinstance(status := WRONG[wrong], int):
        return Behaviour(statuses={first: status})
    return Behaviour(content=lambda key, body: status(body, other) if key == first else body)


WRONG: dict[str, int | Callable[[bytes, bytes], bytes]] = {
    "another chunk": lambda _, other: other,
    "an absent chunk": 404,
    "a chunk cut": lambda body, _: body[:-3],
    "a chunk 500": 500,
    "a chunk 403": 403,
}
SILENT = {"another chunk", "an absent chunk"}
"""What no client can see: its values are compared."""
REFUSED = {"a chunk 500", "a chunk 403"}


def outcome(client: Client, url: str, right: Arrays, zarr_format: int) -> str:
    """Return what a judge says of a server: right, wrong values, or an error."""
    try:
        found = client(url, list(right), zarr_format)
    except Exception as error:  # noqa: BLE001  # each client has errors of its own
        return f"{type(error).__name__}: {error}"
    try:
        assert_same(found, right)
    except AssertionError:
        return "wrong values"
    return "right"


@pytest.mark.parametrize("zarr_format", [2, 3], ids=["small v2", "small v3"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("client", ALL)
def test_a_wrong_server_is_found(client: str, wrong: str, zarr_format: int, stores: Path) -> None:
    right = values(stores, zarr_format, "a")
    right = {path: as_raster(cells) for path, cells in right.items()} if client == "gdal" else right
    with static_server(stores, sending(wrong, stores, zarr_format)) as server:
        said = outcome(ALL[client], f"{server.url}v{zarr_format}", right, zarr_format)
    assert said != "right"
    assert (said == "wrong values") == (wrong in SILENT or (client in ERRORS_ARE_FILL and wrong in REFUSED)), said


@pytest.mark.parametrize("client", [pytest.param(name, id=f"small {name}") for name in ALL if name != "gdal"])
def test_a_server_that_ignores_ranges_is_found(client: str, stores: Path) -> None:
    part = np.s_[7:8, 3]
    right = {"sharded": values(stores, 3, "sharded")["sharded"][part]}
    read = lambda url, paths, zarr_format: ALL[client](url, dict.fromkeys(paths, part), zarr_format)  # noqa: E731
    with static_server(stores) as server:
        assert outcome(read, f"{server.url}v3", right, 3) == "right"
    with static_server(stores, Behaviour(ranges=False)) as server:
        assert "Error: " in outcome(read, f"{server.url}v3", right, 3)
        assert outcome(ALL[client], f"{server.url}v3", values(stores, 3, "a"), 3) == "right"


def test_small_inner_chunk_is_read_by_ranges(stores: Path, correct: StaticServer) -> None:
    """zarrita reads one inner chunk of a shard: its index, by HEAD or by a range from the end, and the chunk."""
    cells = values(stores, 3, "sharded")["sharded"]
    for suffix in (False, True):
        answer = zarrita(f"{correct.url}v3", {"sharded": [[7, 8], 3]}, 3, suffix=suffix)
        np.testing.assert_array_equal(answer.arrays["sharded"], cells[7:8, 3])
        chunk = [(method, status) for method, url, _, status in answer.requests if url.endswith("/sharded/c/1/0")]
        index = [("OPTIONS", 204), ("GET", 206)] if suffix else [("HEAD", 200), ("GET", 206)]
        assert chunk == [*index, ("GET", 206)]


def test_small_consolidated_documents_are_used(correct: StaticServer) -> None:
    for zarr_format in (2, 3):
        answer = zarrita(f"{correct.url}v{zarr_format}", {"sub/a": None}, consolidated=True)
        assert {"/", "/a", "/sub", "/sub/a"} <= set(answer.contents)
        with pytest.raises(FailedError, match="onsolidated"):
            zarrita(f"{correct.url}plain{zarr_format}", {"a": None}, zarr_format, consolidated=True)


def test_small_pages_of_other_origins(stores: Path) -> None:
    """Without the CORS header, a program reads what a page may not; a header on 200 alone does not suffice."""
    with static_server(stores, Behaviour(origins="")) as server:
        assert zarrita(f"{server.url}v3", {"a": None}, origin="").arrays.keys() == {"a"}
        with pytest.raises(FailedError, match="CORS"):
            zarrita(f"{server.url}v3", {"a": None})
    with static_server(stores, Behaviour(origins="https://other.example")) as server:
        assert zarrita(f"{server.url}v3", {"a": None}, origin="https://other.example").arrays.keys() == {"a"}
        with pytest.raises(FailedError, match="CORS"):
            zarrita(f"{server.url}v3", {"a": None})


def test_small_heads_are_needed(stores: Path) -> None:
    with static_server(stores, Behaviour(heads=False)) as server:
        with pytest.raises(FailedError, match="405"):
            zarrita(f"{server.url}v3", {"sharded": None}, 3)
        assert_same(by_obstore(f"{server.url}v3", ["sharded"], 3), values(stores, 3, "sharded"))
