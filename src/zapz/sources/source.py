"""The interface of a slice that a program provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from zapz.config.array_encoding import ArrayEncoding
from zapz.format.grid import Box


class Source(ABC):
    """One slice, from any origin. Subclass it to provide slices in the form of a Zarr hierarchy.

    ``documents`` returns Zarr metadata. Then either ``read`` returns chunks as stored bytes (which
    zapz copies if the target's codecs can decode them), or ``cells`` returns regions of arrays. If
    both exist, ``cells`` is used for chunks for which ``read`` raises ``KeyError``, and a chunk is
    missing only if ``cells`` returns None.

    Methods may be called from several threads at the same time.
    """

    uri: str = "slice"
    """Name of the slice in reports and messages."""

    @abstractmethod
    def documents(self) -> Mapping[str, bytes]:
        """Return the metadata documents by key.

        Examples of keys are ``zarr.json``, ``chl/zarr.json``; or ``.zgroup``, ``chl/.zarray``,
        ``chl/.zattrs``.
        """

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return stored bytes of a chunk, from ``offset`` on, at most ``length`` bytes.

        Raises:
            KeyError: There is no such chunk: then ``cells`` is called, and the chunk is missing if
                that returns None.
        """
        del offset, length
        raise KeyError(key)

    def cells(self, path: str, box: Box) -> np.ndarray[Any, Any] | None:
        """Return the cells of a region of an array, or None.

        The result has the array's data type and the shape of ``box``: ``stop - start`` along every
        axis. None (the default) means that the source has only stored bytes.
        """
        del path, box
        return None

    @property
    def pending(self) -> bool:
        """Whether arrays must be computed before the target is locked.

        The default is true if the class overrides ``prepare``.
        """
        return type(self).prepare is not Source.prepare

    def prepare(self, paths: Collection[str]) -> None:
        """Compute those of these arrays that are not computed yet.

        Called after the slice has been accepted, before the target is locked.
        """
        del paths

    def encodings(self) -> Mapping[str, Mapping[str, object]]:
        """Return encodings for a new target, by variable, in the form of a configuration.

        A configuration overrides them.
        """
        return {}

    def close(self) -> None:  # noqa: B027 - nothing to close is common
        """Close what was opened. Called exactly once, if the slice was opened."""


class OwnSource(Source):
    """A source that zapz creates; its encodings need no validation."""

    array_encodings: dict[str, ArrayEncoding]
    """Encodings of its arrays in a new target, unless configured otherwise."""
