"""Open slices, from stores (by path and URI) and from sources, as values of one type."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
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
from zapz.storage.hierarchy import documents_of, open_with_links
from zapz.storage.open import open_store
from zapz.storage.store import ReadableStore, StoreOptions
from zapz.storage.uris import is_local, local_path

if TYPE_CHECKING:
    from zapz.sources.source_store import SourceStore

Item = str | os.PathLike[str]
"""A path or URI."""

LABEL = "\0"
"""Stands for a label in a note about a slice; it occurs in no name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenSlice:
    """An open slice."""

    uri: str
    """URI of the slice; its name, if it has no path or URI."""
    store: ReadableStore
    """Its chunks by key, or regions of its arrays."""
    dataset: Dataset
    """Its metadata, without variables that are not selected."""
    without: frozenset[str] | None = frozenset()
    """Variables and groups that are not selected; None if unknown."""
    encodings: Mapping[str, ArrayEncoding] = field(default_factory=dict)
    """Encodings of its arrays in a new target, if the slice was never stored."""
    close: Exit = leave_nothing
    """Closes the slice; called exactly once."""
    given: SourceStore | None = None
    """The same store, if the slice comes from a source."""
    places: tuple[str, ...] = ()
    """Paths or URIs of other datasets from which it is read, too: those that links of its levels
    name."""
    has_place: bool = True
    """Whether it has a path or URI, by which it is recognised if it is appended again."""
    one_step: str = ""
    """Note about a slice that lacks the append dimension and is read as one step; ``LABEL`` stands
    for its label."""
    labels_seen: Mapping[str, Any] = field(default_factory=dict)
    """Its labels (``planning.labels.SeenLabels``) by variable, if it was read before the first
    slice of the call was written."""
    name: str = ""
    """Name of the item from which a slice source returned its path; "" if the slice is named by its
    path."""

    def left(self, error: BaseException | None) -> None:
        """Close the slice, with the error that ended its use, or None."""
        self.close(error)

    @property
    def called(self) -> str:
        """Name of the slice for display."""
        return self.name or self.uri

    def name_in(self, error: ZapzError) -> None:
        """Name the item in an error that only names the path of the slice."""
        if self.name and error.where.startswith(self.uri) and not self.uri.endswith(self.name):
            error.at(self.name)

    @property
    def prepares(self) -> bool:
        """Whether arrays must be computed before the target is locked."""
        return self.given is not None and self.given.source.pending

    def prepare(self, paths: Collection[str]) -> None:
        """Compute those of these arrays that are not computed yet."""
        if self.given is not None:
            self.given.prepare(path for path in paths if path in self.dataset.arrays)

    def is_unchanged(self, documents: Mapping[str, bytes]) -> bool:
        """Return whether its documents are still equal to these."""
        try:
            here = self.documents(documents)
        except (FormatError, NotFoundError):
            return False
        return here == dict(documents)

    def documents(self, known: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return its current documents, without those that are not selected.

        Args:
            known: Earlier documents, for a slice of which nothing else is known.
        """
        if self.without is None:
            return self.store.read_many(known)
        if self.given is not None:
            found = self.given.documents()
            return {key: data for key, data in found.items() if not is_named(parent(key), self.without)}
        return documents_of(self.store, self.without) or {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PresentedSlice(OpenSlice):
    """A slice with other documents than those that are stored."""

    original: OpenSlice
    """The slice as stored."""

    @property
    def prepares(self) -> bool:
        """Whether arrays must be computed before the target is locked."""
        return self.original.prepares

    def documents(self, known: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Return its documents as presented, or as stored if these have changed."""
        there = self.original.dataset.documents
        here = self.original.documents(there)
        if here != dict(there):
            return here
        own = self.dataset.documents
        return own if self.without is not None else {key: own[key] for key in known if key in own}


def presented_as(source: OpenSlice, store: ReadableStore, dataset: Dataset, **changed: Any) -> PresentedSlice:
    """Return a slice with another store and other documents.

    Args:
        source: The slice.
        store: Its chunks by the keys of ``dataset``, or regions of its arrays.
        dataset: Its metadata as presented.
        changed: Further fields that change.
    """
    own = {each.name: getattr(source, each.name) for each in fields(OpenSlice)}
    return PresentedSlice(**{**own, "store": store, "dataset": dataset, "given": None, **changed}, original=source)


def how_slices_are_opened(config: Config) -> StoreOptions:
    """Return the options with which stores of slices are opened."""
    return StoreOptions(follow_links=config.follow_links, references=config.slice_references)


def open_slice_store(item: Item, config: Config) -> ReadableStore:
    """Return the store of a slice; nothing is read yet, except the file of a reference set."""
    options = config.slice_storage_options if not is_local(os.fspath(item)) else None
    return open_store(item, options, how_slices_are_opened(config))


def open_source(item: Item | ReadableStore, config: Config) -> OpenSlice:
    """Open a slice in a store, and read the metadata of its selected variables once.

    Raises:
        NotFoundError: The slice does not exist.
        FormatError: It is not Zarr, is damaged, or is not supported.
        VariableError: An included variable is missing.
    """
    try:
        store = open_slice_store(item, config) if isinstance(item, str | os.PathLike) else item
        try:
            store, dataset, places = open_with_links(
                store, config.excluded_variables, config.slice_storage_options, how_slices_are_opened(config)
            )
        except NotFoundError as error:
            hint = _about_pattern(os.fspath(item)) if isinstance(item, str | os.PathLike) else ""
            hint = hint or error.hint
            raise NotFoundError("no such slice", where=error.where, found=error.found, hint=hint) from None
    except FormatError as error:
        from zapz.storage.no_dataset import OtherFormatError  # imported here: needed only for this error

        if config.slice_source is not None and isinstance(error, OtherFormatError):
            error.advised(
                "The slice source returned a path. It must return the opened dataset: xarray.open_dataset(path)."
            )
        raise
    return _selected(OpenSlice(uri=store.uri, store=store, dataset=dataset, places=places), config)


def _about_pattern(path: str) -> str:
    """Return a hint about a pattern that was passed as a slice; "" for other paths."""
    import glob  # imported here: needed only for this error

    if not set(path) & set("*?["):
        return ""
    if not is_local(path):
        return "zapz does not expand patterns. Name every slice." if "*" in path else ""
    if next(glob.iglob(str(local_path(path))), None) is not None:  # noqa: PTH207 - Path.glob does not accept every text
        return "zapz does not expand patterns. Remove the quotation marks, so that the shell does it (in Python, use glob.glob)."
    return "The pattern matched nothing, so the shell did not expand it. Check the pattern."


def open_given(source: Source, config: Config) -> OpenSlice:
    """Open a slice from a source.

    Raises:
        FormatError: Its documents are invalid.
        VariableError: An included variable is missing.
    """
    documents = source.documents()
    sound = isinstance(source.uri, str | os.PathLike) and isinstance(documents, Mapping)
    if not sound or not all(isinstance(k, str) and isinstance(d, bytes) for k, d in documents.items()):
        raise MetadataError(
            "a source has invalid documents or an invalid uri",
            where=f"{type(source).__name__}.documents(), .uri",
            expected="a mapping of keys (text) to documents (bytes); text",
            found=f"{type(documents).__name__}; {type(source.uri).__name__}",
        )
    try:
        dataset = doors.read(dict(documents))
    except FormatError as error:
        raise error.at(os.fspath(source.uri)) from None
    from zapz.sources.source_store import SourceStore  # imported here: not needed for paths

    store = SourceStore(source, dataset)
    stored = [a.path for a in dataset.arrays.values() if a.codecs.shards is not None or a.codecs.foreign is not None]
    if stored and store.has_cells and not store.has_bytes:
        raise UnsupportedError(
            "a source with only cells declares shards, or codecs that zapz cannot run",
            where=f"{store.uri}, {stored[0]}",
            hint="Remove them from its documents: the source has no stored bytes.",
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
    """Return the encodings that a source requests for a new target.

    They are validated like a configuration.

    Raises:
        ConfigError: An encoding is not valid in a configuration.
    """
    if isinstance(source, OwnSource):
        return source.array_encodings
    requested = source.encodings()
    if not requested:
        return {}
    try:
        made = make({"variables": {path: {"encoding": dict(encoding)} for path, encoding in requested.items()}})
    except ConfigError as error:
        raise error.at(f"{os.fspath(source.uri)}, encodings()") from None
    return {path: made.variable(path).encoding for path in requested}


def _selected(found: OpenSlice, config: Config) -> OpenSlice:
    """Return the slice without variables that are not selected."""
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
