"""Types of particular settings: waiting for slices, logging, profiling, sizes and steps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zapz.config.table_types import free, table
from zapz.config.types import Key, SettingType, choice, either, flag, number, several, text
from zapz.errors import ConfigError

_FOREVER = 1e9
"""Maximum waiting time, in seconds."""
_SIZE = r"(\d+(?:\.\d+)?) ?(?:([kmgt])(i?))?b?"


def bytes_of(given: str) -> int:
    """Return the number of bytes in a text such as "512MB" or "2GiB".

    Raises:
        ValueError: The text is not a size.
    """
    match = re.fullmatch(_SIZE, given.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError
    power = " kmgt".index((match[2] or " ").lower())
    return int(float(match[1]) * (1024 if match[3] else 1000) ** power)


STEP = '"+" or "-" or a duration such as "12h", "-1D", "PT1H" or "P1M"'
"""Words for an ``append_step`` that is text."""


def step_of(given: str) -> str:
    """Return the text of an ``append_step``, after a check.

    Raises:
        ValueError: It is not a step; the text of the error names a rule of durations that it
            breaks.
    """
    from zapz.cf.durations import DurationError, check_step  # imported here: most appends set no step

    try:
        check_step(given)
    except ConfigError as error:
        raise ValueError(
            f"A duration must have {error.expected}." if isinstance(error, DurationError) else ""
        ) from error
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How to wait for slices."""

    interval: float = 2.0
    """Time between checks, in seconds."""
    timeout: float = 60.0
    """Maximum time to wait, in seconds."""


def polling_of(given: Any) -> Polling | None:
    """Return the setting ``slice_polling`` as a value; None for no waiting."""
    if isinstance(given, Mapping):
        timeout = given.get("timeout", 60.0)
        return Polling(interval=given.get("interval", min(2.0, timeout / 5) or 2.0), timeout=timeout)
    return Polling() if given else None


POLLING = table(
    "a table of `interval` and `timeout`",
    {
        "interval": Key(kind=number(above=0, most=_FOREVER), doc="Time between checks, in seconds.", default=2.0),
        "timeout": Key(kind=number(least=0, most=_FOREVER), doc="Maximum time to wait, in seconds.", default=60.0),
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
        "log_level": Key(kind=LEVEL, doc="Level at which the report is logged; NOTSET for not at all.", default="INFO"),
        "keys": Key(
            kind=several(_SORTED_BY), doc="Columns by which the report is sorted (see `pstats`).", default=["tottime"]
        ),
        "restrictions": Key(
            kind=several(either(number(integer=True, least=1), number(least=0, most=1), text("a pattern"))),
            doc="Lines that the report keeps: a number of lines, a fraction of them, or a pattern that they match.",
            example=[20],
        ),
    },
)

LOGGING: SettingType = replace(
    free("a table with `version` = 1"),
    schema={"type": "object", "properties": {"version": {"const": 1}}, "required": ["version"]},
)
"""Type of a table for `logging.config.dictConfig`, which validates it."""


def check_logging(given: Any) -> None:
    """Check that the merged table for ``logging`` states its version.

    Raises:
        ConfigError: It does not.
    """
    if isinstance(given, Mapping) and given.get("version") != 1:
        raise ConfigError(
            "logging table without a valid version",
            where="logging.version",
            expected="1",
            found=repr(given.get("version")),
            hint="Set version to 1, as Python's logging.config.dictConfig requires, or set only a level.",
        )
