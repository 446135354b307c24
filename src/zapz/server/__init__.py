"""Serve datasets as Zarr over HTTP, while they grow.

``asgi`` makes an application for other programs; ``zapz serve`` is the command.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zapz.config.layers import Settings
    from zapz.server.asgi_adapter import AsgiAdapter

__all__ = ["asgi"]


def asgi(
    datasets: Mapping[str, Any],
    config: Settings | None = None,
    *,
    tokens: Collection[str] = (),
    origins: Collection[str] = (),
    hosts: Collection[str] | None = None,
    refresh: float = 1.0,
    max_inflight: int = 64,
    max_memory: int = 1 << 30,
) -> AsgiAdapter:
    """Return an ASGI application that serves datasets; mount it in any other one.

    Args:
        datasets: Datasets by name: a path or URI, an open zarr store or group, an fsspec mapper, a
            mapping ``name -> (dims, array)``, a dataset or tree of xarray, an array (NumPy, dask,
            anything with ``shape``, ``dtype`` and ``__getitem__``), or a ``zapz.Source``.
        config: Settings, such as ``variables`` (encoding of arrays), ``zarr_format``,
            ``append_dim``, ``memory_limit`` and ``follow_links``.
        tokens: Tokens of which each request must have one; empty if requests need no token.
        origins: Origins whose web pages may read the data; ``["*"]`` for all.
        hosts: Names by which clients may address the server (``Host``), besides loopback names and
            its own address. None if the other application checks them.
        refresh: Time between checks of a dataset on an object store for changes, in seconds.
        max_inflight: Maximum number of requests that are processed at the same time.
        max_memory: Maximum memory for replies and computed chunks, in bytes.

    Raises:
        ConfigError: A name or a setting is wrong, or something cannot be served.
        ZapzError: A dataset cannot be opened.
    """
    from zapz.config.layers import make
    from zapz.config.serve_types import check_name
    from zapz.server.access import Access
    from zapz.server.application import Application
    from zapz.server.asgi_adapter import AsgiAdapter
    from zapz.server.datasets import Datasets
    from zapz.server.limits import Limit
    from zapz.server.metrics import Metrics
    from zapz.server.opening import Opening
    from zapz.sources.shared_cache import SharedCache

    for name in datasets:
        check_name(name, "datasets")
    made = make(config or {})
    metrics, memory, cache = Metrics(), Limit(max_memory), SharedCache(made.memory_limit)
    opening = Opening(refresh=refresh, memory=memory, metrics=metrics, chunks=cache, blocks=cache)
    served = {name: opening.of(name, thing, made) for name, thing in datasets.items()}
    for each in served.values():
        each.current()
    access = Access(
        hosts=None if hosts is None else frozenset(map(str.lower, _each(hosts))),
        tokens=_each(tokens),
        origins=frozenset(_each(origins)),
    )
    application = Application(
        Datasets(served), access=access, inflight=Limit(max_inflight), memory=memory, metrics=metrics
    )
    return AsgiAdapter(application)


def _each(given: Collection[str]) -> tuple[str, ...]:
    """Return what was given one by one; a text is one, not a collection of its characters."""
    return (given,) if isinstance(given, str) else tuple(given)
