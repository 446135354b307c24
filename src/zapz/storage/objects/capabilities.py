"""Find out what an object service honours, by asking it: what speaks a protocol does not always keep all of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from zapz.storage import layout
from zapz.storage.objects.backends import Backend
from zapz.storage.objects.errors import is_denied, meaning

_HOUR = 3600
_NO_SUCH_TAG = "00000000000000000000000000000000"


def name(now: float) -> str:
    """Return a name for an object on which something is tried, which tells when that was."""
    return layout.probe_name(now, os.urandom(6).hex())


def is_left(name: str, now: float) -> bool:
    """Return whether an object of that name was left by a process that was killed, or may not delete."""
    made = layout.probed_at(name)
    return made is not None and made + _HOUR < now


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a service honours."""

    exclusive: bool
    """Whether it refuses to create what exists."""
    conditional: bool
    """Whether it refuses to replace what has changed."""
    quoted: bool
    """Whether it wants tags in quotation marks."""
    deletable: bool = True
    """Whether it lets us delete; True if that is not known."""


def probed(backend: Backend, path: str) -> Probed:
    """Write, try to overwrite, and remove an object.

    Args:
        backend: The service.
        path: An object that does not exist.
    """
    try:
        found = _probed(backend, path)
    finally:
        deletable = _deleted(backend, path)
    return replace(found, deletable=deletable)


def _deleted(backend: Backend, path: str) -> bool:
    """Remove what was tried; return False if we may not, and then it stays: it is named so that nobody takes it for data."""
    try:
        backend.delete(path)
    except Exception as error:  # noqa: BLE001 - every backend has errors of its own, and nothing depends on this one
        return not is_denied(error)
    return True


def _probed(backend: Backend, path: str) -> Probed:
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
