"""Slices of one step, and a target that another append holds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import zapz
from zapz.cli.demo import write_slice

LONG = 60.0


def day(number: int) -> dict[str, Any]:
    """Return a slice of one step."""
    return {"time": (["time"], np.array([number])), "v": (["time", "x"], np.full((1, 3), number))}


@contextmanager
def locked(target: str) -> Iterator[None]:
    """Let another append hold a target."""
    inside, gate = threading.Event(), threading.Event()

    def stand(*_: object) -> None:
        inside.set()
        gate.wait(LONG)

    thread = threading.Thread(target=lambda: zapz.append(target, [day(1)], on_progress=stand, workers=1))
    thread.start()
    try:
        assert inside.wait(LONG)
        yield
    finally:
        gate.set()
        thread.join()


def days(folder: Path, number: int) -> list[Path]:
    paths = [folder / f"day{day}.zarr" for day in range(number)]
    for day_, path in enumerate(paths):
        write_slice(path, day_)
    return paths


def spoil(path: Path) -> None:
    """Cut a chunk: what nobody sees before it is read."""
    chunk = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:-7])
