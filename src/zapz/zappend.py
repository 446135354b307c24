"""zappend's Python API on top of zapz: ``from zapz.zappend import zappend, SliceSource`` in place of ``zappend.api``.

`zappend` takes the same arguments in the same order and returns the number of slices. A new target
is Zarr v2, as zappend's, unless ``zarr_version`` (or ``zarr_format``) says otherwise, and files
that are no Zarr (NetCDF) are opened by ``xarray.open_dataset``, if xarray is installed. Everything
else is zapz: its checks, its errors, its transactions.

Left out, because nothing in zapz is like it:

- ``FileObj``. For a slice elsewhere give its URI and ``slice_storage_options``, or
  ``fsspec.get_mapper(uri, **options)``; for the target ``target_dir`` and
  ``target_storage_options``. ``ctx.config.target_dir`` is text.
- Of ``Context`` ``last_append_label``, ``target_metadata`` and ``get_dataset_metadata``;
  ``ctx.config`` is there. Neither ``Context`` nor ``Config`` is made from a dictionary: they are
  what a slice source receives.
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
"""What is another one by default than zapz's."""


class SliceSource(ABC):
    """What opens one slice, and closes it when it has been appended; the same as zappend's."""

    def __init__(self, ctx: Context | None = None) -> None:
        self.ctx = ctx

    @abstractmethod
    def get_dataset(self) -> SliceItem:
        """Return the slice. Called once."""

    def close(self) -> None:
        """Let go of what ``get_dataset`` opened. Called once, whether the slice has been appended or not."""
        self.dispose()

    def dispose(self) -> None:  # noqa: B027 - nothing to close is common
        """Let go of it: the older name of ``close``, which calls it."""


ConfigItem = Mapping[str, object] | ConfigFile
"""A configuration: settings, or a file of them."""
ConfigList = Sequence[ConfigItem]
"""Configurations, later ones winning."""
SliceItem = object
"""What can be a slice (see `zapz.append`), or an argument of the setting ``slice_source``."""
SliceCallable = Callable[..., SliceItem]
"""What can be a slice source: a function, or a class such as those derived from `SliceSource`."""


def zappend(slices: Iterable[SliceItem], config: ConfigLike = None, **kwargs: Unpack[AliasedSettings]) -> int:
    """Append slices to the target that ``target_dir`` names, each of them all or not at all.

    Args:
        slices: Slices, or arguments of the setting ``slice_source``, as `zapz.append` takes them.
        config: A configuration, or several, later ones winning.
        **kwargs: Settings by name, among them ``target_dir``; they win over ``config``, and None
            says nothing.

    Returns:
        How many slices there were.

    Raises:
        ZapzError: As `zapz.append` does.
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
