"""The Python API.

``append`` and ``append_map`` append slices. ``plan`` and ``execute`` do it in two parts.
``recover``, ``unlock`` and ``vacuum`` clean up after crashed runs. ``info`` and ``check`` only
read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import Unpack

import zapz  # for annotations alone: its names are loaded when the types are looked up
from zapz.config import files
from zapz.config.files import ConfigLike, Encodings
from zapz.config.settings import Config
from zapz.errors import ConfigError
from zapz.operations.append import Appender, Cancel, OnPhase, OnProgress, OnRecovery, OnSlice
from zapz.operations.target import open_target
from zapz.planning.plan import Plan
from zapz.reports import Recovery, Report
from zapz.sources.opener import items_of
from zapz.storage.uris import canonical_uri, redact


def append(
    target: zapz.TargetLike | None,
    slices: zapz.SlicesLike,
    config: ConfigLike = None,
    *,
    encoding: Encodings | None = None,
    on_slice: OnSlice | None = None,
    on_progress: OnProgress | None = None,
    on_phase: OnPhase | None = None,
    on_recovery: OnRecovery | None = None,
    cancel: Cancel | None = None,
    explain: bool = False,
    **settings: Unpack[zapz.SettingsDict],
) -> Report:
    """Append slices to a target along a dimension, each of them completely or not at all.

    Args:
        target: Path or URI of the Zarr target, an fsspec mapper, or a zarr store. It is created
            from the first slice if it does not exist. None if the configuration names it
            (``target_dir``).
        slices: A slice, or any iterable of slices, in the order in which they are appended. A
            generator may produce them during the run. A slice is a path or URI; a zarr store or
            group; a mapping ``name -> (dims, array[, attrs[, encoding]])``; an object with
            ``variables``, ``dims`` and ``attrs``, such as an ``xarray.Dataset``; a ``Source``; or a
            context manager that returns one of these. With the setting ``slice_source``, an item is
            its arguments: ``(args, kwargs)``, a list, a dict, or a single one. Type
            checkers know ``(args, kwargs)`` alone; ``append_map`` accepts any arguments.
        config: A configuration, a mapping of settings, a configuration file, or a sequence of
            these. Later ones override earlier ones.
        encoding: How variables of a new target are stored, in the terms of xarray's ``to_zarr``:
            ``{"sst": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1, "chunks": (1, 90,
            180), "compressor": numcodecs.Zstd(3)}}``. It is added to ``encoding`` in the setting
            ``variables`` and means the same.
        on_slice: Called after each slice with its report.
        on_progress: Called with the chunks done and the chunks planned of the current slice, from
            any thread.
        on_phase: Called with a ``Progress`` when the run enters another phase of a slice, and as
            chunks are done, from any thread.
        on_recovery: Called before the first slice if an earlier run had left something, with what
            was left and how it was recovered.
        cancel: An object such as a ``threading.Event``. The append ends once it is set; it is
            checked between slices and between chunks.
        explain: Whether each slice's report says which chunks were copied, why others were not, and
            how long each part took.
        **settings: Settings by name; they override ``config``.

    Returns:
        What was done, with one report per slice.

    Raises:
        ZapzError: One of those below; its ``report`` says what had been done before.
        ConfigError: A setting is wrong.
        SliceError: A slice cannot be appended. The slices after it are not appended either; those
            before it stay.
        FormatError: The target or a slice is not (supported) Zarr, or damaged.
        ChunkError: A chunk of a slice is damaged.
        StoreError: Storage failed.
        LockedError: Another process is appending.
        ConflictError: Another program changed the target during the append.
        JournalError: What an earlier run left is damaged.
        CancelledError: ``cancel`` was set; slices appended before stay.
    """
    place, made = _configured(config, settings, target, encoding)
    with _diagnosed(made):
        appender = Appender(place, made, on_slice, on_progress, cancel, on_phase, on_recovery, explain=explain)
        return appender.run(slices)


def _diagnosed(config: Config) -> AbstractContextManager[None]:
    """Log and profile the body, if that is configured."""
    if not config.logging and not config.profiling:
        return nullcontext()
    from zapz.diagnostics.diagnosed import diagnosed  # imported where used: most appends do not need it

    return diagnosed(config)


def append_map(
    target: zapz.TargetLike | None,
    function: str | Callable[..., zapz.SliceLike | Iterator[zapz.SliceLike]],
    *iterables: Iterable[object],
    **settings: Unpack[zapz.MapSettingsDict],
) -> Report:
    """Append one slice per call of ``function``, called as ``map(function, *iterables)`` would.

    Args:
        target: As for ``append``.
        function: Creates a slice: a function, a context manager, or a class.
        *iterables: Its positional arguments; the run ends with the shortest iterable.
        **settings: Settings by name, and the other keyword arguments of ``append``.

    Raises:
        ConfigError: An argument is wrong.
        ZapzError: As ``append``. An error of the function is raised unchanged.
    """
    if not iterables:
        raise ConfigError("no arguments to map over", where="append_map", expected="at least one iterable of arguments")
    if "slice_source" in settings:
        raise ConfigError(
            "setting given twice", where="slice_source", hint="append_map's function is the slice source."
        )
    if not callable(function) and not isinstance(function, str):
        raise ConfigError("not callable", where="append_map, function", found=type(function).__name__)
    return append(target, (([*args], {}) for args in zip(*iterables, strict=False)), slice_source=function, **settings)


def _configured(
    config: ConfigLike,
    settings: Mapping[str, object],
    target: zapz.TargetLike | None,
    encoding: Encodings | None = None,
) -> tuple[zapz.TargetLike, Config]:
    """Return the target and the configuration; refuse a configuration that names another target.

    Raises:
        ConfigError: The configuration names another target, or no target is given.
    """
    result = files.resolve(config, settings, encoding=encoding)
    if target is None:
        if result.target_dir is None:
            raise ConfigError(
                "no target", where="target", expected="a path or URI, or the setting target_dir", found="neither"
            )
        return result.target_dir, result
    if result.target_dir is None:
        return target, result
    here = os.fspath(target) if isinstance(target, str | os.PathLike) else open_target(target, result).uri
    if canonical_uri(result.target_dir) != canonical_uri(here):
        raise ConfigError(
            "the configuration names another target",
            where="target_dir",
            expected=redact(result.target_dir),
            found=redact(here),
            hint=f"Run `zapz append {redact(result.target_dir)} SLICE...` (or `zapz append - SLICE...`) with this configuration, "
            f"or use another configuration for {redact(here)}. Nothing was changed.",
        )
    return target, result


def plan(
    target: zapz.TargetLike | None,
    slices: zapz.SlicesLike,
    config: ConfigLike = None,
    *,
    encoding: Encodings | None = None,
    **settings: Unpack[zapz.SettingsDict],
) -> Plan:
    """Plan the append of one slice; write nothing and take no lock.

    Args:
        target: As for ``append``.
        slices: The slice. An iterable must hold exactly one, because the plan of a later slice
            depends on the slice before it.
        config: A configuration, a mapping of settings, or configuration files.
        encoding: As for ``append``.
        **settings: Settings by name.

    Raises:
        ConfigError: There is not exactly one slice, or a setting is wrong.
        SliceError: The slice cannot be appended, or there is nothing to append.
        ZapzError: As ``append``.
    """
    place, made = _configured(config, settings, target, encoding)
    items = list(islice(items_of(slices), 2))
    if len(items) != 1:
        raise ConfigError(
            "a plan covers exactly one slice",
            where="slices",
            expected="one slice",
            found="none" if not items else "more than one",
        )
    return Appender(place, replace(made, dry_run=True)).plan(items[0])


def execute(
    plan: Plan,
    config: ConfigLike = None,
    *,
    slice: zapz.SliceLike | None = None,  # noqa: A002 - the field's word
    **settings: Unpack[zapz.SettingsDict],
) -> Report:
    """Execute a plan, which another process may have created and serialised.

    Args:
        plan: The plan.
        config: A configuration, a mapping of settings, or configuration files.
        slice: The slice, if the plan has no path or URI for it: arrays in memory, an open store.
        **settings: Settings by name.

    Returns:
        What was done.

    Raises:
        ConfigError: ``plan`` is not a plan, ``dry_run`` is set, or the slice is needed.
        ConflictError: The target or the slice does not match the plan.
        ZapzError: As ``append``.
    """
    if not isinstance(plan, Plan):
        raise ConfigError(
            "not a plan",
            where="plan",
            expected="a zapz.Plan",
            found=type(plan).__name__,
            hint="Plan.from_json() reads one.",
        )
    _, made = _configured(config, settings, plan.target_uri)
    if made.dry_run:
        hint = "plan.summary() reports what the plan would do."
        raise ConfigError("dry_run does not apply to execute()", where="dry_run", hint=hint)
    if slice is None and not plan.slice_has_place:
        raise ConfigError(
            "the plan's slice cannot be reopened: it was in memory or an open store",
            where="slice",
            expected="the slice itself",
            found="none",
        )
    return Appender(plan.target_uri, made).execute(plan, slice)


def recover(target: zapz.TargetLike, config: ConfigLike = None, **settings: Unpack[zapz.SettingsDict]) -> Recovery:
    """Finish or undo what a crashed run left in a target.

    Args:
        target: As for ``append``.
        config: A configuration, a mapping of settings, or configuration files.
        **settings: Settings by name, such as ``lock_wait`` or ``journal``.

    Raises:
        ConflictError: Another program has changed the target since; its changes were kept.
        JournalError: A journal is damaged or from a newer zapz version; nothing was changed.
        LockedError: Another process is appending.
        NotFoundError: The target does not exist.
    """
    from zapz.operations import upkeep  # imported where used: appends do not need it

    return upkeep.recover(target, files.resolve(config, settings))


def unlock(target: zapz.TargetLike, config: ConfigLike = None, **settings: Unpack[zapz.SettingsDict]) -> bool:
    """Remove a lock whose holder has ended; return whether there was such a lock.

    ``recover`` or the next append recovers what it left.

    Raises:
        LockedError: The holder is running, or its lease has not expired.
        NotFoundError: The target does not exist.
    """
    from zapz.operations import upkeep  # imported where used: appends do not need it

    return upkeep.unlock(target, files.resolve(config, settings))


def vacuum(target: zapz.TargetLike, config: ConfigLike = None, **settings: Unpack[zapz.SettingsDict]) -> zapz.Vacuumed:
    """Remove what aborted runs left.

    On object stores: chunks beyond the shape. Locally: commits that another program has
        overwritten.

    Raises:
        LockedError: Another process is appending, or was until very recently.
        NotFoundError: The target does not exist.
    """
    from zapz.operations import upkeep  # imported where used: appends do not need it

    return upkeep.vacuum(target, files.resolve(config, settings))


def info(
    target: zapz.TargetLike,
    config: ConfigLike = None,
    *,
    chunks: bool = False,
    thumbnails: bool = False,
    **settings: Unpack[zapz.SettingsDict],
) -> zapz.Info:
    """Describe a target: dimensions, variables, codecs, labels and their gaps, lock and journal.

    Args:
        target: As for ``append``.
        config: A configuration, a mapping of settings, or configuration files.
        chunks: Count stored and missing chunks of each variable, and bytes, by listing.
        thumbnails: Read at most 256 x 256 cells of the last step of each variable, as pictures.
        **settings: Settings by name.

    Returns:
        The description; a notebook shows it as a page.

    Raises:
        FormatError: The target is not (supported) Zarr.
        StoreError: Storage failed; ``NotFoundError`` if the target does not exist.
        LockedError: Another process is creating the target.
        ConflictError: A process died while it created the target.
    """
    from zapz.operations.describe import info_of

    made = files.resolve(config, settings)
    return info_of(open_target(target, made), made, chunks=chunks, thumbnails=thumbnails)


def check(
    target: zapz.TargetLike,
    config: ConfigLike = None,
    *,
    chunks: bool = False,
    on_progress: OnProgress | None = None,
    **settings: Unpack[zapz.SettingsDict],
) -> zapz.Checked:
    """Check that a target is sound; write nothing and take no lock.

    All documents are compared with the consolidated metadata at every level of the hierarchy. The
    lengths along the append dimension must agree. No label may be missing, repeated or out of
    order. Problems are returned, not raised.

    Args:
        target: As for ``append``.
        config: A configuration, a mapping of settings, or configuration files.
        chunks: Whether to decode every chunk, and to count missing ones and those beyond the shape.
        on_progress: Called with the chunks done and the total number of chunks, from any thread.
        **settings: Settings by name, such as ``append_dim``, ``label_order`` or ``workers``.

    Raises:
        LockedError: Another process is creating the target.
        ConflictError: A process died while it created the target.
        FormatError: The target is not a Zarr dataset.
        StoreError: Storage failed; ``NotFoundError`` if the target does not exist.
    """
    from zapz.operations.check import check_store  # imported where used: appends do not need it

    made = files.resolve(config, settings)
    return check_store(open_target(target, made), made, chunks=chunks, on_progress=on_progress)
