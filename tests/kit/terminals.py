"""A terminal for tests in this process, and what is seen on it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

CLEAR = "\r\x1b[2K"


class Terminal(io.StringIO):
    """Where a program finds a terminal instead of a file."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def seen(written: str) -> list[str]:
    """Return the lines that stay on a terminal; what is drawn over is gone."""
    return [line.rpartition(CLEAR)[2] for line in written.replace("\r\n", "\n").split("\n")]


def drawn(written: str) -> list[str]:
    """Return what was drawn and then drawn over, in order."""
    return [line for line in (part.partition("\n")[0] for part in written.split(CLEAR)[1:]) if line]


def redirect(name: str, stream: Terminal) -> Callable[[Any], Any]:
    import contextlib

    class To(contextlib.AbstractContextManager[None]):
        def __enter__(self) -> None:
            self.before = getattr(sys, name)
            setattr(sys, name, stream)

        def __exit__(self, *_: object) -> None:
            setattr(sys, name, self.before)

    return lambda _: To()
