"""Settings with a form of their own: how to wait for slices, logging, profiling; sizes and steps, which may be text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zapz.config.table_types import free, table
from zapz.config.types import Key, SettingType, choice, either, flag, number, several, text
from zapz.errors import ConfigError

_FOREVER = 1e9
"""Seconds that nobody waits."""
_SIZE = r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?))?b?"


def bytes_of(given: str) -> int:
    """Return how many bytes a text such as "512MB" or "2GiB" means.

    Raises:
        ValueError: It is no such text.
    """
    match = re.fullmatch(_SIZE, given.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError
    power = " kmgt".index((match[2] or " ").lower())
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


STEP = '"+" or "-" or a duration such as "12h", "-1D", "PT1H" or "P1M"'
"""What an ``append_step`` that is text can be."""


def step_of(given: str) -> str:
    """Return the text of an ``append_step``.

    Raises:
        ValueError: It is none; the text says which rule of durations it breaks.
    """
    from zapz.cf.durations import DurationError, check_step  # imported where used: most appends set no step

    try:
        check_step(given)
    except ConfigError as error:
        raise ValueError(f"A duration has {error.expected}." if isinstance(error, DurationError) else "") from error
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How to wait for slices."""

    interval: float = 2.0
    """Seconds between two looks."""
    timeout: float = 60.0
    """Seconds until giving up."""


def polling_of(given: Any) -> Polling | None:
    """Return what the setting ``slice_polling`` means; None if slices are not waited for."""
    if isinstance(given, Mapping):
        timeout = given.get("timeout", 60.0)
        return Polling(interval=given.get("interval", min(2.0, timeout / 5) or 2.0), timeout=timeout)
    return Polling() if given else None


POLLING = table(
    "a table of `interval` and `timeout`",
    {
        "interval": Key(kind=number(above=0, most=_FOREVER), doc="Seconds between two looks.", default=2.0),
        "timeout": Key(kind=number(least=0, most=_FOREVER), doc="Seconds until giving up.", default=60.0),
    },
)
LEVEL = choice("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")
_SORTED_BY = choice(
    *("calls", "cumulative", "cumtime", "file", "filename", "module", "ncalls", "pcalls", "line", "name", "nfl"),
    *("stdname", "time", "tottime"),
)
PROFILING = table(
    "a table",
    {
        "enabled": Key(kind=flag(), doc="Whether the append is profiled.", default=True),
        "path": Key(kind=text(path=True), doc="File to which the report is written.", example="profile.txt"),
        "log_level": Key(
            kind=LEVEL, doc="Level at which the report is logged; NOTSET does not log it.", default="INFO"
        ),
        "keys": Key(
            kind=several(_SORTED_BY), doc="Columns by which the report is sorted (as `pstats`).", default=["tottime"]
        ),
        "restrictions": Key(
            kind=several(either(number(integer=True, least=1), number(least=0, most=1), text("a pattern"))),
            doc="What is left of the report: so many lines, such a share of them, names that match.",
            example=[20],
        ),
    },
)

LOGGING: SettingType = replace(
    free("a table with `version` = 1"),
    schema={"type": "object", "properties": {"version": {"const": 1}}, "required": ["version"]},
)
"""What `logging.config.dictConfig` takes; what is in it is that function's business."""


def check_logging(given: Any) -> None:
    """Refuse a table for ``logging``, merged from all layers, that does not say its version.

    Raises:
        ConfigError: It does not.
    """
    if isinstance(given, Mapping) and given.get("version") != 1:
        raise ConfigError(
            "a logging table says which version it is",
            where="logging.version",
            expected="1",
            found=repr(given.get("version")),
            hint="See Python's logging.config.dictConfig; or give just a level.",
        )
