"""Describe a target: ``info``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zapz.cf.conversion import encoding_or_bare, format_instant
from zapz.checks.reading import Reading, label_paths
from zapz.config.settings import Config
from zapz.format.documents import is_consolidated
from zapz.operations.existing import existing_dataset
from zapz.operations.info_fields import InfoFields
from zapz.operations.label_gaps import StepInfo, looked_for
from zapz.operations.pyramid_info import pyramids_of
from zapz.operations.variable_info import VariableInfo, variable_info
from zapz.storage.store import Store
from zapz.txn.session import notes_on, state_of

if TYPE_CHECKING:
    from zapz.operations.thumbnails import Thumbnail

__all__ = ["Info", "StepInfo", "VariableInfo", "info_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Info(InfoFields):
    """A target, its lock and its journal; notebooks show it as a page."""

    def _repr_html_(self) -> str:
        """Return the description as HTML, for notebooks."""
        from zapz.operations.info_page import info_page  # imported where used: most callers read fields

        return info_page(self)


def info_of(store: Store, config: Config, *, chunks: bool = False, thumbnails: bool = False) -> Info:
    """Describe the dataset in a store; write nothing.

    Args:
        store: The store.
        config: Settings.
        chunks: Whether to count stored and missing chunks, by listing.
        thumbnails: Whether to read small pictures of the last step.

    Raises:
        LockedError: Another process is creating the dataset.
        ConflictError: A process died while it was creating the dataset.
        FormatError: The data are not Zarr, or not supported.
        ChunkError: The first or last label, or the index of a shard, is damaged.
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
    variables = [variable_info(store, dataset, array, dim) for _, array in sorted(dataset.arrays.items())]
    if chunks:
        from zapz.operations.stored_sizes import with_sizes  # imported where used: a listing is requested

        variables, more = with_sizes(store, dataset, variables)
        notes += more
    pictures: tuple[Thumbnail, ...] = ()
    if thumbnails:
        from zapz.operations.thumbnails import thumbnails_of  # imported where used: reading is requested

        pictures, unread = thumbnails_of(reading, dim)
        notes += unread
    lock, journal = state_of(store)
    return Info(
        uri=store.uri,
        zarr_format=dataset.zarr_format,
        dims=dataset.sizes,
        append_dim=dim,
        variables=tuple(variables),
        labels=labels,
        steps=steps,
        lock=lock,
        journal=journal,
        notes=(*notes_on(store), *notes),
        consolidated=is_consolidated(dataset.documents, dataset.roots),
        pyramids=pyramids_of(dataset, dim) if dataset.pyramids else (),
        thumbnails=pictures,
    )
