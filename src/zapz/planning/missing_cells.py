"""The value that the target gets for cells that a slice lacks. Pure."""

from __future__ import annotations

from zapz.cf.conversion import encoding_or_bare
from zapz.errors import ZapzError
from zapz.format.buffers import Cells
from zapz.format.fill_cells import fill_cells
from zapz.format.metadata import Array, FillValue
from zapz.planning.steps import ArrayPlan


def missing_cells(array: Array) -> Cells:
    """Return a missing cell as a 0-dimensional array: marker, NaN or NaT, else the fill value."""
    out = fill_cells(array)
    if array.dtype.kind not in "OV":
        missing = encoding_or_bare(array.dtype, array.attributes, array.marker).fill
        if missing is not None:
            out[()] = missing
    return out


def missing_value(plan: ArrayPlan, where: str) -> tuple[Cells, bool]:
    """Return the target's value for cells that the slice lacks, and whether it is the fill value.

    Args:
        plan: The plan of the array.
        where: The slice, for messages.

    Returns:
        A 0-dimensional array, and True if it is the target's fill value.

    Raises:
        ZapzError: The slice's fill value cannot be stored in the target's encoding.
    """
    target, source = plan.target, plan.source
    if source is None:
        value = missing_cells(target)
    else:
        value = fill_cells(source)
        if plan.conversion is not None:
            try:
                value = plan.conversion.apply(value.reshape(1)).reshape(())
            except ZapzError as error:
                raise error.at(f"{where}, {source.path}, fill value of missing chunks") from None
    absent = fill_cells(target)
    undefined = target.fill.image is None and (source is None or source.fill.image is not None)
    same = not undefined and FillValue.of(value.reshape(-1)[0]).image == FillValue.of(absent.reshape(-1)[0]).image
    return value, same
