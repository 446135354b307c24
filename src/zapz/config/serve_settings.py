"""The setting ``serve`` as one value, with defaults; rules that concern several of its keys."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from zapz.config.files import Layers, resolve
from zapz.config.serve_types import ANY_ORIGIN, SERVE
from zapz.config.settings import Config
from zapz.errors import ConfigError

_WITHOUT_EFFECT = {"place": ("format", "variables"), "factory": ("storage_options",)}
"""Keys of a dataset that have no effect, by the kind of its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDataset:
    """A dataset that is served. It has either a place or a factory."""

    name: str
    """Its name, the first part of its URL."""
    place: str | None = None
    """Its path or URI; None if it has a factory."""
    factory: str | None = None
    """The function that creates it, ``module:function``; None if it has a place."""
    storage_options: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Storage options of its place for fsspec."""
    format: Literal[2, 3] = 3
    """Zarr format of the metadata at its own URL, if it has a factory."""
    variables: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Encoding and attributes of a factory's arrays, as validated for the setting ``variables``."""
    title: str | None = None
    """Its title; None if it has none."""
    fixed: bool = False
    """Whether it was given on the command line. It then stays when configuration files are read
    again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """All that ``zapz serve`` is asked to do. Instances can be pickled, for worker processes."""

    host: str
    """Address or host name at which the server listens; an IPv6 address has no brackets."""
    port: int
    """Its port; 0 for any free port."""
    workers: int
    """Number of processes."""
    refresh: float
    """Time between checks of a dataset on an object store, in seconds."""
    max_inflight: int
    """Maximum number of requests that are processed at the same time."""
    max_memory: int
    """Maximum memory for replies and computed chunks, in bytes."""
    cors: tuple[str, ...]
    """Origins whose pages may read the data, as browsers send them; ``("*",)`` for all."""
    allowed_hosts: tuple[str, ...]
    """Further accepted names in ``Host``, in lower case and without port."""
    token_file: str | None
    """File of tokens, of which each request must have one; None if requests need no token."""
    public: bool
    """Whether everyone may read the data."""
    stdlib: bool
    """Whether Python's standard library serves, even if uvicorn is installed."""
    log: bool
    """Whether each request is logged."""
    datasets: tuple[ServedDataset, ...]
    """The datasets, those of configurations first. Their names differ."""


def serve_settings(config: Config) -> ServeSettings:
    """Return the setting ``serve`` of a configuration, with defaults.

    Raises:
        ConfigError: The data would be exposed without consent, or a dataset is described wrongly.
    """
    given: dict[str, Any] = {name: key.default for name, key in SERVE.keys.items()} | dict(config.serve)
    cors = given["cors"]
    given["host"] = given["host"].removeprefix("[").removesuffix("]")
    given["cors"] = ((ANY_ORIGIN,) if given["public"] else ()) if cors is None else cors
    given["allowed_hosts"] = given["allowed_hosts"] or ()
    settings = ServeSettings(**{**given, "datasets": datasets_of(config)})
    _check_host(settings)
    _check_origins(settings)
    return settings


def datasets_of(config: Config) -> tuple[ServedDataset, ...]:
    """Return the datasets of a configuration, in its order.

    Raises:
        ConfigError: A dataset is described wrongly.
    """
    return tuple(_datasets(config))


def _datasets(config: Config) -> Iterator[ServedDataset]:
    entries: Any = config.serve.get("datasets", {})
    for name, given in entries.items():
        where = f"serve.datasets.{name}"
        sources = [kind for kind in _WITHOUT_EFFECT if kind in given]
        if len(sources) != 1:
            raise ConfigError(
                "a served dataset needs one source",
                where=where,
                expected="either `place` or `factory`",
                found="both" if sources else "neither",
                hint="A factory is a function that creates the dataset; all else is a place.",
            )
        for key in _WITHOUT_EFFECT[sources[0]]:
            if key in given:
                raise ConfigError(
                    f"a dataset with a {sources[0]} has no {key}",
                    where=f"{where}.{key}",
                    expected=f"{key} only with a {next(kind for kind in _WITHOUT_EFFECT if kind != sources[0])}",
                    hint="Remove it.",
                )
        yield ServedDataset(name=name, **given)


def reread(settings: ServeSettings, layers: Layers) -> ServeSettings:
    """Return settings with the datasets that configuration files have now.

    Datasets of the command line stay, as all other settings do. ``config.files.local_files``
    returns the files to watch.

    Args:
        settings: The settings so far.
        layers: The configuration files, and other layers of the configuration.

    Raises:
        ConfigError: A file cannot be read, or is wrong.
    """
    found = {dataset.name: dataset for dataset in datasets_of(resolve(layers, {}))}
    fixed = {dataset.name: dataset for dataset in settings.datasets if dataset.fixed}
    return replace(settings, datasets=tuple((found | fixed).values()))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address or host name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return address.is_loopback


def _check_host(settings: ServeSettings) -> None:
    if is_loopback(settings.host) or settings.public or settings.token_file is not None:
        return
    raise ConfigError(
        "other machines could read the data without a token",
        where="serve.host",
        expected="a loopback address (127.0.0.1, ::1, localhost), tokens, or data that are public",
        found=repr(settings.host),
        hint="`--token-file FILE` requires one of the file's tokens with each request. `--public` lets everyone read the data. In a file, "
        "these are the keys `token_file` and `public` of `[serve]`.",
    )


def _check_origins(settings: ServeSettings) -> None:
    if ANY_ORIGIN not in settings.cors or settings.public:
        return
    raise ConfigError(
        "web pages of any origin could read the data",
        where="serve.cors",
        expected='origins such as "https://maps.example.org", or data that are public',
        found=repr(ANY_ORIGIN),
        hint="Name each origin, or use `--public`, which lets everyone read the data (in a file, `public = true` in `[serve]`).",
    )
