"""Signals that end the process: deferred while an operation must not be left half done.

The command line installs the handlers. Without them (``zapz`` as a library) this module has no
effect, and ``KeyboardInterrupt`` may be raised anywhere. Recovery then repairs the target. A second
signal is not deferred: it ends the run at once, like a crash.
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
    """A signal ended the run; like ``KeyboardInterrupt``, this is not an error."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    """State of the main thread; signals interrupt only that thread."""

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
    """End the run now if a signal was deferred; for loops that wait.

    Raises:
        Stopped: A signal was deferred.
    """
    if _state.held is not None and _is_main():
        number, _state.held = _state.held, None
        raise Stopped(number)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Let signals end the run with ``Stopped``, so that uncommitted changes are rolled back.

    Raises:
        Stopped: A signal arrived.
    """
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
    """Finish the body before a signal ends the run.

    Raises:
        Stopped: A signal arrived during the body; raised after it.
    """
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
    """Let signals end the run during the body, inside a ``held_back`` block.

    Raises:
        Stopped: A signal was deferred before the body, or arrives during it.
    """
    if not _is_main():
        yield
        return
    depth, _state.depth = _state.depth, 0
    try:
        stop_if_held()
        yield
    finally:
        _state.depth = depth
