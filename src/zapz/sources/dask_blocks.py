"""Dask arrays whose blocks are computed when they are read, for a server.

A server never needs a whole array at once, so only the blocks that a box touches are computed::

             block 0    block 1  block 2
           +-----------+-------+-----------+
    cells  | 0 1 2 3 4 | 5 6 7 | 8 9 10 11 |      read (6, 9): blocks 1 and 2
           +-----------+-------+-----------+
                           ^^^   ^

The thread that reads computes them, and a cache shares them with other readers.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from zapz.format.buffers import Cells
from zapz.format.grid import Box, Index, Span, count, indices, intersect, shift, slices
from zapz.sources.array_like import as_declared, settled
from zapz.sources.dask_arrays import without_masks
from zapz.sources.shared_cache import SharedCache

_ENTRY = 500
"""Estimated size of a kept block besides its cells, in bytes."""
_ONCE = 250
"""Blocks per layer of a graph, up to which the graph is optimized for all blocks at once. That
takes as long as optimizing it for each of about a hundred blocks."""


class DaskBlocks:
    """A dask array whose blocks are computed when they are read.

    While a block is in the cache, and for simultaneous readers, it is computed once.
    """

    chunks = None

    def __init__(self, array: Any, where: str, cache: SharedCache) -> None:
        """Describe a dask array; nothing is computed.

        Args:
            array: The dask array. Later assignments to its cells have no effect.
            where: The variable, for messages.
            cache: Where computed blocks are kept.

        Raises:
            SliceError: The lengths of its axes are not known.
        """
        array = without_masks(array, where)
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = settled(array.dtype)
        self.natural = tuple(int(max((1, *sizes))) for sizes in array.chunks)
        """Shape of its largest block, in cells: the chunk shape in which it is served."""
        self._cache = cache
        self._token = object()  # not dask's name, which a program may have given to several arrays
        self._name: str = array.name
        self._graph = array.__dask_graph__()
        self._optimize = array.__dask_optimize__
        self._edges = tuple(tuple(accumulate(map(int, sizes), initial=0)) for sizes in array.chunks)
        self._blocks: Box = tuple((0, len(sizes)) for sizes in array.chunks)
        self._guard = threading.Lock()
        self._optimized: Mapping[Any, Any] | None = None

    def read(self, box: Box) -> Cells:
        """Return the cells of a box, of which those in a single block are not copied.

        Raises:
            SliceError: A block has another shape or data type than declared.
        """
        shape = tuple(b - a for a, b in box)
        out: Cells | None = None
        for index in indices(tuple(map(_touched, self._edges, box))) if all(shape) else ():
            block = self._box(index)
            common = intersect(block, box)
            if common is None:  # an empty block
                continue
            part: Cells = self._block(index)[slices(shift(common, [a for a, _ in block], -1))]
            if common == box:
                return part
            out = np.empty(shape, self.dtype) if out is None else out
            out[slices(shift(common, [a for a, _ in box], -1))] = part
        return np.empty(shape, self.dtype) if out is None else out

    def _box(self, index: Index) -> Box:
        """Return the cells of a block."""
        return tuple((edges[i], edges[i + 1]) for edges, i in zip(self._edges, index, strict=True))

    def _block(self, index: Index) -> Cells:
        return self._cache.get((self._token, index), partial(self._computed, index), _size)

    def _computed(self, index: Index) -> Cells:
        """Compute a block in this thread. Its cells are shared, so they cannot be changed."""
        from dask.local import get_sync  # imported here: dask is installed if there are dask arrays
        from dask.optimization import cull

        key: Any = (self._name, *index)
        tasks, _ = cull(self._tasks(key), [key])  # type: ignore[no-untyped-call]
        part = get_sync(tasks, key)
        cells = _of_its_own(as_declared(part, tuple(b - a for a, b in self._box(index)), self.dtype)).view()
        cells.flags.writeable = False
        return cells

    def _tasks(self, key: Any) -> Mapping[Any, Any]:
        """Return an optimized graph that has a block, at least."""
        layers = len(getattr(self._graph, "layers", ()))
        if count(self._blocks) > _ONCE * (layers + 10):
            optimized: Mapping[Any, Any] = self._optimize(self._graph, [key])
            return optimized
        with self._guard:
            if self._optimized is None:
                keys = [(self._name, *index) for index in indices(self._blocks)]
                self._optimized = dict(self._optimize(self._graph, keys))
            return self._optimized


def _touched(edges: tuple[int, ...], span: Span) -> Span:
    """Return the blocks of an axis, from the first to the last that a span of cells touches."""
    return bisect_right(edges, span[0]) - 1, bisect_left(edges, span[1])


def _size(cells: Cells) -> int:
    return cells.nbytes + _ENTRY


def _of_its_own(cells: Cells) -> Cells:
    """Return cells that keep no larger array in memory: a copy, if they are a part of one."""
    owner = cells
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return cells if owner.base is None and owner.nbytes <= cells.nbytes else cells.copy()
