"""A cube is served by one process, another appends to it, and clients poll all the time: no reply mixes lengths, no chunk is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit import cubes
from kit.static_server import static_server
from kit.volumes import volume
from kit.zapz_server import SOURCE, Client, serving

KINDS: dict[str, dict[str, Any]] = {
    "v2-aligned": {"zarr_format": 2, "chunks": (1, 8, 8)},
    "v2-boundary": {"zarr_format": 2, "chunks": (4, 8, 8)},
    "v3-aligned": {"zarr_format": 3, "chunks": (1, 8, 8)},
    "v3-boundary": {"zarr_format": 3, "chunks": (4, 8, 8)},
    "v3-sharded": {"zarr_format": 3, "chunks": (1, 8, 8), "shards": (4, 8, 8)},
}
WRITER = """
import sys, time, zapz
target, pause, *slices = sys.argv[1:]
for each in slices:
    zapz.append(target, each, label_chunk="keep", durability="process", create="never")
    time.sleep(float(pause))
"""


def make_days(folder: Path, days: int, **options: Any) -> list[Path]:
    """Write slices of one step whose cells are their label plus one."""
    found = []
    for day in range(days):
        path = folder / f"{day:03}.zarr"
        data = np.full((1, 8, 8), day + 1, "<f4")
        own = {**options, "chunks": options["chunks"] if day == 0 else (1, 8, 8)}
        if day:
            own.pop("shards", None)
        cubes.make_slice(
            path,
            start=day,
            steps=1,
            shape=(8, 8),
            data=data,
            static=False,
            time_chunk=options["chunks"][0],
            consolidated=True,
            **own,
        )
        found.append(path)
    return found


def lengths_in(document: Any, zarr_format: int) -> dict[str, int]:
    """Return the lengths of all arrays that a root document names."""
    if zarr_format == 2:
        return {key: node["shape"][0] for key, node in document["metadata"].items() if key.endswith(".zarray")}
    nodes = document["consolidated_metadata"]["metadata"]
    return {key: node["shape"][0] for key, node in nodes.items() if node["node_type"] == "array"}


class Poller:
    """Polls the root document; looks at the newest step of every twentieth state."""

    def __init__(self, url: str, zarr_format: int, chunk: int, *, raw: bool) -> None:
        self.url, self.format, self.chunk, self.raw = url, zarr_format, chunk, raw
        self.seen: Counter[int] = Counter()
        self.faults: list[str] = []
        self.polls = 0

    def run(self, over: threading.Event) -> None:
        root = "zarr.json" if self.format == 3 else ".zmetadata"
        last = 0
        with Client(self.url) as client:
            while not over.is_set() or self.polls < 20:
                answer = client.get(f"/cube/{root}")
                self.polls += 1
                if answer.status != 200:
                    self.faults.append(f"status {answer.status}")
                    continue
                lengths = set(lengths_in(json.loads(answer.body), self.format).values())
                if len(lengths) != 1:
                    self.faults.append(f"mixture {lengths}")
                    continue
                length = lengths.pop()
                if length < last:
                    self.faults.append(f"{length} after {last}")
                last = length
                self.seen[length] += 1
                if self.polls % 20 == 0:
                    self.look(client, length)

    def look(self, client: Client, length: int) -> None:
        """Look at the chunks of the newest step: they are there, and hold what the metadata promise."""
        index = (length - 1) // self.chunk
        key = f"data/{index}.0.0" if self.format == 2 else f"data/c/{index}/0/0"
        answer = client.get(f"/cube/{key}")
        if answer.status != 200:
            self.faults.append(f"{key} of {length}: {answer.status}")
        elif self.raw:
            cells = np.frombuffer(answer.body, "<f4").reshape(self.chunk, 8, 8)
            if not (cells[(length - 1) % self.chunk] == length).all():
                self.faults.append(f"{key} of {length}: {cells[:, 0, 0]}")


def grow(tmp_path: Path, kind: str, days: int, pause: float, pollers: int = 2) -> list[Poller]:
    options = KINDS[kind]
    slices = make_days(tmp_path, days, **options)
    target = tmp_path / "cube.zarr"
    import zapz

    zapz.append(target, slices[0], label_chunk="keep")
    with serving(f"cube={target}") as server:
        chunk = (options.get("shards") or options["chunks"])[0]
        found = [Poller(server.url, options["zarr_format"], chunk, raw="shards" not in options) for _ in range(pollers)]
        over = threading.Event()
        threads = [threading.Thread(target=poller.run, args=(over,)) for poller in found]
        for thread in threads:
            thread.start()
        done = subprocess.run(
            [sys.executable, "-c", WRITER, target, str(pause), *slices[1:]],
            env={"PYTHONPATH": SOURCE},
            capture_output=True,
            text=True,
            check=False,
        )
        time.sleep(0.1)
        over.set()
        for thread in threads:
            thread.join()
        assert done.returncode == 0, done.stderr
        final = server.get("/cube/zarr.json" if options["zarr_format"] == 3 else "/cube/.zmetadata")
        assert set(lengths_in(final.json, options["zarr_format"]).values()) == {days}
        read = read_all(server.url)
        assert (read["data"][:, 0, 0] == np.arange(1, days + 1)).all()
        assert server.said == []
    return found


def read_all(url: str) -> dict[str, np.ndarray[Any, Any]]:
    import xarray

    with cubes.quiet(), xarray.open_zarr(f"{url}cube", chunks=None, decode_times=False) as data:
        return {name: data[name].values for name in ("data", "time")}


def judged(pollers: list[Poller], days: int, polls: int) -> None:
    assert [fault for poller in pollers for fault in poller.faults] == []
    assert sum(poller.polls for poller in pollers) >= polls
    for poller in pollers:
        assert len(poller.seen) > days // 2, "it saw the cube grow"
        assert max(poller.seen) == days


@pytest.mark.parametrize("kind", ["v2-boundary", "v3-sharded"])
def test_growing(kind: str, tmp_path: Path) -> None:
    judged(grow(tmp_path, kind, 10, 0.02), 10, 100)


@volume
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_appends_and_ten_thousand_polls(kind: str, tmp_path: Path) -> None:
    judged(grow(tmp_path, kind, 51, 0.15, pollers=3), 51, 10_000)


def one_by_one(client: Client, prefix: str, zarr_format: int) -> set[int]:
    """Return the lengths of the arrays, each from its own document, as a reader without consolidated metadata sees them."""
    document = ".zarray" if zarr_format == 2 else "zarr.json"
    return {client.get(f"{prefix}/{name}/{document}").json["shape"][0] for name in ("time", "data")}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_static_server_is_torn_and_a_pinned_state_is_not(zarr_format: int, tmp_path: Path) -> None:
    """The control: arrays opened one by one."""
    import zapz

    slices = make_days(tmp_path, 40, zarr_format=zarr_format, chunks=(1, 8, 8))
    target = tmp_path / "cube.zarr"
    zapz.append(target, slices[0], label_chunk="keep")
    root = "zarr.json" if zarr_format == 3 else ".zmetadata"
    torn: Counter[str] = Counter()
    with serving(f"cube={target}") as server, static_server(tmp_path) as static:
        with (
            subprocess.Popen(
                [sys.executable, "-c", WRITER, target, "0.01", *slices[1:]], env={"PYTHONPATH": SOURCE}
            ) as writer,
            Client(server.url) as client,
            Client(static.url) as plain,
        ):
            while writer.poll() is None:
                if len(one_by_one(plain, "/cube.zarr", zarr_format)) > 1:
                    torn["static"] += 1
                name = client.get(f"/cube/{root}").headers["zapz-generation"]
                if len(one_by_one(client, f"/cube@{name}", zarr_format)) > 1:
                    torn["pinned"] += 1
                torn["looks"] += 1
        assert writer.returncode == 0
    assert torn["looks"] > 50
    assert torn["static"] > 0
    assert torn["pinned"] == 0
