"""The datasets and the application for some settings; they follow the configuration files."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from zapz.config.files import Layers
from zapz.config.serve_settings import ServedDataset, ServeSettings, reread
from zapz.config.serve_types import check_name
from zapz.config.settings import Config
from zapz.errors import ConfigError, ZapzError
from zapz.server.access import Access
from zapz.server.application import Application
from zapz.server.datasets import Datasets
from zapz.server.given_data import is_several
from zapz.server.limits import Limit
from zapz.server.metrics import Metrics
from zapz.server.opening import Opening
from zapz.server.served import Served
from zapz.sources.shared_cache import SharedCache

_LOG = logging.getLogger("zapz.server")
_REREAD = 1.0
"""Time between checks of the configuration files, in seconds."""


class Service:
    """The application for some settings; it follows changes of the configured datasets."""

    def __init__(
        self, settings: ServeSettings, layers: Layers, config: Config, states: Path | None, tokens: tuple[str, ...]
    ) -> None:
        """Open the datasets.

        Raises:
            ZapzError: A dataset cannot be opened.
        """
        self._settings = settings
        self._layers = layers
        self._config = config
        metrics, memory = Metrics(), Limit(settings.max_memory)
        cache = SharedCache(config.memory_limit)
        self._opening = Opening(
            refresh=settings.refresh, memory=memory, metrics=metrics, chunks=cache, blocks=cache, states=states
        )
        self._entries: list[tuple[ServedDataset, dict[str, Served]]] = []
        self.datasets = Datasets(self._open_all(settings.datasets))
        hosts = {settings.host.lower(), *settings.allowed_hosts}
        self.application = Application(
            self.datasets,
            access=Access(hosts=frozenset(hosts), tokens=tokens, origins=frozenset(settings.cors)),
            inflight=Limit(settings.max_inflight),
            memory=memory,
            metrics=metrics,
            log=_print if settings.log else None,
        )
        self._ended = threading.Event()

    def _open_all(self, datasets: tuple[ServedDataset, ...]) -> dict[str, Served]:
        """Return what is served, by name; what has not changed stays open.

        Raises:
            ConfigError: Two datasets have the same name.
            ZapzError: A dataset cannot be opened.
        """
        opened: list[tuple[ServedDataset, dict[str, Served]]] = []
        for dataset in datasets:
            same = next((several for each, several in self._entries if each == dataset), None)
            opened.append((dataset, self._open(dataset) if same is None else same))
        found: dict[str, Served] = {}
        for dataset, several in opened:
            if twice := several.keys() & found.keys():
                raise ConfigError(
                    "two datasets have the same name", where=f"serve.datasets.{dataset.name}", found=min(twice)
                )
            found |= several
        self._entries = opened
        return found

    def _open(self, dataset: ServedDataset) -> dict[str, Served]:
        """Open a dataset; a factory may return several, each with its own name.

        Raises:
            ConfigError: A factory failed, or a name cannot be used.
            ZapzError: A dataset cannot be opened.
        """
        config, title = self._config, dataset.title or ""
        if dataset.place is not None:
            served = self._opening.at(dataset.name, dataset.place, dataset.storage_options, config, title)
            served.current()
            return {dataset.name: served}
        config = replace(config, zarr_format=dataset.format, variables=dataset.variables)
        thing = _made(dataset)
        things: Mapping[object, object] = thing if is_several(thing) else {dataset.name: thing}  # type: ignore[assignment]
        found: dict[str, Served] = {}
        for name, each in things.items():
            key = check_name(name, str(dataset.factory))
            found[key] = self._opening.of(key, each, config, title)
            found[key].current()
        return found

    def followed(self) -> Application:
        """Follow the configuration files, in a thread, until ``close``; return the application."""
        threading.Thread(target=self._follow, name="zapz-config", daemon=True).start()
        return self.application

    def _follow(self) -> None:
        told = ""
        while not self._ended.wait(_REREAD):
            try:
                settings = reread(self._settings, self._layers)
                if settings.datasets == self._settings.datasets:
                    told = ""
                    continue
                served = self._open_all(settings.datasets)
            except ZapzError as error:
                if (line := f"{error}") != told:
                    _LOG.error("the datasets stay as they are: %s", line)
                told = line
                continue
            self._settings = settings
            for gone in self.datasets.replace(served):
                gone.close()
            _LOG.info("datasets: %s", ", ".join(self.datasets))

    def close(self) -> None:
        """Stop following, and release all datasets."""
        self._ended.set()
        for gone in self.datasets.replace({}):
            gone.close()


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _made(dataset: ServedDataset) -> object:
    """Return what a factory returns.

    Raises:
        ConfigError: It cannot be found, or failed.
    """
    from zapz.sources.slice_source import import_from_here  # imported where used: places need none
    from zapz.sources.slice_source import resolve as found

    import_from_here()
    function: Callable[[], object] = found(str(dataset.factory))
    try:
        return function()
    except ZapzError:
        raise
    except Exception as error:
        raise ConfigError(
            "a factory failed",
            where=str(dataset.factory),
            found=f"{type(error).__name__}: {error}",
            hint="Correct it; --traceback shows where.",
        ) from error
