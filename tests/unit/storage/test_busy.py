"""File systems on which an open file is not replaced in one step: found out by trying, and said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import zapz
from zapz.cli.demo import write_slice
from zapz.storage.local import busy, lock


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "_KNOWN", {})


@pytest.fixture
def hiding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open files get other names before they are replaced, as libfuse does it."""
    honest_open, honest_close, honest_replace = os.open, os.close, os.replace
    opened: dict[int, str] = {}

    def open_(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        descriptor = honest_open(path, flags, *rest, **options)
        opened[descriptor] = os.fspath(path)
        return descriptor

    def close(descriptor: int) -> None:
        path = opened.pop(descriptor, "")
        honest_close(descriptor)
        hidden = os.path.join(os.path.dirname(path), f".fuse_hidden{descriptor}")
        if path and os.path.lexists(hidden):
            os.unlink(hidden)

    def replace(source: Any, target: Any, **options: Any) -> None:
        for descriptor, path in opened.items():
            if path == os.fspath(target):
                os.rename(path, os.path.join(os.path.dirname(path), f".fuse_hidden{descriptor}"))
        honest_replace(source, target, **options)

    for name, function in (("open", open_), ("close", close), ("replace", replace)):
        monkeypatch.setattr(os, name, function)


def append(tmp_path: Path) -> zapz.Report:
    """Append two slices; return the report."""
    days = [tmp_path / f"{day}.zarr" for day in range(2)]
    for day, path in enumerate(days):
        write_slice(path, day)
    report = zapz.append(tmp_path / "cube.zarr", days)
    assert not (tmp_path / "cube.zarr" / ".zapz").exists()
    return report


def test_it_is_said_once(hiding: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "file_system", lambda _: "fuse.bindfs")
    report = append(tmp_path)
    (note,) = report.notes
    assert "does not replace an open file in one step" in note
    (note,) = zapz.info(tmp_path / "cube.zarr").notes
    assert "a chunk or a document missing" in note


def test_a_network_that_does_it_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "file_system", lambda _: "nfs4")
    assert append(tmp_path).notes == ()


def test_local_disks_are_not_tried(hiding: None, tmp_path: Path) -> None:
    assert append(tmp_path).notes == ()
    assert busy._KNOWN == {}
    assert zapz.info(tmp_path / "cube.zarr").notes == ()
