"""Count the requests of appends to an object store, and show that latency is not paid per chunk.

    python benchmarks/object_requests.py

Needs zapz alone. The service is a double in memory that counts and, if told, answers late: what is
    measured is how many requests are
sent and how many of them wait at the same time, not a network.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, Literal

import fsspec

import zapz
from zapz.storage.objects.backends import MemoryBackend
from zapz.storage.objects.store import ObjectStore

LATENCY = 0.05
FORMATS: Final[tuple[Literal[2, 3], ...]] = (2, 3)
CHUNKS = 200
CHUNK_BYTES = 10_000


class Counted(MemoryBackend):
    """Counts requests, and answers late."""

    def __init__(self, fs: Any, root: str) -> None:
        super().__init__(fs, root)
        self.requests: Counter[str] = Counter()
        self.latency = 0.0
        self._count = threading.Lock()

    def asked(self, path: str) -> None:
        """Count a request and let its answer wait."""
        name = path.rsplit("/", 1)[-1]
        with self._count:
            self.requests["chunks" if name[:1].isdigit() else "others"] += 1
        if self.latency:
            time.sleep(self.latency)

    def get(self, path: str, start: int | None, end: int | None) -> tuple[bytes, str | None]:
        """See ``Backend``."""
        self.asked(path)
        return super().get(path, start, end)

    def look(self, path: str) -> tuple[int, str | None]:
        """See ``Backend``."""
        self.asked(path)
        return super().look(path)

    def put_new(self, path: str, data: bytes) -> str | None:
        """See ``Backend``."""
        self.asked(path)
        return super().put_new(path, data)

    def put_over(self, path: str, data: bytes, tag: str) -> str | None:
        """See ``Backend``."""
        self.asked(path)
        return super().put_over(path, data, tag)

    def delete(self, path: str) -> None:
        """See ``Backend``."""
        self.asked(path)
        super().delete(path)

    def list(self, path: str) -> tuple[list[str], list[str]]:
        """See ``Backend``."""
        self.asked("listing")
        return super().list(path)


def write_slice(folder: Path, start: int, steps: int, chunks: int) -> Path:
    """Write a v2 slice: one array of ``chunks`` chunks of one step each and its labels, raw."""
    width = CHUNK_BYTES // 4
    arrays = {
        "data": ([steps, width * chunks], [1, width], "<f4", ["time", "x"]),
        "time": ([steps], [1024], "<i8", ["time"]),
    }
    metadata: dict[str, Any] = {".zgroup": {"zarr_format": 2}}
    for name, (shape, shapes, dtype, dims) in arrays.items():
        metadata[f"{name}/.zarray"] = {
            "zarr_format": 2,
            "shape": shape,
            "chunks": shapes,
            "dtype": dtype,
            "compressor": None,
            "filters": None,
            "fill_value": None,
            "order": "C",
        }
        metadata[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": dims}
        (folder / name).mkdir(parents=True)
    metadata["time/.zattrs"] |= {"units": "days since 2024-01-01"}
    for key, document in metadata.items():
        (folder / key).write_text(json.dumps(document))
    for step in range(steps):
        for number in range(chunks):
            (folder / "data" / f"{step}.{number}").write_bytes(bytes([1 + (start + step) % 250]) * CHUNK_BYTES)
    labels = b"".join(n.to_bytes(8, "little") for n in range(start, start + steps))
    (folder / "time" / "0").write_bytes(labels.ljust(8192, b"\0"))
    return folder


def main() -> None:
    """Print the two tables."""
    with tempfile.TemporaryDirectory() as folder:
        print("| format | appends before | chunks written | requests for them | other requests |")
        print("|---|---|---|---|---|")
        for zarr_format in FORMATS:
            for earlier in (5, 200):
                print(row(Path(folder), zarr_format, earlier))
        print()
        print(latency(Path(folder)))


def row(folder: Path, zarr_format: Literal[2, 3], earlier: int) -> str:
    """Return the requests of one append after so many."""
    backend = Counted(fsspec.filesystem("memory"), "")
    store = ObjectStore(backend, f"/bench-{zarr_format}-{earlier}", "memory")
    slices = [write_slice(folder / f"{zarr_format}-{earlier}-{n}.zarr", n, 1, 8) for n in range(earlier + 1)]
    zapz.append(store, slices[:-1], zarr_format=zarr_format)
    backend.requests.clear()
    report = zapz.append(store, slices[-1])
    cells = (zarr_format, earlier, report.copied_chunks, backend.requests["chunks"], backend.requests["others"])
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def latency(folder: Path) -> str:
    """Return how an append behind a slow answer compares with one answer after the other."""
    backend = Counted(fsspec.filesystem("memory"), "")
    store = ObjectStore(backend, "/bench-latency", "memory")
    zapz.append(store, write_slice(folder / "first.zarr", 0, 1, CHUNKS))
    later = write_slice(folder / "later.zarr", 1, 1, CHUNKS)
    backend.latency = LATENCY
    backend.requests.clear()
    started = time.perf_counter()
    zapz.append(store, later)
    seconds = time.perf_counter() - started
    alone = sum(backend.requests.values()) * LATENCY
    return (
        f"With {LATENCY * 1000:.0f} ms before every answer, an append of {CHUNKS} chunks takes {seconds / alone:.2f} of the time "
        f"that its {sum(backend.requests.values())} requests take one after the other."
    )


if __name__ == "__main__":
    main()
