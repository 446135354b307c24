"""The values of ``append_label``: the source of a label, patterns, and formats of times. Pure.

Patterns are limited, because a configuration may come from elsewhere and a Python pattern can run
very long: texts are short, few parts have a variable length, and no repeated part contains a
variable one.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, cast

MOST = 255
"""Maximum length of a pattern, and of a text that is searched, in characters."""
_ANY_LENGTH, _OPTIONAL = 5, 10
"""Maximum number of parts of any length, and of optional parts: their costs multiply."""
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<counted>\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}|[*+?])[?+]?"
    r"|\(\?#[^)]*\)|\((?:\?(?:P[<=]\w+>?|[a-zA-Z-]*:|[a-zA-Z]+|<?[=!]|>|\(\w+\)))?|.",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_KNOWN = frozenset("aAwdbBmyYHIpMSfzZjUWcxXGuV%")
"""Directives of ``datetime.strptime``."""
_YEARS = frozenset("yYGcx")
ISO = "iso"
"""Format for times in ISO 8601."""

Kind = Literal["value", "attr", "name", "variable"]


class LabelOrigin(NamedTuple):
    """The source of a label."""

    kind: Kind
    """Text in the setting itself, an attribute, the name of the slice, or a scalar variable."""
    rest: str
    """The text, the attribute, the pattern, or the variable."""


def origin_of(given: str) -> LabelOrigin:
    """Return ``append_label.from`` as its parts."""
    kind, colon, rest = given.partition(":")
    if colon and kind in {"value", "attr", "name"}:
        return LabelOrigin(cast("Kind", kind), rest)
    return LabelOrigin("variable", given)


def checked_origin(given: str) -> str:
    """Return the text of ``append_label.from``, after a check.

    Raises:
        ValueError: A name or text is missing, or a pattern is invalid or could run forever.
    """
    kind, rest = origin_of(given)
    if not rest.strip():
        raise ValueError(f"Nothing follows {kind}:.")
    if kind == "name":
        pattern_of(rest)
    return given


def pattern_of(given: str) -> re.Pattern[str]:
    """Return a compiled pattern.

    Raises:
        ValueError: The pattern is invalid or could run forever.
    """
    if len(given) > MOST:
        raise ValueError(f"A pattern may have at most {MOST} characters.")
    try:
        made = re.compile(given)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"Invalid regular expression: {error}.") from error
    _check_repetitions(given)
    return made


def _check_repetitions(pattern: str) -> None:
    """Refuse a pattern that could run forever.

    That is one where a part with a variable length is repeated, or where too many lengths vary.

    Raises:
        ValueError: The pattern could run forever.
    """
    inside = [0]
    closed = longer = optional = 0
    for match in _TOKEN.finditer(pattern):
        part, here = match.group(), closed
        closed = 0
        if match["counted"]:
            fixed = bool(match["least"]) and not match["comma"]
            once = part[0] == "?" or match["most"] in {"0", "1"} or (fixed and match["least"] in {"0", "1"})
            if not (match["least"] or match["most"] or part[0] in "*+?"):
                continue  # braces without a number are text
            if here and not once:
                raise ValueError(
                    "A repeated part contains another repetition or a choice. Such a pattern can run forever."
                )
            inside[-1] += not fixed
            longer += not fixed and not once
            optional += once and not fixed
        elif part[0] == "(" and not part.startswith("(?#"):
            if part[1:2] == "?" and part[2:3] not in "P(" and "x" in part:
                raise ValueError("The flag x is not supported.")
            inside.append(0)
        elif part == ")" and len(inside) > 1:
            closed = inside.pop()
            inside[-1] += closed
        elif part == "|":
            inside[-1] += 1
    if longer > _ANY_LENGTH or optional > _OPTIONAL:
        raise ValueError(
            f"At most {_ANY_LENGTH} parts may have any length, and {_OPTIONAL} may be optional. Use fixed lengths, such as \\d{{8}}."
        )


def checked_format(given: str) -> str:
    """Return a format of times, after a check.

    Raises:
        ValueError: The format is invalid, or has no year.
    """
    if given == ISO:
        return given
    letters = _DIRECTIVE.findall(given)
    unknown = [letter for letter in letters if letter not in _KNOWN]
    if unknown:
        raise ValueError(f"%{unknown[0]} is not a directive of Python's strptime.")
    if _YEARS.isdisjoint(letters):
        raise ValueError("The year is missing: %Y.")
    return given
