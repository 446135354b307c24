"""The Python API: ``append``, ``append_map``, ``plan``, ``execute``, ``recover``, ``unlock``, ``vacuum``, ``info``, ``check``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from zapz.config import files
from zapz.config.settings import Config
from zapz.errors import ConfigError
from zapz.operations.append import Appender, Cancel, OnPhase, OnRecovery, OnSlice
from zapz.operations.target import open_target
from zapz.planning.plan import Plan
from zapz.reports import Report
from zapz.sources.open_slice import Target
from zapz.sources.opener import items_of
from zapz.storage.uris import canonical_uri, redact

if TYPE_CHECKING:
    from zapz.operations.check import Checked
    from zapz.operations.describe import Info
    from zapz.operations.upkeep import Recovery, Vacuumed


def append(
    target: Target,
    slices: Any,
    config: Any = None,
    *,
    encoding: Any = None,
    on_slice: OnSlice | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_phase: OnPhase | None = None,
    on_recovery: OnRecovery | None = None,
    cancel: Cancel | None = None,
    explain: bool = False,
    **settings: Any,
) -> Report:
    """Append slices to a target along a dimension, each of them all or not at all.

    Args:
        target: Path or URI of the Zarr target, an fsspec mapper, or a zarr store; it is created
            from the first slice if it does not exist. None if the configuration names it
            (``target_dir``).
        slices: A slice, or any iterable of slices, in the order in which they are appended; it may
            still be producing. A slice is a path or URI; a zarr store or group; a mapping ``name ->
            (dims, array[, attrs[, encoding]])``; an object with ``variables``, ``dims`` and
            ``attrs``, such as an ``xarray.Dataset``; a ``Source``; a context manager that gives one
            of these; or, with the setting ``slice_source``, its arguments: ``(args, kwargs)``, a
            list, a dict, or a single one.
        config: A configuration, a mapping of settings, a configuration file, or a sequence of
            these, later ones winning.
        encoding: How variables of a new target are stored, in the words of xarray's ``to_zarr``:
            ``{"sst": {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1, "chunks": (1, 90,
            180), "compressor": numcodecs.Zstd(3)}}``. The same as ``encoding`` in the setting
            ``variables``, to which it is added.
        on_slice: Called after each slice with its report.
        on_progress: Called with chunks done and chunks planned of the current slice, from any
            thread.
        on_phase: Called with a ``Progress`` whenever the run enters another phase of a slice, and
            as its chunks are done, from any thread.
        on_recovery: Called with what an earlier run had left and what was done about it, if it had
            left something, before the first slice.
        cancel: Looked at between slices and between chunks, such as a ``threading.Event``: once it
            is set, the append ends.
        explain: Whether each slice's report says which chunks were copied, why others were not, and
            where the time went.
        **settings: Settings by name; they win over ``config``.

    Returns:
        What was done.

    Raises:
        ZapzError: One of those below; its ``report`` says what had been done before.
        ConfigError: A setting is wrong.
        SliceError: A slice may not follow; it and the slices after it are not appended, those
            before it stay.
        FormatError: The target or a slice is not (supported) Zarr, or damaged.
        ChunkError: A chunk of a slice is damaged.
        StoreError: Storage failed.
        LockedError: Another process is appending.
        ConflictError: Another tool changed the target meanwhile.
        JournalError: What an earlier run left is damaged.
        CancelledError: ``cancel`` was set; slices that had been appended stay.
    """
    place, made = _configured(config, settings, target, encoding)
    with _diagnosed(made):
        appender = Appender(place, made, on_slice, on_progress, cancel, on_phase, on_recovery, explain=explain)
        return appender.run(slices)


def _diagnosed(config: Config) -> AbstractContextManager[None]:
    """Log and profile what runs in the block, if that is configured."""
    if not config.logging and not config.profiling:
        return nullcontext()
    from zapz.diagnostics.diagnosed import diagnosed  # imported where used: most appends do without

    return diagnosed(config)


def append_map(target: Target, function: Callable[..., Any], *iterables: Iterable[Any], **settings: Any) -> Report:
    """Append what a function makes of its arguments, as ``map(function, *iterables)`` would call it, one slice for each call.

    Args:
        target: As for ``append``.
        function: Makes a slice: a function, a context manager, or a class.
        *iterables: Its positional arguments; the shortest one ends it.
        **settings: Settings by name, and the other keyword arguments of ``append``.

    Raises:
        ZapzError: As ``append`` does. An error of the function travels on unchanged.
    """
    if not iterables:
        raise ConfigError("nothing to map over", where="append_map", expected="at least one iterable of arguments")
    if "slice_source" in settings:
        raise ConfigError("given twice", where="slice_source", hint="append_map's function is the slice source.")
    if not callable(function) and not isinstance(function, str):
        raise ConfigError("not callable", where="append_map, function", found=type(function).__name__)
    return append(target, (([*args], {}) for args in zip(*iterables, strict=False)), slice_source=function, **settings)


def _configured(
    config: Any, settings: Mapping[str, Any], target: Target, encoding: Any = None
) -> tuple[Target, Config]:
    """Return the target and the configuration, which must not name another target."""
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
            hint=f"Either `zapz append {redact(result.target_dir)} SLICE...` (or `zapz append - SLICE...`) with that configuration, "
            f"or another configuration for {redact(here)}. Nothing was touched.",
        )
    return target, result


def plan(target: Target, slices: Any, config: Any = None, *, encoding: Any = None, **settings: Any) -> Plan:
    """Plan the append of one slice, touching nothing and taking no lock.

    Args:
        target: As for ``append``.
        slices: The slice; an iterable must hold exactly one, because a later slice's plan depends
            on the one before.
        config: A configuration, a mapping of settings, or configuration files.
        encoding: As for ``append``.
        **settings: Settings by name.

    Raises:
        ZapzError: As ``append`` does.
    """
    place, made = _configured(config, settings, target, encoding)
    items = list(islice(items_of(slices), 2))
    if len(items) != 1:
        raise ConfigError(
            "a plan is made for one slice", where="slices", expected="1", found="none" if not items else "more"
        )
    return Appender(place, replace(made, dry_run=True)).plan(items[0])


def execute(plan: Plan, config: Any = None, *, slice: Any = None, **settings: Any) -> Report:  # noqa: A002 - the field's word
    """Execute a plan, perhaps one that another process made and serialised.

    Args:
        plan: What to do.
        config: A configuration, a mapping of settings, or configuration files.
        slice: The slice, where the plan cannot say by its place which it is: arrays in memory, an
            open store.
        **settings: Settings by name.

    Raises:
        ConflictError: The target is no longer what the plan builds on.
        ZapzError: As ``append`` does.
    """
    if not isinstance(plan, Plan):
        raise ConfigError(
            "not a plan",
            where="plan",
            expected="a zapz.Plan",
            found=type(plan).__name__,
            hint="Plan.from_json reads one.",
        )
    _, made = _configured(config, settings, plan.target_uri)
    if made.dry_run:
        raise ConfigError("a plan is executed or not", where="dry_run", hint="plan.summary() says what it would do.")
    if slice is None and not plan.slice_has_place:
        raise ConfigError(
            "the plan was made for a slice that lies in no place",
            where="slice",
            expected="the slice itself",
            found="none",
        )
    return Appender(plan.target_uri, made).execute(plan, slice)


def recover(target: Target, config: Any = None, **settings: Any) -> Recovery:
    """Finish or undo what a crashed run left in a target.

    Raises:
        ConflictError: Another tool wrote over it; nothing of the target was removed.
        JournalError: A journal is damaged or newer; nothing was touched.
        LockedError: Another process is appending.
        NotFoundError: There is no such target.
    """
    from zapz.operations import upkeep  # imported where used: appends do without

    return upkeep.recover(target, files.resolve(config, settings))


def unlock(target: Target, config: Any = None, **settings: Any) -> bool:
    """Remove a lock whose holder is gone; return whether there was one. What it left is for ``recover`` or the next append.

    Raises:
        LockedError: The holder lives, or its lease is fresh.
        NotFoundError: There is no such target.
    """
    from zapz.operations import upkeep  # imported where used: appends do without

    return upkeep.unlock(target, files.resolve(config, settings))


def vacuum(target: Target, config: Any = None, **settings: Any) -> Vacuumed:
    """Remove what aborted runs left: on object stores chunks beyond the shape, locally commits that another tool wrote over.

    Raises:
        LockedError: Somebody is at work, or was until very recently.
        NotFoundError: There is no such target.
    """
    from zapz.operations import upkeep  # imported where used: appends do without

    return upkeep.vacuum(target, files.resolve(config, settings))


def info(
    target: Target, config: Any = None, *, chunks: bool = False, thumbnails: bool = False, **settings: Any
) -> Info:
    """Describe a target: dimensions, variables, codecs, labels and their gaps, lock and journal.

    Args:
        target: As for ``append``.
        config: A configuration, a mapping of settings, or configuration files.
        chunks: Count stored and missing chunks of each variable, and their bytes, by listing.
        thumbnails: Read a small picture of the last step of each variable with two dimensions or
            more: at most 256 x 256 cells of it.
        **settings: Settings by name.

    Returns:
        The description; in a notebook it is shown as a page.

    Raises:
        FormatError: It is not (supported) Zarr.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
        LockedError: Another process is just making it.
        ConflictError: A process that was making it has died.
    """
    from zapz.operations.describe import info_of

    made = files.resolve(config, settings)
    return info_of(open_target(target, made), made, chunks=chunks, thumbnails=thumbnails)


def check(
    target: Target,
    config: Any = None,
    *,
    chunks: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Checked:
    """Check that a target is sound; nothing is written, and no lock is taken.

    Documents are read and compared with consolidated metadata at every depth, lengths along the
    append dimension with one another; all labels are read, and must be there, in order, each once.
    What is wrong is returned, not raised.

    Args:
        target: As for ``append``.
        config: A configuration, a mapping of settings, or configuration files.
        chunks: Read and decode every chunk, too; count those that are missing, and those beyond the
            shape.
        on_progress: Called with chunks done and chunks in all, from any thread.
        **settings: Settings by name: ``append_dim``, ``label_order`` ("any" if labels have no
            order), ``workers`` and others.

    Raises:
        LockedError: Another process is just creating the target.
        ConflictError: A process that was creating it has died.
        FormatError: It is something else than a Zarr dataset.
        StoreError: Storage failed; ``NotFoundError`` if there is nothing.
    """
    from zapz.operations.check import check_store  # imported where used: appends do without

    made = files.resolve(config, settings)
    return check_store(open_target(target, made), made, chunks=chunks, on_progress=on_progress)
