"""Show the progress of a run: one status line on a terminal, elsewhere one line per long wait."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self, TextIO
from unicodedata import east_asian_width

from zapz.cli.terminal import StatusLine, columns_of, has_colours
from zapz.cli.words import can_show, clock, fitting, last_part, size, visible

if TYPE_CHECKING:
    from zapz.reports import Progress

_LATER = 1.0
"""Time after which a run, or a wait, is first shown, in seconds."""
_TICK = 0.1
"""Time between two updates of the bar, in seconds."""
_WINDOW = 15.0
"""Period over which the rate and the remaining time are estimated, in seconds."""
_GRAPH = 16
"""Width of the graph, in columns."""
_WIDE = 110
"""Width of a terminal that always has room for the graph, in columns."""
_SHORTEST = 8
"""Minimum width of a slice's name, in columns."""


class Bar:
    """One line that shows slices, phase, chunks, bytes, rate and remaining time of a run."""

    def __init__(self, slices: int | None, stream: TextIO) -> None:
        """Begin; the line is drawn while the context is open.

        Args:
            slices: Number of slices; None if it is not known.
            stream: The terminal.
        """
        self._slices = slices
        self._done = 0
        self._bytes = 0
        self._now: Progress | None = None
        self._ahead: dict[int, Progress] = {}
        self._seen: deque[tuple[float, float, int]] = deque([(time.monotonic(), 0.0, 0)])
        self._line = StatusLine(stream)
        self._stream = stream
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zapz-bar", daemon=True)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._line.yielding())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._stack.close()

    def tell(self, event: Progress) -> None:
        """Record the progress of the run; called from any thread.

        Progress of a slice that is opened ahead is shown when its turn comes.
        """
        if event.phase == "looking":
            self._now = event
        elif event.number > self._done:
            self._ahead[event.number] = event
        elif event.number == self._done:
            self._now = event

    def slice_done(self, written: int) -> None:
        """Record that a slice is finished, with the bytes written for it."""
        self._done += 1
        self._bytes += written
        self._now = self._ahead.pop(self._done, None)

    def _run(self) -> None:
        """Draw the line until the run ends; the body of the thread."""
        pause = _LATER
        while not self._stop.wait(pause):
            pause = _TICK
            self._line.show(self.text(time.monotonic(), columns_of(self._stream) - 1))

    def text(self, now: float, width: int) -> str:
        """Return the line.

        Args:
            now: Time on the monotonic clock, in seconds.
            width: Maximum width, in columns.
        """
        event = self._now
        written = self._bytes + (event.bytes if event is not None else 0)
        part = self._part(event)
        self._seen.append((now, part, written))
        while len(self._seen) > 1 and now - self._seen[1][0] > _WINDOW:
            self._seen.popleft()
        then, part_then, written_then = self._seen[0]
        speed = (part - part_then) / max(now - then, _TICK)
        rate = (written - written_then) / max(now - then, _TICK)
        dots = "…" if can_show(self._stream, "…") else "..."
        slices = "" if self._slices == 1 else f"{self._done:,}/{self._slices:,} slices" if self._slices else ""
        if self._slices is None:
            slices = f"{self._done:,} slices"
        name, doing = _doing(event, dots)
        parts = {
            "graph": self._graph(part) if self._slices and width >= _WIDE else "",
            "slices": slices,
            "name": name,
            "doing": doing,
            "bytes": size(written) if written else "",
            "rate": f"{size(rate)}/s" if rate > 0 else "",
            "left": clock((1 - part) / speed) if self._slices and speed > 0 and part < 1 else "",
        }
        return _fitted(parts, width, dots)

    def _part(self, event: Progress | None) -> float:
        """Return the fraction of the run that is done, from 0 to 1."""
        here = 0.0
        if event is not None and event.phase in {"syncing", "committing"}:
            here = 1.0
        elif event is not None and event.total:
            here = event.chunks / event.total
        return min(1.0, (self._done + here) / self._slices) if self._slices else 0.0

    def _graph(self, part: float) -> str:
        filled = round(part * _GRAPH)
        on, off = ("━", "╌") if can_show(self._stream, "━╌") else ("=", "-")
        if has_colours(self._stream):
            return f"\x1b[32m{on * filled}\x1b[0m{off * (_GRAPH - filled)}"
        return on * filled + off * (_GRAPH - filled)


def _doing(event: Progress | None, dots: str) -> tuple[str, str]:
    """Return the name of a slice, and its phase."""
    if event is None:
        return "", dots
    name = visible(last_part(event.slice))
    if event.phase == "waiting":
        return "", f"{waiting_for(event)} {dots}"
    if event.phase == "looking":
        return name, f"inspecting slice {event.number + 1:,}"
    counts = f" {event.chunks:,}/{event.total:,}" if event.total else ""
    return name, f"{event.phase}{counts}"


def waiting_for(event: Progress) -> str:
    """Return what the run waits for, and the maximum duration."""
    most = f" (up to {event.wait:g} s)" if event.wait else ""
    return f"waiting for {visible(last_part(event.slice))}{most}"


def _fitted(parts: dict[str, str], width: int, dots: str) -> str:
    """Join the parts of a line; leave out the least important parts until it fits.

    The name is shortened before it is left out.
    """

    def joined() -> str:
        return "  ".join(part for part in parts.values() if part)

    for name in ("graph", "bytes", "rate", "name", "left", "slices"):
        excess = _columns(joined()) - width
        if excess <= 0:
            break
        if name == "name" and _columns(parts["name"]) - excess >= _SHORTEST:
            parts["name"] = _tail(parts["name"], _columns(parts["name"]) - excess, dots)
        else:
            parts[name] = ""
    text = joined()
    return text if _columns(text) <= width else _head(text, max(width, 0), dots)


def _columns(text: str) -> int:
    """Return the width of a text in columns; colour codes have none."""
    plain = text.replace("\x1b[32m", "").replace("\x1b[0m", "")
    return sum(2 if east_asian_width(each) in {"W", "F"} else 1 for each in plain)


def _tail(text: str, width: int, dots: str) -> str:
    """Return the end of a text, where the names of slices differ."""
    while text and _columns(f"{dots}{text}") > width:
        text = text[1:]
    return f"{dots}{text}"


def _head(text: str, width: int, dots: str) -> str:
    while text and _columns(f"{text}{dots}") > width:
        text = text[:-1]
    return f"{text}{dots}"


class Waits:
    """Prints a line on standard error for each long wait."""

    def __init__(self) -> None:
        self._timers: dict[int, threading.Timer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def tell(self, event: Progress) -> None:
        """Record that a wait has begun or ended; called from any thread."""
        before = self._timers.pop(event.number, None)
        if before is not None:
            before.cancel()
        if event.phase == "waiting":
            timer = self._timers[event.number] = threading.Timer(_LATER, self._say, [waiting_for(event)])
            timer.daemon = True
            timer.start()

    def slice_done(self, written: int) -> None:
        """Do nothing: finished slices are not shown here."""

    @staticmethod
    def _say(words: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(fitting(f"{words} …\n", sys.stderr))
            sys.stderr.flush()
