"""What a medium can show (columns, symbols, colours), and text that fits it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from unicodedata import combining, east_asian_width

Role = Literal["head", "dim", "good", "warn", "bad", "copied", "joined", "encoded", "boundary", "empty", "old"]
"""Role of a piece of text, which decides its colour."""

_COLOURS: dict[Role, str] = {
    "head": "1",
    "dim": "2",
    "good": "32",
    "warn": "33",
    "bad": "31",
    "copied": "32",
    "joined": "36",
    "encoded": "33",
    "boundary": "35",
    "empty": "2",
    "old": "90",
}
"""ANSI codes by role. They use the 16 colours that the terminal's theme defines, so that they suit
light and dark themes."""
_ASCII = str.maketrans(
    {"→": "->", "×": "x", "·": "|", "…": "...", "█": "#", "▄": "+", "░": ".", "⚠": "!", "■": "#"}
    | {"▣": "e", "◧": "b", "▤": "s", "▒": "o", "∙": ".", "≤": "<="}
)
"""ASCII replacements of symbols, for encodings that lack them."""
SYMBOLS = "→×·…█▄░⚠■▣◧▤▒∙▀≤"
"""All symbols that pictures use."""
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
_TOKEN = re.compile(r"\x1b\[[0-9;]*m|.", re.DOTALL)
_RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a medium can show. The default is a pipe: unlimited columns, symbols, no colours."""

    width: int | None = None
    """Maximum columns of a line; None for no limit."""
    symbols: bool = True
    """Whether it can show the block characters and arrows of ``SYMBOLS``; otherwise ASCII replaces
    them."""
    colours: int = 0
    """Number of colours: 0 (none), 256, or 2**24."""

    def text(self, text: str) -> str:
        """Return a text in characters that the medium can show, without control characters."""
        text = text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
        return text if self.symbols else text.translate(_ASCII)

    def paint(self, text: str, role: Role) -> str:
        """Return a text in the colour of its role, if the medium has colours."""
        return f"\x1b[{_COLOURS[role]}m{text}{_RESET}" if self.colours and text else text

    @property
    def dots(self) -> str:
        """Mark for omitted text."""
        return self.text("…")

    def shortened(self, text: str, width: int | None) -> str:
        """Return a text cut to a number of columns; dots mark omitted text.

        Args:
            text: The text; may be painted.
            width: Maximum columns; None for no limit.
        """
        if width is None or columns(text) <= width:
            return text
        return next(iter(_cut(text, max(0, width - len(self.dots)))), "") + self.dots[: max(0, width)]

    def side_by_side(self, parts: Sequence[str], start: str = "") -> list[str]:
        """Return parts on one line if they fit, else one per line; lines begin with ``start``."""
        line = start + "   ".join(parts)
        if self.width is None or columns(line) <= self.width:
            return [line] if parts else []
        return [line for part in parts for line in self.wrapped(part, start, f"{start}  ")]

    def wrapped(self, text: str, first: str = "", rest: str = "") -> list[str]:
        """Return a text as lines that fit; only words longer than a line are broken.

        Args:
            text: The text; may be painted.
            first: Prefix of the first line.
            rest: Prefix of the other lines.
        """
        if self.width is None:
            return [f"{first}{text}".rstrip()]
        return [
            f"{first if number == 0 else rest}{line}".rstrip()
            for number, line in enumerate(
                fold(text, max(1, self.width - columns(first)), max(1, self.width - columns(rest)))
            )
        ]


def columns(text: str) -> int:
    """Return the number of columns that a text occupies on a terminal; colours occupy none."""
    if text.isascii() and "\x1b" not in text:
        return len(text)
    return sum(map(_width, _ESCAPE.sub("", text)))


def _width(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1


def ljust(text: str, width: int) -> str:
    """Return a text padded with spaces to ``width`` columns."""
    return text + " " * (width - columns(text))


def fold(text: str, first: int, rest: int) -> Iterator[str]:
    """Yield a text as lines of limited columns, broken at spaces; longer words are broken too.

    Args:
        text: The text; may be painted.
        first: Maximum columns of the first line.
        rest: Maximum columns of the other lines.
    """
    line, used, room = "", 0, first
    for word in text.split(" "):
        size = columns(word)
        if line and used + 1 + size <= room:
            line, used = f"{line} {word}", used + 1 + size
            continue
        if line:
            yield line
            room = rest
        pieces = list(_cut(word, room, rest)) if size > room else [word]
        for piece in pieces[:-1]:
            yield piece
            room = rest
        line = pieces[-1] if pieces else ""
        used = columns(line)
    yield line


def _cut(text: str, first: int, rest: int | None = None) -> Iterator[str]:
    """Yield a text in pieces of limited columns; a colour continues in the next piece."""
    piece, used, room, colour = "", 0, first, ""
    for token in _TOKEN.findall(text):
        if token.startswith("\x1b"):
            colour = "" if token == _RESET else token
            piece += token
            continue
        size = _width(token)
        if used + size > room and (used or rest is None):
            yield f"{piece}{_RESET}" if colour else piece
            piece, used, room = colour, 0, room if rest is None else rest
        piece, used = piece + token, used + size
    if used or not text:
        yield piece
