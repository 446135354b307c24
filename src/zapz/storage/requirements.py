"""What documents must be before something is done that was planned when they were so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zapz.storage.hierarchy import digest


@dataclass(frozen=True, slots=True, eq=False)
class Requirements:
    """What documents must be: the digest of each, by key; None for one that must be absent."""

    digests: Mapping[str, str | None]

    def violations(self, here: Mapping[str, bytes], becoming: Mapping[str, str] | None = None) -> list[str]:
        """Return the keys of documents that are something else, in order.

        Args:
            here: The documents as they are, by key; those that are absent left out.
            becoming: Digests of what documents become, which is right as well: it may have been
                written already.
        """
        later = becoming or {}
        return [
            key
            for key, required in self.digests.items()
            if digest(here.get(key)) not in {required, later.get(key, required)}
        ]
