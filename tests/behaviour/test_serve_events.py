"""``/name/events`` tells clients of each new state of a dataset."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from kit import cubes
from kit.zapz_server import serving

import zapz

SERVERS = [[], ["--stdlib"]]


@contextmanager
def listening(url: str, path: str) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request("GET", path, headers={"Accept": "text/event-stream"})
        yield connection.getresponse()
    finally:
        connection.close()


def event(reply: http.client.HTTPResponse) -> Any:
    """Return the data of the next event."""
    lines = []
    while line := reply.readline().decode().rstrip("\n"):
        lines.append(line)
    assert lines[0] == "event: generation", lines
    return json.loads(lines[1].removeprefix("data: "))


def make_days(folder: Path, days: int) -> list[Path]:
    found = []
    for day in range(days):
        found.append(folder / f"day{day}")
        cubes.make_slice(found[-1], zarr_format=3, start=day, steps=1, chunks=(1, 4, 6))
    return found


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_new_states_are_told(tmp_path: Path, options: list[str]) -> None:
    days = make_days(tmp_path, 4)
    zapz.append(tmp_path / "cube.zarr", days[0])
    with (
        serving(*options, tmp_path / "cube.zarr") as server,
        listening(server.url, "/cube/events") as reply,
        listening(server.url, "/cube/events") as other,
    ):
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["content-length"] is None
        assert event(reply) == event(other)
        for length, day in enumerate(days[1:], start=2):
            zapz.append(tmp_path / "cube.zarr", day)
            began = time.monotonic()
            told = event(reply)
            assert (
                time.monotonic() - began < 1 or length == 2
            )  # the first append of a process loads its modules meanwhile
            assert told["dims"]["time"] == length
            assert told["generation"] == server.get("/cube/zarr.json").headers["zapz-generation"]
            assert event(other) == told
        assert "zapz_listeners 2" in server.get("/metrics").body.decode()


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_a_signal_ends_them(tmp_path: Path, options: list[str]) -> None:
    zapz.append(tmp_path / "cube.zarr", make_days(tmp_path, 1)[0])
    with serving(*options, tmp_path / "cube.zarr") as server, listening(server.url, "/cube/events") as reply:
        event(reply)
        began = time.monotonic()
        server.stop(signal.SIGTERM)
        assert reply.read() == b""
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("options", SERVERS, ids=str)
def test_listeners_are_limited_and_leave(tmp_path: Path, options: list[str]) -> None:
    zapz.append(tmp_path / "cube.zarr", make_days(tmp_path, 1)[0])
    with serving("--max-inflight", "3", *options, tmp_path / "cube.zarr") as server:
        statuses: list[int] = []

        def listen() -> None:
            with listening(server.url, "/cube/events") as reply:
                statuses.append(reply.status)
                time.sleep(2)

        threads = [threading.Thread(target=listen) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        assert server.get("/cube/zarr.json").status == 200
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200, 200, 200, 503, 503, 503]


def test_a_node_of_this_name_comes_first(tmp_path: Path) -> None:
    cubes.write_group(tmp_path / "cube", zarr_format=3)
    cubes.write_array(tmp_path / "cube", "events", np.arange(3), zarr_format=3)
    with serving(tmp_path / "cube") as server:
        answer = server.get("/cube/events")
        assert (answer.status, answer.headers["location"]) == (308, "/cube/events/")
        assert server.get("/cube/events/c/0").status == 200


def test_head(tmp_path: Path) -> None:
    zapz.append(tmp_path / "cube.zarr", make_days(tmp_path, 1)[0])
    with serving(tmp_path / "cube.zarr") as server:
        answer = server.get("/cube/events", "HEAD")
        assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"", "text/event-stream")
