"""First and last label of the coordinates of a dataset, as text, for its pages."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from zapz.cf.conversion import encoding_or_bare, format_instant
from zapz.checks.reading import Reading
from zapz.errors import ZapzError
from zapz.format.metadata import Dataset
from zapz.server.generation import Generation
from zapz.server.served import NeedsThreadError
from zapz.storage.store import ReadableStore

_MOST = 16
"""Maximum number of coordinates whose labels are shown."""
_LARGEST = 64 << 20
"""Maximum size of a chunk that is decoded for one label, in bytes."""


class LabelSpans:
    """The labels of the newest state, read once."""

    def __init__(self) -> None:
        self._last: tuple[str, Mapping[str, tuple[str, str]]] = ("", {})

    def of(
        self, generation: Generation, store: ReadableStore, dataset: Dataset, *, inline: bool
    ) -> Mapping[str, tuple[str, str]]:
        """Return first and last label by path; those that cannot be read are left out, and logged.

        Raises:
            NeedsThreadError: They must be read first, and the caller cannot wait.
        """
        known, found = self._last
        if known == generation.id:
            return found
        if inline:
            raise NeedsThreadError
        found = _read(store, dataset)
        self._last = generation.id, found
        return found


def _read(store: ReadableStore, dataset: Dataset) -> dict[str, tuple[str, str]]:
    reading = Reading(store, dataset)
    labels = [a for _, a in sorted(dataset.arrays.items()) if a.is_label and a.ndim == 1 and a.shape[0]]
    found = {}
    for array in labels[:_MOST]:
        if array.unit_bytes > _LARGEST:
            continue
        encoding = encoding_or_bare(array.dtype, dataset.attributes_of(array.path), array.marker)
        try:
            ends = [reading.rows(array.path, 0, i, i + 1)[0] for i in (0, array.shape[0] - 1)]
        except ZapzError as error:
            logging.getLogger("zapz.server").warning("labels of %s cannot be read: %s", array.path, error)
            continue
        found[array.path] = (format_instant(encoding, ends[0]), format_instant(encoding, ends[1]))
    return found
