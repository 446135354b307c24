"""Wait until a slice exists and is complete, so that no half-written slice is appended."""

from __future__ import annotations

from collections.abc import Callable

from zapz.config.settings import Config
from zapz.errors import MetadataError, NotFoundError, SliceError
from zapz.format.grid import count, indices
from zapz.sources.open_slice import Item, OpenSlice, open_slice_store, open_source
from zapz.storage.presence import MANY, present
from zapz.storage.waiting import Wait


class IncompleteError(SliceError):
    """A slice exists, but is not complete yet."""

    code = "incomplete"


def open_slice(
    item: Item,
    config: Config,
    cancelled: Callable[[], bool] | None = None,
    waits: Callable[[str, float], None] | None = None,
) -> OpenSlice:
    """Open a slice; if waiting is configured, once it is complete and its metadata are stable.

    Args:
        item: The slice.
        config: Settings: ``slice_polling``, ``slice_ready``, ``slice_complete``, and those for
            opening.
        cancelled: Called while waiting; returns whether to stop.
        waits: Called with the slice's name and the maximum waiting time in seconds, if the slice
            does not exist or is not complete.

    Raises:
        IncompleteError: The slice is not complete, after waiting if configured.
        CancelledError: ``cancelled`` returned true.
        ZapzError: The slice cannot be opened.
    """
    polling = config.polling
    if polling is None:
        return _complete(item, config)
    deadline = Wait(polling.timeout, cancelled).begin(str(item))
    seen: dict[str, bytes] | None = None
    extra = False
    while True:
        late = deadline.is_over()
        try:
            source = _complete(item, config)
            here = dict(source.dataset.documents)
            if config.slice_ready or seen == here:
                return source
            if extra:
                raise IncompleteError("the slice's metadata keep changing", where=source.uri)
            seen, extra = here, late  # the second check may be a little after the deadline
        except (NotFoundError, MetadataError, IncompleteError) as error:
            seen = None
            if late:
                error.hint = f"Waited {polling.timeout:g} s. {error.hint}".strip()
                raise
            if waits is not None:
                waits(str(item), polling.timeout)
                waits = None
        deadline.pause(polling.interval if seen is not None else min(polling.interval, deadline.left))


def _complete(item: Item, config: Config) -> OpenSlice:
    if config.slice_ready is not None:  # before anything else of the slice is read
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
    store = open_slice_store(item, config)
    if store.size(key) is None:
        raise IncompleteError(
            "the slice is not marked as ready",
            where=store.uri,
            expected=f"an object {key!r} in it",
            found="none",
            hint="Run again when its writer has finished, or use {slice_polling.timeout} to wait for it (seconds).",
            remedies={"slice_polling.timeout": 60},
        )


def _require_chunks(source: OpenSlice) -> None:
    for path, array in source.dataset.arrays.items():
        spans = tuple((0, n) for n in array.grid.counts)
        there = source.store.existing(array.key(index) for index in indices(spans))
        if count(spans) > MANY and source.store.abilities.listable:
            there = (array.key(index) for index in present(source.store, path, array.keys, spans, strict=True))
        missing = count(spans) - sum(1 for _ in there)
        if missing:
            raise IncompleteError(
                "the slice lacks chunks",
                where=f"{source.uri}, {path}",
                expected=f"{count(spans)} chunks",
                found=f"{count(spans) - missing}",
                hint="Run again when its writer has finished, or use {slice_polling.timeout} to wait for it (seconds). "
                "If missing chunks stand for fill values, remove the setting slice_complete.",
                remedies={"slice_polling.timeout": 60},
            )
