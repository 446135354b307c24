"""A status line at the bottom of a terminal, redrawn below all other output."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from zapz.cli.words import can_show, is_terminal

if TYPE_CHECKING:
    from zapz.pictures.look import Look

_NARROWEST = 20
"""Columns for which lines are made at least."""
_CLEAR = "\r\x1b[2K"


def can_redraw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal on which a line can be redrawn."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in {"", "dumb"}


def has_colours(stream: TextIO) -> bool:
    """Return whether colours may be used on a stream (https://no-color.org)."""
    return can_redraw(stream) and not os.environ.get("NO_COLOR")


def columns_of(stream: TextIO) -> int:
    """Return the width of a terminal in columns; the variable ``COLUMNS`` overrides it."""
    if os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def lines_for(stream: TextIO, line: str) -> list[str]:
    """Return a line wrapped for a terminal, paths unbroken; unchanged for other streams."""
    if not is_terminal(stream) or "\x1b" in line:
        return [line]
    width = columns_of(stream)
    if len(line) <= width:
        return [line]
    import textwrap  # imported where used: scheduled runs have no terminal

    start = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=start, break_long_words=False, break_on_hyphens=False)


def look_at(stream: TextIO) -> Look:
    """Return what a stream can show: of a pipe any width and no colours, so that text is stable."""
    from zapz.pictures.look import SYMBOLS, Look  # imported where used: appends draw nothing

    colours = 0
    if has_colours(stream):
        deep = os.environ.get("COLORTERM", "").lower() in {"truecolor", "24bit"}
        colours = 1 << 24 if deep else 256
    return Look(
        width=max(_NARROWEST, columns_of(stream)) if is_terminal(stream) else None,
        symbols=can_show(stream, SYMBOLS),
        colours=colours,
    )


class StatusLine:
    """The last line of a terminal; other output is printed completely, above it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._guard = threading.RLock()
        self._shown = False
        self._unfinished = False
        self._process = os.getpid()

    def show(self, text: str) -> None:
        """Draw the line again, unless other output has begun a line without finishing it."""
        with self._guard:
            if not self._unfinished:
                self._write(f"{_CLEAR}{text}")
                self._shown = True

    def hide(self) -> None:
        """Remove the line."""
        with self._guard:
            if self._shown:
                self._shown = False
                self._write(_CLEAR)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal was closed: nothing depends on it
            self._stream.write(text)
            self._stream.flush()

    @contextlib.contextmanager
    def yielding(self) -> Iterator[None]:
        """Hide the line while the body prints something."""
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (self._polite(stream) for stream in before)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            self.hide()

    def _polite(self, stream: Any) -> Any:
        return _Polite(stream, self) if can_redraw(stream) else stream

    def print_to(self, stream: TextIO, text: str) -> int:
        """Print other output to a stream, above the line."""
        if os.getpid() != self._process:  # in a forked process no thread would release a held guard
            return stream.write(text)
        with self._guard:
            self.hide()
            self._unfinished = not text.endswith("\n") if text else self._unfinished
            return stream.write(text)


class _Polite:
    """A stream that hides the status line when something is printed."""

    def __init__(self, stream: TextIO, line: StatusLine) -> None:
        self._stream = stream
        self._line = line

    def write(self, text: str) -> int:
        return self._line.print_to(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
