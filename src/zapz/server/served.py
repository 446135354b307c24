"""What the server needs of a dataset, wherever its chunks come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from zapz.format.grid import Index
from zapz.server.content import Content
from zapz.server.generation import Generation
from zapz.server.views import ServedArray


class Chunk(NamedTuple):
    """A chunk that can be sent."""

    content: Content
    """Its bytes."""
    etag: str
    """Its entity tag, in quotation marks; "" without one."""


class NeedsThreadError(Exception):
    """The answer may take a while: a thread has to ask again."""


class Served(Protocol):
    """A dataset that is served. Its methods may be called from several threads."""

    title: str
    """Title for pages; may be empty."""
    trouble: str
    """Why the newest documents are not served, if an earlier state is; else empty."""

    def current(self, *, inline: bool = False) -> Generation:
        """Return the newest state, after looking whether it changed.

        Args:
            inline: Whether the caller must not be kept waiting.

        Raises:
            NeedsThreadError: It would have to wait (only if ``inline``).
            ZapzError: There is no state that can be served.
        """

    def known(self) -> Generation | None:
        """Return the newest state that was read, without looking; None if there is none."""

    def is_newest(self, generation: Generation) -> bool:
        """Return whether a state is the newest one, after looking, but without waiting."""

    def pinned(self, name: str, *, inline: bool = False) -> Generation | None:
        """Return an earlier state, after looking whether it is still valid; None if it is not.

        Raises:
            NeedsThreadError, ZapzError: As ``current``.
        """

    def chunk(self, generation: Generation, served: ServedArray, index: Index, *, inline: bool = False) -> Chunk | None:
        """Return a chunk; None if it is truly absent, so that its cells have the fill value.

        Args:
            generation: The state in which it is requested.
            served: The array.
            index: Index of the chunk.
            inline: Whether the caller must not be kept waiting.

        Raises:
            NeedsThreadError: It would have to wait (only if ``inline``).
            ZapzError: It should be there, and cannot be read.
        """

    def reader(self, served: ServedArray, index: Index) -> Callable[[], tuple[bytes, str] | None] | None:
        """Return a function that reads a chunk again that was opened before, without waiting.

        It returns bytes and tag; None if the chunk has to be requested anew. None instead of a
        function if there is no such way.
        """

    def labels(self, generation: Generation, *, inline: bool = False) -> Mapping[str, tuple[str, str]]:
        """Return first and last label of coordinates, as text, by path.

        Raises:
            NeedsThreadError: They must be read first (only if ``inline``).
        """

    def close(self) -> None:
        """Release what it holds."""
