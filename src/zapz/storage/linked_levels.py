"""A ``.levels`` dataset whose level 0 is another dataset (``0.link``), read as one store."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from zapz.errors import MetadataError, UnsupportedError
from zapz.format.level_names import LINKED, number_of
from zapz.storage.open import open_store
from zapz.storage.references.locations import LOCAL, Location, location_of
from zapz.storage.references.sets import Allowed
from zapz.storage.store import Children, Options, ReadableStore, StoreOptions
from zapz.storage.uris import is_local, local_path

_LONGEST = 4096
"""Maximum length of a link, in bytes."""


class LinkedLevels:
    """A readable store: the levels of a dataset, and those that its links name, as ``N.zarr``."""

    def __init__(self, store: ReadableStore, levels: Mapping[str, ReadableStore]) -> None:
        """Join stores.

        Args:
            store: The ``.levels`` dataset.
            levels: The linked datasets, by the name of their level (``0.zarr``).
        """
        self.uri = store.uri
        self.places = tuple(level.uri for level in levels.values())
        """Paths or URIs of the linked datasets."""
        able = [store.abilities, *(level.abilities for level in levels.values())]
        self.abilities = replace(
            store.abilities,
            writable=False,
            listable=all(each.listable for each in able),
            requests=any(each.requests for each in able),
            regions=False,
            stored=all(each.stored for each in able),
        )
        self._store = store
        self._levels = levels

    def at(self, key: str) -> tuple[ReadableStore, str]:
        """Return the store of a key, and the key in it."""
        level, _, rest = key.partition("/")
        return (self._levels[level], rest) if level in self._levels else (self._store, key)

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        """See ``ReadableStore``."""
        store, inner = self.at(key)
        return store.read(inner, offset, length)

    def read_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """See ``ReadableStore``."""
        found: dict[str, bytes] = {}
        for store, inner in self._sorted(keys):
            found |= {inner[key]: data for key, data in store.read_many(inner).items()}
        return found

    def _sorted(self, keys: Iterable[str]) -> Iterator[tuple[ReadableStore, dict[str, str]]]:
        """Yield each store with its keys: the keys in it, and as given."""
        found: dict[int, tuple[ReadableStore, dict[str, str]]] = {}
        for key in keys:
            store, inner = self.at(key)
            found.setdefault(id(store), (store, {}))[1][inner] = key
        yield from found.values()

    def size(self, key: str) -> int | None:
        """See ``ReadableStore``."""
        store, inner = self.at(key)
        return store.size(inner)

    def existing(self, keys: Iterable[str]) -> Iterator[str]:
        """See ``ReadableStore``."""
        for store, inner in self._sorted(keys):
            yield from (inner[key] for key in store.existing(inner))

    def children(self, key: str) -> Children:
        """See ``ReadableStore``; links are listed as folders."""
        store, inner = self.at(key)
        found = store.children(inner)
        if key:
            return found
        files = tuple(name for name in found.files if number_of(name, LINKED) is None)
        return Children(folders=(*found.folders, *self._levels), files=files)

    def folder_exists(self, key: str) -> bool:
        """See ``ReadableStore``."""
        store, inner = self.at(key)
        return store.folder_exists(inner)

    def stray(self, key: str) -> str | None:
        """See ``ReadableStore``."""
        store, inner = self.at(key)
        return store.stray(inner) if inner else None

    def linked(self, key: str) -> bool:
        """See ``ReadableStore``."""
        store, inner = self.at(key)
        return store.linked(inner) if inner else False


def with_links(store: ReadableStore, options: Options | None, how: StoreOptions) -> LinkedLevels:
    """Return a ``.levels`` dataset together with the datasets that its links name.

    A link contains the path of a dataset: absolute, or relative to the ``.levels`` folder. It may
    lead into the folder that contains the dataset, or to the places of ``how.references``.

    Args:
        store: The dataset.
        options: fsspec storage options, for links into the dataset's own folder.
        how: How stores are opened.

    Raises:
        UnsupportedError: A link leads to another place.
        MetadataError: A link is not text.
        StoreError: Storage failed.
    """
    home, name = _home_of(store.uri)
    allowed = Allowed(how.references, home)
    levels: dict[str, ReadableStore] = {}
    for link in sorted(each for each in store.children("").files if number_of(each, LINKED) is not None):
        place = allowed.located(_named(store, link, name), f"{store.uri}, {link}")
        url = place.path if place.is_local else place.url
        own = home is not None and place.is_below(home)
        levels[link.replace(".link", ".zarr")] = open_store(url, options if own else None, how)
    return LinkedLevels(store, levels)


def _home_of(uri: str) -> tuple[Location | None, str]:
    """Return the folder that contains a dataset, if it has a simple URI, and its name there."""
    if is_local(uri):
        path = os.path.realpath(local_path(uri))
        return Location(scheme=LOCAL, authority="", path=path, url=path).folder, os.path.basename(path)
    try:
        found = location_of(uri.rstrip("/"))
    except ValueError:
        return None, ""
    return found.folder, posixpath.basename(found.path)


def _named(store: ReadableStore, link: str, name: str) -> str:
    """Return the place that a link names, relative to the folder that contains the dataset."""
    try:
        text = store.read(link, 0, _LONGEST).decode().strip()
    except UnicodeDecodeError as error:
        raise MetadataError("a link is not text", where=f"{store.uri}, {link}") from error
    if not text or "\n" in text or "::" in text:
        raise UnsupportedError(
            "a link does not name a dataset",
            where=f"{store.uri}, {link}",
            expected="the path of a dataset, such as ../base.zarr",
            found=repr(text[:100]),
        )
    return text if "://" in text or text.startswith("/") else posixpath.normpath(posixpath.join(name, text))
