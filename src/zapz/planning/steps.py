"""What happens to the chunks of one array in an append. Integer arithmetic only.

For an array that grows from ``N`` by ``M`` steps, every touched chunk is one of five cases::

    target chunk                       | old | new |   step
    new, aligned, equal bytes:         [ b b b b ]     CopyChunk    copies the bytes
    a shard, equal inner bytes:        [ a a | b ]     ExtendShard  copies inner chunks
    any other chunk:                   [ a a | b ]     EncodeChunk  decodes and encodes pieces
    the slice has no data:             [ . . . . ]     ClearChunk   is read as the fill value
    a coarser level of a pyramid:      [ a a | B ]     ReduceChunk  aggregates windows of the slice
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from zapz.cf.conversion import Conversion
from zapz.format.codecs import same_bytes
from zapz.format.grid import Box, Index, Span, count, grouped, indices, intersect, ravel, shift, touched
from zapz.format.metadata import Array
from zapz.planning.derivation import Derivation
from zapz.planning.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A block of cells that is written to a chunk."""

    origin: Literal["target", "slice"]
    """Whose chunk the cells come from."""
    index: Index
    """Index of that chunk (inner chunk, if sharded)."""
    take: Box
    """Cells within that chunk."""
    put: Box
    """Cells within the written chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyChunk:
    """Copy the bytes of one chunk."""

    path: str
    """The array."""
    index: Index
    """Index of the target chunk."""
    source: Index
    """Index of the slice chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeChunk:
    """Build a chunk from decoded pieces; cells without a piece get the fill value."""

    path: str
    """The array."""
    index: Index
    """Index of the target chunk."""
    pieces: tuple[Piece, ...]
    """Cells of the target first, then those of the slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceChunk:
    """Build a chunk of a coarser level from windows of the slice's finest level."""

    path: str
    """The array."""
    index: Index
    """Index of the target chunk."""
    pieces: tuple[Piece, ...]
    """Cells that the target already has."""
    box: Box
    """Cells of the slice's array at the finest level that it needs."""
    put: Box
    """Derived cells within the written chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendShard:
    """Create or extend a shard, one inner chunk after another (``ArrayPlan.inner``)."""

    path: str
    """The array."""
    index: Index
    """Index of the target shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearChunk:
    """Ensure that a chunk is read as the fill value, whatever is at its key."""

    path: str
    """The array."""
    index: Index
    """Index of the target chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepInner:
    """Keep an inner chunk of a shard unchanged, in its place."""

    index: Index
    """Index of the inner chunk."""


Step = CopyChunk | EncodeChunk | ReduceChunk | ExtendShard | ClearChunk


Inner = CopyChunk | EncodeChunk | ReduceChunk | ClearChunk | KeepInner


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPlan:
    """What happens to one array."""

    target: Array
    """The array after the append."""
    source: Array | None
    """The slice's array; None if the slice lacks it. For a derived array: at the finest level."""
    axis: int | None
    """Axis of the append dimension; None for a static array of a new target."""
    offset: int
    """Old length along the axis, in steps; 0 without an axis."""
    stop: int
    """New length along the axis, in steps; 0 without an axis."""
    conversion: Conversion | None
    """Conversion of stored values to the target's; None if nothing is converted."""
    verbatim: bool
    """Whether whole chunks (shards) can be copied from the slice byte by byte."""
    inner_verbatim: bool
    """Whether inner chunks (chunks, if not sharded) can be copied byte by byte."""
    derivation: Derivation | None = None
    """How the array follows from the finest level; None if it is not derived."""

    @property
    def path(self) -> str:
        """Path of the array."""
        return self.target.path

    @property
    def spans(self) -> Box:
        """Range of touched target chunks, per axis."""
        return self._touched(self.target.grid.counts, self.target.grid.chunks)

    def touches(self, index: Index) -> bool:
        """Return whether the append touches a chunk."""
        spans = self.spans
        return len(index) == len(spans) and all(a <= i < b for i, (a, b) in zip(index, spans, strict=True))

    @property
    def unit_spans(self) -> Box:
        """Range of touched units of the target (inner chunks, if sharded), per axis."""
        return self._touched(self.target.units.counts, self.target.units.chunks)

    def _touched(self, counts: tuple[int, ...], chunks: tuple[int, ...]) -> Box:
        whole: list[Span] = [(0, n) for n in counts]
        if self.axis is not None:
            whole[self.axis] = touched(self.offset, self.stop, chunks[self.axis])
        return tuple(whole)

    @property
    def origin(self) -> Index:
        """Target cell of the slice's first cell."""
        return tuple(self.offset if i == self.axis else 0 for i in range(self.target.ndim))

    @property
    def old_box(self) -> Box:
        """Cells that the target already has."""
        return tuple(
            (0, self.offset if i == self.axis else n if self.axis is not None else 0)
            for i, n in enumerate(self.target.shape)
        )

    @property
    def new_box(self) -> Box:
        """Cells that this append writes."""
        return tuple((self.offset if i == self.axis else 0, n) for i, n in enumerate(self.target.shape))

    def is_boundary(self, index: Index) -> bool:
        """Return whether a touched chunk also contains old cells."""
        return self.axis is not None and index[self.axis] * self.target.grid.chunks[self.axis] < self.offset

    def boundary_keys(self) -> Iterator[str]:
        """Yield the keys of all touched chunks that also contain old cells."""
        axis, chunks = self.axis, self.target.grid.chunks
        if axis is not None and self.offset % chunks[axis]:
            last = self.offset // chunks[axis]
            spans = tuple((last, last + 1) if i == axis else span for i, span in enumerate(self.spans))
            yield from map(self.target.key, indices(spans))

    def step(self, index: Index) -> Step:
        """Return the step that writes a touched chunk."""
        path = self.path
        if self.source is None and not self.is_boundary(index):
            return ClearChunk(path=path, index=index)
        if self.verbatim:
            return CopyChunk(path=path, index=index, source=self._source_index(index, self.target.grid.chunks))
        if self.target.codecs.shards is not None:
            return ExtendShard(path=path, index=index)
        return self._built(index)

    def _built(self, unit: Index) -> EncodeChunk | ReduceChunk:
        """Return the step that builds a unit from cells."""
        if self.derivation is None or self.source is None:
            return EncodeChunk(path=self.path, index=unit, pieces=self._pieces(unit))
        new = intersect(self.target.units.box(unit), self.new_box)
        if new is None:
            raise IndexError(f"the plan does not touch {unit} of {self.path!r}")
        corner = tuple(i * c for i, c in zip(unit, self.target.units.chunks, strict=True))
        box = self.derivation.box(shift(new, self.origin, -1), self.source.shape)
        return ReduceChunk(
            path=self.path, index=unit, pieces=self._old_pieces(unit), box=box, put=shift(new, corner, -1)
        )

    def steps(self) -> Iterator[Step]:
        """Yield every step once, in an order in which neighbours share source chunks."""
        if self.source is None or self.verbatim or self.derivation is not None or not self.target.ndim:
            order = indices(self.spans)
        else:
            order = grouped(self.spans, self.target.grid.chunks, self.source.units.chunks, self.origin)
        return (self.step(index) for index in order)

    def _source_index(self, index: Index, chunks: tuple[int, ...]) -> Index:
        return tuple(i - o // c for i, o, c in zip(index, self.origin, chunks, strict=True))

    def inner(self, index: Index) -> Iterator[tuple[int, Inner]]:
        """Yield the steps of the inner chunks of a shard, with their numbers in the shard's index.

        Inner chunks beyond the new shape are skipped: the shard does not contain them.
        """
        units = self.target.units
        per_shard = self.target.units_per_axis
        first = tuple(i * n for i, n in zip(index, per_shard, strict=True))
        shard = tuple((f, f + n) for f, n in zip(first, per_shard, strict=True))
        spans = tuple((a, min(b, total)) for (a, b), total in zip(shard, units.counts, strict=True))
        for unit in indices(spans):
            yield ravel(unit, shard), self.inner_step(unit)

    def inner_step(self, unit: Index) -> Inner:
        """Return the step of one inner chunk."""
        box = self.target.units.box(unit)
        if self.axis is not None and box[self.axis][1] <= self.offset:
            return KeepInner(index=unit)
        is_new = self.axis is None or box[self.axis][0] >= self.offset
        if self.source is None and is_new:
            return ClearChunk(path=self.path, index=unit)
        if self.inner_verbatim and is_new:
            return CopyChunk(path=self.path, index=unit, source=self._source_index(unit, self.target.units.chunks))
        return self._built(unit)

    def _old_pieces(self, unit: Index) -> tuple[Piece, ...]:
        old = intersect(self.target.units.box(unit), self.old_box) if self.axis is not None else None
        if old is None:
            return ()
        local = shift(old, [i * c for i, c in zip(unit, self.target.units.chunks, strict=True)], -1)
        return (Piece(origin="target", index=unit, take=local, put=local),)

    def _pieces(self, unit: Index) -> tuple[Piece, ...]:
        units = self.target.units
        corner = tuple(i * c for i, c in zip(unit, units.chunks, strict=True))
        box = units.box(unit)
        pieces = list(self._old_pieces(unit))
        new = intersect(box, self.new_box) if box else ()
        if new is not None and self.source is not None:
            wanted = shift(new, self.origin, -1)
            grid = self.source.units
            for index in indices(grid.covering(wanted)):
                cells = intersect(grid.box(index), wanted) if wanted else ()
                if cells is None:
                    continue
                start = tuple(i * c for i, c in zip(index, grid.chunks, strict=True))
                put = shift(shift(cells, self.origin), corner, -1)
                pieces.append(Piece(origin="slice", index=index, take=shift(cells, start, -1), put=put))
        return tuple(pieces)

    @property
    def examined(self) -> bool:
        """Whether copied chunks must be decoded too, because a valid value may equal the marker."""
        return self.conversion is not None and self.conversion.guards_marker

    @property
    def copies(self) -> int:
        """Number of chunks that are copied."""
        return count(self.spans) if self.verbatim else 0

    @property
    def encodes(self) -> int:
        """Number of chunks that are built."""
        return 0 if self.verbatim else count(self.spans)

    @property
    def working_set(self) -> int:
        """Maximum memory of one worker, in bytes: target and source unit, decoded and encoded."""
        source = self.source.unit_bytes if self.source is not None else 0
        return 4 * max(self.target.unit_bytes, source) if not self.verbatim else self.target.chunk_bytes


def plan_array(
    target: Array, source: Array | None, axis: int | None, placement: Placement, *, recompress: bool
) -> ArrayPlan:
    """Return the plan of one array: whether its chunks may be copied.

    Args:
        target: The array after the append.
        source: The slice's array; None if the slice lacks it.
        axis: Axis of the append dimension, or None.
        placement: Position of the slice, and conversion of its values.
        recompress: Whether compressor parameters must be the target's.
    """
    derivation = placement.derived.get(target.path)
    conversion = placement.conversions.get(target.path if derivation is None else derivation.source)
    offset = placement.offset if axis is not None else 0
    alike = (
        derivation is None
        and source is not None
        and source.dtype == target.dtype
        and (conversion is None or conversion.identity)
    )
    verbatim = inner_verbatim = False
    if alike and source is not None:
        verbatim = source.grid.chunks == target.grid.chunks and same_bytes(source.codecs, target.codecs)
        inner_verbatim = source.units.chunks == target.units.chunks and same_bytes(
            source.unit_codecs, target.unit_codecs
        )
        if (
            source.codecs.shards is not None
        ):  # inner chunks that a copied shard lacks are read as the target's fill value
            verbatim = verbatim and source.fill.image == target.fill.image
        if recompress:
            verbatim = verbatim and source.codecs.strict == target.codecs.strict
            inner_verbatim = inner_verbatim and source.unit_codecs.strict == target.unit_codecs.strict
    if axis is not None:
        verbatim = verbatim and offset % target.grid.chunks[axis] == 0
        inner_verbatim = inner_verbatim and offset % target.units.chunks[axis] == 0
    return ArrayPlan(
        target=target,
        source=source,
        axis=axis,
        offset=offset,
        stop=offset + placement.length if axis is not None else 0,
        conversion=conversion,
        verbatim=verbatim,
        inner_verbatim=inner_verbatim,
        derivation=derivation,
    )
