"""The setting ``append_label``: which step a slice is that is one step and lacks the append dimension."""

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
    from zapz.config.label_origin import checked_origin  # imported where used: most slices have their labels

    return checked_origin(given)


def _format(given: str) -> str:
    from zapz.config.label_origin import checked_format  # imported where used: the same

    return checked_format(given)


APPEND_LABEL = table(
    "a table of `from`, `format`, `units` and `variables`",
    {
        "from": Key(
            kind=text('"value:TEXT", "attr:NAME", "name:REGEX" or the name of a scalar variable', parse=_origin),
            doc='Where the label comes from: the text itself (`"value:2025-01-06"`), an attribute of the slice (`"attr:NAME"`, or '
            '`"attr:VARIABLE/NAME"`), the last part of its path, searched with a regular expression (`"name:REGEX"`: its first group, else '
            "all that it matches), or a scalar variable; by default the scalar that is named like the append dimension.",
            example=r"name:_(\d{8})_",
        ),
        "format": Key(
            kind=text('a format as of strptime, or "iso"', parse=_format),
            doc="Form of a text that is a time, as Python's `strptime` reads it, in UTC; by default ISO 8601, but what looks like a number "
            'is one. "iso": ISO 8601 always.',
            example="%Y%m%d",
        ),
        "units": Key(
            kind=text(),
            doc="Units of the label in a new target; by default int64 `seconds since 1970-01-01` for times, and none for numbers.",
            example="hours since 2000-01-01",
        ),
        "variables": Key(
            kind=several(text()),
            doc="Variables that get the append dimension in a new target; `*` stands for the data, which are the default: not coordinates, "
            "and not what others name as bounds, cell measures or grid mapping. An existing target says itself which have it.",
            example=["*", "angle"],
        ),
    },
)
