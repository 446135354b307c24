"""A terminal for tests in this process, and what is seen on it."""

from __future__ import annotations

import html
import io
import re
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


_BASIC = {30: "#000", 31: "#e06056", 32: "#4fc47d", 33: "#e3b341", 35: "#d08cf0", 36: "#4fd0e0", 90: "#888"}
_CUBE = (0, 95, 135, 175, 215, 255)


def as_html(written: str, width: int) -> str:
    """Return what a dark terminal of some columns shows, as a page."""
    parts, now = [], {}
    for part in re.split(r"(\x1b\[[0-9;]*m)", "\n".join(seen(written))):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if code is None:
            style = "".join(f"{name}:{value};" for name, value in now.items())
            parts.append(f'<span style="{style}">{html.escape(part)}</span>')
        else:
            now = _styled(now, [int(number or 0) for number in code[1].split(";")])
    text = "".join(parts)
    look = f"font:14px/17px 'DejaVu Sans Mono',monospace;width:{width + 0.5}ch;white-space:pre-wrap;word-break:break-all;margin:0"
    return f'<!DOCTYPE html><meta charset="utf-8"><body style="margin:12px;background:#14181d;color:#d8dee6"><pre style="{look}">{text}</pre></body>'


def _styled(now: dict[str, str], codes: list[int]) -> dict[str, str]:
    now = dict(now)
    while codes:
        code = codes.pop(0)
        if code == 0:
            now = {}
        elif code in {1, 2}:
            now |= {"font-weight": "bold"} if code == 1 else {"opacity": "0.6"}
        elif code in _BASIC:
            now["color"] = _BASIC[code]
        elif code in {38, 48}:
            name = "color" if code == 38 else "background"
            if codes.pop(0) == 2:
                red, green, blue = codes[:3]
                codes = codes[3:]
            else:
                number = codes.pop(0) - 16
                red, green, blue = (_CUBE[part] for part in (number // 36, number // 6 % 6, number % 6))
            now[name] = f"rgb({red},{green},{blue})"
    return now
