"""What is directly below a folder of a dataset, page by page. Pure.

fsspec finds the members of a group in the links of its page, so these are exactly its children.
Names of chunks follow from the grid: a page costs the same for ten chunks and for 10^12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from zapz.format.grid import unravel
from zapz.format.metadata import Array, name, parent
from zapz.server.views import View

PAGE = 1000
"""Maximum number of names on a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of the children of a folder."""

    path: str
    """The folder, below the dataset; "" for its root."""
    kind: str
    """``group``, ``array`` or ``chunks``."""
    folders: tuple[str, ...]
    """Names of folders."""
    files: tuple[str, ...]
    """Names of documents and chunks."""
    page: int
    """Number of the page, from 1."""
    count: int
    """Number of all children."""

    @property
    def pages(self) -> int:
        """Number of pages, at least 1."""
        return max(1, -(-self.count // PAGE))


def listing_of(view: View, folder: str, page: int = 1) -> Listing | None:
    """Return the children of a folder; None if there is no such folder, or no such page.

    Args:
        view: The dataset.
        folder: Path of the folder, without slashes at its ends.
        page: Number of the page, from 1.
    """
    served = view.arrays.get(folder) or view.array_above(folder)
    if served is not None:
        return _in_array(view, served.array, folder, page)
    below = f"{folder}/" if folder else ""
    nodes = {path for path in (*view.dataset.groups, *view.arrays, *view.refused) if path != folder}
    folders = {path[len(below) :].partition("/")[0] for path in nodes if path.startswith(below)}
    if folder and folder not in view.dataset.groups and not folders:
        return None
    files = _documents(view, folder)
    return _listed(folder, "group", [*sorted(folders)], files, page)


def _listed(path: str, kind: str, folders: Sequence[str], files: Sequence[str], page: int) -> Listing | None:
    names = [*((each, True) for each in folders), *((each, False) for each in files)]
    here = names[(page - 1) * PAGE : page * PAGE]
    if page < 1 or (not here and page > 1):
        return None
    return Listing(
        path=path,
        kind=kind,
        folders=tuple(each for each, is_folder in here if is_folder),
        files=tuple(each for each, is_folder in here if not is_folder),
        page=page,
        count=len(names),
    )


def _documents(view: View, folder: str) -> list[str]:
    return sorted(name(key) for key in view.documents if parent(key) == folder)


def _in_array(view: View, array: Array, folder: str, page: int) -> Listing | None:
    """Return the children of an array's folder, or of a folder of chunks in it."""
    counts = array.grid.counts
    own = _documents(view, folder) if folder == array.path else []
    prefix = _prefix(array, folder)
    if prefix is None:
        return None
    if array.keys.separator == "/" and array.ndim:
        if prefix == () and folder == array.path and array.keys.style == "default":
            return _listed(folder, "array", ["c"] if math.prod(counts) else [], own, page)
        number, leaf = counts[len(prefix)] if math.prod(counts) else 0, len(prefix) == array.ndim - 1
        return _numbered(folder, array, own, number, page, leaf=leaf)
    total = math.prod(counts)
    first = max(0, (page - 1) * PAGE - len(own))
    spans = tuple((0, n) for n in counts)
    keys = (array.keys.key(unravel(i, spans)) for i in range(first, total))
    return _paged(folder, "array", own, keys, total, page)


def _numbered(folder: str, array: Array, own: list[str], number: int, page: int, *, leaf: bool) -> Listing | None:
    first = max(0, (page - 1) * PAGE - len(own))
    kind = "array" if folder == array.path else "chunks"
    return _paged(folder, kind, own, map(str, range(first, number)), number, page, folders=not leaf)


def _paged(
    path: str, kind: str, own: list[str], rest: Iterator[str], total: int, page: int, *, folders: bool = False
) -> Listing | None:
    """Return a page of documents, followed by ``total`` names, of which ``rest`` are those left."""
    count = len(own) + total
    start = (page - 1) * PAGE
    if page < 1 or (start >= count and page > 1):
        return None
    documents = own[start : start + PAGE]
    names = tuple(islice(rest, PAGE - len(documents)))
    return Listing(
        path=path,
        kind=kind,
        folders=names if folders else (),
        files=(*documents, *(() if folders else names)),
        page=page,
        count=count,
    )


def _prefix(array: Array, folder: str) -> tuple[int, ...] | None:
    """Return the indices that the path of a folder of chunks names; None if there is none."""
    rest = folder[len(array.path) :].strip("/")
    if not rest:
        return ()
    if array.keys.separator != "/":
        return None
    parts = rest.split("/")
    if array.keys.style == "default" and parts.pop(0) != "c":
        return None
    if len(parts) >= max(1, array.ndim) or any(len(part) > 20 for part in parts):  # noqa: PLR2004 - digits of an index
        return None
    if not all(part.isascii() and part.isdecimal() and str(int(part)) == part for part in parts):
        return None
    indices = tuple(map(int, parts))
    inside = all(i < n for i, n in zip(indices, array.grid.counts, strict=False))
    return indices if inside and all(array.grid.counts) else None
