"""What a user can do about a static variable that differs from the target's."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zapz.config.settings import Config
from zapz.format.buffers import Cells
from zapz.format.metadata import Array, name

WHOLE: Final = 10_000_000
"""Cells of a variable that are looked at as a whole."""
_ROUNDING: Final = 1e-3
"""What part of the largest value a difference may be that is offered as a tolerance."""

_HALF: Final = 180.0
"""Degrees of half a circle."""

Advice = tuple[str, dict[str, Any]]


def advice(array: Array, dim: str, here: Cells, there: Cells, scale: float) -> Advice:
    """Return a hint and the settings in it.

    What loses data comes last, or not at all: where the values are the same in another order,
        ``static="ignore"`` would append data
    upside down.

    Args:
        array: The target's variable.
        dim: The append dimension.
        here: The target's cells, if there are not too many all of them.
        there: The slice's, in the target's terms; of the same shape.
        scale: What a difference of 1 between stored cells means.
    """
    if not array.ndim:
        return (
            (
                "A variable without the append dimension has one value for all steps. To keep one per step, give it that dimension in "
                f'every slice (in xarray: ds["{array.path}"] = ds["{array.path}"].expand_dims("{dim}")), make the target anew from them '
                "({force_new}), and append all slices again. {static} keeps the first slice's value for all steps."
            ),
            {"force_new": True, "static": "ignore"},
        )
    return _reordered(array, here, there) or _turned(array, here, there, scale) or _apart(array, here, there, scale)


def for_one_step(array: Array, config: Config, hint: str, remedies: dict[str, Any]) -> Advice:
    """Return advice about a slice that is seen as one step, after that about any: the dimension is given to it here.

    Args:
        array: The target's variable.
        config: Settings.
        hint: What would be said of another slice.
        remedies: The settings in it.
    """
    if array.ndim and "static" not in remedies:
        return hint, remedies
    given = config.append_label.get("variables")
    given = ("*",) if given is None else given
    per_step = (
        f"To keep one value of {array.path} per step, give it the dimension {config.append_dim} with {{append_label.variables}}, "
        "make the target anew ({force_new}), and append all slices again. "
    )
    before = "" if not array.ndim else hint.partition("{static}")[0] if remedies["static"] == "ignore" else f"{hint} "
    last = "{static} keeps the target's values for all steps." if remedies["static"] == "ignore" else ""
    return f"{before}{per_step}{last}".strip(), {
        **remedies,
        "append_label.variables": [*given, array.path],
        "force_new": True,
    }


def _reordered(array: Array, here: Cells, there: Cells) -> Advice | None:
    """Return what to do if the values are the same in another order."""
    for axis, along in enumerate(array.dims):
        if np.array_equal(np.flip(there, axis), here):
            return (
                (
                    f"The values run the other way along {along or f'axis {axis}'}. Turn the slice around, its data too "
                    f"(in xarray: ds.isel({along}=slice(None, None, -1)))."
                ),
                {},
            )
    if array.ndim == 1 and here.dtype.kind in "iuf" and np.array_equal(np.sort(there), np.sort(here)):
        own = name(array.path)
        return (
            f"The values are the same in another order. Sort the slice, its data too (in xarray: ds.sortby({own!r})).",
            {},
        )
    return None


def _turned(array: Array, here: Cells, there: Cells, scale: float) -> Advice | None:
    """Return what to do about longitudes that are counted from another meridian."""
    own = name(array.path)
    if array.ndim != 1 or not array.is_label or not _is_angle(array) or here.dtype.kind not in "iuf":
        return None
    old, new = (cells.astype(np.float64) * scale for cells in (here, there))
    centred = bool(old.size and old.min() < 0)
    new = np.sort((new + _HALF) % (2 * _HALF) - _HALF if centred else new % (2 * _HALF))
    gap = float(np.abs(new - np.sort(old)).max(initial=0.0))
    if not gap < _ROUNDING:
        return None
    place = f"ds[{own!r}]"
    turned = f"({place} + 180) % 360 - 180" if centred else f"{place} % 360"
    hint = (
        f"They are the same longitudes, counted from another meridian. Count them as the target does, and sort the slice, its data too "
        f"(in xarray: ds.assign_coords({{{own!r}: {turned}}}).sortby({own!r}))."
    )
    return (f"{hint} They differ by rounding then: {{static}}.", {"static": _above(gap)}) if gap else (hint, {})


def _is_angle(array: Array) -> bool:
    return str(array.attributes.get("units")).startswith("degree") or name(array.path).casefold().startswith("lon")


def _apart(array: Array, here: Cells, there: Cells, scale: float) -> Advice:
    if here.dtype.kind in "iuf":
        with np.errstate(invalid="ignore", over="ignore"):
            old, new = here.astype(np.float64), there.astype(np.float64)
            gap, size = (float(np.nanmax(np.abs(cells), initial=0.0)) * scale for cells in (old - new, old))
        if 0 < gap <= size * _ROUNDING:
            return f"They differ by {gap:g} at most. If that is rounding, set a tolerance: {{static}}.", {
                "static": _above(gap)
            }
    if array.is_label or _is_angle(array):
        return "The slice lies at other places. Bring its data to the target's, or append it to another target.", {}
    return (
        "Is it the same grid? {static} keeps the target's values for the steps of every slice, whatever theirs are.",
        {"static": "ignore"},
    )


def _above(gap: float) -> float:
    """Return a round number that is a little larger."""
    power = 10.0 ** np.floor(np.log10(gap))
    return float(f"{(np.floor(gap / power) + 1) * power:.1g}")
