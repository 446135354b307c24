"""A dataset in a store, served while other processes change it. Nothing is ever written to it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace

from zapz.errors import ConflictError, FormatError, NotFoundError, ZapzError
from zapz.format.grid import Index
from zapz.operations.existing import unfinished_error
from zapz.server.content import PIECE
from zapz.server.generation import Generation, is_growth
from zapz.server.labels import LabelSpans
from zapz.server.loading import DatasetOrigin, Loaded, load, still_holds
from zapz.server.served import Chunk, NeedsThreadError
from zapz.server.shared_states import SharedStates
from zapz.server.stored_chunks import ChunkOpener
from zapz.server.views import ServedArray
from zapz.storage.opened import home_of, is_networked, whole_reader

KEPT = 8
"""Number of earlier states whose metadata stay available."""
_ATTEMPTS = 4
_PAUSE = 0.02
"""Pause between attempts to read documents that another process is writing, in seconds."""
_AGAIN = 0.25
"""Pause before documents that did not fit together are read again, in seconds."""


@dataclass(slots=True, eq=False)
class _Published:
    """The state that is served."""

    loaded: Loaded
    looked: float
    """When its documents were last seen unchanged, on the monotonic clock, in seconds."""
    is_same: Callable[[], bool]
    """Returns whether the documents are unchanged; it asks the storage."""


class Growing:
    """A dataset in a store. See ``Served``."""

    def __init__(
        self,
        origin: DatasetOrigin,
        *,
        title: str = "",
        refresh: float = 1.0,
        shared: SharedStates | None = None,
        count: Callable[[str], None] = lambda _: None,
        reserve: Callable[[int], Callable[[], None]] = lambda _: lambda: None,
    ) -> None:
        """Serve a dataset; nothing is read yet.

        Args:
            origin: Where it is read.
            title: Title for pages.
            refresh: Time between checks of a dataset on an object store, and time for which
                documents without consolidated metadata must stay unchanged, in seconds.
            shared: Earlier states that other processes of this server have published.
            count: Called with the name of each event: "published", "retired", "inconsistent".
            reserve: Reserves bytes of memory, and returns the function that releases them.
        """
        self.title = title
        self._origin = origin
        self._refresh = refresh
        self._shared = shared
        self._count = count
        self._published: _Published | None = None
        self._older: OrderedDict[str, Generation] = OrderedDict()
        self._candidate: tuple[str, float] = ("", 0.0)
        self._again = 0.0
        self._failure: tuple[ZapzError | None, float] = (None, 0.0)
        self._guard = threading.Lock()
        self._chunks = ChunkOpener(reserve)
        self._spans = LabelSpans()
        self._waits = origin.store.abilities.requests or is_networked(origin.store)
        self.trouble = ""
        """Why the newest documents are not served, if an earlier state is; else empty."""

    # -- states -------------------------------------------------------------

    def known(self) -> Generation | None:
        """See ``Served``."""
        return self._published.loaded.generation if self._published is not None else None

    def current(self, *, inline: bool = False) -> Generation:
        """See ``Served``."""
        published = self._published
        if published is not None and self._is_unchanged(published, inline=inline):
            return published.loaded.generation
        if inline:
            raise NeedsThreadError
        asked = time.monotonic()
        with self._guard:
            error, failed = self._failure
            if error is not None and failed >= asked:  # while this thread waited: do not try once more for each
                raise copy(error)
            published = self._published
            if published is None or not self._is_unchanged(published, inline=False):
                try:
                    published = self._reload(published)
                except ZapzError as new:
                    self._failure = copy(new), time.monotonic()
                    raise
            return published.loaded.generation

    def pinned(self, name: str, *, inline: bool = False) -> Generation | None:
        """See ``Served``."""
        now = self.current(inline=inline)
        if name == now.id:
            return now
        found = self._older.get(name)
        if found is None and self._shared is not None:
            if inline:
                raise NeedsThreadError
            found = self._shared.load(name)
        return found if found is not None and is_growth(found, now) else None

    def _is_unchanged(self, published: _Published, *, inline: bool) -> bool:
        """Return whether the documents are still those of the published state, as far as known."""
        now = time.monotonic()
        if self._again > now:
            return not (inline and self._waits) and self._is_home(published)
        if self._waits and now - published.looked < self._refresh:
            return True
        if (self._waits and inline) or published.loaded.young:
            return False
        try:
            same = published.is_same()
        except ZapzError:
            return False
        if same:
            published.looked = now
        return same

    def is_newest(self, generation: Generation) -> bool:
        """See ``Served``."""
        published = self._published
        if published is None or published.loaded.generation is not generation:
            return False
        if self._waits or self._again or published.loaded.young:
            return self._is_unchanged(published, inline=True)
        return published.is_same()  # the usual case, at the least cost

    def _is_home(self, published: _Published) -> bool:
        """Return whether the dataset's folder is still that of the published state."""
        try:
            return home_of(self._origin.store) == published.loaded.generation.home
        except ZapzError:
            return False

    def _reload(self, old: _Published | None) -> _Published:
        """Read the present state, and publish it if it is whole; else the old one stays.

        Raises:
            ZapzError: There is no state that can be served.
        """
        try:
            loaded = self._load()
        except (ConflictError, FormatError) as error:
            if old is None or isinstance(error, NotFoundError) or not self._is_home(old):
                raise
            return self._keep(old, _told(error))
        if old is not None and not loaded.single and loaded.generation.id != old.loaded.generation.id:
            seen, since = self._candidate
            now = time.monotonic()
            waits = loaded.generation.warning and (seen != loaded.generation.id or now - since < self._refresh)
            if waits and seen != loaded.generation.id:
                self._candidate = loaded.generation.id, now
            if waits and old.loaded.generation.home != loaded.generation.home:
                raise ConflictError("the dataset is being replaced", where=self._origin.store.uri)
            if waits:
                return self._keep(old, "")
        self.trouble, self._again = "", 0.0
        return self._publish(old, loaded)

    def _keep(self, old: _Published, trouble: str) -> _Published:
        """Go on with the old state for a moment."""
        if trouble:
            self._count("inconsistent")
        self.trouble = trouble
        self._again = time.monotonic() + _AGAIN
        return old

    def _load(self) -> Loaded:
        for attempt in range(_ATTEMPTS):
            try:
                return load(self._origin)
            except (ConflictError, FormatError, NotFoundError) as error:
                if attempt + 1 < _ATTEMPTS:
                    time.sleep(_PAUSE)
                    continue
                if self._published is None and (unfinished := unfinished_error(self._origin.store)) is not None:
                    raise unfinished from error
                raise
        raise AssertionError("the last attempt ends the loop")

    def _publish(self, old: _Published | None, loaded: Loaded) -> _Published:
        new = _Published(loaded, time.monotonic(), still_holds(self._origin, loaded))
        if old is not None:
            before = old.loaded.generation
            if before.id == loaded.generation.id and before.home == loaded.generation.home:
                new.loaded = replace(loaded, generation=before)
                self._published = new
                return new
            self._retire(before, loaded.generation)
        if self._shared is not None:
            self._shared.save(loaded.generation)
        self._chunks.forget()
        self._published = new
        self._count("published")
        return new

    def _retire(self, before: Generation, after: Generation) -> None:
        if is_growth(before, after):
            older = OrderedDict(self._older)
            older[before.id] = before
            while len(older) > KEPT:
                older.popitem(last=False)
            self._older = older
            return
        self._older = OrderedDict()
        self._count("retired")
        if self._shared is not None:
            self._shared.clear()

    # -- chunks -------------------------------------------------------------

    def chunk(self, generation: Generation, served: ServedArray, index: Index, *, inline: bool = False) -> Chunk | None:
        """See ``Served``."""
        published = self._published
        store = published.loaded.store if published is not None else self._origin.store
        if inline and self._waits:
            raise NeedsThreadError
        found = self._chunks.open(store, generation, served, index, inline=inline)
        if found is not None:
            return found
        now = self.current(inline=inline)
        if now is not generation and not is_growth(generation, now):
            raise ConflictError("the dataset was changed while a chunk was read", where=self._origin.store.uri)
        self._chunks.require_array(store, served)
        found = self._chunks.open(store, generation, served, index, inline=inline)  # some file systems leave gaps
        return found or self._chunks.open_missing(generation, served)

    def reader(self, served: ServedArray, index: Index) -> Callable[[], tuple[bytes, str] | None] | None:
        """See ``Served``."""
        published = self._published
        if published is None or self._waits or served.form != "stored":
            return None
        return whole_reader(published.loaded.store, served.stored.key(index), PIECE)

    def labels(self, generation: Generation, *, inline: bool = False) -> Mapping[str, tuple[str, str]]:
        """See ``Served``."""
        store = self._published.loaded.store if self._published is not None else self._origin.store
        return self._spans.of(generation, store, generation.dataset, inline=inline)

    def close(self) -> None:
        """See ``Served``."""


def _told(error: ZapzError) -> str:
    """Return an error as text without the place of the dataset: clients see it."""
    found = error.found if isinstance(error, ConflictError) else ""
    return f"{error.what}: {found}" if found else error.what
