"""Signals that ask the process to end: held back while something is finished that must not be left half done.

The command line installs the handlers. Without them (``zapz`` as a library) nothing here does
anything, and ``KeyboardInterrupt`` may be raised anywhere: what it leaves is recovered. A second
signal is not held back: it ends the run at once, as a crash would.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked the process to end; like ``KeyboardInterrupt``, it is not an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    """Of the main thread, which alone is interrupted."""

    def __init__(self) -> None:
        self.depth = 0
        self.held: int | None = None


_state = _State()


def _stop(number: int, _: types.FrameType | None) -> None:
    if _state.depth and _state.held is None:
        _state.held = number
        return
    _state.held = None
    raise Stopped(number)


def keep_swallowed(unraisable: UnraisableHookArgs) -> None:
    """Hold a signal back that Python has swallowed; a hook for ``sys.unraisablehook``.

    A signal is raised wherever the main thread is. In a finalizer or a callback of a weak
    reference, those of the import system among them, Python prints the exception and goes on: the
    run would not end, and its output would hold a traceback.
    """
    error = unraisable.exc_value
    if isinstance(error, Stopped | KeyboardInterrupt):
        _state.held = error.number if isinstance(error, Stopped) else signal.SIGINT
    else:
        sys.__unraisablehook__(unraisable)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def stop_if_held() -> None:
    """End the run now if a signal is held back: for loops that wait.

    Raises:
        Stopped: One is.
    """
    if _state.held is not None and _is_main():
        number, _state.held = _state.held, None
        raise Stopped(number)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Let signals end the run with ``Stopped``: what is not committed is rolled back."""
    before = {number: signal.signal(number, _stop) for number in SIGNALS}
    try:
        stop_if_held()
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stop_if_held()


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Finish the body before a signal ends the run."""
    if not _is_main():
        yield
        return
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
    if not _state.depth:
        stop_if_held()


@contextlib.contextmanager
def let_through() -> Iterator[None]:
    """Let signals end the run during the body, which lies within what is otherwise finished."""
    if not _is_main():
        yield
        return
    depth, _state.depth = _state.depth, 0
    try:
        stop_if_held()
        yield
    finally:
        _state.depth = depth
