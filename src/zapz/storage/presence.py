"""Find the chunks of a range that exist, by listing, where far more could exist than do.

Keys are still computed from integers: a listing only shows which of the planned keys exist. A name
that is not exactly the key of a planned index is ignored, and a listing that fails is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from zapz.errors import MetadataError, NotFoundError
from zapz.format.grid import Box, Index, count, indices, ravel, unravel
from zapz.format.metadata import ChunkKeys, join, parent
from zapz.storage.local.posix import entries
from zapz.storage.local.store import LocalStore
from zapz.storage.store import ReadableStore

MANY = 1 << 17
"""Maximum number of chunks in a range whose keys are processed one by one. In larger ranges, a
listing finds those that exist."""
_FEW = 64
"""Maximum number of folders that are checked one by one, instead of listing their parent."""
_DIGITS = 20
"""Maximum number of digits of an index: more than the longest axis needs."""
_PAGE = 2048
"""Bits per page."""


class IndexSet:
    """A set of chunk indices of a range.

    It has one bit per index, in pages, so that neither dense nor sparse sets need much memory.
    """

    def __init__(self, spans: Box) -> None:
        self._spans = spans
        self._pages: dict[int, bytearray] = {}

    def _place(self, index: Index) -> tuple[int, int]:
        return divmod(ravel(index, self._spans), _PAGE)

    def add(self, index: Index) -> None:
        """Add an index to the set."""
        page, bit = self._place(index)
        self._pages.setdefault(page, bytearray(_PAGE >> 3))[bit >> 3] |= 1 << (bit & 7)

    def discard(self, index: Index) -> None:
        """Remove an index from the set."""
        page, bit = self._place(index)
        if page in self._pages:
            self._pages[page][bit >> 3] &= ~(1 << (bit & 7))

    def __contains__(self, index: Index) -> bool:
        page, bit = self._place(index)
        return page in self._pages and bool(self._pages[page][bit >> 3] >> (bit & 7) & 1)

    def __len__(self) -> int:
        return sum(int.from_bytes(bits, "little").bit_count() for bits in self._pages.values())

    def __iter__(self) -> Iterator[Index]:
        """Yield the indices in C order."""
        for page in sorted(self._pages):
            for place, byte in enumerate(self._pages[page]):
                for bit in range(8) if byte else ():
                    if byte >> bit & 1:
                        yield unravel(page * _PAGE + place * 8 + bit, self._spans)


def present(
    store: ReadableStore,
    path: str,
    keys: ChunkKeys,
    spans: Box,
    folders: dict[str, bool] | None = None,
    *,
    strict: bool = False,
    links: bool = True,
) -> Iterator[Index]:
    """Yield the indices of a range whose keys exist.

    The cost grows with the number of these keys, not with the range, nor with other arrays.

    Args:
        store: The store.
        path: Path of the array.
        keys: Its chunk key encoding.
        spans: The range of chunk indices per axis.
        folders: Receives the existing folders above keys.
        strict: Whether a folder at the path of a chunk is refused; otherwise it is ignored.
        links: Whether to follow folders that are links.

    Raises:
        MetadataError: A folder is at the path of a chunk.
        StoreError: A folder cannot be listed.
    """
    walk = _Walk(store, path, keys, {} if folders is None else folders, strict=strict, links=links)
    if not count(spans):
        return
    above = path
    while above and walk.enter(above):
        above = parent(above)
    if above:
        return
    if keys.separator == "/" and spans:
        start = join(path, "c") if keys.style == "default" else path
        if walk.enter(start):
            yield from walk.below(start, (), spans)
    else:
        yield from walk.flat(spans)


def candidates(
    store: ReadableStore,
    path: str,
    keys: ChunkKeys,
    spans: Box,
    folders: dict[str, bool] | None = None,
    *,
    links: bool = True,
) -> Iterator[Index]:
    """Yield the indices of a range; in a very large range, only those that ``present`` finds."""
    if count(spans) <= MANY:
        return indices(spans)
    return present(store, path, keys, spans, folders, links=links)


class _Walk:
    """A walk through the folders of one array."""

    def __init__(
        self, store: ReadableStore, path: str, keys: ChunkKeys, folders: dict[str, bool], *, strict: bool, links: bool
    ) -> None:
        self._store = store
        self._local = store if isinstance(store, LocalStore) else None
        self._path = path
        self._keys = keys
        self._folders = folders
        self._strict = strict
        self._links = links

    def enter(self, folder: str) -> bool:
        """Return whether a folder exists and may be searched."""
        if self._local is None or not folder:
            return True
        if folder not in self._folders:
            if not self._local.folder_exists(folder) or (not self._links and self._local.linked(folder)):
                return False
            self._folders[folder] = True
        return True

    def flat(self, spans: Box) -> Iterator[Index]:
        """Yield the existing indices where all keys are in one folder."""
        names = self._names(self._path, count(spans))
        if names is None:
            yield from self._probed(indices(spans))
            return
        for name, kind in names:
            index = self._parsed(name, spans)
            if index is not None and self._is_chunk(index, kind):
                yield index

    def below(self, folder: str, prefix: Index, spans: Box) -> Iterator[Index]:
        """Yield the existing indices below a folder, where keys have slashes."""
        (a, b), *rest = spans
        leaf = not rest
        names = None if not leaf and self._local is not None and b - a <= _FEW else self._names(folder, b - a)
        if names is None and leaf:
            yield from self._probed((*prefix, i) for i in range(a, b))
            return
        for i, kind in self._numbered(names, a, b, leaf=leaf):
            if leaf:
                if self._is_chunk((*prefix, i), kind):
                    yield (*prefix, i)
            elif kind != "file" and self.enter(join(folder, str(i))):
                yield from self.below(join(folder, str(i)), (*prefix, i), tuple(rest))

    @staticmethod
    def _numbered(names: list[tuple[str, str]] | None, a: int, b: int, *, leaf: bool) -> Iterable[tuple[int, str]]:
        """Return the numbers of a range that are names, with their types; all if names are None.

        On object services a name may be both a folder and a file.
        """
        if names is None:
            return ((i, "folder") for i in range(a, b))
        wanted = "file" if leaf else "folder"
        kinds: dict[int, str] = {}
        for name, kind in names:
            number = _number(name)
            if number is not None and a <= number < b and kinds.get(number) != wanted:
                kinds[number] = kind
        return kinds.items()

    def _names(self, folder: str, most: int) -> list[tuple[str, str]] | None:
        """Return names and types of a folder's entries; None if far more than ``most``."""
        if self._local is not None:
            return entries(os.path.join(self._local.root, folder), most + _FEW)
        try:
            here = self._store.children(folder)
        except NotFoundError:
            return []
        return [*((name, "folder") for name in here.folders), *((name, "file") for name in here.files)]

    def _parsed(self, name: str, spans: Box) -> Index | None:
        parts = (
            name.removeprefix("c").removeprefix(".").split(".") if self._keys.style == "default" else name.split(".")
        )
        index = tuple(number for part in parts if (number := _number(part)) is not None) if spans else ()
        inside = len(index) == len(spans) and all(a <= i < b for i, (a, b) in zip(index, spans, strict=True))
        return index if inside and self._keys.key(index) == name else None

    def _is_chunk(self, index: Index, kind: str) -> bool:
        if kind != "folder":
            return True
        if self._strict and self._local is not None:
            where = f"{self._store.uri}/{join(self._path, self._keys.key(index))}"
            raise MetadataError("a folder is at the path of a chunk", where=where, hint="Remove the folder.")
        return False

    def _probed(self, wanted: Iterator[Index]) -> Iterator[Index]:
        for index in wanted:
            try:
                if any(self._store.existing([join(self._path, self._keys.key(index))])):
                    yield index
            except MetadataError:
                if self._strict:
                    raise


def _number(text: str) -> int | None:
    """Return the integer of a text, if it is written as in chunk keys; else None."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS):
        return None
    number = int(text)
    return number if str(number) == text else None
