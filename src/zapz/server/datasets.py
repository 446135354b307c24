"""The datasets of a server by name, replaced as a whole when the configuration changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from zapz.server.served import Served

_VIEWS = {".v2": 2, ".v3": 3}


class Route(NamedTuple):
    """What the path of a request names."""

    name: str
    """Name of the dataset."""
    served: Served
    """The dataset."""
    zarr_format: int | None
    """Zarr format; None for its own."""
    generation: str
    """The state that is requested; "" for the newest."""
    key: str
    """Key below the dataset."""
    has_slash: bool
    """Whether a slash follows the name of the dataset."""

    @property
    def url_name(self) -> str:
        """Name of the dataset in URLs, with the format that was requested."""
        return self.name if self.zarr_format is None else f"{self.name}.v{self.zarr_format}"


class Datasets(Mapping[str, Served]):
    """Datasets by name."""

    def __init__(self, datasets: Mapping[str, Served]) -> None:
        self._all = dict(datasets)

    def __getitem__(self, name: str) -> Served:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def replace(self, datasets: Mapping[str, Served]) -> list[Served]:
        """Replace all datasets at once; return those that are no longer served, to be closed."""
        gone = [served for served in self._all.values() if all(served is not each for each in datasets.values())]
        self._all = dict(datasets)
        return gone

    def holds(self, name: str, served: Served) -> bool:
        """Return whether a dataset is still served under a name."""
        return self._all.get(name) is served

    def route(self, path: str) -> Route | None:
        """Return what the path of a request names; None if it names no dataset.

        ``/name``, ``/name.v3`` and ``/name@0123456789abcdef`` may be followed by a slash and a key.
        """
        first, slash, key = path[1:].partition("/")
        key = key.lstrip("/")  # obstore joins an address that ends in a slash and a key with another slash
        name, mark, generation = first.partition("@")
        if mark and not generation:
            return None
        zarr_format = None
        if name not in self._all:
            name, zarr_format = name[:-3], _VIEWS.get(name[-3:])
            if zarr_format is None or name not in self._all:
                return None
        return Route(name, self._all[name], zarr_format, generation, key, bool(slash))
