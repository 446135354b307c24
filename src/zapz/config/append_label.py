"""The setting ``append_label``: the label of a slice that is one step without append dimension."""

from __future__ import annotations

from typing import TypedDict

from zapz.config.table_types import table
from zapz.config.types import Key, several, text

_From = TypedDict("_From", {"from": "str | None"}, total=False)  # a word of Python, which no class can have as a key


class AppendLabelDict(_From, total=False):
    """Which step a slice is that is one step and lacks the append dimension.

    ``from`` says where its label comes from: "value:TEXT", "attr:NAME", "name:REGEX", or the name
    of a scalar variable.
    """

    format: str | None
    """Form of a text that is a time, such as "%Y%m%d"; "iso" for ISO 8601."""
    units: str | None
    """Units of the label in a new target."""
    variables: list[str] | tuple[str, ...] | None
    """Variables that get the append dimension in a new target; "*" stands for the data."""


def _origin(given: str) -> str:
    from zapz.config.label_origin import checked_origin  # imported here: most slices have their labels

    return checked_origin(given)


def _format(given: str) -> str:
    from zapz.config.label_origin import checked_format  # imported here: the same

    return checked_format(given)


APPEND_LABEL = table(
    "a table of `from`, `format`, `units` and `variables`",
    {
        "from": Key(
            kind=text('"value:TEXT", "attr:NAME", "name:REGEX" or the name of a scalar variable', parse=_origin),
            doc="Source of the label: the value itself (`value:2025-01-06`), an attribute of the slice (`attr:NAME`, or "
            "`attr:VARIABLE/NAME`), a regular expression searched in the last part of its path (`name:REGEX`: its first group, else the "
            "whole match), or a scalar variable. The default is the scalar variable with the name of the append dimension.",
            example=r"name:_(\d{8})_",
        ),
        "format": Key(
            kind=text('a format as of strptime, or "iso"', parse=_format),
            doc="Format of a label that is a time, as in Python's `strptime`, in UTC. The default is ISO 8601, except that text that looks "
            'like a number is a number. "iso" is always ISO 8601.',
            example="%Y%m%d",
        ),
        "units": Key(
            kind=text(),
            doc="Units of the label in a new target; by default int64 `seconds since 1970-01-01` for times, none for numbers.",
            example="hours since 2000-01-01",
        ),
        "variables": Key(
            kind=several(text()),
            doc="Variables that get the append dimension in a new target. The default `*` stands for the data variables: not coordinates, "
            "and not variables that others name as bounds, cell measures or grid mapping. An existing target defines this itself.",
            example=["*", "angle"],
        ),
    },
)
