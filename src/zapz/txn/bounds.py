"""Check a journal against the target's documents, before anything is removed or put in place.

A journal may have come with a data set that a user downloaded, or belong to another data set. It
may name chunks beyond the shape of an array whose document still is the journal's base, and chunks
of an array that does not exist yet. Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from zapz.errors import ChunkError, FormatError, JournalError
from zapz.format import documents as doors
from zapz.format.buffers import Cells
from zapz.format.fill_cells import fill_cells
from zapz.format.grid import Box
from zapz.format.metadata import Array, ChunkKeys, join, parent
from zapz.storage.chunk_reader import ChunkReader, region
from zapz.storage.hierarchy import digest
from zapz.storage.layout import is_ours
from zapz.storage.local.store import LocalStore
from zapz.storage.presence import present
from zapz.txn.extents import Extent
from zapz.txn.journal import Intent, Outcome

if TYPE_CHECKING:
    from zapz.storage.objects.store import ObjectStore


def unexplained(where: str, found: str, expected: str = "") -> JournalError:
    """Return the error for a journal that names more than the documents explain."""
    return JournalError(
        "the journal does not match the target's documents",
        where=where,
        expected=expected,
        found=found,
        hint="Nothing was changed. If it came with a data set that was copied or downloaded, remove "
        f"{where.rpartition('/')[0]}; otherwise keep it and open an issue.",
    )


def check_names(intent: Intent, where: str, own: Collection[str] = ()) -> None:
    """Check that an intent names only metadata documents, and only chunks of its planned ranges.

    Args:
        intent: The intent.
        where: Path of the journal, for messages.
        own: Documents in zapz's own folder that a transaction may write.

    Raises:
        JournalError: It names something else.
    """
    for key in (*intent.base, *(d.key for d in intent.documents if d.key not in own)):
        if not doors.is_document(key) or is_ours(key):
            raise unexplained(where, f"document {key!r}", "names of metadata documents")
    written = [d.key for d in intent.documents]
    paths = [extent.path for extent in intent.extents]
    for names in (written, paths, intent.existing):
        if len(set(names)) != len(names):
            raise unexplained(where, "a name that occurs twice")
    for key in set(written) - {*intent.base, *own}:
        raise unexplained(where, f"document {key!r}", "documents with a base digest")
    for key in (*intent.existing, *intent.foreign):
        if not any(extent.holds(key) for extent in intent.extents):
            raise unexplained(where, f"chunk {key!r}", "chunks of the planned ranges")


def check_decided(intent: Intent, documents: Mapping[str, bytes], where: str) -> None:
    """Check that a decision contains the planned documents.

    Raises:
        JournalError: It contains others.
    """
    if [(key, digest(data)) for key, data in documents.items()] != [(d.key, d.digest) for d in intent.documents]:
        raise unexplained(where, "documents that were not planned", "documents of the intent")


def where_of(store: LocalStore | ObjectStore, key: str) -> str:
    """Return the path or URI of a key in zapz's own folder, which may be beside the target."""
    return f"{store.uri.rstrip('/')}{'' if store.beside else '/'}{key}"


def check(store: LocalStore, intent: Intent, outcome: Outcome | None, folder: str, own: Collection[str] = ()) -> None:
    """Check that the documents explain everything that an intent would remove or replace.

    Args:
        store: The target.
        intent: The intent.
        outcome: The decision; None if there is none.
        folder: The transaction's folder.
        own: Documents in zapz's own folder that a transaction may write.

    Raises:
        JournalError: They do not. Nothing was changed.
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
    """Check that the staged files are those that the intent names."""
    for staged, key in intent.staged():
        place = join(folder, staged)
        if store.linked(place):
            raise unexplained(where, f"a link, {staged}", "files")
        if key not in ours or store.size(place) is None:
            continue
        # It may be linked to the file in place, which another program has changed since. Putting it
        # in place then changes nothing.
        data = store.read(place)
        if digest(data) != ours[key] and store.read_many([key]).get(key) != data:
            raise unexplained(where, f"other bytes in {staged}", f"the planned document {key!r}")


def _check_extent(
    store: LocalStore, extent: Extent, base: Mapping[str, str | None], ours: Mapping[str, str], where: str
) -> None:
    names = governing(extent.path)
    here = store.read_many(names)
    for key in here:
        if key not in base:
            what = f"chunks of {extent.path!r}, {key!r} not among the documents"
            raise unexplained(where, what, "the document that governs them")
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
    """Check that the transaction created those boundary chunks that it claims to have created.

    The old cells of such a chunk contain the fill value. A chunk that cannot be decoded, or reads
    as zeros, was damaged by a power failure.
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
                raise unexplained(where, f"chunk {array.key(index)!r}, with values", "a chunk that the append created")


def _is_same(a: Cells, b: Cells) -> Cells:
    """Return where cells are equal, as booleans of the same shape; NaN equals NaN."""
    same: Cells = a == b
    return same | ((a != a) & (b != b)) if a.dtype.kind in "fcmM" else same  # noqa: PLR0124 - NaN is unequal to itself


def governing(path: str) -> list[str]:
    """Return the keys of the documents that may govern the chunks of an array."""
    return [join(path, document) for document in doors.ARRAY_NAMES]


def read_array(path: str, key: str, document: bytes, where: str) -> Array:
    """Read the document of an array.

    Raises:
        JournalError: It is not the document of an array.
    """
    try:
        found = doors.read({key: document}).arrays.get(path)
    except FormatError as error:
        raise unexplained(where, f"{key!r}: {error}", "the document of an array") from error
    if found is None:
        raise unexplained(where, f"chunks of {path!r}, which is a group", "chunks of an array")
    return found


def check_grid(array: Array, extent: Extent, where: str, *, grown: bool) -> None:
    """Check that an append to an array may write an extent.

    Args:
        array: The array, from its document.
        extent: The extent.
        where: Path of the journal, for messages.
        grown: Whether the document is the one after the append: then only chunks beyond its shape
            can be recognised.

    Raises:
        JournalError: It may not.
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
    """Check that no other array is where an array that does not exist would have its chunks.

    Raises:
        JournalError: There is one.
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
                    where, f"chunks of {path!r} around {key!r}", "chunks of an array that does not exist yet"
                )


def require_no_array_above(store: LocalStore, path: str, where: str) -> None:
    """Check that a node is not inside an array.

    Raises:
        JournalError: It is.
    """
    while path:
        path = parent(path)
        for key, document in store.read_many(join(path, d) for d in doors.ARRAY_NAMES).items():
            if doors.says_array(key) or not _is_group(key, document):
                raise unexplained(where, f"a node inside the array {path!r}", "nodes inside groups")


def _is_group(key: str, document: bytes) -> bool:
    try:
        return not doors.read({key: document}).arrays
    except FormatError:
        return False
