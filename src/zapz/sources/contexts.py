"""Slices that have to be entered and left: context managers, generators, what has ``close``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Exit = Callable[[BaseException | None], None]
"""Closes something; receives the error under which it is left, None if there is none."""


def entered(value: Any, *, ours: bool) -> tuple[Any, Exit]:
    """Enter what a user gave for a slice as far as it is a wrapping, and say how to leave it.

    A context manager is entered, an object with ``get_dataset()`` and ``close()`` is asked for its dataset, and what they give is treated
    alike; it is left to them to close it. Array data are taken as they are, though some are context managers too: a dataset or an array
    of xarray, a zarr store; so is a path.

    Args:
        value: What the user handed over, or what the user's slice source returned.
        ours: Whether it comes from a slice source, so that nobody else would close it: then its ``close`` is called if it has one.
            Of what the user handed over only an object with ``get_dataset()`` and a ``Source`` are closed, since they are made for that.

    Returns:
        The array data, path or other item, and what to call exactly once, with the error under which it is left.

    Raises:
        BaseException: What entering raised; what had been entered before has been left.
    """
    ours = ours or _has(value, "get_dataset", "close") or _has(value, "documents", "close")
    return _unwrapped(value, (lambda _: value.close()) if ours and _has(value, "close") else leave_nothing)


def _unwrapped(value: Any, leave: Exit) -> tuple[Any, Exit]:
    """Return what is inside of a value, and how to leave all of it; ``leave`` is for the value if it need not be entered."""
    asked = _has(value, "get_dataset", "close")
    if not asked:
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


def _has(value: Any, *methods: str) -> bool:
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)


def _is_manager(value: Any) -> bool:
    """Return whether a value is a context manager and nothing else: paths and many array data are some, too."""
    kind = type(value)
    arrays = hasattr(value, "variables") or (hasattr(value, "shape") and hasattr(value, "dtype"))
    store = getattr(sys.modules.get("zarr.abc.store"), "Store", ())  # there is none where zarr has not been imported
    return (
        hasattr(kind, "__enter__")
        and hasattr(kind, "__exit__")
        and not arrays
        and not isinstance(value, (os.PathLike, store) if store else os.PathLike)
    )


def leave_nothing(_: BaseException | None) -> None:
    """Leave what need not be left."""


def _exit_of(manager: Any) -> Exit:
    """Return the exit of a context manager; whether it would swallow the error is not asked."""

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
    """Leave something while an error is under way, which stays the first one."""
    try:
        leave(error)
    except BaseException as failure:  # noqa: BLE001 - it becomes a note
        if failure is not error:
            add_note(error, failure)


def add_note(error: BaseException, failure: BaseException) -> None:
    """Note on an error what went wrong besides."""
    with suppress(AttributeError):  # a frozen error takes no notes
        error.add_note(f"Closing failed as well: {type(failure).__name__}: {failure}")
