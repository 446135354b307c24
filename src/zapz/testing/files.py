"""Faults at any operation on the files of a folder: calls of ``os`` in this process run a hook.

Only one block at a time may watch files. Meanwhile, other code of the process must not use ``os``
in the folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zapz.storage.local import durability
from zapz.testing.faults import Died, Fault

Act = Callable[[str, Callable[[], Any]], Any]
"""Hook of an operation: gets its name and a function that carries it out; returns its result."""

CHANGES = frozenset(
    ("create", "write", "pwrite", "replace", "rename", "link", "unlink", "mkdir", "rmdir", "ftruncate")
) | {name for name in ("fchmod", "fchown", "setxattr", "removexattr") if hasattr(os, name)}
"""Operations that change something; "create" is an ``open`` that may create a file."""
SYNCS = frozenset(("fsync", "fdatasync"))
"""Operations that make changes durable; they are not carried out."""
LOOKS = frozenset(("open", "read", "pread", "stat", "lstat", "fstat", "scandir", "listdir")) | {
    name for name in ("listxattr", "getxattr") if hasattr(os, name)
}
"""Operations that change nothing."""


class _Watcher:
    """Replaces functions of ``os``, and calls a hook for operations below a folder."""

    def __init__(self, root: Path, act: Act) -> None:
        self._root = str(root)
        self._act = act
        self._real = {name: getattr(os, name) for name in (CHANGES | SYNCS | LOOKS) - {"create"}}
        self._descriptors: set[int] = set()
        self._busy = False

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Return the replacements of functions of ``os``, by name."""
        return {name: self._opened if name == "open" else self._wrapped(name) for name in self._real}

    def _step(self, name: str, do: Callable[[], Any]) -> Any:
        self._busy = True
        try:
            return self._act(name, do)
        finally:
            self._busy = False

    def _concerns(self, first: Any) -> bool:
        if self._busy:
            return False
        return first in self._descriptors if isinstance(first, int) else os.fspath(first).startswith(self._root)

    def _wrapped(self, name: str) -> Callable[..., Any]:
        real = self._real[name]

        def run(*args: Any, **kwargs: Any) -> Any:
            if name in SYNCS:
                return self._step(name, lambda: None) if self._concerns(args[0]) else None
            if not args or not self._concerns(args[0]):
                return real(*args, **kwargs)
            if name == "write" and len(args[1]) > 1:
                view = memoryview(args[1]).cast("B")
                half = self._step(name, lambda: real(args[0], view[: len(view) // 2]))
                return half + self._step(name, lambda: real(args[0], view[half:]))
            return self._step(name, lambda: real(*args, **kwargs))

        return run

    def _opened(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        real = self._real["open"]
        if not self._concerns(path):
            descriptor: int = real(path, flags, *args, **kwargs)
            self._descriptors.discard(descriptor)
            return descriptor
        descriptor = self._step("create" if flags & os.O_CREAT else "open", lambda: real(path, flags, *args, **kwargs))
        self._descriptors.add(descriptor)
        return descriptor


@contextlib.contextmanager
def watched_files(root: Path, act: Act) -> Iterator[None]:
    """Let ``act`` carry out every operation below a folder.

    A write is split into two halves, and no operation waits for the disk.

    Args:
        root: The folder, or one that does not exist yet.
        act: The hook.
    """
    changes = [(os, name, function) for name, function in _Watcher(root, act).functions().items()]
    # A sync of the whole file system is not an operation of one folder.
    changes.append((durability, "_syncfs", lambda: None))
    kept = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)


def file_operations(root: Path, action: Callable[[], Any]) -> int:
    """Run ``action``, and return the number of its operations below a folder."""
    made = 0

    def count(_: str, do: Callable[[], Any]) -> Any:
        nonlocal made
        made += 1
        return do()

    with watched_files(root, count):
        action()
    return made


def _give_back(name: str, answer: Any) -> None:
    """Close a result that does not reach its caller."""
    if name in {"open", "create"}:
        os.close(answer)
    elif name == "scandir":
        answer.close()


@contextlib.contextmanager
def failing_files(root: Path, number: int, fault: Fault, code: int = errno.EIO) -> Iterator[None]:
    """Let one operation below a folder fail.

    Args:
        root: The folder, or one that does not exist yet.
        number: Number of the operation in the block, counted from 0.
        fault: The fault; after "died", the rest of the block has no effect below the folder.
        code: The ``errno`` of the error.
    """
    made, died = -1, False

    def act(name: str, do: Callable[[], Any]) -> Any:
        nonlocal made, died
        made += 1
        died = died or (made == number and fault == "died")
        if died:
            raise Died
        if made == number and fault == "refused":
            raise OSError(code, os.strerror(code))
        answer = do()
        if made == number and fault == "lost":
            _give_back(name, answer)
            raise OSError(code, os.strerror(code))
        return answer

    with watched_files(root, act):
        yield
