"""Parse expressions in the text of attributes; an error names the column. Pure.

No rule contains itself, so a loop without recursion parses any expression::

    expression = array | length | size | attribute | bound | literal
    array      = variable [ "[" index { "," index } "]" ]
    variable   = "ds" member
    index      = integer | [integer] ":" [integer] [ ":" [integer] ]
    length     = "len" "(" array ")"
    size       = "ds" "." ("sizes" | "dims") member
    member     = "." NAME | "[" TEXT "]"
    attribute  = "ds" "." "attrs" member
    literal    = NUMBER | TEXT
    bound      = ("lower_bound" | "upper_bound") "(" array [ "," ["ref" "="] ref ] ")"
    ref        = ( "lower" | "center" | "upper" )
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, TypeAlias, cast

from zapz.errors import ConfigError

MAX_TEXT: Final = 10_000
"""Maximum length of a text with expressions, in characters."""
MAX_EXPRESSION: Final = 500
"""Maximum length of an expression, in characters. Python parses integers of this length under every
limit that can be set."""

Ref: TypeAlias = Literal["lower", "center", "upper"]
"""Position of a label in its cell."""

_REFS: Final = ("lower", "center", "upper")
_TABLES: Final = ("sizes", "dims", "attrs")
_EXPRESSION: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TOKEN: Final = re.compile(
    r"(?P<name>[^\W\d]\w*)"
    r"|(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<text>\"[^\"\\]*\"|'[^'\\]*')"
    r"|(?P<mark>[.,:=()\[\]])"
)
_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_HINT: Final = (
    'An expression is ds.NAME or ds["NAME"], optionally followed by [INDEX]; lower_bound(ds.NAME) or upper_bound(ds.NAME); '
    "len(ds.NAME); ds.sizes.NAME; ds.attrs.NAME; a number; or text in quotes."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A number or text as such."""

    value: float | str
    """The number or text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayNode:
    """A variable, or a part of it."""

    name: str
    """Path of the variable."""
    indices: tuple[int | slice, ...] = ()
    """One index per dimension, from the first one on; the other dimensions are selected whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One end of the cells of a variable's labels."""

    of: ArrayNode
    """The labels."""
    upper: bool
    """Whether it is the upper end."""
    ref: Ref = "lower"
    """Position of a label in its cell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Length of a variable along its first dimension."""

    of: ArrayNode
    """The variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Length of a dimension."""

    name: str
    """The dimension."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute of the root group."""

    name: str
    """The attribute."""


Expression: TypeAlias = Constant | ArrayNode | Bound | Length | Size | Attribute


def parts_of(text: str, where: str) -> tuple[str | Expression, ...]:
    """Split a text into plain text and expressions, in order; empty text is left out.

    Args:
        text: Value of an attribute.
        where: Path of the attribute, for errors.

    Raises:
        ConfigError: An expression is invalid; names the column (from 1) in the text.
    """
    if "{{" not in text:
        return (text,) if text else ()
    if len(text) > MAX_TEXT:
        raise ConfigError(
            "text with an expression is too long",
            where=where,
            expected=f"at most {MAX_TEXT} characters",
            found=str(len(text)),
            hint='Shorten the text. For "{{" without an expression, write {{ "{{" }}.',
        )
    parts: list[str | Expression] = []
    start = 0
    for match in _EXPRESSION.finditer(text):
        parts += [text[start : match.start()], _Reader(text, match.start(1), match.end(1), where).expression()]
        start = match.end()
    rest = text[start:]
    if "{{" in rest:
        column = start + rest.index("{{") + 1
        raise ConfigError(
            "expression is not closed",
            where=where,
            expected='"}}"',
            found=f'"{{{{" at column {column} of {shown(text, column - 1)}',
            hint='Close it. For "{{" without an expression, write {{ "{{" }}.',
        )
    return tuple(part for part in (*parts, rest) if part != "")


def shown(text: str, at: int = 0) -> str:
    """Return a text for an error message; of a long text, the part around an offset."""
    start, stop = max(0, at - 60), at + 60
    return repr(f"{'...' if start else ''}{text[start:stop]}{'...' if text[stop:] else ''}")


