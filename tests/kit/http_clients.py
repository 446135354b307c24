"""Clients that read Zarr over HTTP in this process, each as its users call it: zarr-python by fsspec and by obstore, tensorstore, xarray.

Each takes the URL of a group, paths of arrays below it and the Zarr format that it shall find there, and returns values by path. The paths may be a
mapping to what of each array is read (NumPy's slices): clients read a whole shard by a plain GET, and only parts of it by ranges. All values are raw:
xarray neither masks nor scales nor decodes times. Errors of a client propagate. Clients in environments of their own are in ``kit.http_judges``.
"""

from __future__ import annotations

import asyncio
import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Selection = Any
"""What NumPy takes as an index: ``...``, or slices and integers."""
Paths = Sequence[str] | Mapping[str, Selection]
RETRIES = 1
"""How often clients that repeat requests do so after an error of the server; by their defaults they would wait for minutes."""


def _selections(paths: Paths) -> Mapping[str, Selection]:
    return paths if isinstance(paths, Mapping) else dict.fromkeys(paths, ...)


async def _others_done() -> None:
    """Wait for the tasks that a read left behind when one of them failed."""
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


@contextlib.contextmanager
def fresh_connections() -> Iterator[None]:
    """Forget fsspec's file systems before and after: they keep connections and listings, and a server of another test may have the same port.

    After a read that failed, wait for what it left running.
    """
    from fsspec.asyn import get_loop, sync
    from fsspec.implementations.http import HTTPFileSystem
    from zarr.core.sync import sync as zarr_sync

    def forget() -> None:
        zarr_sync(_others_done())
        for each in list(HTTPFileSystem._cache.values()):
            session, each._session = each._session, None
            if session is not None:  # zarr's file systems run on zarr's loop, all others on fsspec's
                zarr_sync(session.close()) if each.asynchronous else sync(get_loop(), session.close)
        HTTPFileSystem.clear_instance_cache()

    forget()
    try:
        yield
    finally:
        forget()


def by_fsspec(url: str, paths: Paths, zarr_format: int | None = None) -> Arrays:
    """Read with zarr-python, which makes fsspec's HTTP file system of a URL."""
    import zarr

    with fresh_connections():
        group = zarr.open_group(url, mode="r", zarr_format=zarr_format)
        return {path: np.asarray(group[path][part]) for path, part in _selections(paths).items()}


def by_obstore(url: str, paths: Paths, zarr_format: int | None = None) -> Arrays:
    """Read with zarr-python and obstore. Arrays are opened by path: it lists by PROPFIND, which few servers answer."""
    import zarr
    from obstore.store import HTTPStore
    from zarr.storage import ObjectStore

    options: Any = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": RETRIES}}
    store = ObjectStore(HTTPStore.from_url(url.rstrip("/"), **options), read_only=True)
    with fresh_connections():
        opened = {path: zarr.open_array(store, path=path, mode="r", zarr_format=zarr_format) for path in paths}
        return {path: np.asarray(opened[path][part]) for path, part in _selections(paths).items()}


def by_tensorstore(url: str, paths: Paths, zarr_format: int | None = None) -> Arrays:
    """Read with tensorstore; without a format, it finds it out itself."""
    import tensorstore as ts

    context = ts.Context({"http_request_retries": {"max_retries": RETRIES, "initial_delay": "100ms"}})
    driver = {2: "zarr", 3: "zarr3", None: "auto"}[zarr_format]
    places = {path: f"{url.rstrip('/')}/{path}/" for path in paths}
    opened = {
        path: ts.open({"driver": driver, "kvstore": place}, read=True, context=context).result()
        for path, place in places.items()
    }
    return {path: np.asarray(opened[path][part].read().result()) for path, part in _selections(paths).items()}


def by_xarray(url: str, paths: Paths, zarr_format: int | None = None) -> Arrays:
    """Read with xarray, by dask. A group is opened for each array, as xarray's users do."""
    import xarray as xr

    found: Arrays = {}
    with fresh_connections():
        for path, part in _selections(paths).items():
            group = str(PurePosixPath(path).parent)
            options: dict[str, Any] = {"decode_cf": False, "zarr_format": zarr_format}
            with xr.open_zarr(url, group=None if group == "." else group, **options) as dataset:
                found[path] = dataset[PurePosixPath(path).name][part].to_numpy()
    return found


CLIENTS = {"fsspec": by_fsspec, "obstore": by_obstore, "tensorstore": by_tensorstore, "xarray": by_xarray}


def everything(
    url: str, paths: Paths, formats: Sequence[int | None], but: Sequence[str] = ()
) -> dict[tuple[str, int | None], Arrays]:
    """Read arrays with all clients, in each of some formats (None: they find it out); return values by client and format."""
    return {
        (name, zarr_format): read(url, paths, zarr_format)
        for zarr_format in formats
        for name, read in CLIENTS.items()
        if name not in but
    }


def members(url: str, zarr_format: int | None = None, *, consolidated: bool | None = None) -> dict[str, str]:
    """Return the kinds of all members by path, as zarr-python finds them: by consolidated metadata, or by the pages that list children."""
    import zarr

    with fresh_connections(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="Object at")  # a page names what is no member
        group = zarr.open_group(url, mode="r", zarr_format=zarr_format, use_consolidated=consolidated)
        return {path: type(each).__name__.lower() for path, each in group.members(max_depth=None)}


def assert_same(found: Arrays, expected: Arrays, who: object = "") -> None:
    """Fail unless two sets of arrays are equal: names, shapes, types (byte order aside) and values, missing ones included."""
    assert found.keys() == expected.keys(), who
    for path, values in expected.items():
        mine, theirs = found[path], np.asarray(values)
        assert mine.shape == theirs.shape, (who, path)
        assert mine.dtype.kind == theirs.dtype.kind, (who, path)
        assert mine.dtype.itemsize == theirs.dtype.itemsize or mine.dtype.kind in "OTU", (who, path)
        np.testing.assert_array_equal(mine, theirs, err_msg=f"{who} {path}", strict=False)
