"""The plan by which arrays that were never stored become chunks: that of an append to a new target.

There is no append dimension: all arrays are static, and are written whole.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zapz.config.array_encoding import UNSET, ArrayEncoding
from zapz.config.settings import Config
from zapz.errors import ConfigError
from zapz.execution.chunk_builder import ChunkBuilder
from zapz.format import documents as doors
from zapz.format.grid import Index
from zapz.format.metadata import Dataset
from zapz.planning.documents import changed_documents
from zapz.planning.meaning import Conversions
from zapz.planning.new_target import new_target
from zapz.planning.placement import Placement
from zapz.planning.plan import Plan, make_plan
from zapz.sources.open_slice import OpenSlice

_NO_DIMENSION = "\0"
"""Stands for the append dimension: no array has it."""
_COMPRESSOR: Mapping[str, Any] = {"id": "zstd", "level": 1}
"""Compressor of arrays for which none is configured."""


class PlannedArrays:
    """Arrays that were never stored, as the chunks of a dataset. Thread-safe."""

    def __init__(self, source: OpenSlice, config: Config) -> None:
        """Plan the chunks; no cell is computed.

        Raises:
            ConfigError: The configured encoding is not valid.
            SliceError: Values cannot be stored as configured.
        """
        self._source = source
        self._plan = plan_of(source, config)
        self._builders: dict[str, ChunkBuilder] = {}
        self._guard = threading.Lock()
        self.dataset = self._plan.after
        """The dataset whose chunks they become."""

    def chunk(self, path: str, index: Index) -> bytes | None:
        """Return the bytes of a chunk; None if all its cells have the fill value.

        Raises:
            ZapzError: It cannot be made.
        """
        with self._guard:
            if path not in self._builders:
                store = self._source.store
                self._builders[path] = ChunkBuilder(self._plan, path, store, store)
            builder = self._builders[path]
        built = builder.build(self._plan.step(path, index))
        return None if built is None else built.to_bytes()


def plan_of(source: OpenSlice, config: Config) -> Plan:
    """Return the plan by which the chunks of arrays are made: all arrays are static.

    Raises:
        ConfigError: The configured encoding is not valid.
        SliceError: Values cannot be stored as configured.
    """
    slice_ = source.dataset
    config = replace(config, append_dim=_NO_DIMENSION, label_chunk="keep", label_units="keep")
    hints = {path: _with_default(encoding, config, path) for path, encoding in source.encodings.items()}
    before = new_target(slice_, config, hints)
    for path, array in before.arrays.items():
        if array.codecs.shards is not None:
            raise ConfigError(
                "arrays that are made on request cannot be sharded",
                where=f"variables.{path}.encoding.shards",
                hint="Configure chunks instead: clients read a shard in parts, which must fit together.",
            )
    documents = changed_documents(before, slice_, config, 0, creates=True)
    return make_plan(
        target_uri=source.uri,
        slice_uri=source.uri,
        creates=True,
        before=before,
        slice_=slice_,
        placement=_placement(source, before, config),
        documents=documents,
        recompress=True,
    )


def _with_default(encoding: ArrayEncoding, config: Config, path: str) -> ArrayEncoding:
    """Return the encoding that an array requests, with a compressor if it requests none."""
    settings = config.variable(path).encoding
    default = encoding.codecs is UNSET and encoding.compressor in (
        UNSET,
        *(d.COMPRESSOR for d in doors.FORMATS.values()),
    )
    configured = settings.codecs is not UNSET or settings.compressor is not UNSET
    return replace(encoding, compressor=_COMPRESSOR) if default and not configured else encoding


def _placement(source: OpenSlice, target: Dataset, config: Config) -> Placement:
    """Return the placement of arrays that all are static."""
    conversions = Conversions()
    found = {}
    for path in target.arrays:
        narrow = config.variable(path).encoding.dtype is not UNSET or (
            path in source.encodings and source.encodings[path].dtype is not UNSET
        )
        found[path] = conversions.of(source.dataset, target, path, f"{source.uri}, {path}", config, narrow=narrow)
    return Placement(dim=_NO_DIMENSION, offset=0, length=0, conversions=found)
