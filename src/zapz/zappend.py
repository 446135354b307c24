"""zappend's Python API on top of zapz.

Write ``from zapz.zappend import zappend, SliceSource`` in place of ``from zappend.api import ...``.
`zappend` accepts the same arguments in the same order and returns the number of slices. A new
target is Zarr v2, as zappend's, unless ``zarr_version`` (or ``zarr_format``) is set. Files that are
not Zarr (NetCDF) are opened by ``xarray.open_dataset``, if xarray is installed. Everything else is
zapz: its checks, its errors, its transactions.

Not available, because zapz has no equivalent:

- ``FileObj``. For a remote slice, use its URI and ``slice_storage_options``, or
  ``fsspec.get_mapper(uri, **options)``. For the target, use ``target_dir`` and
  ``target_storage_options``. ``ctx.config.target_dir`` is a string.
- ``last_append_label``, ``target_metadata`` and ``get_dataset_metadata`` of ``Context``;
  ``ctx.config`` is available. ``Context`` and ``Config`` cannot be created from a dictionary: zapz
  passes them to slice sources.
- ``zappend.contrib`` (``write_levels``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Unpack

from zapz.api import append
from zapz.config.files import ConfigFile, ConfigLike, resolve
from zapz.config.settings import Config
from zapz.config.settings_dict import AliasedSettings
from zapz.sources.opener import Context, items_of
from zapz.sources.xarray_files import file_or_item

__all__ = [
    "Config",
    "ConfigItem",
    "ConfigLike",
    "ConfigList",
    "Context",
    "SliceCallable",
    "SliceItem",
    "SliceSource",
    "zappend",
]

_DEFAULTS: Mapping[str, object] = {"zarr_format": 2}
"""Defaults that differ from zapz's."""


class SliceSource(ABC):
    """Opens one slice, and closes it after the append; the same interface as zappend's."""

    def __init__(self, ctx: Context | None = None) -> None:
        self.ctx = ctx

    @abstractmethod
    def get_dataset(self) -> SliceItem:
        """Return the slice. Called once."""

    def close(self) -> None:
        """Release what ``get_dataset`` opened; called once, also if the slice was not appended."""
        self.dispose()

    def dispose(self) -> None:  # noqa: B027 - nothing to close is common
        """Release what ``get_dataset`` opened; the older name of ``close``, which calls it."""


ConfigItem = Mapping[str, object] | ConfigFile
"""A configuration: settings, or a file of them."""
ConfigList = Sequence[ConfigItem]
"""Configurations; later ones override earlier ones."""
SliceItem = object
"""A slice (see `zapz.append`), or an argument of the setting ``slice_source``."""
SliceCallable = Callable[..., SliceItem]
"""A slice source: a function, or a class such as a subclass of `SliceSource`."""


def zappend(slices: Iterable[SliceItem], config: ConfigLike = None, **kwargs: Unpack[AliasedSettings]) -> int:
    """Append slices to the target that ``target_dir`` names, each completely or not at all.

    Args:
        slices: Slices, or arguments of the setting ``slice_source``, as `zapz.append` accepts them.
        config: A configuration, or several; later ones override earlier ones.
        **kwargs: Settings by name, among them ``target_dir``. They override ``config``; None is
            ignored.

    Returns:
        The number of slices.

    Raises:
        ZapzError: As `zapz.append`.
    """
    settings = {name: value for name, value in kwargs.items() if value is not None}
    made = resolve(config if isinstance(config, Config) else [_DEFAULTS, *_several(config)], settings)
    given: Any = slices
    if made.slice_source is None:
        items = items_of(slices)
        opened = (file_or_item(item, made.slice_engine) for item in items)
        given = list(opened) if isinstance(items, list | tuple) else opened
    return len(append(None, given, made).slices)


def _several(config: ConfigItem | ConfigList | None) -> ConfigList:
    if config is None:
        return ()
    return config if isinstance(config, Sequence) and not isinstance(config, str) else (config,)
