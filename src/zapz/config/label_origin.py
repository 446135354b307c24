"""What the setting ``append_label`` says: where a label comes from, patterns, formats of times. Pure.

What a pattern may be is bounded, since a configuration may come from elsewhere and Python's
patterns can take longer than anybody waits: texts are short, few parts vary in length, and a part
that is repeated holds nothing that varies itself.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, cast

MOST = 255
"""Characters of a text in which a pattern is looked for, and of a pattern."""
_ANY_LENGTH, _OPTIONAL = 5, 10
"""Parts of a pattern that may be of any length, or be missing: what they cost multiplies."""
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<counted>\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\}|[*+?])[?+]?"
    r"|\(\?#[^)]*\)|\((?:\?(?:P[<=]\w+>?|[a-zA-Z-]*:|[a-zA-Z]+|<?[=!]|>|\(\w+\)))?|.",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_KNOWN = frozenset("aAwdbBmyYHIpMSfzZjUWcxXGuV%")
"""What ``datetime.strptime`` reads."""
_YEARS = frozenset("yYGcx")
ISO = "iso"
"""Format of times as ISO 8601 writes them."""

Kind = Literal["value", "attr", "name", "variable"]


class LabelOrigin(NamedTuple):
    """Where a label comes from."""

    kind: Kind
    """Text in the setting itself, an attribute, the slice's name, or a scalar variable."""
    rest: str
    """The text, the attribute, the pattern, or the variable."""


def origin_of(given: str) -> LabelOrigin:
    """Return what ``append_label.from`` means."""
    kind, colon, rest = given.partition(":")
    if colon and kind in {"value", "attr", "name"}:
        return LabelOrigin(cast("Kind", kind), rest)
    return LabelOrigin("variable", given)


def checked_origin(given: str) -> str:
    """Return the text of ``append_label.from``.

    Raises:
        ValueError: It names nothing, or a pattern that is none, or could take for ever.
    """
    kind, rest = origin_of(given)
    if not rest.strip():
        raise ValueError(f"Nothing comes after {kind}:.")
    if kind == "name":
        pattern_of(rest)
    return given


def pattern_of(given: str) -> re.Pattern[str]:
    """Return a pattern.

    Raises:
        ValueError: It is none, or could take for ever.
    """
    if len(given) > MOST:
        raise ValueError(f"A pattern has at most {MOST} characters.")
    try:
        made = re.compile(given)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"Not a regular expression: {error}.") from error
    _check_repetitions(given)
    return made


def _check_repetitions(pattern: str) -> None:
    """Refuse a pattern that could take for ever: a part is repeated that varies itself, or too many vary."""
    inside = [0]
    closed = longer = optional = 0
    for match in _TOKEN.finditer(pattern):
        part, here = match.group(), closed
        closed = 0
        if match["counted"]:
            fixed = bool(match["least"]) and not match["comma"]
            once = part[0] == "?" or match["most"] in {"0", "1"} or (fixed and match["least"] in {"0", "1"})
            if not (match["least"] or match["most"] or part[0] in "*+?"):
                continue  # braces that count nothing are text
            if here and not once:
                raise ValueError(
                    "A part that is repeated holds another repetition, or a choice: that can take for ever."
                )
            inside[-1] += not fixed
            longer += not fixed and not once
            optional += once and not fixed
        elif part[0] == "(" and not part.startswith("(?#"):
            if part[1:2] == "?" and part[2:3] not in "P(" and "x" in part:
                raise ValueError("The flag x is not taken.")
            inside.append(0)
        elif part == ")" and len(inside) > 1:
            closed = inside.pop()
            inside[-1] += closed
        elif part == "|":
            inside[-1] += 1
    if longer > _ANY_LENGTH or optional > _OPTIONAL:
        raise ValueError(
            f"At most {_ANY_LENGTH} parts can be of any length, and {_OPTIONAL} optional; say lengths, such as \\d{{8}}."
        )


def checked_format(given: str) -> str:
    """Return a format of times.

    Raises:
        ValueError: It is none, or says no year.
    """
    if given == ISO:
        return given
    letters = _DIRECTIVE.findall(given)
    unknown = [letter for letter in letters if letter not in _KNOWN]
    if unknown:
        raise ValueError(f"%{unknown[0]} means nothing; Python's strptime says what does.")
    if _YEARS.isdisjoint(letters):
        raise ValueError("It says no year: %Y.")
    return given
