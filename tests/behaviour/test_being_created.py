"""A target that is just being created is no damaged one: ``info`` says who is at work, or that nobody is any more."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import run

import zapz
from zapz.cli.demo import write_slice
from zapz.testing import Died, ObjectService, failing_files, file_operations


@pytest.fixture
def day(tmp_path: Path) -> Path:
    write_slice(tmp_path / "day.zarr", 0)
    return tmp_path / "day.zarr"


def info_meanwhile(target: Any, day: Path, **settings: Any) -> list[zapz.ZapzError]:
    """Append to a target, and return what ``info`` answers while chunks are written."""
    seen: list[zapz.ZapzError] = []

    def look(done: int, total: int) -> None:
        if done < total and not seen:
            try:
                zapz.info(target, **settings)
            except zapz.ZapzError as error:
                seen.append(error)

    zapz.append(target, day, on_progress=look, workers=1, **settings)
    return seen


@pytest.mark.parametrize("journal", ["inside", "beside"])
def test_who_creates_it_is_said(tmp_path: Path, day: Path, journal: str) -> None:
    (error,) = info_meanwhile(tmp_path / "cube.zarr", day, journal=journal)
    assert isinstance(error, zapz.LockedError)
    assert error.what == "the target is being created"
    assert f"process {os.getpid()}" in error.found
    assert " since " in error.found
    assert zapz.info(tmp_path / "cube.zarr").dims["time"] == 1


def test_who_creates_it_on_an_object_service_is_said(day: Path) -> None:
    service = ObjectService()
    (error,) = info_meanwhile(service.store("bucket/cube"), day)
    assert isinstance(error, zapz.LockedError)
    assert error.what == "the target is being created"
    assert f"process {os.getpid()}" in error.found


def test_a_target_that_is_there_is_read_meanwhile(tmp_path: Path, day: Path) -> None:
    zapz.append(tmp_path / "cube.zarr", day)
    write_slice(tmp_path / "next.zarr", 1)
    assert info_meanwhile(tmp_path / "cube.zarr", tmp_path / "next.zarr") == []


def test_a_creation_that_did_not_end_is_said(tmp_path: Path, day: Path) -> None:
    """What the message says can be done about it works."""
    target = tmp_path / "cube.zarr"
    middle = file_operations(tmp_path / "other.zarr", lambda: zapz.append(tmp_path / "other.zarr", day)) // 2
    with failing_files(target, middle, "died"), contextlib.suppress(Died):
        zapz.append(target, day)
    code, _, message = run("info", target)
    assert code == 8
    assert "creating the target was interrupted" in message
    assert "Run `zapz recover`" in message
    assert run("recover", target)[0] == 0
    code, _, message = run("info", target)
    assert (code, "no such dataset" in message) == (6, True)


def test_what_is_broken_stays_so(tmp_path: Path, day: Path) -> None:
    """Whoever holds the lock: a document that is there is no sign of a creation."""
    target = tmp_path / "cube.zarr"
    zapz.append(target, day)
    (target / ".zgroup").write_text("{")
    with failing_files(target, 60, "died"), contextlib.suppress(Died, zapz.ZapzError):
        zapz.append(target, day, lock_wait=0)
    with pytest.raises(zapz.MetadataError, match="invalid JSON"):
        zapz.info(target)
    (tmp_path / "empty").mkdir()
    with pytest.raises(zapz.MetadataError, match="not a Zarr dataset"):
        zapz.info(tmp_path / "empty")
