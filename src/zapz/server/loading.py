"""Read one state of a dataset's metadata from a store, while other processes change it.

The consolidated metadata of a root are one object, replaced atomically: they alone are the state.
Where a dataset has several roots (``.levels``), or no consolidated metadata, several documents are
read twice, and must be alike and agree about the lengths of dimensions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from zapz.errors import ConflictError, MetadataError, UnsupportedError
from zapz.format import documents as doors
from zapz.format.consolidated import documents_within, is_whole
from zapz.format.level_names import LEVELS, LINKED, number_of
from zapz.format.metadata import Dataset, join
from zapz.operations.pending import is_being_applied
from zapz.server.generation import Generation, unequal_lengths
from zapz.storage.hierarchy import open_with_links
from zapz.storage.layout import OURS
from zapz.storage.local.opened import HeldFolder
from zapz.storage.open import open_store
from zapz.storage.opened import file_stamp, held_home, home_of, opened, stamp_of, unchanged
from zapz.storage.store import Options, ReadableStore, Store, StoreOptions

_WARNING = (
    "the dataset has no consolidated metadata: its arrays are seen to grow together, but no single object says so"
)
_YOUNG = 0.05
"""Age in seconds below which a second change of a file may have the same time of change."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatasetOrigin:
    """Where a dataset is read, and how."""

    store: Store
    """The store of the dataset."""
    options: Options | None
    """fsspec storage options, for links of levels."""
    how: StoreOptions
    """How stores are opened."""
    append_dim: str
    """The append dimension."""
    archive: str = ""
    """Path of the archive in which it is, if it is in one: an archive that is replaced must be
    opened again."""

    def renewed(self) -> DatasetOrigin:
        """Return the origin with an archive opened as it is now."""
        if not self.archive:
            return self
        return replace(self, store=open_store(self.archive, {"skip_instance_cache": True}, self.how))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Loaded:
    """A state that was read."""

    generation: Generation
    """The state."""
    store: ReadableStore
    """The store of its chunks; with the levels that links name."""
    stamps: Mapping[str, str | None]
    """Stamps of the documents on which it rests, by key, taken before they were read."""
    young: bool
    """Whether a document may have been changed again without another stamp."""
    single: bool
    """Whether one object is the whole state."""
    held: HeldFolder | None
    """The root folder; None where storage has no folders."""
    archive: str = ""
    """Stamp of the archive, if the dataset is in one."""


def load(origin: DatasetOrigin) -> Loaded:
    """Read the present state.

    Raises:
        ConflictError: Documents were changed while they were read, or do not fit together yet.
        NotFoundError: The dataset does not exist.
        FormatError: A document is invalid, or only partly written.
        StoreError: Storage failed.
    """
    archive = file_stamp(origin.archive) if origin.archive else ""
    origin = origin.renewed()
    held = held_home(origin.store)
    loaded = replace(_load(origin, "" if held is None else held.identity), held=held)
    if home_of(origin.store) != loaded.generation.home:
        raise ConflictError("the dataset's folder was replaced while it was read", where=origin.store.uri)
    hidden = [path for path in loaded.generation.dataset.arrays if path.partition("/")[0] == OURS]
    if hidden:
        raise MetadataError("an array in zapz's own folder", where=origin.store.uri, found=hidden[0])
    return loaded if not archive else replace(loaded, archive=archive)


def still_holds(origin: DatasetOrigin, loaded: Loaded) -> Callable[[], bool]:
    """Return a function that asks the storage whether a state is still the present one."""
    if loaded.archive:
        return lambda: file_stamp(origin.archive) == loaded.archive
    if loaded.single or not origin.store.abilities.requests:
        return unchanged(loaded.store, loaded.stamps)
    documents = loaded.generation.dataset.documents  # new arrays are found by listing alone
    return lambda: _read(origin)[1].documents == documents


