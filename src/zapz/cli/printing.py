"""Print to any standard output: a limited encoding, a closed pipe, a full disk.

While a command runs, its standard output and standard error never raise. Lost output is reported
once, at the end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_WORKS = frozenset(("append", "demo", "recover", "serve", "unlock", "vacuum", "zappend"))
"""Commands that do more than print. Lost output does not change their exit code."""
_TELLS = frozenset(("--dry-run", "--help", "-h"))
"""Options with which these commands only print."""


class Printed:
    """A text stream that accepts everything.

    Characters that its encoding lacks become backslash escapes. Text that cannot be written is
    lost.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        """Why text was lost; None if nothing was lost."""

    def write(self, text: str) -> int:
        """Write text."""
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding or "ascii"
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self._lose(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Record the reason, and discard all further text, also what is still buffered."""
        self.failure = self.failure or error
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def printing(words: Sequence[str]) -> Iterator[None]:
    """Print what the body prints, and report lost output.

    The exit code is then 6, unless the command does more than print. A closed pipe is not a
    failure: its reader has enough.

    Args:
        words: The command and its arguments.

    Raises:
        SystemExit: As the body, or because its output is lost.
    """
    before: tuple[Any, Any] = sys.stdout, sys.stderr
    kept = [Printed(io.StringIO() if stream is None else stream) for stream in before]  # None: closed before the start
    ended: SystemExit | None = None
    try:
        sys.stdout, sys.stderr = kept
        try:
            yield
        except SystemExit as end:
            ended = end
        lost = _lost(kept[0])
        if lost is not None and (ended is None or not ended.code):
            works = bool(words) and words[0] in _WORKS and not _TELLS & set(words)
            rest = "The command itself succeeded." if works else "Free some space, or redirect the output."
            print(f"zapz: cannot print, standard output: found {lost}. {rest}", file=sys.stderr)
            ended = ended if works else SystemExit(6)
        if ended is not None:
            raise ended
    finally:
        for stream in kept:
            stream.flush()
        sys.stdout, sys.stderr = before


def _lost(stream: Printed) -> str | None:
    """Return why output was lost; None if nothing was lost, or the pipe's reader has closed it."""
    stream.flush()
    if stream.failure is None or stream.failure.errno == errno.EPIPE:
        return None
    reason = stream.failure.strerror or type(stream.failure).__name__
    return reason[:1].lower() + reason[1:]
