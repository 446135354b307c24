"""Faults that were found by trying to break the core: leaks, states that do not belong together, fill for data."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zapz
from kit.cubes import consolidate, make_slice, quiet, write_array, write_group
from kit.serving import Core
from zapz.server import growing, loading, stored_chunks

FORMATS = [2, 3]
CHUNK = "data/c/0/0/0"


def cube_of(folder: Path, **options: Any) -> Path:
    make_slice(folder / "cube", **{"zarr_format": 3, "chunks": (2, 3, 4), "consolidated": True, **options})
    return folder / "cube"


def old(*paths: Path) -> None:
    """Wait until documents are no longer so young that they are read at each request."""
    assert all(path.exists() for path in paths)
    time.sleep(loading._YOUNG + 0.02)


# -- leaks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["data/c/0/0", "data"])
def test_a_folder_that_becomes_a_link_while_served(tmp_path: Path, depth: str) -> None:
    cube = cube_of(tmp_path)
    core = Core({"cube": cube})
    assert core.ask(f"/cube/{CHUNK}").status == 200
    shutil.copytree(cube / depth, tmp_path / "outside")
    (tmp_path / "outside" / f"{CHUNK}".removeprefix(f"{depth}/")).write_bytes(b"canary")
    (cube / depth).rename(tmp_path / "away")
    (cube / depth).symlink_to(tmp_path / "outside")
    answer = core.ask(f"/cube/{CHUNK}")
    assert (answer.status // 100, b"canary" in answer.body) == (5, False)


def test_a_file_where_a_folder_of_chunks_should_be(tmp_path: Path) -> None:
    cube = cube_of(tmp_path)
    core = Core({"cube": cube})
    assert core.ask(f"/cube/{CHUNK}").status == 200
    shutil.rmtree(cube / "data" / "c")
    (cube / "data" / "c").write_bytes(b"no folder")
    assert core.ask(f"/cube/{CHUNK}").status // 100 == 5
