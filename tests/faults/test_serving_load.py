"""64 clients at once: some read slowly, some disconnect, and a source fails now and then. Nothing hangs, and memory stays as it is."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from kit import cubes
from kit.http_load import Load, run_load, well_formed
from kit.volumes import volume
from kit.zapz_server import serving

SOURCE = """
import itertools
import time

import numpy as np


class Now:
    \"\"\"100 chunks of 100 kB; every tenth request fails.\"\"\"

    shape, dtype, chunks = (100, 160, 160), np.dtype("f4"), (1, 160, 160)
    calls = itertools.count(1)

    def __getitem__(self, index):
        if next(self.calls) % 10 == 0:
            raise OSError("a fault that was put there")
        time.sleep(0.002)
        first = index[0].start
        return np.full((1, 160, 160), first, "f4") + np.arange(160, dtype="f4")


def make():
    return {"a": (("t", "y", "x"), Now())}
"""


def load(tmp_path: Path, seconds: float, *options: str) -> tuple[Load, dict[str, str]]:
    """Run the load against a server with a stored cube and a source that fails now and then."""
    cubes.write_group(tmp_path / "cube.zarr", zarr_format=3)
    cubes.write_array(
        tmp_path / "cube.zarr",
        "v",
        np.random.default_rng(0).random((50, 160, 160), "f4"),
        zarr_format=3,
        chunks=(1, 160, 160),
    )
    cubes.write_array(
        tmp_path / "cube.zarr", "big", np.zeros((2, 1024, 1536), "f4"), zarr_format=3, chunks=(1, 1024, 1536)
    )
    cubes.consolidate(tmp_path / "cube.zarr", zarr_format=3)
    (tmp_path / "failing_now.py").write_text(SOURCE)
    config = tmp_path / "serve.toml"
    config.write_text("memory_limit = 1000000\n")
    with serving("-c", config, *options, tmp_path / "cube.zarr", "now=failing_now:make", folder=tmp_path) as server:
        paths = [
            "/cube/zarr.json",
            "/cube/",
            "/cube/v/c/99/0/0",
            "/",
            *(f"/cube/v/c/{i}/0/0" for i in range(50)),
            *(f"/now/a/c/{i}/0/0" for i in range(100)),
        ]
        found = run_load(
            urlsplit(server.url).port or 0, paths, seconds=seconds, clients=64, slow=12, leaving=12,
            slow_paths=["/cube/big/c/0/0/0", "/cube/big/c/1/0/0"], patience=10, judge=well_formed, pid=server.process.pid,
        )  # fmt: skip
        assert server.get("/healthz").status == 200
        text = server.get("/metrics").body.decode()
        gauges = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        assert gauges["zapz_requests_in_flight"] == "0"
        assert gauges["zapz_memory_bytes"] == "0"
    return found, gauges


def judged(found: Load) -> None:
    assert (found.hangs, found.refused, found.wrong, found.cut) == ([], [], [], [])
    assert found.statuses[200] > 200
    assert found.statuses[500] > 0
    assert found.statuses.keys() <= {200, 404, 500, 503}
    assert min(found.kinds.values()) > 0


@pytest.mark.parametrize("options", [[], ["--stdlib"]], ids=str)
def test_three_seconds(tmp_path: Path, options: list[str]) -> None:
    judged(load(tmp_path, 3, *options)[0])


@pytest.mark.parametrize("options", [[], ["--stdlib"]], ids=str)
def test_what_exceeds_the_limits_is_told_to_come_again(tmp_path: Path, options: list[str]) -> None:
    found, gauges = load(tmp_path, 3, "--max-inflight", "4", "--max-memory", "12MB", *options)
    judged(found)
    assert found.statuses[503] > 0
    assert int(gauges["zapz_refused_requests"]) + int(gauges["zapz_refused_memory"]) >= found.statuses[503]


@volume
@pytest.mark.parametrize("options", [[], ["--stdlib"]], ids=str)
def test_a_minute(tmp_path: Path, options: list[str]) -> None:
    found, _ = load(tmp_path, 60, *options)
    judged(found)
    assert found.grown() < 10_000_000
