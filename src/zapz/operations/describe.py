"""What a target is, for people and programs: ``info``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.cf.conversion import encoding_or_bare, format_instant
from zapz.checks.reading import Reading, label_paths
from zapz.config.settings import Config
from zapz.format import shards
from zapz.format.documents import foreign_document
from zapz.format.metadata import Array, Dataset
from zapz.operations.existing import existing_dataset
from zapz.operations.label_gaps import StepInfo, looked_for
from zapz.storage.chunk_reader import ChunkReader
from zapz.storage.store import Holder, Store
from zapz.txn.session import notes_on, state_of

__all__ = ["Info", "StepInfo", "VariableInfo", "info_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableInfo:
    """One array."""

    path: str
    """Path below the root."""
    dims: tuple[str | None, ...]
    """Dimension names."""
    shape: tuple[int, ...]
    """Lengths of the axes."""
    dtype: str
    """Data type."""
    chunks: tuple[int, ...]
    """Chunk (or shard) shape."""
    inner_chunks: tuple[int, ...] | None
    """Inner chunk shape, if sharded."""
    codecs: str
    """Codec chain, in words."""
    grows: bool
    """Whether it has the append dimension."""
    dead_bytes: int = 0
    """Bytes in the last shards that nothing refers to; the next inner chunks that fit go there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """A target, its lock, and its journal."""

    uri: str
    """Where it is."""
    zarr_format: int
    """2 or 3."""
    dims: Mapping[str, int]
    """Length of every dimension."""
    append_dim: str
    """The append dimension asked for."""
    variables: tuple[VariableInfo, ...]
    """All arrays."""
    labels: Mapping[str, tuple[str, str]]
    """First and last label of each label variable of the append dimension."""
    steps: Mapping[str, StepInfo] = field(default_factory=dict)
    """The step that the labels of each of these variables keep, and where steps are missing;
    without those too long to be read."""
    lock: Holder | None
    """Who holds the lock."""
    journal: tuple[str, ...]
    """What a crashed run left."""
    notes: tuple[str, ...] = ()
    """What is worth knowing about the storage."""


def info_of(store: Store, config: Config) -> Info:
    """Describe the dataset in a store; nothing is written.

    Raises:
        LockedError: Another process is making it.
        ConflictError: A process that was making it has died.
        FormatError: It is not (supported) Zarr.
        StoreError: Storage failed.
    """
    dataset = existing_dataset(store)
    dim = config.append_dim
    reading = Reading(store, dataset)
    labels, steps, notes = {}, {}, []
    for path in label_paths(dataset, dim):
        array = dataset.arrays[path]
        length = array.shape[0]
        if length:
            encoding = encoding_or_bare(array.dtype, array.attributes, array.marker)
            first, last = reading.rows(path, 0, 0, 1)[0], reading.rows(path, 0, length - 1, length)[0]
            labels[path] = (format_instant(encoding, first), format_instant(encoding, last))
            found = looked_for(reading, path, encoding)
            if isinstance(found, str):
                notes.append(found)
            elif found is not None:
                steps[path] = found
    dims = dataset.sizes
    lock, journal = state_of(store)
    return Info(
        uri=store.uri,
        zarr_format=dataset.zarr_format,
        dims=dims,
        append_dim=dim,
        variables=tuple(_variable(store, dataset, array, dim) for _, array in sorted(dataset.arrays.items())),
        labels=labels,
        steps=steps,
        lock=lock,
        journal=journal,
        notes=(*notes_on(store), *notes),
    )


def _variable(store: Store, dataset: Dataset, array: Array, dim: str) -> VariableInfo:
    axis = array.axis(dim)
    config = array.codecs.shards
    return VariableInfo(
        path=array.path,
        dims=array.dims,
        shape=array.shape,
        dtype=str(array.dtype) if array.dtype.kind != "O" else array.unit_codecs.serializer,
        chunks=array.grid.chunks,
        inner_chunks=None if config is None else config.inner_shape,
        codecs=_words(array),
        grows=axis is not None,
        dead_bytes=_dead_bytes(store, dataset, array, axis) if config is not None and axis is not None else 0,
    )


def _words(array: Array) -> str:
    chain = array.unit_codecs
    if chain.foreign is not None:
        return "foreign"
    words = [s.id + (f"/{s.config['cname']}" if s.id == "blosc" and "cname" in s.config else "") for s in chain.stages]
    head = [f"{chain.endian}-endian"] if chain.endian == "big" else []
    return " ".join([*(["transposed"] if chain.order else []), *head, *words]) or "raw"


def _dead_bytes(store: Store, dataset: Dataset, array: Array, axis: int) -> int:
    """Bytes that no index refers to, in the first shard of the last row of shards: one shard is enough to see the trend."""
    config = array.codecs.shards
    if config is None or not array.shape[axis] or not all(array.grid.counts):
        return 0
    reader = ChunkReader(store, array, foreign_document(dataset.documents, array.path), store.uri)
    index, size = reader.shard_index(tuple(n - 1 if i == axis else 0 for i, n in enumerate(array.grid.counts)))
    return 0 if index is None else size - shards.index_bytes(config, reader.array.units_per_chunk) - index.live_bytes
