"""Compare static variables, which lack the append dimension, with the target's."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from zapz.checks.reading import Reading
from zapz.config.array_encoding import UNSET
from zapz.config.settings import Config
from zapz.errors import SliceError, VariableError
from zapz.format.buffers import Cells
from zapz.format.codecs import same_bytes
from zapz.format.documents import foreign_document
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Box, indices
from zapz.format.metadata import Array
from zapz.planning.meaning import conversion_of
from zapz.planning.placement import Placement
from zapz.sources.open_slice import OpenSlice
from zapz.storage.chunk_reader import ChunkReader, region


class StaticVariables:
    """Compares static variables of slices with the target's.

    Digests of the target's chunks are kept during a call, so that they are read once.
    """

    def __init__(self) -> None:
        self._digests: dict[tuple[str, tuple[int, ...]], bytes] = {}

    def check(self, target: Reading, source: OpenSlice, placement: Placement, config: Config) -> dict[str, float]:
        """Refuse a slice whose static variables differ by more than the tolerance.

        Returns:
            The largest difference of each variable that differs within the tolerance, in decoded
            units.

        Raises:
            VariableError: A value differs (by more than the tolerance).
            SliceError: A value cannot be converted to the target's encoding.
        """
        gaps = {path: self._check(target, source, path, config) for path in placement.static}
        return {path: gap for path, gap in gaps.items() if gap}

    def _check(self, target: Reading, source: OpenSlice, path: str, config: Config) -> float:
        target_array, slice_array = target.dataset.arrays[path], source.dataset.arrays[path]
        target_reader = target.reader(path)
        document = foreign_document(source.dataset.documents, path)
        slice_reader = ChunkReader(source.store, slice_array, document, source.uri)
        own = source.encodings.get(path)
        narrow = any(e.dtype is not UNSET for e in (config.variable(path).encoding, own) if e is not None)
        meaning = conversion_of(source.dataset, target.dataset, path, source.uri, config, narrow=narrow)
        alike = (
            meaning.identity
            and target_array.dtype == slice_array.dtype
            and target_array.grid == slice_array.grid
            and same_bytes(slice_array.codecs, target_array.codecs)
        )
        tolerance = None if isinstance(config.static, str) else float(config.static)
        largest = 0.0
        for index in indices(tuple((0, n) for n in target_array.grid.counts)):
            if alike and self._same_bytes(target_reader, slice_reader, path, index):
                continue
            box = target_array.grid.box(index)
            target_cells = region(target_reader, box, fill_cells(target_array))
            slice_cells = region(slice_reader, box, fill_cells(slice_array))
            where = f"{source.uri}, {path}"
            try:
                slice_cells = meaning.apply(slice_cells)
            except SliceError as error:
                raise error.at(where) from None
            try:
                pair = target_cells, slice_cells
                largest = max(largest, _compare(target_array, pair, box, meaning.target.packing, tolerance, where))
            except VariableError as error:
                from zapz.checks.static_advice import (
                    WHOLE,
                    advice,
                    for_one_step,
                )  # imported where used: most slices need none

                if math.prod(target_array.shape) <= WHOLE:
                    whole = tuple((0, n) for n in target_array.shape)
                    target_cells = region(target_reader, whole, fill_cells(target_array))
                    slice_cells = meaning.apply(region(slice_reader, whole, fill_cells(slice_array)))
                scale = abs(float(meaning.target.packing[0]))
                hint, remedies = advice(target_array, config.append_dim, target_cells, slice_cells, scale)
                if source.one_step:
                    hint, remedies = for_one_step(target_array, config, hint, remedies)
                raise error.advised(hint, remedies) from None
        return largest

    def _same_bytes(
        self, target_reader: ChunkReader, slice_reader: ChunkReader, path: str, index: tuple[int, ...]
    ) -> bool:
        slice_bytes = slice_reader.raw(index)
        if slice_bytes is None:
            return False
        if (path, index) not in self._digests:
            target_bytes = target_reader.raw(index)
            if target_bytes is None:
                return False
            self._digests[path, index] = hashlib.sha256(target_bytes).digest()
        return self._digests[path, index] == hashlib.sha256(slice_bytes).digest()


def _compare(
    array: Array,
    pair: tuple[Cells, Cells],
    box: Box,
    packing: tuple[float, float],
    tolerance: float | None,
    where: str,
) -> float:
    """Return the largest difference between two boxes of cells, in decoded units.

    Args:
        array: The target's variable.
        pair: The cells of target and slice, both in the target's encoding; shape of the box.
        box: Start and stop per axis, in cells of the target.
        packing: The target's scale factor and offset.
        tolerance: Largest difference that is allowed, in decoded units; None for none.
        where: Slice and variable, for messages.

    Raises:
        VariableError: The difference is larger than the tolerance.
    """
    target_cells, slice_cells = pair
    differ = differing(target_cells, slice_cells)
    if not np.any(differ):
        return 0.0
    scale, offset = (float(part) for part in packing)
    numeric = array.dtype.kind in "iuf"
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(target_cells.astype(np.float64) - slice_cells.astype(np.float64)) * abs(scale) if numeric else None
    if tolerance is not None and gap is not None and bool(np.all(gap[differ] <= tolerance * (1 + 1e-12))):
        return float(np.max(gap[differ]))
    first = tuple(int(i) for i in np.argwhere(np.atleast_1d(differ))[0])
    at = tuple(i + a for i, (a, _) in zip(first, box, strict=True)) if box else ()
    target_value, slice_value = (np.atleast_1d(cells)[first] for cells in pair)
    if (scale, offset) != (1, 0) and numeric:
        target_value, slice_value = (float(v) * scale + offset for v in (target_value, slice_value))
    count = int(np.count_nonzero(differ))
    finite = gap is not None and not np.all(np.isnan(gap[differ]))
    largest = f"; largest difference {np.nanmax(gap[differ]):g}" if gap is not None and finite else ""
    raise VariableError(
        "a static variable differs from the target's",
        where=where,
        expected=f"{target_value} at index {at}",
        found=f"{slice_value} ({count} cells of this chunk differ{largest})",
    )


def differing(a: Cells, b: Cells) -> Cells:
    """Return a boolean mask of the cells that differ; NaN equals NaN, and NaT equals NaT.

    Both arrays have the same shape and dtype; the mask has their shape.
    """
    if a.dtype.fields is not None:
        bytewise = (x.tobytes() != y.tobytes() for x, y in zip(a.reshape(-1), b.reshape(-1), strict=True))
        return np.fromiter(bytewise, dtype=bool, count=a.size).reshape(a.shape)
    differ = np.asarray(a != b)
    if a.dtype.kind in "fcmM":
        differ &= ~((a != a) & (b != b))  # noqa: PLR0124 - NaN and NaT are the values unequal to themselves
    return differ


def same_cells(a: Cells, b: Cells) -> bool:
    """Return whether shape, dtype and values are the same; NaN equals NaN, and NaT equals NaT."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.fields is not None:
        return a.tobytes() == b.tobytes()
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fcmM"))
