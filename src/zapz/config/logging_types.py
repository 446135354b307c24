"""The setting ``logging`` in a configuration file: an allow-list for ``dictConfig``. Pure.

`logging.config.dictConfig` calls what ``()`` and ``class`` name, sets attributes (``.``), and
imports what text beginning with ``ext://`` or ``cfg://`` names. In a file, a handler has one of
four classes, a stream is standard output or standard error, files are only appended to, and all
other text is plain text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from zapz.config.table_types import is_table, table
from zapz.config.types import Key, Place, SettingType, choice, either, flag, number, several, text
from zapz.errors import ConfigError

_HINT = (
    "In a file, logging may contain levels, formats, and handlers of the classes StreamHandler, FileHandler, RotatingFileHandler and "
    "NullHandler, but no code. In Python, it may contain all that logging.config.dictConfig accepts."
)
_CONVERTED = re.compile(r"(ext|cfg)://", re.IGNORECASE)
_FILES = "logging.FileHandler", "logging.handlers.RotatingFileHandler"
_OF_CLASS: Mapping[str, tuple[str, ...]] = {
    "logging.StreamHandler": ("stream",),
    _FILES[0]: ("filename", "mode", "encoding", "delay", "errors"),
    _FILES[1]: ("filename", "mode", "encoding", "delay", "errors", "maxBytes", "backupCount"),
    "logging.NullHandler": (),
}
"""Classes of handlers, and the keys of each besides the keys of all handlers."""
_OF_ALL = ("class", "level", "formatter", "filters")
_MOST_BACKUPS = 1000


def _plain(given: str) -> str:
    if _CONVERTED.search(given):
        raise ValueError("dictConfig would resolve text with ext:// or cfg:// as code.")
    return given


def _word(words: str) -> SettingType:
    return text(words, parse=_plain, empty=True)


def _key(kind: SettingType) -> Key:
    return Key(kind=kind, doc="")


def _named(item: SettingType) -> SettingType:
    """Return the type of a table whose values are all of one type; a name may be empty."""

    def read(value: Mapping[Any, Any], place: Place) -> dict[str, Any]:
        return {name: None if inner is None else item.check(inner, place / str(name)) for name, inner in value.items()}

    return replace(table(f"a table of names, each with {item.words}", {}), read=read)


def _handler(value: Mapping[str, Any], place: Place) -> Any:
    """Read a handler: the keys of its class; without a class, only those of all handlers."""
    read = _HANDLER_KEYS.read(value, place)
    name = read.get("class")
    allowed = (*_OF_ALL, *_OF_CLASS.get(name, ()))
    for key in read:
        if key not in allowed:
            raise ConfigError(
                f"unknown key for a handler of class {name}" if name else "handler without class",
                where=str(place / key),
                expected=", ".join(allowed) if name else f'"class" in addition to {key!r}',
                found=repr(key),
            )
    if name == _FILES[1] and PurePath(str(read.get("filename"))).suffix != ".log":
        raise ConfigError(
            "name of a rotating log does not end in .log",
            where=str(place / "filename"),
            expected='a name that ends in ".log", because rotation removes old files',
            found=repr(read.get("filename")),
        )
    return read


def _style(value: Mapping[str, Any], place: Place) -> Any:
    """Read a formatter: a format with braces may name fields of a record, but not parts of them."""
    read = _FORMATTER_KEYS.read(value, place)
    if read.get("style") == "{" and isinstance(read.get("format"), str):
        try:
            parts = list(string.Formatter().parse(read["format"]))
        except ValueError as error:
            raise ConfigError("invalid format", where=str(place / "format"), found=str(error)) from error
        for _, field, spec, _ in parts:
            if field is not None and (not field.isidentifier() or "{" in (spec or "")):
                raise ConfigError(
                    "format accesses parts of a field",
                    where=str(place / "format"),
                    expected="names of fields, such as {message}",
                    found=repr(f"{{{field}}}"),
                )
    return read


_LEVEL = either(
    choice("CRITICAL", "FATAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET"), number(integer=True, least=0)
)
_NAMES = several(_word("a name"))
_HANDLER_KEYS = table(
    "a table of a handler",
    {
        "class": _key(choice(*_OF_CLASS)),
        "level": _key(_LEVEL),
        "formatter": _key(_word("the name of a formatter")),
        "filters": _key(_NAMES),
        "stream": _key(choice("ext://sys.stdout", "ext://sys.stderr")),
        "filename": _key(_word("a path")),
        "mode": _key(choice("a")),
        "encoding": _key(choice("utf-8", "utf8", "utf_8", "UTF-8", "ascii", "latin-1", "iso-8859-1")),
        "delay": _key(flag()),
        "errors": _key(choice("strict", "ignore", "replace", "backslashreplace", "xmlcharrefreplace", "namereplace")),
        "maxBytes": _key(number(integer=True, least=0)),
        "backupCount": _key(number(integer=True, least=0, most=_MOST_BACKUPS)),
    },
)
_FORMATTER_KEYS = table(
    "a table of a formatter",
    {
        "format": _key(_word("text")),
        "datefmt": _key(_word("text")),
        "style": _key(choice("%", "{", "$")),
        "validate": _key(flag()),
    },
)
_LOGGER = {"level": _key(_LEVEL), "handlers": _key(_NAMES), "filters": _key(_NAMES)}
_LOGGING = table(
    "a table for logging.config.dictConfig",
    {
        "version": _key(choice(1)),
        "disable_existing_loggers": _key(flag()),
        "formatters": _key(_named(replace(_FORMATTER_KEYS, read=_style))),
        "filters": _key(_named(table("a table of a filter", {"name": _key(_word("the name of a logger"))}))),
        "handlers": _key(_named(replace(_HANDLER_KEYS, read=_handler))),
        "loggers": _key(_named(table("a table of a logger", {**_LOGGER, "propagate": _key(flag())}))),
        "root": _key(table("a table of a logger", _LOGGER)),
    },
)


def check_logging_of_file(given: Any, place: Place) -> None:
    """Check ``logging`` in a file against the allow-list.

    Args:
        given: The setting; only a table needs a check.
        place: Its place, for messages.

    Raises:
        ConfigError: The table has something that is not allowed; names the place in it.
    """
    if not is_table(given):
        return
    try:
        _LOGGING.check(given, place)
    except ConfigError as error:
        error.hint = f"{error.hint} {_HINT}".lstrip()
        raise


def without_replaced(earlier: Any, later: Any) -> Any:
    """Return an earlier table without handlers, formatters and filters that a file defines again.

    They are not merged key by key. Otherwise a file could set the arguments of a handler whose
    class and mode the caller chose.

    Args:
        earlier: The setting so far.
        later: The setting in the file.
    """
    if not is_table(earlier) or not is_table(later):
        return earlier
    kept = dict(earlier)
    for part in ("handlers", "formatters", "filters"):
        if is_table(earlier.get(part)) and is_table(later.get(part)):
            new = {
                n for n, inner in later[part].items() if is_table(inner) and ("class" in inner or part != "handlers")
            }
            kept[part] = {name: inner for name, inner in earlier[part].items() if name not in new}
    return kept
