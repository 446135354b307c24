"""Where a target is: how it is opened, and where it must not be."""

from __future__ import annotations

import os

from zapz.config import Config
from zapz.errors import ConfigError, FormatError, SliceError
from zapz.sources.stores import Target
from zapz.storage.given import is_given, open_given
from zapz.storage.local import LocalStore
from zapz.storage.opening import open_store
from zapz.storage.posix import is_file
from zapz.storage.store import OURS, Store
from zapz.storage.uris import place_of

_MARKS = (".zgroup", ".zarray", "zarr.json")


def open_target(target: Target, config: Config) -> Store:
    """Open the store of a target.

    Raises:
        ConfigError: It is nothing that can be a target.
        AbilityError: It cannot be written.
    """
    if is_given(target):
        store = open_given(
            target,
            durable=config.durability == "full",
            follow_links=config.follow_links,
            beside=config.journal == "beside",
            single_writer=config.single_writer,
        )
        if store is not None:
            return store
    if isinstance(target, str | os.PathLike) and not os.fspath(target).strip():
        hint = "Is a variable of the shell unset?"
        raise ConfigError(
            "the target has no name", where="target", expected="a path or URI", found=repr(target), hint=hint
        )
    if not isinstance(target, str | os.PathLike):
        if hasattr(target, "abilities"):
            opened: Store = target
            return opened
        raise ConfigError(
            "nothing that can be a target",
            where="target",
            expected="a path or URI, an fsspec mapper, or a zarr store",
            found=type(target).__name__,
        )
    return open_store(
        target,
        config.target_storage_options,
        durable=config.durability == "full",
        follow_links=config.follow_links,
        beside=config.journal == "beside",
        single_writer=config.single_writer,
    )


def check_surroundings(store: Store) -> None:
    """Refuse a target that lies inside another Zarr group, whose consolidated metadata would not know of it.

    Raises:
        FormatError: It does; names the root.
    """
    if not isinstance(store, LocalStore):
        return
    for folder in store.root.resolve().parents:
        for mark in _MARKS:
            if is_file(str(folder / mark)):
                raise FormatError(
                    "the target lies inside another Zarr dataset",
                    where=store.uri,
                    found=f"{folder}",
                    hint="Append to that dataset's root, or move the target out of it.",
                )


def check_apart(store: Store, name: str, config: Config) -> None:
    """Refuse a slice that is, contains, or lies in the target; links are resolved.

    Raises:
        SliceError: It does.
    """
    a, b = place_of(store.uri), place_of(name)
    if (
        b in {a, f"{a}{OURS}" if config.journal == "beside" else a}
        or a.startswith(b.rstrip("/") + "/")
        or b.startswith(a.rstrip("/") + "/")
    ):
        raise SliceError(
            "slice and target are the same, or one lies inside the other",
            where=name,
            expected="two places",
            found=f"target {store.uri}",
            hint="Give another slice.",
        )
