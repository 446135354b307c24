"""Writers on other machines: ``World`` puts them around the object service of ``zapz.testing``, and lets hours pass in no time."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zapz.storage import clock
from zapz.storage.objects.store import ObjectStore
from zapz.storage.store import Holder
from zapz.testing import TIMED, Clock, ObjectService
from zapz.txn.objects import lease, session, settling


class World:
    """A service, a clock, and writers on machines of their own. Threads name their machine in ``here``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, unique_tags: bool = True) -> None:
        self.service = ObjectService(unique_tags=unique_tags)
        self.clock = Clock()
        self.here = threading.local()
        for module in TIMED:
            monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setattr(clock, "now", self.clock.monotonic)
        monkeypatch.setattr(lease, "RENEWALS", 0)
        monkeypatch.setattr(settling, "_POLL", 1.1 * lease.LEASE)  # one sleep is enough to see a lease run out
        monkeypatch.setattr(session, "me", self._me)

    def _me(self) -> Holder:
        host = getattr(self.here, "host", "elsewhere")
        return Holder(host=host, boot="- - -", process=1, since="2026-11-21T00:00:00+00:00")

    def store(self, root: str = "bucket/cube") -> ObjectStore:
        """Return a store on the service that sends one request at a time and repeats none after a pause."""
        return self.service.store(root)


CHUNKS = {"x": 4, "y": 3}
"""Arrays that ``write_line`` can write, and their chunk lengths."""


def write_line(folder: Path, values: Sequence[int], arrays: str = "x") -> Path:
    """Write a v2 group with arrays of whole numbers along ``time``, all the same, uncompressed, and no labels."""
    folder.mkdir(parents=True)
    documents: dict[str, Any] = {".zgroup": {"zarr_format": 2}}
    for name in arrays:
        documents[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": ["time"]}
        documents[f"{name}/.zarray"] = {
            "zarr_format": 2, "shape": [len(values)], "chunks": [CHUNKS[name]], "dtype": "<i4", "compressor": None, "filters": None,
            "fill_value": -1, "order": "C",
        }  # fmt: skip
        (folder / name).mkdir()
        for start in range(0, len(values), CHUNKS[name]):
            cells = np.full(CHUNKS[name], -1, "<i4")
            part = values[start : start + CHUNKS[name]]
            cells[: len(part)] = part
            (folder / name / str(start // CHUNKS[name])).write_bytes(cells.tobytes())
    for key, document in documents.items():
        (folder / key).write_text(json.dumps(document))
    (folder / ".zmetadata").write_text(json.dumps({"zarr_consolidated_format": 1, "metadata": documents}))
    return folder


def read_line(objects: dict[str, bytes], root: str = "bucket/cube") -> tuple[int, ...] | None:
    """Read what ``write_line`` writes as a reader of consolidated metadata does; None if there is no dataset.

    Where the arrays differ, every value that does is replaced by -99.
    """
    data = objects.get(f"{root}/.zmetadata")
    if data is None:
        return None
    found: set[tuple[int, ...]] = set()
    metadata = json.loads(data)["metadata"]
    for name in (key.partition("/")[0] for key in metadata if key.endswith("/.zarray")):
        length = metadata[f"{name}/.zarray"]["shape"][0]
        cells: list[int] = []
        for number in range(-(-length // CHUNKS[name])):
            stored = objects.get(f"{root}/{name}/{number}")
            cells += [-1] * CHUNKS[name] if stored is None else np.frombuffer(stored, "<i4").tolist()
        found.add(tuple(cells[:length]))
    one, *others = found
    return one if not others else tuple(-99 for _ in one)
