"""Events of a dataset: each new state, told to clients (server-sent events, HTML standard)."""

from __future__ import annotations

import json
import time

from zapz.errors import ZapzError
from zapz.server.generation import Generation
from zapz.server.served import Served

EVENTS = "events"
"""Key of the events of a dataset; an array or group of this name takes its place."""
_BEAT = 15.0
"""Seconds between comments that keep a connection open, and that show whether it is."""


class StateEvents:
    """Tells each new state of a dataset, beginning with the present one."""

    pause = 0.5
    """Seconds between two looks."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._told = ""
        self._last = time.monotonic()

    def poll(self) -> bytes:
        """Return an event, if there is a new state; nothing while no state can be read."""
        now = time.monotonic()
        try:
            generation = self._served.current()
        except ZapzError:
            generation = None
        if generation is not None and generation.id != self._told:
            self._told, self._last = generation.id, now
            return f"event: generation\ndata: {json.dumps(facts_of(generation))}\n\n".encode()
        if now - self._last < _BEAT:
            return b""
        self._last = now
        return b":\n\n"


def facts_of(generation: Generation) -> dict[str, object]:
    """Return a state as JSON values: its name, and the longest array along each dimension."""
    sizes: dict[str, int] = {}
    for array in generation.dataset.arrays.values():
        for dim, length in zip(array.dims, array.shape, strict=True):
            if dim is not None:
                sizes[dim] = max(length, sizes.get(dim, 0))
    return {"generation": generation.id, "dims": sizes}
