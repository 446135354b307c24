"""Open what is to be served: places, open stores, arrays, sources, and what a factory returns."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from zapz.config.settings import Config
from zapz.errors import ConfigError
from zapz.server.computed import Computed
from zapz.server.given_data import given_as
from zapz.server.growing import Growing
from zapz.server.limits import Limit
from zapz.server.loading import DatasetOrigin
from zapz.server.metrics import Metrics
from zapz.server.served import Served
from zapz.server.shared_states import SharedStates
from zapz.sources.open_slice import OpenSlice, how_slices_are_opened
from zapz.sources.shared_cache import SharedCache
from zapz.storage.open import archive_of, open_store, require_folder
from zapz.storage.store import Options, StoreOptions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opening:
    """Opens datasets for one server."""

    refresh: float
    """Time between checks of a dataset on an object store for changes, in seconds."""
    memory: Limit
    """Limit of bytes of chunks that are computed."""
    metrics: Metrics
    """Counts states of datasets."""
    chunks: SharedCache
    """Cache of encoded chunks."""
    blocks: SharedCache
    """Cache of computed blocks of lazy arrays."""
    states: Path | None = None
    """Folder in which the processes of the server share earlier states; None for one process."""

    def at(self, name: str, place: str | os.PathLike[str], options: Options, config: Config, title: str) -> Served:
        """Open the dataset at a path or URI.

        Raises:
            NotFoundError: It does not exist.
            FormatError: It is not Zarr, is damaged, or is not supported.
            LockedError: It is being created.
            StoreError: Storage failed.
        """
        store = open_store(place, options, _how(config))
        require_folder(store)
        return self._growing(name, store, options, config, title, archive=archive_of(place))

    def _growing(
        self, name: str, store: Any, options: Options, config: Config, title: str, *, archive: str = ""
    ) -> Served:
        return Growing(
            DatasetOrigin(
                store=store, options=options, how=_how(config), append_dim=config.append_dim, archive=archive
            ),
            title=title,
            refresh=self.refresh,
            shared=None if self.states is None else SharedStates(self.states / name),
            count=partial(self.metrics.event, name),
            reserve=partial(_reserve, self.memory),
        )

    def of(self, name: str, thing: Any, config: Config, title: str = "") -> Served:
        """Return what serves a dataset.

        Args:
            name: Its name.
            thing: A path or URI; a zarr store or group, an fsspec mapper; a mapping of variables, a
                dataset of xarray, an array-like; a ``zapz.Source``; a context manager of one.
            config: Settings: encoding of variables, Zarr format of arrays, append dimension.
            title: Its title.

        Raises:
            ConfigError: It is none of these.
            ZapzError: It cannot be opened.
        """
        given = given_as(name, thing, config, self.blocks)
        if isinstance(given, str):
            return self.at(name, given, {}, config, title)
        if not isinstance(given, OpenSlice):
            return self._growing(name, given, {}, config, title)
        return Computed(given, config, self.chunks, title=title, reserve=partial(_reserve, self.memory))


def _how(config: Config) -> StoreOptions:
    """Return how a dataset and its links are opened: also a target whose journal is beside it."""
    return replace(how_slices_are_opened(config), beside=config.journal == "beside")


def _reserve(memory: Limit, size: int) -> Callable[[], None]:
    """Reserve memory for a chunk that is computed.

    Raises:
        BusyError: There is not enough now.
        ConfigError: The chunk needs more than the limit.
    """
    if size > memory.most:
        raise ConfigError(
            "a chunk needs more memory than the server may use",
            expected=f"at most {memory.most} bytes",
            found=f"{size}",
            hint="Configure smaller chunks, or raise max_memory.",
        )
    return memory.take(size)
