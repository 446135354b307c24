"""Find static variables that differ and are ignored (``static = "ignore"``), to report them."""

from __future__ import annotations

import math
from dataclasses import replace

from zapz.checks.reading import Reading
from zapz.checks.static import StaticVariables
from zapz.config.settings import Config
from zapz.errors import SliceError, ZapzError
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice

_MOST = 1 << 24
"""Maximum size of a variable that is compared, in bytes; ignoring a variable must stay cheap."""


def differing_static(
    known: StaticVariables, target: Reading, source: OpenSlice, placement: Placement, config: Config
) -> tuple[str, ...]:
    """Return the static variables of a slice whose values differ from the target's.

    Variables that are very large, would have to be computed, or cannot be read are left out. The
    append does not depend on them.

    Args:
        known: Compares static variables.
        target: The target.
        source: The slice.
        placement: Where the slice is placed.
        config: Settings.

    Returns:
        Paths of the variables.
    """
    strict = replace(config, static="equal")
    found = []
    for path, array in target.dataset.arrays.items():
        if (
            array.axis(placement.dim) is not None
            or path not in source.dataset.arrays
            or path in config.excluded_variables
        ):
            continue
        if source.prepares or math.prod(array.shape) * array.dtype.itemsize > _MOST:
            continue
        try:
            known.check(target, source, replace(placement, static=(path,)), strict)
        except SliceError:
            found.append(path)
        except ZapzError:
            continue
    return tuple(found)
