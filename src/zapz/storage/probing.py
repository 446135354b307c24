"""Find out what an object service heeds, by asking it: what speaks a protocol does not always keep all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zapz.storage.answers import meaning
from zapz.storage.backends import Backend

_NO_SUCH_TAG = "00000000000000000000000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a service heeds."""

    exclusive: bool
    """Whether it refuses to create what exists."""
    conditional: bool
    """Whether it refuses to replace what has changed."""
    quoted: bool
    """Whether it wants tags in quotation marks."""


def probed(backend: Backend, path: str) -> Probed:
    """Write, try to overwrite, and remove an object.

    Args:
        backend: The service.
        path: An object that does not exist.
    """
    try:
        if _refuses(lambda: backend.put_new(path, b"1")) and not _holds(backend, path, b"1"):
            return Probed(exclusive=False, conditional=False, quoted=False)
        exclusive = _refuses(lambda: backend.put_new(path, b"2")) and _holds(backend, path, b"1")
        conditional = quoted = False
        if exclusive and backend.conditional:
            for backend.quoted in (False, True):
                if not _refuses(lambda: backend.put_over(path, b"3", _NO_SUCH_TAG)):
                    break  # it takes any tag
                if _replaced(backend, path):
                    conditional, quoted = True, backend.quoted
                    break
        return Probed(exclusive=exclusive, conditional=conditional, quoted=quoted)
    finally:
        with contextlib.suppress(Exception):  # it is named so that nobody takes it for data
            backend.delete(path)


def _replaced(backend: Backend, path: str) -> bool:
    """Return whether an object was replaced on its tag."""
    _, tag = backend.get(path, None, None)
    if tag is None:
        return False
    return not _refuses(lambda: backend.put_over(path, b"4", tag)) or _holds(backend, path, b"4")


def _holds(backend: Backend, path: str, data: bytes) -> bool:
    """Return whether an object was written although its second request, after a lost answer, was refused."""
    return backend.get(path, None, None)[0] == data


def _refuses(action: Callable[[], Any]) -> bool:
    try:
        action()
    except Exception as error:
        if meaning(error) == "refused":
            return True
        raise
    return False
