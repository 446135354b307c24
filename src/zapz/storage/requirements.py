"""Required digests of documents: a planned change is carried out only while they are unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zapz.storage.hierarchy import digest


@dataclass(frozen=True, slots=True, eq=False)
class Requirements:
    """Required digests of documents, by key; None for a document that must be absent."""

    digests: Mapping[str, str | None]

    def violations(self, here: Mapping[str, bytes], becoming: Mapping[str, str] | None = None) -> list[str]:
        """Return the keys of documents with another digest, in order.

        Args:
            here: The present documents by key, without those that are absent.
            becoming: Digests of new versions of documents, which are accepted too: they may already
                be written.
        """
        later = becoming or {}
        return [
            key
            for key, required in self.digests.items()
            if digest(here.get(key)) not in {required, later.get(key, required)}
        ]
