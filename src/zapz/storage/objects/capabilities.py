"""Probe what an object service honours: not every service implements all of its protocol."""

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
    """Return the name of a new probe object, for the time ``now`` in seconds since 1970."""
    return layout.probe_name(now, os.urandom(6).hex())


def is_left(name: str, now: float) -> bool:
    """Return whether a process that was killed, or may not delete, left a probe object behind."""
    made = layout.probed_at(name)
    return made is not None and made + _HOUR < now


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a service honours."""

    exclusive: bool
    """Whether it refuses to create an object that exists."""
    conditional: bool
    """Whether it refuses to replace an object that has changed."""
    quoted: bool
    """Whether it needs tags in quotation marks."""
    deletable: bool = True
    """Whether objects may be deleted; True if that is not known."""


def probed(backend: Backend, path: str) -> Probed:
    """Create an object, try to overwrite it, and remove it.

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
    """Remove the probe object; return False if that is denied.

    Then it stays. Its name shows that it is not data.
    """
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
                break  # it accepts any tag
            if _replaced(backend, path):
                conditional, quoted = True, backend.quoted
                break
    return Probed(exclusive=exclusive, conditional=conditional, quoted=quoted)


def _replaced(backend: Backend, path: str) -> bool:
    """Return whether an object can be replaced by its tag."""
    _, tag = backend.get(path, None, None)
    if tag is None:
        return False
    return not _refuses(lambda: backend.put_over(path, b"4", tag)) or _holds(backend, path, b"4")


def _holds(backend: Backend, path: str, data: bytes) -> bool:
    """Return whether an object was written, though a repetition after a lost answer was refused."""
    return backend.get(path, None, None)[0] == data


def _refuses(action: Callable[[], Any]) -> bool:
    try:
        action()
    except Exception as error:
        if meaning(error) == "refused":
            return True
        raise
    return False