def _load(origin: DatasetOrigin, home: str) -> Loaded:
    """Read the present state of a folder."""
    found: dict[str, bytes] = {}
    stamps: dict[str, str | None] = {}
    for key in doors.CONSOLIDATED_NAMES:
        item = opened(origin.store, key, small=True)
        if item is None:
            continue
        try:
            stamps[key] = item.tag or stamp_of(origin.store, key)
            found[key] = item.read(0, item.size)
        finally:
            item.close()
    if len(found) > 1:
        raise UnsupportedError(
            "v2 and v3 metadata in the same dataset",
            where=origin.store.uri,
            hint="Remove the documents of one format, so that all readers see the same data.",
        )
    try:
        if found and is_whole(found):
            dataset = doors.read(_within(found, ("",)))
            generation = Generation.of(dataset, found if not doors.is_array(found, "") else {}, home=home)
            return Loaded(
                generation=generation,
                store=origin.store,
                stamps=stamps,
                young=_is_young(stamps),
                single=True,
                held=None,
            )
        return _load_several(origin, home)
    except MetadataError as error:
        raise error.at(origin.store.uri) from None


def _within(found: Mapping[str, bytes], roots: Sequence[str]) -> dict[str, bytes]:
    if doors.is_array(found, ""):
        return dict(found)
    return {key: data for root in roots for key, data in documents_within(found, root).items()}


def _load_several(origin: DatasetOrigin, home: str) -> Loaded:
    """Read a state that rests on several documents.

    Raises:
        ConflictError: They were changed while they were read, or do not fit together yet.
    """
    before = _read(origin)
    documents = before[1].documents
    watched = _watched(origin, before[1])
    stamps = {key: stamp_of(before[0], key) for key in watched}
    store, dataset = _read(origin)
    _require_inside(store, documents)
    if dataset.documents != documents:
        raise ConflictError("the dataset's documents change while they are read", where=origin.store.uri)
    if not (store.abilities.listable or dataset.arrays):
        raise UnsupportedError(
            "arrays cannot be found: the storage lists nothing, and there are no consolidated metadata",
            where=origin.store.uri,
        )
    roots = dataset.roots
    kept: dict[str, bytes] = {}
    warning = ""
    if len(roots) > 1 and doors.is_consolidated(documents, roots):
        kept = {
            key: documents[key]
            for root in roots
            for name in doors.CONSOLIDATED_NAMES
            if (key := join(root, name)) in documents
        }
        levels = {key: data for key, data in documents.items() if key == LEVELS}
        dataset = doors.read({**levels, **_within(kept, roots)})
    else:
        warning = _WARNING if len(dataset.arrays) > 1 else ""
        if is_being_applied(origin.store):
            raise ConflictError("a committed append is not completely visible yet", where=origin.store.uri)
    if unequal := unequal_lengths(dataset, origin.append_dim):
        raise ConflictError("the dataset's arrays differ in length", where=origin.store.uri, found=unequal)
    generation = Generation.of(dataset, kept, home=home, warning=warning)
    return Loaded(generation=generation, store=store, stamps=stamps, young=_is_young(stamps), single=False, held=None)


def _watched(origin: DatasetOrigin, dataset: Dataset) -> list[str]:
    """Return the keys whose change may be a new state: documents, links, folders of groups."""
    documents = list(dataset.documents)
    if origin.store.abilities.requests:
        return documents
    links = [name for name in origin.store.children("").files if number_of(name, LINKED) is not None]
    return [*documents, *links, *({"", *dataset.groups} - dataset.arrays.keys())]


def _require_inside(store: ReadableStore, documents: Mapping[str, bytes]) -> None:
    """Check that no document is a link out of the dataset: the bytes of such a file are not served.

    Raises:
        UnsupportedError: One is.
    """
    for key in documents:
        if store.stray(key) is not None:
            raise UnsupportedError("a document is a link out of the dataset", where=f"{store.uri}/{key}")


def _read(origin: DatasetOrigin) -> tuple[ReadableStore, Dataset]:
    store, dataset, _ = open_with_links(origin.store, (), origin.options, origin.how)
    return store, replace(dataset, documents=dict(dataset.documents))


def _is_young(stamps: Mapping[str, str | None]) -> bool:
    """Return whether a document was modified so recently that its stamp may stay the same."""
    now = time.time_ns()
    for stamp in stamps.values():
        parts = (stamp or "").split("-")
        if len(parts) == 4 and abs(now - int(parts[3], 16)) < _YOUNG * 1e9:  # noqa: PLR2004 - see LocalFiles
            return True
    return False
