"""The Python API: ``append``, ``plan``, ``execute``, ``recover``, ``info``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zapz import config_files
from zapz.appender import Appender, OnSlice, check_apart, open_target
from zapz.config import Config
from zapz.errors import (
    ConfigError,
    ConflictError,
    SliceError,
)
from zapz.planning import Plan
from zapz.reports import Report, SliceReport, total
from zapz.running import is_unchanged, run_plan
from zapz.sources.stores import Item, Target
from zapz.storage.dataset import fingerprint
from zapz.storage.opening import open_store, require_folder
from zapz.storage.uris import is_local, place_of, public
from zapz.txn import sessions
from zapz.txn.recover import Recovery
from zapz.waiting import open_slice

if TYPE_CHECKING:
    from zapz.description import Info
    from zapz.txn.vacuuming import Vacuumed


def append(
    target: Target,
    slices: Item | Iterable[Item],
    config: Config | Mapping[str, Any] | Item | Sequence[Item] | None = None,
    *,
    on_slice: OnSlice | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Report:
    """Append slices to a target along a dimension, each of them all or not at all.

    Args:
        target: Path or URI of the Zarr target; it is created from the first slice if it does not exist.
        slices: Paths or URIs of Zarr slices, in the order in which they are appended.
        config: A configuration, a mapping of settings, or configuration files.
        on_slice: Called after each slice with its report.
        on_progress: Called with chunks done and chunks planned of the current slice, from any thread.
        **settings: Settings by name; they win over ``config``.

    Returns:
        What was done.

    Raises:
        ConfigError: A setting is wrong.
        SliceError: A slice may not follow; it and the slices after it are not appended, those before it stay.
        FormatError: The target or a slice is not (supported) Zarr, or damaged.
        ChunkError: A chunk of a slice is damaged.
        StoreError: Storage failed.
        LockedError: Another process is appending.
        ConflictError: Another tool changed the target meanwhile.
        JournalError: What an earlier run left is damaged.
    """
    return Appender(target, _configured(config, settings, target), on_slice, on_progress).run(slices)


def _configured(config: Any, settings: Mapping[str, Any], target: Target) -> Config:
    result = config_files.resolve(config, settings)
    here = os.fspath(target) if isinstance(target, str | os.PathLike) else target.uri
    if result.target_dir is not None and place_of(result.target_dir) != place_of(here):
        raise ConfigError(
            "the configuration names another target",
            where="target_dir",
            expected=public(result.target_dir),
            found=public(here),
            hint=f"Either `zapz append {public(result.target_dir)} SLICE...` with that configuration, "
            f"or another configuration for {public(here)}. Nothing was touched.",
        )
    return result


def plan(target: Target, slices: Item | Iterable[Item], config: Any = None, **settings: Any) -> Plan:
    """Plan the append of one slice, touching nothing and taking no lock.

    Args:
        target: Path or URI of the target.
        slices: The slice; an iterable must hold exactly one, because a later slice's plan depends on the one before.
        config: A configuration, a mapping of settings, or configuration files.
        **settings: Settings by name.

    Raises:
        ZapzError: As ``append`` does.
    """
    made = replace(_configured(config, settings, target), dry_run=True)
    items = [slices] if isinstance(slices, str | os.PathLike) else list(slices)
    if len(items) != 1:
        raise ConfigError("a plan is made for one slice", where="slices", expected="1", found=str(len(items)))
    appender = Appender(target, made, None, None)
    check_apart(appender.store, items[0], made)
    prepared = appender.prepare(open_slice(items[0], made), appender.look_only())
    if prepared.plan is None:
        raise SliceError(
            "there is nothing to plan", where=prepared.source.uri, found=f"a slice that is {prepared.outcome}"
        )
    return prepared.plan


def execute(plan: Plan, config: Any = None, **settings: Any) -> Report:
    """Execute a plan, perhaps one that another process made and serialised.

    Raises:
        ConflictError: The target is no longer what the plan builds on.
        ZapzError: As ``append`` does.
    """
    started = time.perf_counter()
    made = config_files.resolve(config, settings)
    appender = Appender(plan.target_uri, made, None, None)
    options = made.slice_storage_options if not is_local(plan.slice_uri) else None
    source = open_store(plan.slice_uri, options, follow_links=made.follow_links)
    if not is_unchanged(plan, source, None):
        raise ConflictError(
            "the slice is no longer what the plan was made for", where=plan.slice_uri, hint="Plan again."
        )
    with appender.held() as (session, state):
        here = fingerprint(state.dataset.documents) if state.dataset is not None else {}
        if any(here.get(key) != digest for key, digest in plan.base.items()):
            raise ConflictError(
                "the target is no longer what the plan builds on", where=plan.target_uri, hint="Plan again."
            )
        counts = run_plan(plan, source, session, made)
    report = SliceReport(
        slice=plan.slice_uri,
        outcome="appended",
        steps=plan.placement.length,
        copied_chunks=counts.copied,
        encoded_chunks=counts.encoded,
        bytes_written=counts.bytes,
    )
    return total(
        plan.target_uri,
        [report],
        plan.placement.offset + plan.placement.length,
        Recovery(),
        time.perf_counter() - started,
    )


def recover(target: Target, config: Any = None, **settings: Any) -> Recovery:
    """Finish or undo what a crashed run left in a target.

    Raises:
        ConflictError: Another tool wrote over it; nothing of the target was removed.
        JournalError: A journal is damaged or newer; nothing was touched.
        LockedError: Another process is appending.
        NotFoundError: There is no such target.
    """
    made = config_files.resolve(config, settings)
    store = open_target(target, made)
    require_folder(store)
    return sessions.recover_left(store, made.lock_wait)


def unlock(target: Target, config: Any = None, **settings: Any) -> bool:
    """Remove a lock whose holder is gone; return whether there was one. What it left is for ``recover`` or the next append.

    Raises:
        LockedError: The holder lives, or its lease is fresh.
        NotFoundError: There is no such target.
    """
    store = open_target(target, config_files.resolve(config, settings))
    require_folder(store)
    return sessions.unlock(store)


def vacuum(target: Target, config: Any = None, **settings: Any) -> Vacuumed:
    """Remove what aborted runs left: on object stores chunks beyond the shape, locally commits that another tool wrote over.

    Raises:
        LockedError: Somebody is at work, or was until very recently.
        NotFoundError: There is no such target.
    """
    from zapz.txn import vacuuming

    made = config_files.resolve(config, settings)
    store = open_target(target, made)
    require_folder(store)
    return vacuuming.vacuum(store, made.lock_wait, os.urandom(8).hex())


def info(target: Target, config: Any = None, **settings: Any) -> Info:
    """Describe a target: dimensions, variables, codecs, range of labels, lock and journal.

    Raises:
        FormatError: It is not (supported) Zarr.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
    """
    from zapz.description import info_of

    made = config_files.resolve(config, settings)
    return info_of(open_target(target, made), made)
