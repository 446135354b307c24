"""Run the steps of one array: copy, look, assemble, encode, put shards together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from zapz.chunks import Cells, ChunkReader, document_of, fill_cells, missing_cells, near, zarr_chunk
from zapz.errors import ChunkError, EncodingError, ZapzError
from zapz.format import codecs, shards
from zapz.format.compressors import Buffer, octets
from zapz.format.grid import Box, Index, indices, slices
from zapz.format.metadata import Array, FillValue
from zapz.format.shards import ShardIndex
from zapz.planning import Plan
from zapz.steps import (
    ArrayPlan,
    ClearChunk,
    CopyChunk,
    EncodeChunk,
    ExtendShard,
    Inner,
    KeepInner,
    Piece,
    Step,
)
from zapz.storage.store import Parts, Placed, Store

_BLOCK = 1 << 22
"""Bytes of an old shard that are moved at a time."""


class Sink(Protocol):
    """Where steps write to; a transaction is one."""

    def put(self, path: str, index: Index, parts: Parts) -> int:
        """Write a chunk and return how many bytes that were."""

    def replaces(self, path: str, index: Index) -> bool:
        """Return whether something lies at a chunk's key already."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a run did."""

    copied: int = 0
    """Chunks (shards) whose bytes were copied."""
    encoded: int = 0
    """Chunks that were put together from decoded cells, or shards from inner chunks."""
    bytes: int = 0
    """Bytes written to chunks."""

    def add(self, other: Counts) -> None:
        """Add another run's counts."""
        self.copied += other.copied
        self.encoded += other.encoded
        self.bytes += other.bytes


