"""Positions of keys and values in a TOML document, which its parser does not report.

The document has been parsed before, so it is well-formed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from zapz.config.environment import Span
from zapz.config.types import Steps

_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|#[^\n]*)"
    r"|(?P<end>\n)"
    r"|(?P<mark>[\[\]{}=,.])"
    r'|(?P<quoted>"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\')'
    r"|(?P<bare>[^\s\"'#\[\]{}=,.]+)",
    re.DOTALL,
)


class _Token(NamedTuple):
    kind: str | None
    """Name of the group in the pattern; None after the end."""
    text: str
    line: int
    start: int
    """Offset of its first character."""


def lines_of(text: str) -> dict[Steps, int]:
    """Return the line of each key of a document, by its path of keys and list indexes."""
    document = _Document(text)
    document.read()
    return document.lines


def spans_of(text: str) -> Iterator[Span]:
    """Return the positions of the keys and values of each setting, without comments."""
    document = _Document(text)
    document.read()
    yield from document.spans


class _Document:
    """Reads tokens one by one, and records the positions of keys."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Steps, int] = {}
        self.spans: list[Span] = []
        self._lengths: dict[Steps, int] = {}  # of arrays of tables
        line, self._tokens = 1, list[_Token]()
        for match in _TOKEN.finditer(text):
            if match.lastgroup != "space":
                self._tokens.append(_Token(match.lastgroup, match.group(), line, match.start()))
            line += match.group().count("\n")
        self._tokens.append(_Token(None, "", line, len(text)))
        self._tokens.reverse()  # so that removing the next one is cheap
        self._all = self._tokens.copy()

    @property
    def _next(self) -> _Token:
        return self._tokens[-1]

    def _passes(self, mark: str) -> bool:
        """Consume the next token if it is this mark; return whether it was."""
        found = self._next.text == mark and self._next.kind in {"mark", "end"}
        if found:
            self._tokens.pop()
        return found

    def read(self) -> None:
        """Read all headers and all keys with their values."""
        table: Steps = ()
        while self._next.kind is not None:
            before = len(self._tokens)
            if self._passes("["):
                table = self._header(is_array=self._passes("["))
                self._note(table, before)
            elif not self._passes("\n"):
                self._note(self._pair(table), before)

    def _note(self, steps: Steps, before: int) -> None:
        """Record that the tokens consumed since ``before`` tokens were left belong to a setting."""
        taken = self._all[len(self._tokens) : before]
        self.spans += [Span(str(steps[0]), token.start, token.start + len(token.text)) for token in taken]

    def _header(self, *, is_array: bool) -> Steps:
        line, names = self._next.line, self._key()
        table: Steps = ()
        for position, name in enumerate(names, 1):
            table = (*table, name)
            self.lines.setdefault(table, line)
            if is_array and position == len(names):
                self._lengths[table] = self._lengths.get(table, 0) + 1
            if table in self._lengths:
                table = (*table, self._lengths[table] - 1)
                self.lines.setdefault(table, line)
        while self._passes("]"):
            pass
        return table

    def _key(self) -> list[str]:
        """Consume a key, which may be dotted, and return its parts."""
        import tomli  # imported only when needed

        names = []
        while self._next.kind in {"bare", "quoted"}:
            token = self._tokens.pop()
            names.append(token.text if token.kind == "bare" else tomli.loads(f"k = {token.text}")["k"])
            self._passes(".")
        return names

    def _pair(self, table: Steps) -> Steps:
        line = self._next.line
        for name in self._key():
            table = (*table, name)
            self.lines.setdefault(table, line)
        self._passes("=")
        self._value(table)
        return table

    def _value(self, steps: Steps) -> None:
        if self._passes("{"):
            while not self._passes("}"):
                if not self._passes(",") and not self._passes("\n"):
                    self._pair(steps)
        elif self._passes("["):
            position = 0
            while not self._passes("]"):
                if self._passes(","):
                    position += 1
                elif not self._passes("\n"):
                    self._value((*steps, position))
        else:
            while self._next.kind in {"bare", "quoted"} or self._next.text == ".":
                self._tokens.pop()
