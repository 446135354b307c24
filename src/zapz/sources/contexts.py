"""Enter and exit slices: context managers, generators, objects with ``close`` or ``dispose``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, SupportsIndex

from zapz.errors import SliceError

Exit = Callable[[BaseException | None], None]
"""Closes a slice; receives the error that ended its use, or None."""


def entered(value: Any, *, ours: bool) -> tuple[Any, Exit]:
    """Enter a user's slice if it is a wrapper, and return the inner slice and its exit.

    A context manager is entered, an object with ``get_dataset()`` is asked for its dataset, and a
    generator from a slice source is run to its ``yield``. A multi-level dataset of xcube is array
    data, although it has ``get_dataset`` too. The results are treated in the same way.
    They close their own resources. Array data are not entered, although some are context managers:
    a dataset or array of xarray, a zarr store. The same applies to paths.

    Args:
        value: The object that the user passed, or that the user's slice source returned.
        ours: Whether it comes from a slice source, so that only zapz can close it: then its
            ``close`` is called if it has one. Of objects that the user passed, zapz closes only
            those with ``get_dataset()`` (by ``close``, or else ``dispose``) and a ``Source``,
            because they exist for this purpose. A generator among the slices is not a slice.

    Returns:
        The array data, path or other item, and a function to call exactly once, with the error that
        ended its use.

    Raises:
        SliceError: A generator yields nothing.
        BaseException: Entering failed. Wrappers that had been entered before have been exited.
    """
    if isinstance(value, Generator):
        return _unwrapped(value, leave_nothing) if ours else (value, leave_nothing)
    asked = _has(value, "get_dataset") and not is_multi_level(value)
    if (ours or asked or _has(value, "documents")) and _has(value, "close"):
        return _unwrapped(value, lambda _: value.close())
    return _unwrapped(value, (lambda _: value.dispose()) if asked and _has(value, "dispose") else leave_nothing)


def _unwrapped(value: Any, leave: Exit) -> tuple[Any, Exit]:
    """Return the inner slice, and the exit of all wrappers.

    Args:
        value: The wrapper or slice.
        leave: Exit of ``value`` if it need not be entered.
    """
    asked = _has(value, "get_dataset") and not is_multi_level(value)
    if isinstance(value, Generator):
        inner, leave = _yielded(value)
    elif not asked:
        if not _is_manager(value):
            return value, leave
        inner, leave = type(value).__enter__(value), _exit_of(value)
    try:
        if asked:
            inner = value.get_dataset()
        if inner is value:
            return value, leave
        found, leave_inner = _unwrapped(inner, leave_nothing)
    except BaseException as error:
        leave_under(leave, error)
        raise
    return found, _both(leave_inner, leave)


def _yielded(generator: Generator[Any, Any, Any]) -> tuple[Any, Exit]:
    """Run a generator to its ``yield``; return the value and the exit (see `contextlib`)."""
    where = str(getattr(generator, "__qualname__", type(generator).__name__))
    try:
        inner = next(generator)
    except StopIteration:
        raise SliceError(
            "the slice source yields nothing",
            where=where,
            expected="one yield, with the slice",
            found="no yield",
            hint="It must yield a slice for each item. Remove items without a slice from the slices.",
        ) from None

    def leave(error: BaseException | None) -> None:
        try:
            more = next(generator) if error is None else generator.throw(error)
        except StopIteration:
            return
        except BaseException as failure:
            if failure is not error:
                raise
        else:
            raise _stopped(generator, where, type(more).__name__)

    return inner, leave


def _stopped(generator: Generator[Any, Any, Any], where: str, found: str) -> SliceError:
    """Close a generator that yields again, and return the error."""
    error = SliceError(
        "the slice source yields more than once",
        where=where,
        expected="one yield, with the slice",
        found=f"another yield, of {found}",
        hint="It must yield one slice for each item. Pass a generator of many slices as the slices, without slice_source.",
    )
    leave_under(lambda _: generator.close(), error)
    return error


def is_multi_level(value: Any) -> bool:
    """Return whether an object is like a multi-level dataset of xcube: its levels are numbered."""
    return isinstance(getattr(value, "num_levels", None), SupportsIndex) and _has(value, "get_dataset")


def _has(value: Any, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _is_manager(value: Any) -> bool:
    """Return whether a value is only a context manager, and not a path or array data."""
    kind = type(value)
    arrays = hasattr(value, "variables") or (hasattr(value, "shape") and hasattr(value, "dtype"))
    store = getattr(sys.modules.get("zarr.abc.store"), "Store", ())  # empty if zarr has not been imported
    return (
        hasattr(kind, "__enter__")
        and hasattr(kind, "__exit__")
        and not arrays
        and not isinstance(value, (os.PathLike, store) if store else os.PathLike)
    )


def leave_nothing(_: BaseException | None) -> None:
    """Do nothing: the exit of a slice that was not entered."""


def _exit_of(manager: Any) -> Exit:
    """Return the exit of a context manager; whether it suppresses the error does not matter."""

    def leave(error: BaseException | None) -> None:
        if error is None:
            type(manager).__exit__(manager, None, None, None)
        else:
            type(manager).__exit__(manager, type(error), error, error.__traceback__)

    return leave


def _both(inner: Exit, outer: Exit) -> Exit:
    def leave(error: BaseException | None) -> None:
        try:
            inner(error)
        except BaseException as failure:
            leave_under(outer, failure)
            raise
        outer(error)

    return leave


def leave_under(leave: Exit, error: BaseException) -> None:
    """Exit during error handling; the first error is kept."""
    try:
        leave(error)
    except BaseException as failure:  # noqa: BLE001 - becomes a note
        if failure is not error:
            add_note(error, failure)


def add_note(error: BaseException, failure: BaseException) -> None:
    """Add a note to an error about a second failure."""
    with suppress(AttributeError):  # a frozen error accepts no notes
        error.add_note(f"Closing failed as well: {type(failure).__name__}: {failure}")
