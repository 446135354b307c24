"""A dataset whose chunks are made when they are requested: arrays, or a ``zapz.Source``.

Arrays in memory, lazy ones and templated ones have never been stored. They get the documents and
the chunks that an append would write to a new target, without an append dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zapz.config.settings import Config
from zapz.errors import NotFoundError, SliceError, ZapzError
from zapz.format.buffers import Cells
from zapz.format.grid import Index
from zapz.format.metadata import Array
from zapz.server.array_plans import PlannedArrays
from zapz.server.generation import Generation
from zapz.server.labels import LabelSpans
from zapz.server.served import Chunk, NeedsThreadError
from zapz.server.stored_chunks import ChunkOpener, encoded_cells, in_memory
from zapz.server.views import ServedArray
from zapz.sources.open_slice import OpenSlice
from zapz.sources.shared_cache import SharedCache
from zapz.sources.source import OwnSource
from zapz.storage.chunk_reader import ChunkReader


class Computed:
    """A dataset whose chunks are made on request. See ``Served``."""

    trouble = ""

    def __init__(
        self,
        source: OpenSlice,
        config: Config,
        cache: SharedCache,
        *,
        title: str = "",
        reserve: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
    ) -> None:
        """Describe a dataset; no cell is computed.

        Args:
            source: The open source.
            config: Settings: encoding of variables, Zarr format.
            cache: Cache of encoded chunks.
            title: Title for pages.
            reserve: Reserves bytes of memory, and returns the function that releases them.

        Raises:
            ZapzError: The dataset cannot be described.
        """
        self.title = title
        self._source = source
        self._token = object()  # not id(self): the cache outlives this dataset, and numbers are used again
        self._cache = cache
        self._reserve = reserve
        self._planned: PlannedArrays | None = None
        self._missing = ChunkOpener(reserve)
        self._spans = LabelSpans()
        dataset = source.dataset
        if source.given is not None and isinstance(source.given.source, OwnSource):
            self._planned = PlannedArrays(source, config)
            dataset = self._planned.dataset
        self._generation = Generation.of(dataset, {})

    def known(self) -> Generation:
        """See ``Served``."""
        return self._generation

    def current(self, *, inline: bool = False) -> Generation:  # noqa: ARG002 - it never changes
        """See ``Served``."""
        return self._generation

    def is_newest(self, generation: Generation) -> bool:
        """See ``Served``."""
        return generation is self._generation

    def pinned(self, name: str, *, inline: bool = False) -> Generation | None:  # noqa: ARG002 - the same
        """See ``Served``."""
        return self._generation if name == self._generation.id else None

    def chunk(self, generation: Generation, served: ServedArray, index: Index, *, inline: bool = False) -> Chunk | None:
        """See ``Served``."""
        if inline:
            raise NeedsThreadError
        key = self._token, served.array.path, served.form, index
        found = self._cache.get(key, lambda: self._made(generation, served, index), lambda data: len(data or b""))
        return self._missing.open_missing(generation, served) if found is None else in_memory(found)

    def _made(self, generation: Generation, served: ServedArray, index: Index) -> bytes | None:
        """Return the bytes of a chunk; None if it is truly absent.

        Raises:
            ZapzError: It cannot be made.
        """
        release = self._reserve(2 * served.array.chunk_bytes)
        try:
            if served.form == "stored":
                return self._as_described(served.stored, index)
            cells = self._cells(served.stored, index)
            return None if cells is None else encoded_cells(served, generation, cells)
        except ZapzError:
            raise
        except Exception as error:  # whatever the user's code raises
            raise SliceError(
                "the source failed", where=f"{self._source.uri}, {served.array.path}", found=type(error).__name__
            ) from error
        finally:
            release()

    def _as_described(self, array: Array, index: Index) -> bytes | None:
        if self._planned is not None:
            return self._planned.chunk(array.path, index)
        try:
            return self._source.store.read(array.key(index))
        except NotFoundError:
            return None

    def _cells(self, array: Array, unit: Index) -> Cells | None:
        """Return the decoded cells of a chunk, or of an inner chunk; None if it is absent."""
        reader = ChunkReader(self._source.store, array, None, self._source.uri)
        if self._planned is None:
            return reader.unit(unit)
        data = self._planned.chunk(array.path, unit)  # planned arrays have no shards
        return None if data is None else reader.decode(data, unit)

    def reader(self, served: ServedArray, index: Index) -> None:
        """See ``Served``. Chunks are made in threads, and kept in the cache."""

    def labels(self, generation: Generation, *, inline: bool = False) -> Mapping[str, tuple[str, str]]:
        """See ``Served``."""
        return self._spans.of(generation, self._source.store, self._source.dataset, inline=inline)

    def close(self) -> None:
        """See ``Served``."""
        self._source.left(None)
