"""Slices and targets that are not local folders: memory, HTTP, archives, S3."""

import functools
import http.server
import importlib.util
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr
from kit.trees import tree

import zapz
from zapz.cli.demo import write_slice

DAYS = 3


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("days")
    paths = [folder / f"{day}.zarr" for day in range(DAYS)]
    for day, path in enumerate(paths):
        write_slice(path, day)
    return paths


@pytest.fixture(scope="module")
def expected(days: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("expected") / "cube.zarr"
    zapz.append(target, days)
    return target


def upload(paths: list[Path], uri: str, **options: object) -> list[str]:
    fs, root = fsspec.core.url_to_fs(uri, **options)
    for path in paths:
        for file in path.rglob("*"):
            if file.is_file():
                fs.pipe_file(f"{root}/{path.name}/{file.relative_to(path)}", file.read_bytes())
    return [f"{uri}/{path.name}" for path in paths]


def content(uri: str, **options: object) -> dict[str, bytes]:
    """Return all objects, the head apart."""
    fs, root = fsspec.core.url_to_fs(uri, **options)
    fs.invalidate_cache()
    found = {path.removeprefix(root).lstrip("/"): fs.cat_file(path) for path in fs.find(root)}
    return {key: data for key, data in found.items() if not key.startswith(".zapz/")}


def files(folder: Path) -> dict[str, bytes]:
    return {key: data for key, data in tree(folder).items() if data is not None}


@pytest.fixture
def memory() -> Iterator[str]:
    uri = f"memory://{uuid.uuid4().hex}"
    yield uri
    fsspec.filesystem("memory").store.clear()


def test_memory_slices_into_local_target(days: list[Path], expected: Path, memory: str, tmp_path: Path) -> None:
    zapz.append(tmp_path / "cube.zarr", upload(days, memory))
    assert tree(tmp_path / "cube.zarr") == tree(expected)


def test_local_slices_into_memory_target(days: list[Path], expected: Path, memory: str) -> None:
    report = zapz.append(f"{memory}/cube.zarr", [str(d) for d in days])
    assert report.appended == DAYS
    assert content(f"{memory}/cube.zarr") == files(expected)


def test_memory_target_is_left_alone_by_a_refused_slice(days: list[Path], memory: str, tmp_path: Path) -> None:
    target = f"{memory}/cube.zarr"
    zapz.append(target, [str(d) for d in days])
    before = content(target)
    late = tmp_path / "late.zarr"
    write_slice(late, 1, change=0.5)
    with pytest.raises(zapz.SliceError):
        zapz.append(target, late)
    assert content(target) == before


def test_memory_target_gives_up(days: list[Path], expected: Path, memory: str, tmp_path: Path) -> None:
    """A damaged chunk in the middle: nothing of the slice can be seen; what was written beyond the shape is written over."""
    target = f"{memory}/cube.zarr"
    zapz.append(target, str(days[0]))
    before = content(target)
    bad = tmp_path / "bad.zarr"
    shutil.copytree(days[1], bad)
    chunk = bad / "sst" / "0.1.3"
    chunk.write_bytes(chunk.read_bytes()[:-5])
    with pytest.raises(zapz.ChunkError):
        zapz.append(target, bad)
    after = content(target)
    assert before.keys() < after.keys()
    assert {key for key in before if after[key] != before[key]} <= {"time/0"}, "at most the boundary chunk is another"
    assert [str(label) for label in zapz.info(target).labels["time"]] == ["2024-06-01T00:00:00"] * 2
    assert zapz.append(target, [str(d) for d in days[1:]]).appended == DAYS - 1
    assert content(target) == files(expected)


@pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp is not installed")
def test_http_slices(days: list[Path], expected: Path, tmp_path: Path) -> None:
    """Over HTTP nothing can be listed: consolidated metadata name the arrays."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = (
            128  # of connections at once: for those beyond it, the system waits seconds before it tries again
        )

    server = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(days[0].parent)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        zapz.append(tmp_path / "cube.zarr", [f"{address}/{d.name}" for d in days])
        with pytest.raises(zapz.StoreError) as caught:
            zapz.append(tmp_path / "cube.zarr", f"{address}/none.zarr")
        assert caught.value.exit_code == 6
        with pytest.raises(zapz.StoreError, match="absent"):
            zapz.append(f"{address}/new.zarr", str(days[0]))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert tree(tmp_path / "cube.zarr") == tree(expected)


def test_zip_slices(days: list[Path], expected: Path, tmp_path: Path) -> None:
    archives = [shutil.make_archive(str(tmp_path / d.stem), "zip", d) for d in days]
    zapz.append(tmp_path / "cube.zarr", [archives[0], f"zip://::file://{archives[1]}", archives[2]])
    assert tree(tmp_path / "cube.zarr") == tree(expected)


def test_file_uris_and_trailing_slashes(days: list[Path], expected: Path, tmp_path: Path) -> None:
    zapz.append(f"file://{tmp_path}/cube.zarr/", [f"file://{days[0]}", f"{days[1]}/", days[2]])
    assert tree(tmp_path / "cube.zarr") == tree(expected)


def test_chained_cache(days: list[Path], expected: Path, memory: str, tmp_path: Path) -> None:
    chained = [f"simplecache::{uri}" for uri in upload(days, memory)]
    options = {"simplecache": {"cache_storage": str(tmp_path / "cache")}}
    zapz.append(tmp_path / "cube.zarr", chained, slice_storage_options=options)
    assert tree(tmp_path / "cube.zarr") == tree(expected)


def test_read_error_is_no_missing_chunk(
    days: list[Path], memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a definite not-found is a missing chunk: any other failure aborts."""
    uris = upload(days, memory)
    target = tmp_path / "cube.zarr"
    zapz.append(target, uris[0])
    before = tree(target)
    kind = type(fsspec.filesystem("memory"))
    honest = kind.cat_file

    def flaky(self: object, path: str, *args: object, **kwargs: object) -> bytes:
        if path.endswith("sst/0.1.3"):
            raise PermissionError(13, "403 Forbidden")
        return honest(self, path, *args, **kwargs)

    monkeypatch.setattr(kind, "cat_file", flaky)
    with pytest.raises(zapz.StoreError, match="Forbidden"):
        zapz.append(target, uris[1])
    assert tree(target) == before


HAS_S3 = all(importlib.util.find_spec(name) is not None for name in ("s3fs", "moto", "flask"))


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, object]]:
    """A moto server on loopback; fine for the shape of the interface, not for races."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert server.stdout is not None
    address = next(line.split()[-1] for line in server.stdout if "http://" in line)
    drain = threading.Thread(target=server.stdout.read, daemon=True)
    drain.start()
    for _ in range(50):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"), timeout=10).close()
    try:
        yield {"key": "x", "secret": "y", "endpoint_url": address}
    finally:
        server.terminate()
        server.wait()
        drain.join()
        server.stdout.close()


@pytest.mark.skipif(not HAS_S3, reason="s3fs or moto[server] is not installed")
@pytest.mark.filterwarnings("default")
def test_s3_slices_and_target(days: list[Path], expected: Path, tmp_path: Path, s3: dict[str, object]) -> None:
    uris = upload(days, "s3://bucket/days", **s3)
    zapz.append(tmp_path / "cube.zarr", uris, slice_storage_options=s3)
    assert tree(tmp_path / "cube.zarr") == tree(expected)
    target = "s3://bucket/cube.zarr"
    zapz.append(target, [str(d) for d in days], target_storage_options=s3)
    assert content(target, **s3) == files(expected)
    assert zapz.info(target, target_storage_options=s3).dims["time"] == DAYS
    with pytest.raises(zapz.StoreError) as caught:
        zapz.append(tmp_path / "cube.zarr", "s3://bucket/none.zarr", slice_storage_options=s3)
    assert "secret" not in str(caught.value)
    store = zarr.storage.FsspecStore.from_url(target, storage_options=s3)
    cells = zarr.open_group(store, mode="r")["sst"][...]
    assert np.array_equal(cells, zarr.open_group(str(expected), mode="r")["sst"][...], equal_nan=True)
