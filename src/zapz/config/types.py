"""Types of settings: each type validates values, merges them, and describes them in words.

A configuration is declared once, as a tree of types (``config.settings``, ``config.variables``).
Validation, merging and the reference are all derived from that tree, so they cannot disagree. Each
type describes its values in words and as JSON schema. Tables are in ``config.table_types``.
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
"""Keys and list indexes, from the root of a configuration downwards."""

_PLAIN_KEY = r"[\w*/-]+"
_SHOWN = 80
"""Maximum length of an invalid value in a message, in characters."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Place of a value in a configuration, for messages."""

    prefix: str = ""
    """Text before the path: the name of a file and a comma, or "argument "."""
    lines: Mapping[Steps, int] = field(default_factory=dict)
    """Line of each key, if known."""
    steps: Steps = ()
    """The path."""

    def __truediv__(self, step: str | int) -> Place:
        return Place(self.prefix, self.lines, (*self.steps, step))

    def __str__(self) -> str:
        ends = range(len(self.steps), 0, -1)
        line = next((f"line {self.lines[self.steps[:n]]}, " for n in ends if self.steps[:n] in self.lines), "")
        return f"{self.prefix}{line}{dotted(self.steps)}"


def dotted(steps: Steps) -> str:
    """Return a path as a user would write it: ``variables.chl.encoding.filters[0]``."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(_PLAIN_KEY, step) else word(step))
    return text


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a name, or None."""
    import difflib  # imported here: only messages need it

    folded = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None


def shown(value: Any) -> str:
    """Return a value for a message, truncated if long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def word(value: Any) -> str:
    """Return a simple value as written in files."""
    return json.dumps(value, ensure_ascii=False)


def _later(_: Any, later: Any) -> Any:
    return later


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SettingType:
    """A type of value."""

    words: str
    """The allowed values, in words."""
    schema: Mapping[str, Any]
    """The allowed values, as JSON schema."""
    takes: Callable[[Any], bool]
    """Returns whether a value has this type, without details."""
    read: Callable[[Any, Place], Any]
    """Returns an accepted value in the form that is kept. A ValueError refuses it; its text is the
    hint."""
    merge: Callable[[Any, Any], Any] = _later
    """Returns the result of merging a later value over an earlier one, which is None if there is
    none. Both have been read."""
    keys: Mapping[str, Key] = field(default_factory=dict)
    """Known keys of a table."""

    def check(self, value: Any, place: Place) -> Any:
        """Return a value in the form that is kept.

        Raises:
            ConfigError: The value does not have this type, or something inside it is invalid.
        """
        hint = ""
        if self.takes(value):
            try:
                return self.read(value, place)
            except ConfigError:  # has a place inside the value, or is more precise
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
    """Type of its value."""
    doc: str
    """Its meaning."""
    default: Any = None
    """Value if it is not set."""
    example: Any = None
    """A sample value, if the default does not show the form."""


def text(
    words: str = "text", *, parse: Callable[[str], Any] = str, path: bool = False, empty: bool = False
) -> SettingType:
    """Return the type of text.

    Args:
        words: Description of the text.
        parse: Returns the text in the form that is kept; a ValueError refuses it.
        path: Whether it may also be a path object.
        empty: Whether it may be empty.
    """

    def read(value: Any, _: Place) -> Any:
        given = value if isinstance(value, str) else value.__fspath__()
        if not given and not empty:
            raise ValueError("The value is empty.")
        return parse(given)

    return SettingType(
        words=words,
        schema={"type": "string"} if empty else {"type": "string", "minLength": 1},
        takes=lambda value: isinstance(value, str) or (path and hasattr(value, "__fspath__")),
        read=read,
    )


def choice(*choices: str | int) -> SettingType:
    """Return the type of a choice between texts or integers."""

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
    """Return the type of numbers within limits, NumPy scalars included; booleans are not numbers.

    Args:
        integer: Whether it must be an integer.
        least: Minimum, included.
        above: Minimum, excluded.
        most: Maximum, included.
        finite: Whether infinities and NaN are refused.
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
    """Return the type of true and false."""
    return SettingType(
        words="true or false",
        schema={"type": "boolean"},
        takes=lambda value: isinstance(value, bool),
        read=lambda value, _: value,
    )


def null(other: bool | str) -> SettingType:  # noqa: FBT001 - a value, not a switch
    """Return the type of null, and of the value that stands for it in TOML, which has no null."""
    return SettingType(
        words=f"null (or {word(other)})",
        schema={"enum": [None, other]},
        takes=lambda value: value is None or (type(value) is type(other) and value == other),
        read=lambda _value, _place: None,
    )


def function() -> SettingType:
    """Return the type of a callable, which no file can hold."""
    return SettingType(
        words="(in Python) a function or another callable",
        schema={"not": {}},
        takes=callable,
        read=lambda value, _: value,
    )


def several(item: SettingType, *, distinct: bool = False, length: int | None = None) -> SettingType:
    """Return the type of a list, kept as a tuple.

    Args:
        item: Type of its values.
        distinct: Whether duplicates are refused.
        length: Required number of values; any number if None.
    """

    def read(value: Any, place: Place) -> tuple[Any, ...]:
        if length is not None and len(value) != length:
            raise ValueError
        checked = tuple(item.check(part, place / position) for position, part in enumerate(value))
        if distinct and len(set(checked)) != len(checked):
            raise ValueError("A value occurs twice.")
        return checked

    return SettingType(
        words=f"a list, each {item.words}"
        if " or " in item.words or item.words.startswith("a ")
        else f"a list of {item.words}",
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
    """Return the type of a value of any of these types; the first that accepts it applies."""

    def read(value: Any, place: Place) -> Any:
        hint = ""
        for kind in kinds:
            if kind.takes(value):
                try:
                    return kind.check(value, place)
                except ConfigError as error:
                    if error.where != str(place):  # something inside the value is invalid
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
