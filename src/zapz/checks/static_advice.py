"""Hints for static variables that differ from the target's."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from zapz.config.settings import Config
from zapz.format.buffers import Cells
from zapz.format.metadata import Array, name

WHOLE: Final = 10_000_000
"""Maximum number of cells of a variable that is read completely to find a hint."""
_ROUNDING: Final = 1e-3
"""Largest difference that is proposed as a tolerance, relative to the largest value."""

_HALF: Final = 180.0
"""Half a circle, in degrees."""

Advice = tuple[str, dict[str, Any]]
"""A hint, and the settings that it names."""


def advice(array: Array, dim: str, target_cells: Cells, slice_cells: Cells, scale: float) -> Advice:
    """Return a hint and the settings in it.

    Settings that lose data come last, or not at all. If the values are the same in another order,
    ``static="ignore"`` would append data upside down.

    Args:
        array: The target's variable.
        dim: The append dimension.
        target_cells: The target's cells: all of them, or one chunk of a large variable.
        slice_cells: The slice's cells in the target's encoding; same shape.
        scale: Decoded value of a difference of 1 between stored cells.
    """
    if not array.ndim:
        return (
            (
                "A variable without the append dimension has one value for all steps. To keep one per step, give it that dimension in "
                f'every slice (in xarray: ds["{array.path}"] = ds["{array.path}"].expand_dims("{dim}")), create the target again from them '
                "({force_new}), and append all slices again. {static} keeps the first slice's value for all steps."
            ),
            {"force_new": True, "static": "ignore"},
        )
    return (
        _reordered(array, target_cells, slice_cells)
        or _turned(array, target_cells, slice_cells, scale)
        or _apart(array, target_cells, slice_cells, scale)
    )


def for_one_step(array: Array, config: Config, hint: str, remedies: dict[str, Any]) -> Advice:
    """Return advice for a slice that becomes one step (``append_label``), based on general advice.

    Such a slice gets the append dimension from zapz, so the variable can get it, too.

    Args:
        array: The target's variable.
        config: Settings.
        hint: The hint for any slice, from ``advice``.
        remedies: The settings in it.
    """
    if array.ndim and "static" not in remedies:
        return hint, remedies
    given = config.append_label.get("variables")
    given = ("*",) if given is None else given
    per_step = (
        f"To keep one value of {array.path} per step, give it the dimension {config.append_dim} with {{append_label.variables}}, "
        "create the target again ({force_new}), and append all slices again. "
    )
    before = "" if not array.ndim else hint.partition("{static}")[0] if remedies["static"] == "ignore" else f"{hint} "
    last = "{static} keeps the target's values for all steps." if remedies["static"] == "ignore" else ""
    return f"{before}{per_step}{last}".strip(), {
        **remedies,
        "append_label.variables": [*given, array.path],
        "force_new": True,
    }


def _reordered(array: Array, target_cells: Cells, slice_cells: Cells) -> Advice | None:
    """Return advice if the values are the same in another order; else None."""
    for axis, along in enumerate(array.dims):
        if np.array_equal(np.flip(slice_cells, axis), target_cells):
            return (
                (
                    f"The values run the other way along {along or f'axis {axis}'}. Reverse the slice along it, with all its data "
                    f"(in xarray: ds.isel({along}=slice(None, None, -1)))."
                ),
                {},
            )
    numeric = target_cells.dtype.kind in "iuf"
    if array.ndim == 1 and numeric and np.array_equal(np.sort(slice_cells), np.sort(target_cells)):
        own = name(array.path)
        return (
            f"The values are the same in another order. Sort the slice, with all its data (in xarray: ds.sortby({own!r})).",
            {},
        )
    return None


def _turned(array: Array, target_cells: Cells, slice_cells: Cells, scale: float) -> Advice | None:
    """Return advice for longitudes that start at another meridian; None for other values."""
    own = name(array.path)
    if array.ndim != 1 or not array.is_label or not _is_angle(array) or target_cells.dtype.kind not in "iuf":
        return None
    old, new = (cells.astype(np.float64) * scale for cells in (target_cells, slice_cells))
    centred = bool(old.size and old.min() < 0)
    new = np.sort((new + _HALF) % (2 * _HALF) - _HALF if centred else new % (2 * _HALF))
    gap = float(np.abs(new - np.sort(old)).max(initial=0.0))
    if not gap < _ROUNDING:
        return None
    place = f"ds[{own!r}]"
    turned = f"({place} + 180) % 360 - 180" if centred else f"{place} % 360"
    hint = (
        f"They are the same longitudes in another range. Use the target's range, and sort the slice, with all its data "
        f"(in xarray: ds.assign_coords({{{own!r}: {turned}}}).sortby({own!r}))."
    )
    if gap:
        return f"{hint} The result still differs by rounding, which {{static}} tolerates.", {"static": _above(gap)}
    return hint, {}


def _is_angle(array: Array) -> bool:
    return str(array.attributes.get("units")).startswith("degree") or name(array.path).casefold().startswith("lon")


def _apart(array: Array, target_cells: Cells, slice_cells: Cells, scale: float) -> Advice:
    if target_cells.dtype.kind in "iuf":
        with np.errstate(invalid="ignore", over="ignore"):
            old, new = target_cells.astype(np.float64), slice_cells.astype(np.float64)
            gap, size = (float(np.nanmax(np.abs(cells), initial=0.0)) * scale for cells in (old - new, old))
        if 0 < gap <= size * _ROUNDING:
            hint = f"The values differ by at most {gap:g}. If that is rounding, set a tolerance: {{static}}."
            return hint, {"static": _above(gap)}
    if array.is_label or _is_angle(array):
        hint = "The slice has other coordinates. Bring its data to the target's coordinates, or append it to another target."
        return hint, {}
    return (
        "Is it the same grid? {static} keeps the target's values for all steps, whatever the slices contain.",
        {"static": "ignore"},
    )


def _above(gap: float) -> float:
    """Return a round number slightly larger than ``gap``."""
    power = 10.0 ** np.floor(np.log10(gap))
    return float(f"{(np.floor(gap / power) + 1) * power:.1g}")
