"""Arrays of a slice by path, as regions of cells: in memory, read on request, or lazy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from zapz.format.buffers import Cells
from zapz.format.grid import Box
from zapz.sources.array_like import Region, region_of
from zapz.sources.dask_arrays import DaskRegion, compute, is_lazy
from zapz.sources.shared_cache import SharedCache


class ArrayRegions:
    """Arrays of a slice by path.

    Lazy arrays are computed together before they are read, or block by block when they are.
    """

    def __init__(self, blocks: SharedCache | None) -> None:
        """Create an empty collection.

        Args:
            blocks: Where blocks of lazy arrays are kept, which are computed when they are read;
                None if whole arrays are computed.
        """
        self._blocks = blocks
        self._regions: dict[str, Region] = {}

    def add(self, path: str, data: Any, where: str) -> tuple[Region, dict[str, Any]]:
        """Add an array; return it, and attributes that define its cells if it was converted.

        Args:
            path: Path of the array.
            data: The array-like object. Lazy objects are computed whole, to find their type.
            where: The variable, for messages.

        Raises:
            SliceError: It is invalid.
        """
        region, meaning = self._lazy(data, where) if is_lazy(data) else region_of(data, where)
        self._regions[path] = region
        return region, meaning

    def _lazy(self, data: Any, where: str) -> tuple[Region, dict[str, Any]]:
        whole = DaskRegion(data, where)
        if whole.dtype.kind in "OT":
            return region_of(whole.read(tuple((0, n) for n in whole.shape)), where)
        if self._blocks is None:
            return whole, {}
        from zapz.sources.dask_blocks import DaskBlocks  # imported here: not needed for appends

        return DaskBlocks(data, where, self._blocks), {}

    @property
    def pending(self) -> bool:
        """Whether an array must be computed and has not been."""
        return any(isinstance(region, DaskRegion) and region.cells is None for region in self._regions.values())

    def prepare(self, paths: Collection[str], limit: int, folder: str | None, *, on_disk: bool) -> None:
        """Compute those of these arrays that must be, all at once; see ``dask_arrays.compute``."""
        whole = [region for path, region in self._regions.items() if path in paths and isinstance(region, DaskRegion)]
        compute(whole, limit, folder, on_disk=on_disk)

    def read(self, path: str, box: Box) -> Cells:
        """Return the cells of a box of an array.

        Raises:
            SliceError: The array returned other cells than it declared.
        """
        return self._regions[path].read(box)
