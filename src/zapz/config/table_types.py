"""Types of tables: with known keys, with any names, with any content; and how tables merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from typing import Any

from zapz.config.types import Key, Place, SettingType, nearest, shown
from zapz.errors import ConfigError

ANY_NAME = "NAME"
"""Stands for any name in the reference."""

_DEEPEST = 50
"""Maximum nesting depth of a table of JSON values."""


def table(words: str, keys: Mapping[str, Key], *, unsets: bool = True) -> SettingType:
    """Return the type of a table with known keys; later tables are merged into it key by key.

    Args:
        words: Description of the table.
        keys: The keys.
        unsets: Whether null, for a key that does not accept it, removes an earlier value; otherwise
            it is refused.
    """

    def read(value: Any, place: Place) -> dict[str, Any]:
        result = {}
        for name, inner in _items(value, place):
            if name not in keys:
                raise _unknown(name, keys, place)
            takes_back = inner is None and unsets and not keys[name].kind.takes(None)
            result[name] = None if takes_back else keys[name].kind.check(inner, place / name)
        return result

    return SettingType(
        words=words,
        schema={
            "type": "object",
            "properties": {name: property_schema(key, unsets=unsets) for name, key in keys.items()},
            "additionalProperties": False,
        },
        takes=is_table,
        read=read,
        merge=lambda earlier, later: _merged(earlier, later, {name: key.kind for name, key in keys.items()}),
        keys=keys,
    )


def names(words: str, item: SettingType) -> SettingType:
    """Return the type of a table with any names, whose values are all of one type."""

    def read(value: Any, place: Place) -> dict[str, Any]:
        return {
            name: None if inner is None and not item.takes(None) else item.check(inner, place / name)
            for name, inner in _items(value, place)
        }

    return SettingType(
        words=words,
        schema={"type": "object", "additionalProperties": nullable(item.schema), "propertyNames": {"minLength": 1}},
        takes=is_table,
        read=read,
        merge=lambda earlier, later: _merged(earlier, later, dict.fromkeys(later, item)),
        keys={ANY_NAME: Key(kind=item, doc=words)},
    )


def free(
    words: str = "a table",
    *,
    plain: bool = False,
    secret: bool = False,
    look: Callable[[str, str], object] | None = None,
) -> SettingType:
    """Return the type of a table with any content, including null.

    Args:
        words: Description of the table.
        plain: Whether all values must be valid JSON; dates become text.
        secret: Whether messages must not show an invalid value.
        look: Checks every text of a plain table, given its place; a ConfigError refuses it.
    """

    def read(value: Any, place: Place) -> dict[str, Any]:
        if not is_table(value):
            raise ConfigError("invalid value", where=str(place), expected=words, found=type(value).__name__)
        return {name: _plain(inner, place / name, look) if plain else inner for name, inner in _items(value, place)}

    return SettingType(
        words=words,
        schema={"type": "object"},
        takes=(lambda value: value is not None) if secret else is_table,
        read=read,
        merge=_deeply,
    )


def codec(words: str, naming: str, others: SettingType | None = None) -> SettingType:
    """Return the type of a table that configures one codec; a later one replaces all of it.

    Args:
        words: Description of the table.
        naming: The key that names the codec.
        others: Type of a table with the other keys, if only those are allowed; None for any JSON
            values.
    """
    inside = others or free(plain=True)

    def read(value: Any, place: Place) -> dict[str, Any]:
        given = dict(inside.check(value, place))
        if not isinstance(given.get(naming), str) or not given[naming]:
            raise ValueError(f"The key {naming!r} is missing.")
        return given

    properties = {naming: {"type": "string", "minLength": 1}}
    schema = {
        **inside.schema,
        "properties": {**inside.schema.get("properties", {}), **properties},
        "required": [naming],
    }
    return SettingType(words=words, schema=schema, takes=is_table, read=read)


def is_table(value: Any) -> bool:
    """Return whether a value is a table."""
    return isinstance(value, Mapping)


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that also accepts null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], *([] if None in schema["enum"] else [None])]}
    return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}


def property_schema(key: Key, *, unsets: bool) -> dict[str, Any]:
    """Return the JSON schema of a key's value, with its documentation."""
    known = {"default": key.default, "examples": None if key.example is None else [key.example]}
    return {
        "description": key.doc,
        **(nullable(key.kind.schema) if unsets else key.kind.schema),
        **{name: value for name, value in known.items() if value is not None},
    }


def _items(value: Mapping[Any, Any], place: Place) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(
                "keys must be strings", where=str(place), expected="a name", found=shown(name), hint="Put it in quotes."
            )
        yield name, inner


def _unknown(name: str, keys: Mapping[str, Key], place: Place) -> ConfigError:
    from zapz.config.other_words import OTHER_WORDS  # imported here: only messages need it

    meant = nearest(name, keys)
    deeper = [f"{outer}.{name}" for outer, key in keys.items() if name in key.kind.keys]
    if not place.steps and name in OTHER_WORDS:
        hint = OTHER_WORDS[name]
    elif deeper:
        hint = f"This setting belongs one level deeper: {deeper[0]!r}."
    elif meant:
        hint = f"Did you mean {meant!r} ({keys[meant].kind.words})?"
    else:
        hint = "`zapz config` lists all settings." if not place.steps else f"Known keys: {', '.join(keys)}."
    return ConfigError("unknown setting", where=str(place / name), found=repr(name), hint=hint)


def _merged(earlier: Any, later: Mapping[str, Any], kinds: Mapping[str, SettingType]) -> dict[str, Any]:
    """Merge key by key; None removes a key that does not accept it as a value."""
    result = dict(earlier) if is_table(earlier) else {}
    for name, value in later.items():
        if value is None and not kinds[name].takes(None):
            result.pop(name, None)
        else:
            result[name] = kinds[name].merge(result.get(name), value)
    return result


def _deeply(earlier: Any, later: Any) -> Any:
    if not is_table(later):
        return later
    result = dict(earlier) if is_table(earlier) else {}
    for name, value in later.items():
        result[name] = _deeply(result.get(name), value)
    return result


def _plain(value: Any, place: Place, look: Callable[[str, str], object] | None) -> Any:
    """Return a value as JSON can hold it: NumPy scalars and arrays as values, dates as text."""
    if len(place.steps) > _DEEPEST:
        raise ConfigError("value is nested too deeply", where=str(place)[:200], expected=f"at most {_DEEPEST} levels")
    if is_table(value):
        return {name: _plain(inner, place / name, look) for name, inner in _items(value, place)}
    if isinstance(value, list | tuple):
        return [_plain(inner, place / position, look) for position, inner in enumerate(value)]
    if isinstance(value, str) and look is not None:
        look(value, str(place))
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if hasattr(value, "tolist") and value.dtype.kind in "biufU":
        return _plain(value.tolist(), place, look)
    raise ConfigError(
        "value cannot be stored as a Zarr attribute",
        where=str(place),
        expected="text, a number, true, false, null, or a list or table of these",
        found=shown(value),
    )
