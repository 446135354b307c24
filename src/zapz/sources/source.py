"""What a slice can be: the interface, and its dress as a store for the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from zapz.config.array_encoding import ArrayEncoding
from zapz.format.grid import Box


class Source(ABC):
    """One slice, however it is made. Subclass it to feed zapz from anything that can answer like a Zarr hierarchy.

    ``documents`` says what there is, in the words of Zarr's metadata; then either ``read`` gives
    chunks as stored bytes (which zapz copies where the target's codecs can read them), or ``cells``
    gives regions of arrays, or both: then a chunk for which ``read`` raises ``KeyError`` is made of
    cells, and only where ``cells`` gives None is it missing.

    Methods may be called from several threads at once.
    """

    uri: str = "slice"
    """What it is called in reports and messages."""

    @abstractmethod
    def documents(self) -> Mapping[str, bytes]:
        """Return the metadata documents by key: ``zarr.json``, ``chl/zarr.json``; or ``.zgroup``, ``chl/.zarray``, ``chl/.zattrs``."""

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return stored bytes of a chunk, from ``offset``, at most ``length``.

        Raises:
            KeyError: There is no such chunk: its cells are what ``cells`` gives, or have the
                array's fill value if that is None.
        """
        del offset, length
        raise KeyError(key)

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the cells of a region of an array, of shape ``stop - start`` along every axis, in the array's data type.

        None (the default) if the source has stored bytes only.
        """
        del path, box
        return None

    @property
    def pending(self) -> bool:
        """Whether there is something to compute before the target is locked: true if the class has a ``prepare`` of its own."""
        return type(self).prepare is not Source.prepare

    def prepare(self, paths: Collection[str]) -> None:
        """Compute what is not there yet of these arrays. Called once it is known that the slice may follow, before the target is locked."""
        del paths

    def encodings(self) -> Mapping[str, Mapping[str, object]]:
        """Return what a new target's encoding should be, by variable, as a configuration says it; a configuration overrides it."""
        return {}

    def close(self) -> None:  # noqa: B027 - nothing to close is common
        """Let go of whatever was opened. Called exactly once, if its turn came."""


class OwnSource(Source):
    """A source that zapz makes: what it says needs no check."""

    array_encodings: dict[str, ArrayEncoding]
    """How its arrays are stored in a new target, unless a configuration says something else."""
