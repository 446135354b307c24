"""Wait until a slice is there and complete, so that no half-written one is appended."""

from __future__ import annotations

import time
from collections.abc import Callable

from zapz.config import Config
from zapz.errors import MetadataError, NotFoundError, SliceError
from zapz.format.grid import count, indices
from zapz.sources.stores import Item, OpenSlice, open_slice_store, open_source


class IncompleteError(SliceError):
    """A slice is there, but not all of it yet."""

    code = "incomplete"


def open_slice(item: Item, config: Config, sleep: Callable[[float], None] = time.sleep) -> OpenSlice:
    """Open a slice; where waiting is configured, once it is there, complete, and its metadata do not change any more.

    Args:
        item: The slice.
        config: ``slice_polling``, ``slice_ready``, ``slice_complete`` and what opening needs.
        sleep: How to let time pass.

    Raises:
        IncompleteError: It is not complete (in time).
        ZapzError: As opening a slice does.
    """
    polling = config.polling
    if polling is None:
        return _complete(item, config)
    deadline = time.monotonic() + polling.timeout
    seen: dict[str, bytes] | None = None
    extra = False
    while True:
        late = time.monotonic() >= deadline
        try:
            source = _complete(item, config)
            here = dict(source.dataset.documents)
            if config.slice_ready or seen == here:
                return source
            if extra:
                raise IncompleteError("the slice's metadata keep changing", where=source.uri)
            seen, extra = here, late  # the second look may come a little after the deadline
        except (NotFoundError, MetadataError, IncompleteError) as error:
            seen = None
            if late:
                error.hint = f"Waited {polling.timeout:g} s for it. {error.hint}".strip()
                raise
        left = max(0.0, deadline - time.monotonic())
        sleep(polling.interval if seen is not None else min(polling.interval, left))


def _complete(item: Item, config: Config) -> OpenSlice:
    if config.slice_ready is not None:  # before anything else of the slice is looked at
        _require_marker(item, config.slice_ready, config)
    source = open_source(item, config)
    lengths = source.dataset.lengths(config.append_dim)
    if config.polling is not None and len(set(lengths.values())) > 1:
        found = ", ".join(f"{path} has {n}" for path, n in sorted(lengths.items()))
        what = f"the slice's arrays have different lengths along {config.append_dim!r}"
        raise IncompleteError(what, where=source.uri, found=found)
    if config.slice_complete == "chunks":
        _require_chunks(source)
    return source


def _require_marker(item: Item, key: str, config: Config) -> None:
    store = open_slice_store(item, config.slice_storage_options, follow_links=config.follow_links)
    if store.size(key) is None:
        raise IncompleteError(
            "the slice is not marked as ready",
            where=store.uri,
            expected=f"an object {key!r} in it",
            found="none",
            hint="Wait for its writer, or give --wait SECONDS.",
        )


def _require_chunks(source: OpenSlice) -> None:
    for path, array in source.dataset.arrays.items():
        spans = tuple((0, n) for n in array.grid.counts)
        keys = (array.key(index) for index in indices(spans))
        missing = count(spans) - sum(1 for _ in source.store.existing(keys))
        if missing:
            raise IncompleteError(
                "the slice lacks chunks",
                where=f"{source.uri}, {path}",
                expected=f"{count(spans)} chunks",
                found=f"{count(spans) - missing}",
                hint="Wait for its writer, or give --wait SECONDS. If missing chunks are meant as fill values, leave slice_complete alone.",
            )
