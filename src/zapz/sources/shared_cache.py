"""Values that several threads need: each is made once, and kept while there is room for it."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zapz.errors import CancelledError

T = TypeVar("T")


@dataclass(slots=True, kw_only=True, eq=False)
class _Making:
    """A value that a thread is making, and that others may be waiting for."""

    thread: int = field(default_factory=threading.get_ident)
    """Identifier of the thread that makes it."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set when that thread has ended making it, in whatever way."""
    made: bool = False
    """Whether ``value`` is the value."""
    value: Any = None
    """The value."""
    failure: Exception | None = None
    """Copy of the error for which there is none. It is never raised itself."""


class SharedCache:
    """A cache of values with a limit in bytes, for several threads.

    While a value is being made, other threads that need it wait. They get the same value, even if
    it is too large to be kept, or a copy of the same error. Errors are not kept: the next caller
    tries again. Values that were used least recently are dropped first.
    """

    def __init__(self, limit: int) -> None:
        """Create an empty cache.

        Args:
            limit: Maximum total size of the kept values, in bytes. A larger value is returned, and
                not kept. Values that are being made do not count.
        """
        self.limit = limit
        self._guard = threading.Lock()  # never held while a value is made
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._nbytes = self._hits = self._misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Total size of the kept values, in bytes."""
        return self._nbytes

    @property
    def hits(self) -> int:
        """Number of values returned without making them."""
        return self._hits

    @property
    def misses(self) -> int:
        """Number of times that a value was made, or failed to be made."""
        return self._misses

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value of a key; make it if it is not kept.

        If the thread that makes it is interrupted (``KeyboardInterrupt``, ``GeneratorExit``) or
        cancelled, the threads that wait for it try themselves, one at a time.

        Args:
            key: The key.
            make: Makes the value. It may read other keys of the cache.
            size: Returns the size of the value, in bytes.

        Raises:
            Exception: ``make`` or ``size`` raised it, here or in another thread at the same time.
        """
        while True:
            with self._guard:
                if key in self._kept:
                    kept: T = self._found(key)
                    return kept
                other = self._making.get(key)
            if other is not None and other.thread == threading.get_ident():
                return make()  # it needs itself: endless recursion is an error, and waiting is not
            if other is not None:
                other.over.wait()
                if other.made:
                    with self._guard:
                        self._hits += 1
                    made: T = other.value
                    return made
                if other.failure is not None:
                    raise _copied(other.failure)
                continue
            making = _Making()
            try:
                if self._is_first(key, making):
                    return self._make(key, making, make, size)
            finally:
                self._end(key, making)
                del making  # this frame belongs to the traceback of an error, which must not refer to it

    def _found(self, key: Hashable) -> Any:
        self._kept.move_to_end(key)
        self._hits += 1
        return self._kept[key][0]

    def _is_first(self, key: Hashable, making: _Making) -> bool:
        """Return whether no other thread makes, or has made, the value meanwhile."""
        with self._guard:
            if key in self._kept or key in self._making:
                return False
            self._misses += 1
            self._making[key] = making
            return True

    def _make(self, key: Hashable, making: _Making, make: Callable[[], T], size: Callable[[T], int]) -> T:
        try:
            value = make()
            nbytes = size(value)
        except CancelledError:
            raise  # the caller of this thread cancelled, not those of the others
        except Exception as error:
            making.failure = _copied(error)
            raise
        else:
            making.value, making.made = value, True
            self._keep(key, value, nbytes)
            return value
        finally:
            del making  # see above

    def _keep(self, key: Hashable, value: Any, nbytes: int) -> None:
        dropped: list[Any] = []  # freed after the lock is released
        with self._guard:
            if nbytes <= self.limit:
                while self._nbytes + nbytes > self.limit:
                    dropped.append(self._kept.popitem(last=False))
                    self._nbytes -= dropped[-1][1][1]
                self._kept[key] = value, nbytes
                self._nbytes += nbytes

    def _end(self, key: Hashable, making: _Making) -> None:
        """Let the threads go on that wait for a value."""
        with self._guard:
            if self._making.get(key) is making:
                del self._making[key]
        making.over.set()


def _copied(error: Exception) -> Exception:
    """Return a copy of an error, to be raised in another thread.

    Raising an error changes it: its traceback grows, and callers add places and notes to it. So
    threads must not share one.
    """
    twin = _twin(error)
    if twin is None:
        twin = RuntimeError(f"another thread failed: {type(error).__qualname__}")
        twin.__cause__ = error
    else:
        twin.__cause__, twin.__context__ = error.__cause__, error.__context__
        twin.__suppress_context__ = error.__suppress_context__
        if getattr(error, "__notes__", None):
            twin.__notes__ = list(error.__notes__)
    return twin.with_traceback(error.__traceback__)


def _twin(error: Exception) -> Exception | None:
    """Return an error of the same type and arguments; None if there is no way to make one."""
    for copied in (copy.copy, _without_init):
        try:
            twin = copied(error)
            if twin is not error and type(twin) is type(error) and twin.args == error.args:
                return twin
        except Exception:  # noqa: BLE001, S112 - constructors may raise anything: the next way is tried
            continue
    return None


def _without_init(error: Exception) -> Exception:
    """Return a copy of an error whose constructor does not take what ``args`` holds."""
    twin: Exception = type(error).__new__(type(error), *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
