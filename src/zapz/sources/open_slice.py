"""Open what a user names as a slice: stores by path and URI, and sources, as one kind of thing for the engine."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from zapz.config.array_encoding import ArrayEncoding
from zapz.config.layers import make
from zapz.config.settings import Config
from zapz.errors import (
    ConfigError,
    FormatError,
    MetadataError,
    NotFoundError,
    UnsupportedError,
    VariableError,
    ZapzError,
)
from zapz.format import documents as doors
from zapz.format.metadata import Dataset, is_named, parent
from zapz.planning.selection import left_out
from zapz.sources.contexts import Exit, leave_nothing
from zapz.sources.source import OwnSource, Source
from zapz.storage.hierarchy import documents_of, open_dataset
from zapz.storage.open import open_store
from zapz.storage.store import ReadableStore, StoreOptions
from zapz.storage.uris import is_local, local_path

if TYPE_CHECKING:
    from zapz.sources.source_store import SourceStore

Item = str | os.PathLike[str]
"""How a place is named."""

LABEL = "\0"
"""What stands for a label in what is said of a slice: no name contains it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenSlice:
    """An open slice."""

    uri: str
    """Where it is; what it is called, if it lies in no place."""
    store: ReadableStore
    """Its chunks, by key; or regions of its arrays."""
    dataset: Dataset
    """Its metadata, those of variables that do not take part left out."""
    without: frozenset[str] | None = frozenset()
    """Variables and groups that do not take part; None if that is not known."""
    encodings: Mapping[str, ArrayEncoding] = field(default_factory=dict)
    """How its arrays are to be stored in a new target, if it was never stored itself."""
    close: Exit = leave_nothing
    """Lets go of it; called exactly once."""
    given: SourceStore | None = None
    """The same store, if a source gives the slice."""
    has_place: bool = True
    """Whether it lies in a place, by which it is recognised if it comes again."""
    one_step: str = ""
    """What is said of it if it lacks the append dimension where it lies, and is seen as one step;
    ``LABEL`` stands for its label."""
    labels_seen: Mapping[str, Any] = field(default_factory=dict)
    """Its labels (``planning.labels.SeenLabels``), by variable, if it was looked at before the
    first slice of the call was written."""
    name: str = ""
    """What it was made of, if a slice source says only where it is; empty if it is called by its
    place."""

    def left(self, error: BaseException | None) -> None:
        """Let go of it, under an error or none."""
        self.close(error)

    @property
    def called(self) -> str:
        """What people call it."""
        return self.name or self.uri

    def name_in(self, error: ZapzError) -> None:
        """Let an error that names its place say what it was made of."""
        if self.name and error.where.startswith(self.uri) and not self.uri.endswith(self.name):
            error.at(self.name)

    @property
    def prepares(self) -> bool:
        """Whether there is something to compute before the target is locked."""
        return self.given is not None and self.given.source.pending

    def prepare(self, paths: Collection[str]) -> None:
        """Compute what is not there yet of these arrays."""
        if self.given is not None:
            self.given.prepare(path for path in paths if path in self.dataset.arrays)

    def is_unchanged(self, documents: Mapping[str, bytes]) -> bool:
        """Return whether its documents are still these."""
        try:
            here = self.documents(documents)
        except (FormatError, NotFoundError):
            return False
        return here == dict(documents)

    def documents(self, known: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return its documents as they are now; of those that do not take part none.

        Args:
            known: What they were, for a slice of which no more is known.
        """
        if self.without is None:
            return self.store.read_many(known)
        if self.given is not None:
            found = self.given.documents()
            return {key: data for key, data in found.items() if not is_named(parent(key), self.without)}
        return documents_of(self.store, self.without) or {}


def how_slices_are_opened(config: Config) -> StoreOptions:
    """Return how stores of slices are opened."""
    return StoreOptions(follow_links=config.follow_links, references=config.slice_references)


def open_slice_store(item: Item, config: Config) -> ReadableStore:
    """Return the store of a slice; nothing is read yet, but of a reference set its file."""
    options = config.slice_storage_options if not is_local(os.fspath(item)) else None
    return open_store(item, options, how_slices_are_opened(config))


def open_source(item: Item | ReadableStore, config: Config) -> OpenSlice:
    """Open a slice in a store and read its metadata once, those of variables that do not take part apart.

    Raises:
        NotFoundError: It is not there.
        FormatError: It is not Zarr, damaged, or not supported.
        VariableError: An included variable is missing.
    """
    try:
        store = open_slice_store(item, config) if isinstance(item, str | os.PathLike) else item
        try:
            dataset = open_dataset(store, config.excluded_variables)
        except NotFoundError as error:
            hint = _about_pattern(os.fspath(item)) if isinstance(item, str | os.PathLike) else ""
            hint = hint or error.hint
            raise NotFoundError("no such slice", where=error.where, found=error.found, hint=hint) from None
    except FormatError as error:
        from zapz.storage.no_dataset import OtherFormatError  # imported where used: it has failed

        if config.slice_source is not None and isinstance(error, OtherFormatError):
            error.advised("The slice source returned a path: let it return what opens that: xarray.open_dataset(path).")
        raise
    return _selected(OpenSlice(uri=store.uri, store=store, dataset=dataset), config)


def _about_pattern(path: str) -> str:
    """Say what is wrong with a pattern that was taken for a slice; nothing about what is none."""
    import glob  # imported where used: the slice is not there

    if not set(path) & set("*?["):
        return ""
    if not is_local(path):
        return "zapz does not expand patterns: name every slice." if "*" in path else ""
    if next(glob.iglob(str(local_path(path))), None) is not None:  # noqa: PTH207 - Path.glob does not take every text
        return "zapz does not expand patterns: let the shell do it, without quotation marks (in Python, glob.glob)."
    return "The pattern matched nothing, so the shell handed it on as it is. Check it."


def open_given(source: Source, config: Config) -> OpenSlice:
    """Open a slice that a source gives.

    Raises:
        FormatError: Its documents are broken.
        VariableError: An included variable is missing.
    """
    documents = source.documents()
    sound = isinstance(source.uri, str | os.PathLike) and isinstance(documents, Mapping)
    if not sound or not all(isinstance(k, str) and isinstance(d, bytes) for k, d in documents.items()):
        raise MetadataError(
            "a source does not say what there is",
            where=f"{type(source).__name__}.documents(), .uri",
            expected="a mapping of keys (text) to documents (bytes); text",
            found=f"{type(documents).__name__}; {type(source.uri).__name__}",
        )
    try:
        dataset = doors.read(dict(documents))
    except FormatError as error:
        raise error.at(os.fspath(source.uri)) from None
    from zapz.sources.source_store import SourceStore  # imported where used: paths do without

    store = SourceStore(source, dataset)
    stored = [a.path for a in dataset.arrays.values() if a.codecs.shards is not None or a.codecs.foreign is not None]
    if stored and store.has_cells and not store.has_bytes:
        raise UnsupportedError(
            "a source of cells alone declares shards, or codecs that zapz does not run",
            where=f"{store.uri}, {stored[0]}",
            hint="Leave them out of its documents: they say how bytes are stored that it does not have.",
        )
    found = OpenSlice(
        uri=store.uri,
        store=store,
        dataset=dataset,
        encodings=encodings_of(source),
        given=store,
        has_place=False,
    )
    return _selected(found, config)


def encodings_of(source: Source) -> Mapping[str, ArrayEncoding]:
    """Return how a source's arrays are to be stored in a new target; what a program says there is read like a configuration.

    Raises:
        ConfigError: It says something that a configuration could not say.
    """
    if isinstance(source, OwnSource):
        return source.array_encodings
    said = source.encodings()
    if not said:
        return {}
    try:
        made = make({"variables": {path: {"encoding": dict(encoding)} for path, encoding in said.items()}})
    except ConfigError as error:
        raise error.at(f"{os.fspath(source.uri)}, encodings()") from None
    return {path: made.variable(path).encoding for path in said}


def _selected(found: OpenSlice, config: Config) -> OpenSlice:
    """Leave out the variables that do not take part."""
    if not config.excluded_variables and not config.included_variables:
        return found
    try:
        out = left_out(found.dataset, config) | frozenset(config.excluded_variables)
    except VariableError as error:
        raise error.at(found.uri) from None
    dataset = found.dataset
    documents = {key: data for key, data in dataset.documents.items() if not is_named(parent(key), out)}
    arrays = {path: array for path, array in dataset.arrays.items() if not is_named(path, out)}
    groups = {path: attributes for path, attributes in dataset.groups.items() if not is_named(path, out)}
    return replace(found, dataset=replace(dataset, arrays=arrays, groups=groups, documents=documents), without=out)