class ArrayTask:
    """Runs the steps of one array."""

    def __init__(
        self, plan: Plan, path: str, source: Store, target: Store, sink: Sink, *, cache_bytes: int, verify: bool
    ) -> None:
        self._plan: ArrayPlan = plan.arrays[path]
        self._sink = sink
        self._store = target
        self._verify = verify
        array = self._plan.target
        self._where = plan.slice_uri
        self._old = ChunkReader(target, array, document_of(plan.after.documents, path), plan.target_uri)
        self._new: ChunkReader | None = None
        if self._plan.source is not None:
            self._new = ChunkReader(
                source, self._plan.source, document_of(plan.slice.documents, path), plan.slice_uri, cache_bytes
            )
        self._document = document_of(plan.after.documents, path)
        self._conversion = self._plan.conversion
        self._missing: tuple[Cells, bool] | None = None

    def run(self, step: Step, counts: Counts) -> None:
        """Run one step."""
        if isinstance(step, CopyChunk):
            self._copy(step, counts)
        elif isinstance(step, EncodeChunk):
            self._encode(step, counts)
        elif isinstance(step, ExtendShard):
            self._shard(step, counts)
        else:
            self._clear(step.index, counts)

    # -- copying ---------------------------------------------------------------------------------------------------------

    def _copy(self, step: CopyChunk, counts: Counts) -> None:
        reader = self._reader()
        data = reader.raw(step.source)
        if data is None:
            self._lack(step.index, counts)
            return
        self._look(reader, step.source, data)
        self._put(step.index, [data], counts)
        counts.copied += 1

    def _reader(self) -> ChunkReader:
        if self._new is None:
            raise AssertionError("a step reads from a slice that has no such array")
        return self._new

    def _look(self, reader: ChunkReader, index: Index, data: bytes) -> None:
        """Look at the outside of a chunk; decode it where that was asked for, or where values must be seen."""
        array = reader.array
        config = array.codecs.shards
        try:
            if config is None:
                codecs.inspect(array.codecs, array.dtype, array.grid.chunk_size, data)
            else:
                start, length = shards.index_range(config, reader.units_per_shard, len(data))
                shards.parse(config, reader.units_per_shard, data[start : start + length], len(data))
        except ChunkError as error:
            raise error.at(reader.name(index)) from None
        if self._verify or self._plan.examined:
            for unit in _units_of(array, index):
                raw = data if config is None else reader.raw_unit(unit)
                if raw is not None:
                    self._examine(reader, unit, reader.decode(raw, unit))

    def _examine(self, reader: ChunkReader, unit: Index, cells: Cells) -> None:
        """Let the conversion see the cells of a chunk that is copied; those beyond the shape do not count."""
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

    # -- what the slice lacks --------------------------------------------------------------------------------------------

    def _lack(self, index: Index, counts: Counts) -> None:
        """A chunk that the slice lacks must read as the slice's fill value, in the target's terms."""
        value, is_fill = self._missing_value()
        if is_fill and not self._sink.replaces(self._plan.path, index):
            return
        array = self._plan.target
        self._put_cells(index, np.broadcast_to(value, array.grid.chunks), counts)

    def _missing_value(self) -> tuple[Cells, bool]:
        """Return the target's value for cells that the slice lacks, and whether that is the target's fill value."""
        if self._missing is None:
            target, source = self._plan.target, self._plan.source
            if source is None:
                value = missing_cells(target)
            else:
                where = f"{self._where}, {source.path}, fill value of missing chunks"
                value = self._convert(fill_cells(source).reshape(1), where).reshape(())
            absent = fill_cells(target)
            undefined = target.fill.image is None and (source is None or source.fill.image is not None)
            same = not undefined and FillValue.of(value[()]).image == FillValue.of(absent[()]).image
            self._missing = value, same
        return self._missing

    def _clear(self, index: Index, counts: Counts) -> None:
        self._lack(index, counts)

    # -- encoding --------------------------------------------------------------------------------------------------------

    def _encode(self, step: EncodeChunk, counts: Counts) -> None:
        cells = self._assemble(step)
        if cells is None:
            if not self._sink.replaces(self._plan.path, step.index):
                return
            cells = np.broadcast_to(fill_cells(self._plan.target), self._plan.target.units.chunks)
        self._put(step.index, [self._encoded(cells, step.index, _old_blocks(step))], counts)
        counts.encoded += 1

    def _assemble(self, step: EncodeChunk) -> Cells | None:
        """Put a unit together; None if every cell of it is a missing one that reads as the fill value."""
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
        """Return a unit that is one whole unit of the slice, without copying its cells; None if it is not, or is missing."""
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
        """Put one piece into ``out``; return whether it is missing and reads as the fill value."""
        there = out[slices(piece.put)]
        if piece.origin == "target":
            cells = self._old.unit(piece.index)
            if cells is None:
                there[...] = fill_cells(self._plan.target)
                return self._plan.target.fill.image is not None
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
        """Encode a unit; where the chain is lossy, see whether it gives back what it must.

        Args:
            cells: The unit's cells.
            unit: Its index.
            old: Blocks of it that the target already had.
        """
        array = self._plan.target
        try:
            if array.codecs.foreign is not None:
                return zarr_chunk(array, self._document).encode(np.ascontiguousarray(cells))
            data = codecs.encode(array.unit_codecs, array.dtype, cells)
        except ZapzError as error:
            raise error.at(self._old.name(unit)) from None
        if array.codecs.lossy:
            self._check_lossy(cells, self._old.decode(data, unit), unit, old)
        return data

    def _check_lossy(self, cells: Cells, again: Cells, unit: Index, old: tuple[Box, ...]) -> None:
        """A lossy filter must give back the old cells to the bit, and the new ones as near as it promises."""
        array = self._plan.target
        filters = ", ".join(s.id for s in array.unit_codecs.stages)
        for block in old:
            if cells[slices(block)].tobytes() != again[slices(block)].tobytes():
                raise EncodingError(
                    "the target's lossy filter would change old values",
                    where=self._old.name(unit),
                    found=filters,
                    hint="Give the target a chunk length that slices fill, so that chunks are not rewritten.",
                )
        inside = tuple((0, b - a) for a, b in array.units.box(unit))
        if not near(array, cells[slices(inside)], again[slices(inside)]):
            raise EncodingError(
                "the target's filter cannot hold the slice's values",
                where=self._old.name(unit),
                found=filters,
                hint="They are outside its range, or missing cells do not survive it: create the target without it.",
            )

    # -- shards ----------------------------------------------------------------------------------------------------------

    def _shard(self, step: ExtendShard, counts: Counts) -> None:
        """Make or extend a shard; its unit of memory is the inner chunk."""
        old, size = self._old.shard_index(step.index) if self._plan.is_boundary(step.index) else (None, 0)
        self._put_shard(step.index, self._plan.inner(step.index), old, size, counts)

    def _put_shard(
        self, index: Index, inner: Iterable[tuple[int, Inner]], old: ShardIndex | None, size: int, counts: Counts
    ) -> None:
        config = self._plan.target.codecs.shards
        if config is None:
            raise AssertionError("a step makes a shard of an array that has none")
        made = shards.empty(self._old.units_per_shard)
        body = self._shard_body(index, inner, made, old, size)
        first = next(body, None)
        if first is None and not self._sink.replaces(self._plan.path, index):
            return
        self._put(index, Placed(parts=self._with_index(body if first is None else chain([first], body), made)), counts)
        counts.encoded += 1

    def _with_index(self, body: Iterable[tuple[int, Buffer]], made: ShardIndex) -> Iterator[tuple[int, Buffer]]:
        """Yield a shard's parts, then its index, which is complete only then."""
        config = self._plan.target.codecs.shards
        if config is None:
            raise AssertionError("a step makes a shard of an array that has none")
        end = 0 if config.index_location == "end" else shards.index_bytes(config, self._old.units_per_shard)
        for offset, data in body:
            end = max(end, offset + octets(data).nbytes)
            yield offset, data
        yield end if config.index_location == "end" else 0, shards.build(config, made)

    def _shard_body(
        self, index: Index, inner: Iterable[tuple[int, Inner]], made: ShardIndex, old: ShardIndex | None, size: int
    ) -> Iterator[tuple[int, Buffer]]:
        """Yield a shard's bytes with their offsets, and fill in the index on the way.

        Old inner chunks stay where they are. New ones go where the old index refers to nothing, then behind it: whoever has just
        read the old index still finds the old cells.
        """
        config = self._plan.target.codecs.shards
        if config is None:
            raise AssertionError("a step makes a shard of an array that has none")
        room = shards.Room.of(config, old, size, self._old.units_per_shard)
        for offset in range(room.start, room.stop, _BLOCK):
            yield offset, self._store.read(self._key(index), offset, min(_BLOCK, room.stop - offset))
        for number, step in inner:
            if isinstance(step, KeepInner):
                place = old.range(number) if old is not None else None
                if place is not None:
                    made.entries[number] = place
                continue
            data = self._inner(step)
            if data is not None:
                length = octets(data).nbytes
                offset = room.take(length)
                made.entries[number] = (offset, length)
                yield offset, data

    def _inner(self, step: CopyChunk | EncodeChunk | ClearChunk | ExtendShard) -> Buffer | None:
        """Return the bytes of an inner chunk; None if it is missing and reads as the fill value."""
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
        if isinstance(step, EncodeChunk):
            cells = self._assemble(step)
            return None if cells is None else self._encoded(cells, step.index, _old_blocks(step))
        value, is_fill = self._missing_value()
        return None if is_fill else self._encoded(np.broadcast_to(value, self._plan.target.units.chunks), step.index)

    # -- writing ---------------------------------------------------------------------------------------------------------

    def _key(self, index: Index) -> str:
        return self._plan.target.key(index)

    def _put_cells(self, index: Index, cells: Cells, counts: Counts) -> None:
        if self._plan.target.codecs.shards is None:
            self._put(index, [self._encoded(cells, index)], counts)
            counts.encoded += 1
            return
        path = self._plan.path
        inner: list[tuple[int, Inner]] = [(n, ClearChunk(path=path, index=s.index)) for n, s in self._plan.inner(index)]
        self._put_shard(index, inner, None, 0, counts)

    def _put(self, index: Index, parts: Parts, counts: Counts) -> None:
        counts.bytes += self._sink.put(self._plan.path, index, parts)


def _old_blocks(step: EncodeChunk) -> tuple[Box, ...]:
    return tuple(piece.put for piece in step.pieces if piece.origin == "target")


def _units_of(array: Array, index: Index) -> Iterator[Index]:
    per = tuple(c // u for c, u in zip(array.grid.chunks, array.units.chunks, strict=True))
    return indices(tuple((i * n, min((i + 1) * n, t)) for i, n, t in zip(index, per, array.units.counts, strict=True)))
