"""Open what a user passes as a slice: paths, open stores, arrays, sources, and wrappers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TypeGuard

from zapz.config.settings import Config
from zapz.errors import ConfigError, SliceError
from zapz.sources.contexts import Exit, entered, is_multi_level, leave_under
from zapz.sources.open_slice import OpenSlice, how_slices_are_opened, open_given, open_source
from zapz.sources.readiness import open_slice
from zapz.sources.source import Source
from zapz.storage.local.posix import is_folder
from zapz.storage.open import is_given
from zapz.storage.store import ReadableStore
from zapz.storage.uris import is_local, local_path

_ZARR_FORMAT = 3
"""Format of a target that is created from arrays, if none is configured; as in zarr-python and
xarray."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """The argument ``ctx`` of a slice source that has this parameter."""

    config: Config
    """The settings of the append; ``ctx.config.extra`` holds the user's own."""
    target_dir: str
    """The target, as text for display."""


class Opener:
    """Opens the items of one call."""

    def __init__(
        self,
        config: Config,
        target: ReadableStore,
        apart: Callable[[str], None],
        cancelled: Callable[[], bool] | None = None,
        waits: Callable[[str, float], None] | None = None,
    ) -> None:
        self._cancelled = cancelled
        self._waits = waits
        self.config = config
        self.target = target
        self._apart = apart
        self._numbers = count()

    def open(self, item: Any) -> OpenSlice:
        """Open one item; wait for it if it is a path or URI and waiting is configured.

        Args:
            item: The item that the user passed, or arguments for the slice source.

        Raises:
            SliceError: It is not a slice.
            ZapzError: The slice cannot be opened.
        """
        config = self.config
        made, name = item, None
        naming: AbstractContextManager[Any] = nullcontext()
        if config.slice_source is not None:
            from zapz.sources.names import name_of
            from zapz.sources.slice_source import Naming, invoke, resolve  # imported here: not needed for paths

            function = resolve(config.slice_source)
            made = invoke(
                function, item, config.slice_source_kwargs, Context(config=config, target_dir=self.target.uri)
            )
            naming = Naming(function, item)
            name = name_of(item)
        with naming:
            inner, leave = entered(made, ours=config.slice_source is not None)
            try:
                number = f"slice {next(self._numbers)}"
                opened = self._opened(inner, name or number, leave)
                for place in opened.places:
                    self._apart(place)
                if opened.given is not None:
                    opened.given.naming = naming
                return replace(opened, name=name) if name and opened.has_place else opened
            except BaseException as error:
                leave_under(leave, error)
                raise

    def _opened(self, item: Any, label: str, leave: Exit) -> OpenSlice:
        config = self.config
        if is_multi_level(item):
            from zapz.sources.trees import stored_place  # imported where used: not needed for paths

            item = stored_place(item) or item
        if isinstance(item, str | os.PathLike):
            return replace(self._at(item, label), close=leave)
        if isinstance(item, Source):
            if config.slice_source is not None and item.uri is Source.uri:  # the default: the source did not set a name
                with suppress(AttributeError):
                    item.uri = label
            return replace(open_given(item, config), close=leave)
        if is_given(item):
            from zapz.storage.adapters import slice_store  # imported here: not needed for paths

            store = slice_store(item, how_slices_are_opened(config))
            if store is not None:
                self._apart(store.uri)
                return replace(open_source(store, config), close=leave)
        if _looks_like_arrays(item):
            return replace(self._of_arrays(item, label), close=leave)
        if config.slice_source is not None:
            raise SliceError(
                "the slice source returned an unsupported type",
                where=label,
                expected="a path or URI, a dataset, a mapping, a zarr group, a zapz.Source, or a context manager of one",
                found=type(item).__name__,
                hint="Check that it returns the slice.",
            )
        raise SliceError(
            "unsupported slice type",
            where=label,
            expected="a path or URI, a zarr store or group, a mapping name -> (dims, array), a dataset, or a zapz.Source",
            found=type(item).__name__,
            hint="If it is an argument of a function that creates slices, set slice_source, or use append_map.",
        )

    def _of_arrays(self, item: Any, label: str) -> OpenSlice:
        """Open a slice of arrays in memory."""
        from zapz.sources.arrays import Options, source_of  # imported here: not needed for paths

        config = self.config
        folder = config.temp_dir if config.temp_dir is not None and is_local(config.temp_dir) else None
        if folder is not None and not is_folder(str(local_path(folder))):
            raise ConfigError(
                "no such folder", where="temp_dir", found=folder, hint="Create it, or remove the setting temp_dir."
            )
        options = Options(
            dim=config.append_dim,
            zarr_format=config.zarr_format or _ZARR_FORMAT,
            memory_limit=config.memory_limit,
            folder=folder,
            on_disk=config.persist_mem_slices,
        )
        if is_multi_level(item) or getattr(item, "children", None):
            from zapz.sources.trees import source_of_tree  # imported here: most slices are one dataset

            return open_given(source_of_tree(item, label, options), config)
        return open_given(source_of(item, label, options), config)

    def _at(self, item: str | os.PathLike[str], label: str) -> OpenSlice:
        """Open the slice at a path or URI."""
        if not os.fspath(item).strip() or "\0" in os.fspath(item):
            raise SliceError("invalid path of a slice", where=label, expected="a path or URI", found=repr(item))
        self._apart(os.fspath(item))
        return open_slice(item, self.config, self._cancelled, self._waits)


def _looks_like_arrays(item: Any) -> bool:
    """Return whether an item is a mapping of variables, or like a dataset or array of xarray."""
    dataset = all(hasattr(item, part) for part in ("variables", "dims", "attrs"))
    return (
        isinstance(item, Mapping)
        or is_multi_level(item)
        or dataset
        or all(hasattr(item, part) for part in ("coords", "dims", "attrs"))
    )


def items_of(slices: Any) -> Iterable[Any]:
    """Return what a user passed as ``slices`` as an iterable of items; a single item is allowed.

    Raises:
        SliceError: It is neither an item nor an iterable.
    """
    single = (
        isinstance(slices, str | os.PathLike | Mapping | Source)
        or is_given(slices)
        or _looks_like_arrays(slices)
        or hasattr(slices, "get_dataset")
        or (hasattr(type(slices), "__enter__") and not hasattr(slices, "__iter__"))
    )
    if single:
        return [slices]
    if not hasattr(slices, "__iter__") or isinstance(slices, bytes | bytearray):
        raise SliceError(
            "unsupported type of slices",
            where="slices",
            expected="a slice, or an iterable of slices (or of arguments for slice_source)",
            found=type(slices).__name__,
        )
    found: Iterable[Any] = slices
    return found


def are_known(items: Iterable[Any], config: Config) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Return whether all items are known in advance, and are paths or URIs."""
    return (
        isinstance(items, Sequence)
        and config.slice_source is None
        and all(isinstance(item, str | os.PathLike) for item in items)
    )


def are_places(items: Iterable[Any], config: Config) -> bool:
    """Return whether opening the items neither waits nor computes, so that a lock may be held."""
    return are_known(items, config) and config.polling is None and not config.prefetch