class _Reader:
    """Parser of one expression, token by token."""

    def __init__(self, text: str, start: int, stop: int, where: str) -> None:
        self._text, self._where = text, where
        self._tokens = self._scan(start, stop)
        self._kind, self._word, self._at = "", "", start
        if stop - start > MAX_EXPRESSION:
            self._refuse("expression is too long", f"at most {MAX_EXPRESSION} characters", str(stop - start))
        self._next()

    def expression(self) -> Expression:
        """Return the whole expression."""
        word = self._word if self._kind == "name" else ""
        result: Expression
        if word == "ds":
            self._next()
            result = self._of_dataset()
        elif word == "len":
            self._next()
            self._demand("(")
            result = Length(of=self._array())
            self._demand(")")
        elif word in {"lower_bound", "upper_bound"}:
            self._next()
            result = self._bound(upper=word == "upper_bound")
        elif self._kind == "number":
            result = Constant(value=self._number())
        elif self._kind == "text":
            result = Constant(value=self._word[1:-1])
            self._next()
        else:
            self._fail("ds, len, lower_bound, upper_bound, a number or text in quotes")
        if self._word == "." and isinstance(result, ArrayNode) and not result.indices:
            self._refuse_member(result.name)
        if self._kind:
            self._fail('"[" or "}}"' if isinstance(result, ArrayNode) and not result.indices else '"}}"')
        return result

    def _of_dataset(self) -> Expression:
        dotted = self._word == "."
        name = self._member('the name of a variable, such as ds.x or ds["x"]')
        if not dotted or name not in _TABLES:  # a variable with the name sizes is ds["sizes"]
            return self._subscripted(name)
        member = self._member(f'a name, such as ds.{name}.x or ds.{name}["x"]')
        return Attribute(name=member) if name == "attrs" else Size(name=member)

    def _member(self, expected: str) -> str:
        if self._word == ".":
            self._next()
            name = self._word
            if self._kind != "name" or name.startswith("__"):
                self._fail(f"{expected}; other names, and names with __ at the beginning, need brackets and quotes")
            self._next()
            return name
        if self._word != "[":
            self._fail(expected)
        self._next()
        if self._kind != "text":
            self._fail("a name in quotes")
        name = self._word[1:-1]
        self._next()
        self._demand("]")
        return name

    def _array(self) -> ArrayNode:
        begin = self._kind, self._word, self._at
        found: Expression | None = None
        if begin[:2] == ("name", "ds"):
            self._next()
            found = self._of_dataset()
        if not isinstance(found, ArrayNode):
            self._kind, self._word, self._at = begin
            self._fail("a variable, such as ds.x")
        return found

    def _subscripted(self, name: str) -> ArrayNode:
        if self._word != "[":
            return ArrayNode(name=name)
        self._next()
        indices = [self._index()]
        while self._word == ",":
            self._next()
            indices.append(self._index())
        self._demand("]")
        return ArrayNode(name=name, indices=tuple(indices))

    def _index(self) -> int | slice:
        ends: list[int | None] = []
        while True:
            is_step = len(ends) == 2  # noqa: PLR2004 - start, stop, step
            ends.append(self._integer(zero=not is_step) if self._kind == "number" else None)
            if self._word != ":" or is_step:
                break
            self._next()
        if len(ends) > 1:
            return slice(*ends)
        if ends[0] is None:
            self._fail("an integer, or a slice such as 0:3")
        return ends[0]

    def _integer(self, *, zero: bool = True) -> int:
        value = int(self._word) if _INTEGER.fullmatch(self._word) else None
        if value is None or not (value or zero):
            self._fail("an integer" if zero else "an integer other than 0")
        self._next()
        return value

    def _number(self) -> float:
        if _INTEGER.fullmatch(self._word):
            return self._integer()
        value = float(self._word)
        if not math.isfinite(value):
            self._fail("a finite number")
        self._next()
        return value

    def _bound(self, *, upper: bool) -> Bound:
        self._demand("(")
        of, ref = self._array(), "lower"
        if self._word == ",":
            self._next()
            if (self._kind, self._word) == ("name", "ref"):
                self._next()
                self._demand("=")
            ref = self._word[1:-1]
            if self._kind != "text" or ref not in _REFS:
                self._fail('"lower", "center" or "upper"')
            self._next()
        self._demand(")")
        return Bound(of=of, upper=upper, ref=cast("Ref", ref))

    def _demand(self, mark: str) -> None:
        if self._kind != "mark" or self._word != mark:
            self._fail(f'"{mark}"')
        self._next()

    def _next(self) -> None:
        self._kind, self._word, self._at = next(self._tokens)

    def _scan(self, start: int, stop: int) -> Iterator[tuple[str, str, int]]:
        at = start
        while True:
            while at < stop and self._text[at].isspace():
                at += 1
            if at == stop:
                yield "", "", stop
                continue
            match = _TOKEN.match(self._text, at, stop)
            if match is None or match.lastgroup is None:
                yield "unknown", self._text[at], at
                at += 1
                continue
            yield match.lastgroup, match[0], at
            at = match.end()

    def _refuse_member(self, name: str) -> NoReturn:
        """Refuse a member of a variable; the hint explains the form for xarray's size."""
        found, at = '"."', self._at
        self._next()
        hint = (
            f"The length of a dimension is ds.sizes.{name}." if self._word == "size" and name.isidentifier() else _HINT
        )
        self._at = at
        self._refuse("invalid expression", '"[" or "}}"', found, hint)

    def _fail(self, expected: str) -> NoReturn:
        found = f'"{self._word}"' if self._kind and self._kind != "text" else self._word or "the end of the expression"
        self._refuse("invalid expression", expected, found)

    def _refuse(self, what: str, expected: str, found: str, hint: str = _HINT) -> NoReturn:
        place = f"{found} at column {self._at + 1} of {shown(self._text, self._at)}"
        raise ConfigError(what, where=self._where, expected=expected, found=place, hint=hint)
