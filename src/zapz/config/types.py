"""Kinds of values that settings can have: a kind checks a value, merges a later one over it, and says what it takes.

A configuration is declared once, as a tree of kinds (``config.settings``, ``config.variables``).
Validation, merging and the reference are all read from that tree, so they cannot disagree. What a
kind takes it says in words, and as JSON schema. Tables are in ``config.table_types``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

from zapz.errors import ConfigError

Steps = tuple[str | int, ...]
"""Keys and list indexes from the root of a configuration down."""

_PLAIN_KEY = r"[\w*/-]+"
_SHOWN = 80
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where in a configuration a value stands, for messages."""

    prefix: str = ""
    """What stands before the path: a file's name and a comma, or "argument "."""
    lines: Mapping[Steps, int] = field(default_factory=dict)
    """Line of each key, where it is known."""
    steps: Steps = ()
    """The path."""

    def __truediv__(self, step: str | int) -> Place:
        return Place(self.prefix, self.lines, (*self.steps, step))

    def __str__(self) -> str:
        ends = range(len(self.steps), 0, -1)
        line = next((f"line {self.lines[self.steps[:n]]}, " for n in ends if self.steps[:n] in self.lines), "")
        return f"{self.prefix}{line}{dotted(self.steps)}"


def dotted(steps: Steps) -> str:
    """Return a path as a person would write it: ``variables.chl.encoding.filters[0]``."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(_PLAIN_KEY, step) else word(step))
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant."""
    import difflib  # imported where used: only messages need it

    folded = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def shown(value: Any) -> str:
    """Return a value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def word(value: Any) -> str:
    """Return a simple value as files write it."""
    return json.dumps(value, ensure_ascii=False)


def _later(_: Any, later: Any) -> Any:
    return later


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SettingType:
    """A kind of value."""

    words: str
    """What a value can be, in words."""
    schema: Mapping[str, Any]
    """The same as JSON schema."""
    takes: Callable[[Any], bool]
    """Whether a value is of this kind, looked at from outside."""
    read: Callable[[Any, Place], Any]
    """Turns a value that is taken into the form in which it is kept; a ValueError refuses it, its
    text being the hint."""
    merge: Callable[[Any, Any], Any] = _later
    """What holds if the second value comes over the first, which is None if there was none; both
    have been read."""
    keys: Mapping[str, Key] = field(default_factory=dict)
    """Keys of a table that are known."""

    def check(self, value: Any, place: Place) -> Any:
        """Return a value in the form in which it is kept.

        Raises:
            ConfigError: It is none of this kind, or something inside it is wrong.
        """
        hint = ""
        if self.takes(value):
            try:
                return self.read(value, place)
            except ConfigError:  # names a place inside, or is more precise
                raise
            except ValueError as error:
                hint = str(error)
        raise ConfigError(
            "invalid value",
            where=str(place),
            expected=self.words,
            found=shown(value),
            hint=hint,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Key:
    """One known key of a table."""

    kind: SettingType
    """What its value can be."""
    doc: str
    """What it means."""
    default: Any = None
    """What holds if it is not given."""
    example: Any = None
    """A value that shows its form, where the default does not."""


def text(
    words: str = "text", *, parse: Callable[[str], Any] = str, path: bool = False, empty: bool = False
) -> SettingType:
    """Text.

    Args:
        words: What text it is.
        parse: Turns it into the form in which it is kept; a ValueError refuses it.
        path: Whether it may also be a path object.
        empty: Whether it may be empty.
    """

    def read(value: Any, _: Place) -> Any:
        given = value if isinstance(value, str) else value.__fspath__()
        if not given and not empty:
            raise ValueError("It is empty.")
        return parse(given)

    return SettingType(
        words=words,
        schema={"type": "string"} if empty else {"type": "string", "minLength": 1},
        takes=lambda value: isinstance(value, str) or (path and hasattr(value, "__fspath__")),
        read=read,
    )


def choice(*choices: str | int) -> SettingType:
    """One of some texts or integers."""

    def read(value: Any, _: Place) -> Any:
        if value not in choices:
            meant = nearest(value, map(str, choices)) if isinstance(value, str) else None
            raise ValueError(f"Did you mean {meant!r}?" if meant else "")
        return value

    kinds = tuple({type(c) for c in choices})
    return SettingType(
        words=" or ".join(map(word, choices)),
        schema={"enum": list(choices)},
        takes=lambda value: isinstance(value, kinds) and not isinstance(value, bool),
        read=read,
    )


def number(
    *,
    integer: bool = False,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    finite: bool = False,
    nonzero: bool = False,
) -> SettingType:
    """A number, a NumPy scalar perhaps, within bounds; truth values are none.

    Args:
        integer: Whether it must be an integer.
        least: The least that it can be.
        above: It must be greater than this.
        most: The most that it can be.
        finite: Whether infinities and not-a-number are refused.
        nonzero: Whether 0 is refused.
    """
    words, schema = ("an integer", "integer") if integer else ("a number", "number")
    bounds = {"minimum": (" from", least), "exclusiveMinimum": (" above", above), "maximum": (" to", most)}
    given = {name: bound for name, (_, bound) in bounds.items() if bound is not None}
    words += "".join(f"{bounds[name][0]} {bound:.15g}" for name, bound in given.items())

    def read(value: Any, _: Place) -> Any:
        plain = int(value) if isinstance(value, Integral) else float(value)
        good = (
            (least is None or plain >= least) and (above is None or plain > above) and (most is None or plain <= most)
        )
        if not good or (finite and not math.isfinite(plain)) or (nonzero and not plain):
            raise ValueError
        return plain

    return SettingType(
        words=words + (" other than 0" if nonzero else ""),
        schema={"type": schema, **given, **({"not": {"const": 0}} if nonzero else {})},
        takes=lambda value: isinstance(value, Integral if integer else Real) and not isinstance(value, bool),
        read=read,
    )


def flag() -> SettingType:
    """True or false."""
    return SettingType(
        words="true or false",
        schema={"type": "boolean"},
        takes=lambda value: isinstance(value, bool),
        read=lambda value, _: value,
    )


def null(other: bool | str) -> SettingType:  # noqa: FBT001 - it is a value, not a switch
    """None as a value of its own, and what says the same in TOML, which has no null."""
    return SettingType(
        words=f"null (or {word(other)})",
        schema={"enum": [None, other]},
        takes=lambda value: value is None or (type(value) is type(other) and value == other),
        read=lambda _value, _place: None,
    )


def function() -> SettingType:
    """Something that can be called; no file can hold it."""
    return SettingType(
        words="(from Python) something that can be called",
        schema={"not": {}},
        takes=callable,
        read=lambda value, _: value,
    )


def several(item: SettingType, *, distinct: bool = False, length: int | None = None) -> SettingType:
    """A list, kept as a tuple.

    Args:
        item: Kind of its values.
        distinct: Whether none may stand twice.
        length: How many there must be; any number if None.
    """

    def read(value: Any, place: Place) -> tuple[Any, ...]:
        if length is not None and len(value) != length:
            raise ValueError
        checked = tuple(item.check(part, place / position) for position, part in enumerate(value))
        if distinct and len(set(checked)) != len(checked):
            raise ValueError("One stands there twice.")
        return checked

    return SettingType(
        words=f"a list, each {item.words}" if " or " in item.words else f"a list of {item.words}",
        schema={
            "type": "array",
            "items": item.schema,
            **({"uniqueItems": True} if distinct else {}),
            **({} if length is None else {"minItems": length, "maxItems": length}),
        },
        takes=lambda value: isinstance(value, list | tuple),
        read=read,
    )


def either(*kinds: SettingType) -> SettingType:
    """A value of one of several kinds; where several take it, the first that does not refuse it."""

    def read(value: Any, place: Place) -> Any:
        hint = ""
        for kind in kinds:
            if kind.takes(value):
                try:
                    return kind.check(value, place)
                except ConfigError as error:
                    if error.where != str(place):  # something inside is wrong
                        raise
                    hint = error.hint or hint
        raise ValueError(hint)

    schemas = [kind.schema for kind in kinds if kind.schema != {"not": {}}]
    return SettingType(
        words=" or ".join(kind.words for kind in kinds),
        schema=schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
        takes=lambda value: any(kind.takes(value) for kind in kinds),
        read=read,
        merge=lambda earlier, later: next(kind.merge for kind in kinds if kind.takes(later))(earlier, later),
        keys={name: key for kind in kinds for name, key in kind.keys.items()},
    )
