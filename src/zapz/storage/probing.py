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
        tag = backend.put_new(path, b"1")
        exclusive = _refuses(lambda: backend.put_new(path, b"2"))
        conditional = quoted = False
        if exclusive and backend.conditional and tag:
            for backend.quoted in (False, True):
                if not _refuses(lambda: backend.put_over(path, b"3", _NO_SUCH_TAG)):
                    break  # it takes any tag
                if not _refuses(lambda: backend.put_over(path, b"4", tag)):
                    conditional, quoted = True, backend.quoted
                    break
        return Probed(exclusive=exclusive, conditional=conditional, quoted=quoted)
    finally:
        with contextlib.suppress(
            Exception
        ):  # it is named so that nobody takes it for data, and `zapz vacuum` removes it
            backend.delete(path)


def _refuses(action: Callable[[], Any]) -> bool:
    try:
        action()
    except Exception as error:
        if meaning(error) == "refused":
            return True
        raise
    return False
