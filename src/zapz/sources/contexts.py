"""Slices that have to be entered and left: context managers, generators, what has ``close`` or ``dispose``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from zapz.errors import SliceError

Exit = Callable[[BaseException | None], None]
"""Closes something; receives the error under which it is left, None if there is none."""


def entered(value: Any, *, ours: bool) -> tuple[Any, Exit]:
    """Enter what a user gave for a slice as far as it is a wrapping, and say how to leave it.

    A context manager is entered, an object with ``get_dataset()`` is asked for its dataset, a
    generator that a slice source made is run to its ``yield``, and what they give is treated alike;
    it is left to them to close it. Array data are taken as they are, though some are context
    managers too: a dataset or an array of xarray, a zarr store; so is a path.

    Args:
        value: What the user handed over, or what the user's slice source returned.
        ours: Whether it comes from a slice source, so that nobody else would close it: then its
            ``close`` is called if it has one. Of what the user handed over only an object with
            ``get_dataset()`` (by ``close``, or ``dispose`` if there is no other) and a ``Source``
            are closed, since they are made for that; a generator among the slices is no slice.

    Returns:
        The array data, path or other item, and what to call exactly once, with the error under
        which it is left.

    Raises:
        SliceError: A generator yields nothing.
        BaseException: What entering raised; what had been entered before has been left.
    """
    if isinstance(value, Generator):
        return _unwrapped(value, leave_nothing) if ours else (value, leave_nothing)
    asked = _has(value, "get_dataset")
    if (ours or asked or _has(value, "documents")) and _has(value, "close"):
        return _unwrapped(value, lambda _: value.close())
    return _unwrapped(value, (lambda _: value.dispose()) if asked and _has(value, "dispose") else leave_nothing)


def _unwrapped(value: Any, leave: Exit) -> tuple[Any, Exit]:
    """Return what is inside of a value, and how to leave all of it; ``leave`` is for the value if it need not be entered."""
    asked = _has(value, "get_dataset")
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
    """Run a generator to its ``yield``; return what it yields, and what runs the rest, as `contextlib.contextmanager` would."""
    where = str(getattr(generator, "__qualname__", type(generator).__name__))
    try:
        inner = next(generator)
    except StopIteration:
        raise SliceError(
            "the slice source yields nothing",
            where=where,
            expected="one yield, with the slice",
            found="an end without one",
            hint="Let it yield a slice for each item; an item for which there is none does not belong among the slices.",
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
    """Let go of a generator that yields again; return the error."""
    error = SliceError(
        "the slice source yields more than once",
        where=where,
        expected="one yield, with the slice",
        found=f"another one, with {found}",
        hint="Let it yield one slice for each item. A generator of many slices is given as the slices themselves, without slice_source.",
    )
    leave_under(lambda _: generator.close(), error)
    return error


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
