"""The setting ``levels``: how the coarser levels of a pyramid are derived from the finest one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypedDict, get_args

from zapz.config.table_types import names, table
from zapz.config.types import Key, choice, flag

LevelMethod = Literal["auto", "mean", "median", "mode", "first", "min", "max"]
"""How the cells of a window become one; "auto": as the target's metadata say."""


class LevelsDict(TypedDict, total=False):
    """How the coarser levels of a pyramid are derived."""

    use: Literal["auto", "slice", "derive"]
    """Where levels come from."""
    method: Mapping[str, LevelMethod]
    """Methods by variable or pattern; the first one that matches is used."""
    proof: bool
    """Whether levels of the target are recomputed before others are derived."""


LEVELS = table(
    "a table of `use`, `method` and `proof`",
    {
        "use": Key(
            kind=choice("auto", "slice", "derive"),
            doc='Where the steps of coarser levels come from: "slice" copies those of the slice, "derive" computes them from its finest '
            'level, "auto", the default, copies them if the slice has them.',
            example="derive",
        ),
        "method": Key(
            kind=names("a table of variables and methods", choice(*get_args(LevelMethod))),
            doc="How the cells of a window become one, by variable or pattern; the first one that matches is used. "
            '"auto", the default, is what the metadata of the target say.',
            example={"quality_*": "mode", "*": "mean"},
        ),
        "proof": Key(
            kind=flag(),
            doc="Recompute some cells of every level of the target before the first ones are derived, and refuse the slice if they differ: "
            "by default true.",
            example=False,
        ),
    },
)
