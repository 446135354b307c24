"""Build the chunks of one array: copy, check, assemble and encode them, without writing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zapz.errors import ChunkError, EncodingError, ZapzError
from zapz.format import codecs
from zapz.format.buffers import Buffer, Cells, octets
from zapz.format.documents import foreign_document
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Box, Index, indices, slices
from zapz.format.lossy import near
from zapz.format.metadata import Array
from zapz.planning.missing_cells import missing_value
from zapz.planning.plan import Plan
from zapz.planning.steps import (
    ArrayPlan,
    ClearChunk,
    CopyChunk,
    EncodeChunk,
    ExtendShard,
    Inner,
    KeepInner,
    Piece,
    ReduceChunk,
    Step,
)
from zapz.storage.chunk_reader import ChunkReader, zarr_chunk
from zapz.storage.presence import IndexSet
from zapz.storage.store import Parts, ReadableStore

if TYPE_CHECKING:
    from zapz.execution.shard_builder import ShardBuilder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BuiltChunk:
    """The bytes of a chunk (shard) before they are written."""

    parts: Parts
    """Its bytes. They can be iterated only once: those of a shard are created on the way."""
    copied: bool = False
    """Whether they are copied from the slice."""

    def to_bytes(self) -> bytes:
        """Return all bytes of the chunk."""
        return b"".join(octets(part) for part in self.parts)


class ChunkBuilder:
    """Builds the chunks of one array from those of slice and target, without writing."""

    def __init__(
        self,
        plan: Plan,
        path: str,
        source: ReadableStore,
        target: ReadableStore,
        *,
        cache_bytes: int = 0,
        verify: bool = False,
        present: IndexSet | None = None,
    ) -> None:
        """Create a builder for an array of a plan.

        Args:
            plan: The plan.
            path: The array.
            source: The slice's store.
            target: The target's store, to read boundary chunks from.
            cache_bytes: Maximum size of cached decoded chunks of the slice, in bytes.
            verify: Whether to decode every copied chunk.
            present: Chunks that the slice has, if known.
        """
        self._plan: ArrayPlan = plan.arrays[path]
        self._verify = verify
        array = self._plan.target
        self._where = plan.slice_uri
        self._document = foreign_document(plan.after.documents, path)
        self._old = ChunkReader(target, array, self._document, plan.target_uri)
        self._new: ChunkReader | None = None
        if self._plan.source is not None:
            self._new = ChunkReader(
                source,
                self._plan.source,
                foreign_document(plan.slice.documents, self._plan.source.path),
                plan.slice_uri,
                cache_bytes,
                present,
            )
        self._conversion = self._plan.conversion
        self._missing: tuple[Cells, bool] | None = None
        self._shards: ShardBuilder | None = None
        if (config := array.codecs.shards) is not None:
            from zapz.execution.shard_builder import ShardBuilder  # imported here: most arrays have no shards

            self._shards = ShardBuilder(config, self._old, target)

    def build(self, step: Step) -> BuiltChunk | None:
        """Return a chunk; None if it need not exist, because all of it is read as the fill value.

        If there is already an object at the chunk's key, it must be replaced by the result of
        ``filled``. Otherwise readers would see its old content.

        Raises:
            ChunkError: A chunk is damaged, or cannot be encoded.
            SliceError: A value cannot be converted.
            StoreError: Storage failed.
        """
        if isinstance(step, CopyChunk):
            return self._copied(step)
        if isinstance(step, ExtendShard):
            return self._shard(step.index, self._plan.inner(step.index), extends=self._plan.is_boundary(step.index))
        if isinstance(step, EncodeChunk | ReduceChunk):
            cells = self._cells(step)
            return None if cells is None else _whole([self._encoded(cells, step.index, _old_blocks(step))])
        return self._lacked(step.index)

    def filled(self, step: Step) -> BuiltChunk:
        """Return a chunk of only the fill value, for a step for which ``build`` returns None.

        Raises:
            ChunkError, SliceError, StoreError: As in ``build``.
        """
        if self._shards is not None:
            return BuiltChunk(parts=self._shards.empty())
        array = self._plan.target
        old = _old_blocks(step) if isinstance(step, EncodeChunk | ReduceChunk) else ()
        cells = np.broadcast_to(fill_cells(array), array.units.chunks)
        return BuiltChunk(parts=[self._encoded(cells, step.index, old)])

    # -- copying -------------------------------------------------------------

    def _copied(self, step: CopyChunk) -> BuiltChunk | None:
        reader = self._reader()
        data = reader.raw(step.source)
        if data is None:
            return self._lacked(step.index)
        self._look(reader, step.source, data)
        return BuiltChunk(parts=[data], copied=True)

    def _reader(self) -> ChunkReader:
        if self._new is None:
            raise AssertionError("a step reads from a slice without this array")
        return self._new

    def _look(self, reader: ChunkReader, index: Index, data: bytes) -> None:
        """Check the headers of a copied chunk; decode it if requested, or to examine its values."""
        table = reader.inspect(index, data)
        if self._verify or self._plan.examined:
            for unit in indices(reader.array.units_in(index)):
                raw = data if table is None else reader.raw_unit(unit)
                if raw is not None:
                    self._examine(reader, unit, reader.decode(raw, unit))

    def _examine(self, reader: ChunkReader, unit: Index, cells: Cells) -> None:
        """Let the conversion check the cells of a copied chunk, except those beyond the shape."""
        if self._plan.examined and self._conversion is not None:
            box = reader.array.units.box(unit)
            self._convert(cells[tuple(slice(0, b - a) for a, b in box)], reader.name(unit))

    def _convert(self, cells: Cells, where: str) -> Cells:
        if self._conversion is None:
            return cells
        try:
            return self._conversion.apply(cells)
        except ZapzError as error:
            raise error.at(where) from None

    # -- what the slice lacks -------------------------------------------------------------

    def _lacked(self, index: Index) -> BuiltChunk | None:
        """Return a chunk that the slice lacks: the slice's fill value, in the target's encoding."""
        value, is_fill = self._missing_value()
        if is_fill:
            return None
        if self._shards is not None:
            cleared = ((n, ClearChunk(path=self._plan.path, index=s.index)) for n, s in self._plan.inner(index))
            return self._shard(index, cleared, extends=False)
        return _whole([self._encoded(np.broadcast_to(value, self._plan.target.grid.chunks), index)])

    def _missing_value(self) -> tuple[Cells, bool]:
        """Return the target's value for cells missing in the slice, and whether it is its fill."""
        if self._missing is None:
            self._missing = missing_value(self._plan, self._where)
        return self._missing

    # -- encoding -------------------------------------------------------------

    def _cells(self, step: EncodeChunk | ReduceChunk) -> Cells | None:
        """Return the cells of a unit; None if all are missing and read as the fill value."""
        if isinstance(step, ReduceChunk):
            raise TypeError("a step derives a unit of an array that is not derived")
        return self._assemble(step)

    def _assemble(self, step: EncodeChunk) -> Cells | None:
        """Build a unit from pieces; None if all cells are missing and read as the fill value."""
        array = self._plan.target
        shape = array.units.chunks
        if len(step.pieces) == 1 and (cells := self._single(step.pieces[0])) is not None:
            return cells
        covered = sum(int(np.prod([b - a for a, b in p.put], dtype=object)) for p in step.pieces)
        out: Cells | None = None
        missing = self._plan.source is not None or self._missing_value()[1]
        for piece in step.pieces:
            if out is None:
                out = np.empty(shape, array.dtype)
                if covered < array.units.chunk_size:
                    out[...] = fill_cells(array) if self._plan.source is not None else self._missing_value()[0]
            missing = self._place(piece, out) and missing
        return None if missing else out

    def _single(self, piece: Piece) -> Cells | None:
        """Return a whole unit of the slice without a copy; None if it does not match."""
        reader = self._reader() if piece.origin == "slice" else None
        if reader is None or any(
            b - a != c for (a, b), c in zip(piece.put, self._plan.target.units.chunks, strict=True)
        ):
            return None
        if reader.array.units.chunks != self._plan.target.units.chunks:
            return None
        cells = reader.unit(piece.index)
        return None if cells is None else self._convert(cells, reader.name(piece.index))

    def _place(self, piece: Piece, out: Cells) -> bool:
        """Write one piece to ``out``; return whether it is missing and read as the fill value."""
        there = out[slices(piece.put)]
        if piece.origin == "target":
            cells = self._old.unit(piece.index)
            if cells is None:
                there[...] = fill_cells(self._plan.target)
                return True  # unchanged: without a fill value, these cells had no defined value before
            there[...] = cells[slices(piece.take)]
            return False
        reader = self._reader()
        plain = (
            self._conversion is None or (self._conversion.identity and not self._plan.examined)
        ) and reader.array.dtype == out.dtype
        into = there if plain and there.flags.c_contiguous else None
        cells = reader.part(piece.index, piece.take, into)
        if cells is None:
            there[...], is_fill = self._missing_value()
            return is_fill
        if cells is not into:
            there[...] = cells if plain else self._convert(cells, reader.name(piece.index))
        return False

    def _encoded(self, cells: Cells, unit: Index, old: tuple[Box, ...] = ()) -> Buffer:
        """Encode a unit; if the chain is lossy, check that it keeps what it must.

        Args:
            cells: The unit's cells.
            unit: Its index.
            old: Blocks of it that the target already had.

        Raises:
            ChunkError: The unit cannot be encoded.
            EncodingError: A lossy filter changes old cells, or new ones too much.
        """
        array = self._plan.target
        try:
            if array.codecs.foreign is not None:
                return zarr_chunk(array, self._document).encode(np.ascontiguousarray(cells))
            data = codecs.encode(array.unit_codecs, array.dtype, cells)
        except ZapzError as error:
            raise error.at(self._old.name(unit)) from None
        if array.codecs.lossy:
            _check_lossy(array, cells, self._old.decode(data, unit), unit, old, self._old.name(unit))
        return data

    # -- shards -------------------------------------------------------------

    def _shard(self, index: Index, inner: Iterable[tuple[int, Inner]], *, extends: bool) -> BuiltChunk | None:
        if self._shards is None:
            raise AssertionError("a step builds a shard of an array without shards")
        chunks = ((n, step if isinstance(step, KeepInner) else self._inner(step)) for n, step in inner)
        return _whole(self._shards.build(index, chunks, extends=extends))

    def _inner(self, step: CopyChunk | EncodeChunk | ReduceChunk | ClearChunk) -> Buffer | None:
        """Return the bytes of an inner chunk; None if missing and read as the fill value."""
        if isinstance(step, CopyChunk):
            reader = self._reader()
            raw = reader.raw_unit(step.source)
            if raw is not None:
                array = reader.array
                try:
                    codecs.inspect(array.unit_codecs, array.dtype, array.units.chunk_size, raw)
                except ChunkError as error:
                    raise error.at(reader.name(step.source)) from None
                if self._verify or self._plan.examined:
                    self._examine(reader, step.source, reader.decode(raw, step.source))
                return raw
        if isinstance(step, EncodeChunk | ReduceChunk):
            cells = self._cells(step)
            return None if cells is None else self._encoded(cells, step.index, _old_blocks(step))
        value, is_fill = self._missing_value()
        return None if is_fill else self._encoded(np.broadcast_to(value, self._plan.target.units.chunks), step.index)


def _whole(parts: Parts | None) -> BuiltChunk | None:
    return None if parts is None else BuiltChunk(parts=parts)


def _check_lossy(array: Array, cells: Cells, again: Cells, unit: Index, old: tuple[Box, ...], where: str) -> None:
    """Check that a lossy filter keeps old cells bit by bit, and new ones within its limits."""
    filters = ", ".join(s.id for s in array.unit_codecs.stages)
    for block in old:
        if cells[slices(block)].tobytes() != again[slices(block)].tobytes():
            raise EncodingError(
                "the target's lossy filter would change old values",
                where=where,
                found=filters,
                hint="Create the target with a chunk length that slices fill, so that chunks are not rewritten.",
            )
    inside = tuple((0, b - a) for a, b in array.units.box(unit))
    if not near(array, cells[slices(inside)], again[slices(inside)]):
        raise EncodingError(
            "the target's filter cannot store the slice's values",
            where=where,
            found=filters,
            hint="The values are outside its range, or it loses missing cells. Create the target without this filter.",
        )


def _old_blocks(step: EncodeChunk | ReduceChunk) -> tuple[Box, ...]:
    return tuple(piece.put for piece in step.pieces if piece.origin == "target")
