"""What a journal says is believed only as far as the documents explain it, before anything is removed or put in place.

A journal may have come with a data set that somebody downloaded, or be another data set's. It may
name chunks beyond the shape of an array whose document is what the journal builds on, and chunks of
an array that does not exist yet. Nothing else is touched by it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from zapz.errors import ChunkError, FormatError, JournalError
from zapz.format import documents as doors
from zapz.format.buffers import Cells
from zapz.format.grid import Box
from zapz.format.metadata import Array, ChunkKeys, join, name, parent
from zapz.storage.chunk_reader import ChunkReader, fill_cells, region
from zapz.storage.hierarchy import digest
from zapz.storage.layout import is_ours
from zapz.storage.local.store import LocalStore
from zapz.storage.presence import present
from zapz.txn.extents import Extent
from zapz.txn.journal import Intent, Outcome

if TYPE_CHECKING:
    from zapz.storage.objects.store import ObjectStore


def unexplained(where: str, found: str, expected: str = "") -> JournalError:
    """Return the error that says that a journal goes beyond the documents."""
    return JournalError(
        "the journal names something that the target's documents do not explain",
        where=where,
        expected=expected,
        found=found,
        hint="Nothing was touched. If it came with a data set that was copied or downloaded, remove "
        f"{where.rpartition('/')[0]}; otherwise keep it and ask the zapz developers.",
    )


def check_names(intent: Intent, where: str, own: Collection[str] = ()) -> None:
    """See that an intent names chunks where it may name chunks, and documents where it may name documents.

    Args:
        intent: What was read.
        where: The journal.
        own: Documents of our own folder that a transaction may write.

    Raises:
        JournalError: It does not.
    """
    for key in (*intent.base, *(d.key for d in intent.documents if d.key not in own)):
        if name(key) not in doors.DOCUMENT_NAMES or is_ours(key):
            raise unexplained(where, f"document {key!r}", "names of metadata documents")
    written = [d.key for d in intent.documents]
    paths = [extent.path for extent in intent.extents]
    for names in (written, paths, intent.existing):
        if len(set(names)) != len(names):
            raise unexplained(where, "a name that is given twice")
    for key in set(written) - {*intent.base, *own}:
        raise unexplained(where, f"document {key!r}", "documents whose state before is known")
    for key in (*intent.existing, *intent.foreign):
        if not any(extent.holds(key) for extent in intent.extents):
            raise unexplained(where, f"chunk {key!r}", "chunks of the planned ranges")


def check_decided(intent: Intent, documents: Mapping[str, bytes], where: str) -> None:
    """See that a decision carries the documents that were planned.

    Raises:
        JournalError: It does not.
    """
    if [(key, digest(data)) for key, data in documents.items()] != [(d.key, d.digest) for d in intent.documents]:
        raise unexplained(where, "documents that were not planned", "those of the intent")


def where_of(store: LocalStore | ObjectStore, key: str) -> str:
    """Return where a key of our own folder is, which may lie beside the target."""
    return f"{store.uri.rstrip('/')}{'' if store.beside else '/'}{key}"


def check(store: LocalStore, intent: Intent, outcome: Outcome | None, folder: str, own: Collection[str] = ()) -> None:
    """See that everything that an intent would have removed or replaced is explained by the documents.

    Args:
        store: The target.
        intent: What was read.
        outcome: What was decided; None if nothing.
        folder: The transaction's folder.
        own: Documents of our own folder that a transaction may write.

    Raises:
        JournalError: It is not. Nothing was touched.
    """
    where = where_of(store, join(folder, "journal"))
    check_names(intent, where, own)
    ours = {d.key: d.digest for d in intent.documents}
    kept = {*intent.existing, *intent.foreign}
    for extent in intent.extents:
        _check_extent(store, extent, intent.base, ours, where)
        if outcome != "commit":
            _check_boundary(store, extent, intent.base, kept, where)
    for key in ours:
        if key not in own and intent.base[key] is None:
            require_no_array_above(store, parent(key), where)
    if outcome == "commit":
        _check_staged(store, intent, ours, folder, where)


def _check_staged(store: LocalStore, intent: Intent, ours: Mapping[str, str], folder: str, where: str) -> None:
    """See that what is put in place is what the intent names."""
    for staged, key in intent.staged():
        place = join(folder, staged)
        if store.linked(place):
            raise unexplained(where, f"a link, {staged}", "files")
        if key not in ours or store.size(place) is None:
            continue
        # It may be linked to what is in place, which another tool has changed since: that moves nothing.
        data = store.read(place)
        if digest(data) != ours[key] and store.read_many([key]).get(key) != data:
            raise unexplained(where, f"other bytes in {staged}", f"the document that was planned for {key!r}")


def _check_extent(
    store: LocalStore, extent: Extent, base: Mapping[str, str | None], ours: Mapping[str, str], where: str
) -> None:
    names = governing(extent.path)
    here = store.read_many(names)
    for key in here:
        if key not in base:
            raise unexplained(where, f"chunks of {extent.path!r}, {key!r} not among the documents", "what governs them")
    known = [key for key in names if key in base]
    if not known:
        raise unexplained(where, f"chunks of {extent.path!r}", "the document that governs them")
    for key in known:
        found = digest(here.get(key))
        if found is not None and found in (base[key], ours.get(key)):
            check_grid(read_array(extent.path, key, here[key], where), extent, where, grown=found != base[key])
    if all(base[key] is None for key in known):
        require_alone(store, extent.path, extent.keys, extent.spans, where)


def _check_boundary(
    store: LocalStore, extent: Extent, base: Mapping[str, str | None], kept: Collection[str], where: str
) -> None:
    """See that a chunk which also holds old cells was made by the transaction if it says so: then these are fill values.

    What cannot be decoded, or reads as zeros, was torn when the power failed.
    """
    for key, document in store.read_many(governing(extent.path)).items():
        if digest(document) != base.get(key):
            continue
        array = read_array(extent.path, key, document, where)
        spans = tuple((a, min(b, n)) for (a, b), n in zip(extent.spans, array.grid.counts, strict=True))
        reader, fill = ChunkReader(store, array, document, store.uri), fill_cells(array)
        zero = np.zeros((), array.dtype) if array.dtype.kind != "O" else fill
        for index in present(store, extent.path, extent.keys, spans, links=False):
            if array.key(index) in kept:
                continue
            try:
                cells = region(reader, array.grid.box(index), fill)
            except ChunkError:
                continue
            known = [_is_same(cells, np.broadcast_to(value, cells.shape)) for value in (fill, zero)]
            if not np.all(known[0] | known[1]):
                raise unexplained(where, f"chunk {array.key(index)!r}, with values", "a chunk that the append made")


def _is_same(a: Cells, b: Cells) -> Cells:
    """Return where cells are equal; NaN equals NaN."""
    same: Cells = a == b
    return same | ((a != a) & (b != b)) if a.dtype.kind in "fcmM" else same  # noqa: PLR0124 - NaN is unequal to itself


def governing(path: str) -> list[str]:
    """Return the keys of the documents that can govern the chunks of an array."""
    return [join(path, document) for document in doors.ARRAY_NAMES]


def read_array(path: str, key: str, document: bytes, where: str) -> Array:
    """Read the document of an array.

    Raises:
        JournalError: It is none.
    """
    try:
        found = doors.read({key: document}).arrays.get(path)
    except FormatError as error:
        raise unexplained(where, f"{key!r}: {error}", "the document of an array") from error
    if found is None:
        raise unexplained(where, f"chunks of {path!r}, which is a group", "chunks of an array")
    return found


def check_grid(array: Array, extent: Extent, where: str, *, grown: bool) -> None:
    """See that an extent is what an append to an array may write.

    Args:
        array: As its document says.
        extent: The extent.
        where: The journal.
        grown: Whether the document is that of after the append: then only what lies beyond it can
            be told.

    Raises:
        JournalError: It is not.
    """
    counts, spans = array.grid.counts, extent.spans
    if extent.keys != array.keys or len(spans) != array.ndim:
        raise unexplained(
            where, f"chunk keys of {array.path!r} {extent.keys}, {len(spans)} axes", f"{array.keys}, {array.ndim}"
        )
    inside = [b <= n for (_, b), n in zip(spans, counts, strict=True)]
    if grown:
        fits = all(inside)
    else:
        starts = [a == n // c for (a, _), n, c in zip(spans, array.shape, array.grid.chunks, strict=True)]
        fits = any(start and all(inside[:i] + inside[i + 1 :]) for i, start in enumerate(starts))
    if not fits:
        raise unexplained(where, f"chunks {spans} of {array.path!r}", f"chunks beyond shape {array.shape}")


def require_alone(store: LocalStore, path: str, keys: ChunkKeys, spans: Box, where: str) -> None:
    """See that no array has chunks, or a document, where an array that does not exist would have its chunks.

    Raises:
        JournalError: One has.
    """
    require_no_array_above(store, path, where)
    if keys.separator != "/":
        return
    folders: dict[str, bool] = {}
    for _ in present(store, path, keys, spans, folders, links=False):
        pass
    below = f"{path}/" if path else ""
    for folder in folders:
        if folder != path and folder.startswith(below):
            documents = store.read_many(join(folder, document) for document in doors.DOCUMENT_NAMES)
            for key in documents:
                raise unexplained(
                    where, f"chunks of {path!r} around {key!r}", "chunks of an array that is not there yet"
                )


def require_no_array_above(store: LocalStore, path: str, where: str) -> None:
    """See that a node does not lie inside an array.

    Raises:
        JournalError: It does.
    """
    while path:
        path = parent(path)
        for key, document in store.read_many(join(path, d) for d in doors.ARRAY_NAMES).items():
            if doors.says_array(key) or not _is_group(key, document):
                raise unexplained(where, f"a node inside the array {path!r}", "nodes of groups")


def _is_group(key: str, document: bytes) -> bool:
    try:
        return not doors.read({key: document}).arrays
    except FormatError:
        return False
