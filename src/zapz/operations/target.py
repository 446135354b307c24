"""Open a target, and refuse targets and slices in unsuitable places."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import cast

from zapz.config.settings import Config
from zapz.errors import ConfigError, FormatError, SliceError
from zapz.storage.layout import OURS
from zapz.storage.open import is_given, open_store
from zapz.storage.store import ReadableStore, Store, StoreOptions
from zapz.storage.surroundings import surroundings_of
from zapz.storage.uris import canonical_uri


def open_target(target: object, config: Config) -> Store:
    """Open the store of a target, whatever the caller gave for it.

    Raises:
        ConfigError: The value is not a target.
        FormatError: There is a file of another format.
        AbilityError: The store cannot be written.
    """
    how = StoreOptions(
        durable=config.durability == "full",
        follow_links=config.follow_links,
        beside=config.journal == "beside",
        single_writer=config.single_writer,
    )
    if is_given(target):
        from zapz.storage.adapters import target_store  # imported where used: paths do not need it

        store = target_store(target, how)
        if store is not None:
            return store
    if isinstance(target, str | os.PathLike) and (not os.fspath(target).strip() or "\0" in os.fspath(target)):
        hint = "Is a shell variable unset?"
        raise ConfigError(
            "invalid target name", where="target", expected="a path or URI", found=repr(target), hint=hint
        )
    if not isinstance(target, str | os.PathLike):
        if hasattr(target, "abilities"):
            return cast("Store", target)
        raise ConfigError(
            "not a target",
            where="target",
            expected="a path or URI, an fsspec mapper, or a zarr store",
            found=type(target).__name__,
        )
    try:
        return open_store(target, config.target_storage_options, how)
    except FormatError as error:
        from zapz.storage.no_dataset import OtherFormatError  # imported where used: only errors need it

        if isinstance(error, OtherFormatError) and "slice_source" in error.remedies:
            hint = "The target must be a Zarr dataset and comes first, before the slices. This file can be a slice, with {slice_source}."
            error.advised(hint, error.remedies)
        raise


def check_surroundings(store: Store) -> None:
    """Refuse a target that is part of a larger dataset: a Zarr group, or a pyramid.

    The other levels of a pyramid would lack the appended data, and the consolidated metadata of an
    outer group would become stale. On object stores an outer group counts only if it has
    consolidated metadata.

    Raises:
        FormatError: The target is such a part; the error names the outer dataset.
    """
    around = surroundings_of(store)
    if around.pyramid is not None:
        raise FormatError(
            "the target is one level of a pyramid",
            where=store.uri,
            expected="a dataset that is not a level",
            found=f"a level of {around.pyramid}",
            hint=f"Append to the whole pyramid, {around.pyramid}, with slices that have all of its levels.",
        )
    if around.dataset is not None:
        raise FormatError(
            "the target is inside another Zarr dataset",
            where=store.uri,
            found=around.dataset,
            hint="Append to that dataset's root, or move the target out of it.",
        )


def apart_from(store: ReadableStore, config: Config) -> Callable[[str], None]:
    """Return a check that refuses the URI of a slice that overlaps the target.

    They overlap if they are the same, or one contains the other. Links are resolved, those of the
    target only once.
    """
    target = canonical_uri(store.uri)
    ours = {target, f"{target}{OURS}" if config.journal == "beside" else target}

    def check(uri: str) -> None:
        """Check the URI of one slice.

        Raises:
            SliceError: The slice overlaps the target.
        """
        slice_ = canonical_uri(uri)
        if slice_ in ours or _holds(slice_, target) or _holds(target, slice_):
            raise SliceError(
                "slice and target are the same, or one is inside the other",
                where=uri,
                expected="two separate datasets",
                found=f"target {store.uri}",
                hint="Give another slice.",
            )

    return check


def _holds(outer: str, inner: str) -> bool:
    return inner.startswith(outer.rstrip("/") + "/")
